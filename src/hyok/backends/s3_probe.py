"""What an S3 store can do beyond keeping bytes: tried under the reserved prefix, not guessed."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from hyok.backends.s3_trailer import render
from hyok.errors import Conflict, HyokError, Refused

if TYPE_CHECKING:
    from hyok.backends.s3_endpoint import Endpoint


async def probe_conditions(endpoint: Endpoint, bucket: str) -> bool:
    """Does the store decide If-None-Match and If-Match of a PUT itself?"""
    name = f".hyok/probe/{secrets.token_hex(8)}"
    absent = {"if-none-match": "*"}
    try:
        await endpoint.request("PUT", bucket, name, headers=absent, body=b"1")
        for headers in (absent, {"if-match": '"00000000000000000000000000000000"'}):
            try:
                await endpoint.request("PUT", bucket, name, headers=headers, body=b"2")
            except Conflict:
                continue
            return False
    except Refused:
        return False
    finally:
        with suppress(HyokError):
            await endpoint.request("DELETE", bucket, name)
    return True


async def probe_trailers(endpoint: Endpoint, bucket: str) -> bool:
    """Does the store check a trailing checksum, and take the framing off the body?"""
    name = f".hyok/probe/{secrets.token_hex(8)}"
    body = b"trailing checksum"

    async def send(encoded: bytes) -> int:
        return await endpoint.send_framed(bucket, name, len(body), encoded)

    try:
        if await send(render(body, damage=True)) // 100 == 2 or await send(render(body)) != 200:
            return False
        return (await endpoint.request("GET", bucket, name)).body == body
    except HyokError:
        return False
    finally:
        with suppress(HyokError):
            await endpoint.request("DELETE", bucket, name)
