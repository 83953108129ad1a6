"""Tokens of nine digits of BSNs: deterministic, and by choice passing the elfproef or failing it.

A token that passes is found by walking: FF1 again and again until the digits pass, which is one in
eleven.  One that fails comes of the BSN with its last digit raised by one, which always fails, and
walks until it fails again: so every BSN has a token of its own, and every token at most one BSN.
Pure.

Source: NIST SP 800-38G; docs/adr/0036; the elfproef of the BSN (logisch ontwerp GBA).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyok.doors.payloads.ff1 import Ff1
from hyok.doors.payloads.literal_json import Json, render
from hyok.doors.payloads.refusals import invalid_bsn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LABEL = b"hyok payloads bsn ff1 1"
"""What the HSM's key is asked about; its HMAC is the key of FF1, and is never shown."""

DIGITS = 9
STEPS_MAX = 2_000
"""Ten of eleven fail: that so many in a row do happens once in 10^82."""

_NINE = re.compile(r"[0-9]{9}", re.ASCII).fullmatch
_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)


def _eleven(digits: Sequence[int]) -> int:
    return sum(one * weight for one, weight in zip(digits, _WEIGHTS, strict=True)) % 11


def _passes(digits: Sequence[int]) -> bool:
    """Say whether these could be a BSN: nine noughts pass and are none."""
    return _eleven(digits) == 0 and any(digits)


def _fails(digits: Sequence[int]) -> bool:
    return _eleven(digits) != 0


def check_bsn(text: str) -> None:
    """Return quietly if this is a BSN, as far as its digits tell.

    Raises:
        Malformed: it is none (code HY-2712).
    """
    if not _NINE(text) or not _passes(_digits(text)):
        raise invalid_bsn("These are not the nine digits of a BSN.")


def check_token(text: str, *, passes: bool) -> None:
    """Return quietly if this could be a token.

    Raises:
        Malformed: it could not (code HY-2712).
    """
    if not _NINE(text) or not (_passes if passes else _fails)(_digits(text)):
        raise invalid_bsn("These are not the nine digits of a token.")


def _digits(text: str) -> list[int]:
    return [int(one) for one in text]


def tweak_of(context: Mapping[str, str]) -> bytes:
    """Return what a token depends on beside key and BSN; the members' order says nothing."""
    sorted_context: dict[str, Json] = {name: context[name] for name in sorted(context)}
    return render(sorted_context)


def token_of(key: bytes, tweak: bytes, text: str, *, passes: bool) -> str:
    """Return the token of a BSN; ``key``: 32 bytes for this alone."""
    cipher, digits = Ff1(key, 10, DIGITS, tweak), _digits(text)
    if passes:
        return _text(_walk(cipher.encrypt, digits, _passes))
    return _text(_walk(cipher.encrypt, [*digits[:-1], (digits[-1] + 1) % 10], _fails))


def bsn_of(key: bytes, tweak: bytes, text: str, *, passes: bool) -> str | None:
    """Return the BSN of a token; None: it stands for none."""
    cipher, digits = Ff1(key, 10, DIGITS, tweak), _digits(text)
    if passes:
        return _text(_walk(cipher.decrypt, digits, _passes))
    raised = _walk(cipher.decrypt, digits, _fails)
    found = [*raised[:-1], (raised[-1] - 1) % 10]
    return _text(found) if _passes(found) else None


def _walk(
    step: Callable[[Sequence[int]], list[int]],
    digits: Sequence[int],
    fits: Callable[[Sequence[int]], bool],
) -> list[int]:
    found = step(digits)
    for _ in range(STEPS_MAX):
        if fits(found):
            return found
        found = step(found)
    raise AssertionError("a walk of FF1 has no end")


def _text(digits: Sequence[int]) -> str:
    return "".join(map(str, digits))
