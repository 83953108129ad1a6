"""MemoryHsm: the software keys of development, with faults to order.

It counts calls, so that a test can show how often the HSM was asked, and can be told to be away.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from typing_extensions import override

from hyok.errors import Unavailable
from hyok.hsm.software import SoftwareHsm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from hyok.hsm.port import KekSpec


@cache
def pair_of(bits: int, number: int) -> RSAPrivateKey:
    """Return the pair of this number, the same in every test: making one is slow."""
    del number  # it tells pairs apart
    return rsa.generate_private_key(65537, bits)


class MemoryHsm(SoftwareHsm):
    """An `Hsm` in memory; ``away = True`` makes every use of a key Unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self._pairs = 0
        self.asked: list[tuple[str, str, str]] = []  # (method, kek_id, scope)

    @override
    async def secret(self, kek: KekSpec, scope: str, token: bytes) -> bytes:
        self._note("secret", kek.kek_id, scope)
        return await super().secret(kek, scope, token)

    @override
    async def new_token(self, kek: KekSpec, scope: str) -> tuple[bytes, bytes]:
        self._note("new_token", kek.kek_id, scope)
        return await super().new_token(kek, scope)

    @override
    async def check(self, kek: KekSpec) -> None:
        self._note("check", kek.kek_id, "")
        await super().check(kek)

    @override
    def _new_pair(self, bits: int) -> RSAPrivateKey:
        self._pairs += 1
        return pair_of(bits, self._pairs)

    def _note(self, method: str, kek_id: str, scope: str) -> None:
        self.asked.append((method, kek_id, scope))
        if self.away:
            raise Unavailable("no HSM token answered in time", code="HY-2101")
