"""Credentials of an S3 store, through botocore's chain: files, environment, instance role."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import botocore.exceptions
import botocore.session

from hyok.errors import Unavailable
from hyok.sigv4.sign import Signer

if TYPE_CHECKING:
    from pathlib import Path

ASK_AGAIN_SECONDS = 60.0


class CredentialChain:
    """Returns a signer; asks botocore again every minute, since credentials may be short-lived."""

    def __init__(self, region: str, file: Path | None = None, profile: str = "") -> None:
        self._region = region
        self._session = botocore.session.Session(profile=profile or None)
        if file is not None:
            self._session.set_config_variable("credentials_file", str(file))
        self._signer: Signer | None = None
        self._asked = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> Signer:
        """Return the signer to use now.

        Raises:
            Unavailable: the chain has no credentials (code HY-4002).
        """
        if self._signer is not None and time.monotonic() - self._asked < ASK_AGAIN_SECONDS:
            return self._signer
        async with self._lock:
            if self._signer is None or time.monotonic() - self._asked >= ASK_AGAIN_SECONDS:
                self._signer = await asyncio.to_thread(self._ask)
                self._asked = time.monotonic()
        return self._signer

    def _ask(self) -> Signer:
        try:
            found = self._session.get_credentials()
            frozen = found.get_frozen_credentials() if found is not None else None
        except botocore.exceptions.BotoCoreError as error:
            raise _none() from error
        if frozen is None or not frozen.access_key:
            raise _none()
        return Signer(frozen.access_key, frozen.secret_key, self._region, frozen.token or "")


def _none() -> Unavailable:
    return Unavailable(
        "There are no credentials for the store.",
        reason="ServiceUnavailable",
        code="HY-4002",
        lasting=True,
        next_step="set credentials_file of the store, or give the environment some",
    )
