"""A thousand cold reads of one object at the same moment cost the HSM one call.

The shim before SoftHSM keeps every message that is signed.  Profile 1 signs three kinds: the input
of a secret, which names its KEK and scope, and the two short ones of check values and of the
watch, which begin otherwise.  So they are told apart by what they are, not by their number.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.e2e import operated
from tests.fakes.hsm_tokens import HAS_SOFTHSM
from tests.faults.shim import Shim

from hyok.envelope.keys import kek_context
from hyok.envelope.profiles import hmac_check_input, hmac_input

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HAS_SOFTHSM and shutil.which("gcc")), reason="no SoftHSM or no compiler here"
    ),
]
READERS = 1000
SHA256_BYTES = 32
BODY = bytes(range(256)) * 20
CHECK_HEAD = hmac_check_input("")[:-2]
KEYS = {
    f"{owner}/1": scopes
    for owner, scopes in {
        "system/secrets": ("secrets",),
        "gemeente/tenant": ("tenant:gemeente",),
        "gemeente/intern": ("bucket:intern",),
        "gemeente/vertrouwelijk": ("bucket:vertrouwelijk", "names:vertrouwelijk"),
    }.items()
}
KNOWN = {
    hmac_input(bytes(32), kek, scope)[-len(kek_context(kek, scope)) :]: f"{kek} {scope}"
    for kek, scopes in KEYS.items()
    for scope in scopes
}


def kind(message: bytes) -> str:
    """Return ``check``, or KEK and scope of a secret's message; an unknown one as it stands.

    The audit log's checkpoints are signed over a SHA-256, and no other message is so short.
    """
    if message.startswith(CHECK_HEAD):
        return "check"
    if len(message) == SHA256_BYTES:
        return "checkpoint"
    return KNOWN.get(message[len(b"HYOK1 kek hmac") + 32 :], message.hex())


async def read_at_once(url: str, readers: int) -> list[bytes]:
    """Return the answers to as many GETs, on connections that stand before the first is asked."""
    parts = urlsplit(url)
    lines = []
    for _ in range(readers):
        lines.append(await asyncio.open_connection(parts.hostname, parts.port))
    request = (
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\n"
        f"host: {parts.netloc}\r\nconnection: close\r\n\r\n"
    ).encode()
    for _, writer in lines:
        writer.write(request)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            return await reader.read()
        finally:
            writer.close()

    return await asyncio.gather(*(answer(*line) for line in lines))


# The app's own secret is cold at first as well.
STARTS = {"system/secrets/1 secrets": 1}
COLD = {
    "intern": {"gemeente/intern/1 bucket:intern": 1} | STARTS,
    "vertrouwelijk": {  # its names are sealed too, under a key of their own
        "gemeente/vertrouwelijk/1 bucket:vertrouwelijk": 1,
        "gemeente/vertrouwelijk/1 names:vertrouwelijk": 1,
    },
}


def test_a_thousand_cold_reads_of_one_object_are_one_hsm_call(tmp_path: Path) -> None:
    shim = Shim(tmp_path)
    more = READERS + 50
    made = operated.copied(
        tmp_path,
        shim=shim,
        limits=f"connections_per_client_max = {more}\nrequests_in_flight_max = {more}\n",
    )
    try:
        gateway = made.serve()
        for bucket in COLD:
            gateway.client().put_object(Bucket=bucket, Key="brief", Body=BODY)
        assert gateway.stop() == 0
        gateway = made.serve()  # nothing is in memory now
        s3 = gateway.client(signature_version="s3v4")
        for bucket, cold in COLD.items():
            url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "brief"})
            before, signs = len(shim.signed()), shim.calls("C_Sign")
            answers = asyncio.run(asyncio.wait_for(read_at_once(url, READERS), 120))
            found = Counter(map(kind, shim.signed()[before:]))
            assert abs(shim.calls("C_Sign") - signs - found.total()) <= 1  # a watch between the two
            heads = Counter(answer.partition(b"\r\n")[0] for answer in answers)
            assert heads == {b"HTTP/1.1 200 OK": READERS}, answers[0]
            assert all(answer.endswith(b"\r\n\r\n" + BODY) for answer in answers)
            print(bucket, dict(found))
            del found["check"], found["checkpoint"]
            assert found == cold
    finally:
        made.close()
