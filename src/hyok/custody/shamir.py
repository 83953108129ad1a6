"""Shamir's secret sharing over GF(256): any M of N shares give the secret, M-1 say nothing of it.

Each byte of the secret is the value at 0 of a polynomial of degree M-1 with random coefficients;
share x is its value at x.  The field is that of AES.  Arithmetic has no branch and no look-up that
depends on a secret.  Shares are not authenticated here: `custodian_shares` commits to each.

Source: A. Shamir, How to share a secret (1979); FIPS 197, section 4, for the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHARES_MAX = 255
QUORUM_MIN = 2
"""One share that gives the secret alone would be a copy of it."""

_REDUCTION = 0x1B  # x^8 = x^4 + x^3 + x + 1


def multiply(one: int, other: int) -> int:
    """Return the product in GF(256); eight steps whatever the values are."""
    product = 0
    for _ in range(8):
        product ^= -(other & 1) & one
        one = ((one << 1) & 0xFF) ^ (-(one >> 7) & _REDUCTION)
        other >>= 1
    return product


def invert(value: int) -> int:
    """Return the inverse in GF(256), as value^254; that of 0 is 0."""
    result, power = 1, value
    for _ in range(7):  # 254 = 2 + 4 + 8 + 16 + 32 + 64 + 128
        power = multiply(power, power)
        result = multiply(result, power)
    return result


def split(
    secret: bytes, shares: int, quorum: int, entropy: Callable[[int], bytes]
) -> dict[int, bytes]:
    """Return shares by their number, 1 to ``shares``; any ``quorum`` of them give ``secret``.

    ``entropy`` gives the coefficients: fresh from the system's CSPRNG for every secret.
    """
    if not QUORUM_MIN <= quorum <= shares <= SHARES_MAX:
        raise ValueError("a quorum is 2 to the number of shares, which are at most 255")
    coefficients = [secret, *(entropy(len(secret)) for _ in range(quorum - 1))]
    return {
        number: bytes(
            _value_at(number, [row[at] for row in coefficients]) for at in range(len(secret))
        )
        for number in range(1, shares + 1)
    }


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Return the secret of these shares; with too few or wrong ones, something else."""
    sound = all(1 <= number <= SHARES_MAX for number in shares)
    if not sound or len({len(share) for share in shares.values()}) != 1:
        raise ValueError("shares are numbered 1 to 255, and all of one length")
    weights = {number: _weight(number, list(shares)) for number in shares}
    secret = bytearray(len(next(iter(shares.values()))))
    for number, share in shares.items():
        for at, value in enumerate(share):
            secret[at] ^= multiply(weights[number], value)
    return bytes(secret)


def _value_at(number: int, coefficients: list[int]) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = multiply(value, number) ^ coefficient
    return value


def _weight(number: int, numbers: list[int]) -> int:
    """Return Lagrange's weight of a share at 0; numbers of shares are no secret."""
    weight = 1
    for other in numbers:
        if other != number:
            weight = multiply(weight, multiply(other, invert(other ^ number)))
    return weight
