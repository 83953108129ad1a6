"""IK: an intermediate key in memory, how long it lives there, and how it leaves.

Source: docs/format.md, section 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import override

from hyok.custody.secrets_cache import wipe_bytes
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from hyok.envelope.profiles import Profile


class IK(NamedTuple):
    """An intermediate key in memory.  ``kek_id`` and ``profile`` are those of its record now."""

    ik_id: bytes
    secret: bytearray
    kek_id: str
    profile: Profile
    classification: str
    scope: str
    created_ms: int
    raw: bytes  # the record

    @override
    def __repr__(self) -> str:
        return f"IK({self.ik_id.hex()}, {self.scope})"


class Lifetime(NamedTuple):
    """How long and how often an IK may write, and how long it is remembered for reading."""

    write_ms: int
    writes_max: int
    read_ms: int


FOREVER = Lifetime(1 << 62, 1 << 62, 0)
"""Of keys that must not change, such as those of names: a KEK that is replaced changes nothing."""


def handed(ik: IK) -> IK:
    """Return a copy for one request: what the cache holds is overwritten when it is dropped."""
    if not ik.secret:
        raise Unavailable("The key was just dropped from memory.", reason="ServiceUnavailable")
    return IK(
        ik.ik_id,
        bytearray(ik.secret),
        ik.kek_id,
        ik.profile,
        ik.classification,
        ik.scope,
        ik.created_ms,
        ik.raw,
    )


def wipe(ik: IK) -> None:
    """Overwrite an IK that is dropped."""
    wipe_bytes(ik.secret)
