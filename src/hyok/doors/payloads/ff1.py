"""FF1: AES that makes numerals of numerals, as many of the same kind.  Pure.

Source: NIST SP 800-38G, section 5.1, algorithms 7 and 8; SP 800-38G rev. 1 (draft 2), section 5.1,
of which the smallest domain, a million, is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

if TYPE_CHECKING:
    from collections.abc import Sequence

DOMAIN_MIN = 1_000_000
ROUNDS, BLOCK_BYTES = 10, 16


class Ff1:
    """FF1 of one key and radix, for numerals of one length.

    Args:
        key: 16, 24 or 32 bytes.
        radix: 2 to 65536.
        length: how many numerals; there are at least a million of such texts.
        tweak: what else the result depends on.
    """

    def __init__(self, key: bytes, radix: int, length: int, tweak: bytes) -> None:
        assert 2 <= radix <= 1 << 16
        assert radix**length >= DOMAIN_MIN
        self._cipher = Cipher(AES(key), CBC(bytes(BLOCK_BYTES)))
        self._radix, self._length, self._tweak = radix, length, tweak
        self._half = length // 2
        rest = length - self._half
        self._bytes = ((radix**rest - 1).bit_length() + 7) // 8
        self._wide = 4 * -(-self._bytes // 4) + 4
        self._head = b"".join(
            (
                bytes((1, 2, 1)),
                radix.to_bytes(3, "big"),
                bytes((ROUNDS, self._half % 256)),
                length.to_bytes(4, "big"),
                len(tweak).to_bytes(4, "big"),
                tweak,
                bytes((-len(tweak) - self._bytes - 1) % BLOCK_BYTES),
            )
        )

    def encrypt(self, numerals: Sequence[int]) -> list[int]:
        """Return as many numerals."""
        one, other = self._parts(numerals)
        for turn in range(ROUNDS):
            mixed = one + self._mix(turn, other)
            one, other = other, mixed % self._radix ** self._size(turn)
        return [*self._text(one, self._size(0)), *self._text(other, self._size(1))]

    def decrypt(self, numerals: Sequence[int]) -> list[int]:
        """Return the numerals that `encrypt` was given."""
        one, other = self._parts(numerals)
        for turn in reversed(range(ROUNDS)):
            mixed = other - self._mix(turn, one)
            one, other = mixed % self._radix ** self._size(turn), one
        return [*self._text(one, self._size(0)), *self._text(other, self._size(1))]

    def _size(self, turn: int) -> int:
        return self._length - self._half if turn % 2 else self._half

    def _parts(self, numerals: Sequence[int]) -> tuple[int, int]:
        assert len(numerals) == self._length
        assert all(0 <= one < self._radix for one in numerals)
        return self._number(numerals[: self._half]), self._number(numerals[self._half :])

    def _number(self, numerals: Sequence[int]) -> int:
        found = 0
        for one in numerals:
            found = found * self._radix + one
        return found

    def _text(self, number: int, size: int) -> list[int]:
        found = []
        for _ in range(size):
            number, one = divmod(number, self._radix)
            found.append(one)
        return found[::-1]

    def _mix(self, turn: int, number: int) -> int:
        block = self._last(self._head + bytes((turn,)) + number.to_bytes(self._bytes, "big"))
        made, counter = block, 1
        while len(made) < self._wide:
            mixed = int.from_bytes(block, "big") ^ counter
            made += self._last(mixed.to_bytes(BLOCK_BYTES, "big"))
            counter += 1
        return int.from_bytes(made[: self._wide], "big")

    def _last(self, text: bytes) -> bytes:
        """Return the last block of CBC under an IV of noughts: the PRF of the standard."""
        return self._cipher.encryptor().update(text)[-BLOCK_BYTES:]
