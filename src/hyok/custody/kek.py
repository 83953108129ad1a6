"""Kek: one key version and its name; pure values, no database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.custody.key_states import KeyState
from hyok.errors import Conflict, Malformed
from hyok.hsm.port import KekSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KEK_ID_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Kek:
    """One key version."""

    spec: KekSpec
    tenant: str
    classification: str
    version: int
    state: KeyState
    created_ms: int

    @property
    def kek_id(self) -> str:
        """Its name, and its label in the HSM."""
        return self.spec.kek_id


def kek_id(tenant: str, classification: str, version: int) -> str:
    """Return the name of a key version: ``tenant/classification/version``.

    Raises:
        Conflict: it is longer than the format allows.
    """
    name = f"{tenant}/{classification}/{version}"
    if len(name.encode()) > KEK_ID_BYTES_MAX:
        raise Conflict(f"the key name {name} is longer than {KEK_ID_BYTES_MAX} bytes")
    return name


def from_label(spec: KekSpec, created_ms: int = 0) -> Kek | None:
    """Return the key version that a label in the HSM names; None when it is none of ours."""
    tenant, _, rest = spec.kek_id.partition("/")
    classification, _, number = rest.partition("/")
    if not (tenant and classification and number.isascii() and number.isdigit()):
        return None
    return Kek(spec, tenant, classification, int(number), KeyState.DEACTIVATED, created_ms)


def as_row(kek: Kek) -> dict[str, object]:
    """Return what `hyok keys list --json` prints: the configuration of a key, nothing secret."""
    return {
        "kek_id": kek.kek_id,
        "state": str(kek.state),
        "profile": kek.spec.profile,
        "check_value": kek.spec.check_value.hex(),
        "check_token": kek.spec.check_token.hex(),
        "origin": kek.spec.origin.hex(),
        "public_key": kek.spec.public_key.hex(),
        "created_ms": kek.created_ms,
    }


def parse_rows(text: str) -> Sequence[Kek]:
    """Return the keys of a file that `hyok keys list --json` wrote.

    Raises:
        Malformed: it is no such file.
    """
    try:
        return list(_parsed(json.loads(text)))
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(
            "the file of keys is not what `hyok keys list --json` prints", code="HY-1005"
        ) from error


def _parsed(rows: Iterable[dict[str, str]]) -> Iterable[Kek]:
    for row in rows:
        spec = KekSpec(
            row["kek_id"],
            int(row["profile"]),
            bytes.fromhex(row["check_value"]),
            bytes.fromhex(row["check_token"]),
            bytes.fromhex(row["origin"]),
            bytes.fromhex(row["public_key"]),
        )
        kek = from_label(spec, int(row["created_ms"]))
        if kek is None:
            raise ValueError(spec.kek_id)
        yield Kek(
            spec,
            kek.tenant,
            kek.classification,
            kek.version,
            KeyState(row["state"]),
            kek.created_ms,
        )
