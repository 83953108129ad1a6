"""The file of software keys: KEKs and the keys of doors, as they are kept between two starts.

Source: docs/format.md, section 10.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from hyok.envelope.profiles import Profile
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

TOKEN_NAME = "software keys (NOT for production)"  # noqa: S105 - a name people see


@dataclass(frozen=True, slots=True, repr=False)
class Kek:
    profile: Profile
    key: bytes | RSAPrivateKey


def write(path: Path, keks: Mapping[str, Kek], doors: Mapping[str, bytes]) -> None:
    """Write the file whole, beside the old one, and put it in its place."""
    rows = {
        kek_id: [held.profile.value, base64.b64encode(_encoded(held)).decode()]
        for kek_id, held in keks.items()
    }
    opened = {name: base64.b64encode(key).decode() for name, key in doors.items()}
    text = json.dumps({"warning": TOKEN_NAME, "keks": rows, "doors": opened}, indent=1)
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read(path: Path) -> tuple[dict[str, Kek], dict[str, bytes]]:
    """Return the KEKs and the keys of doors, each by its name.

    Raises:
        Malformed: the file is not one of ours.
    """
    try:
        whole = json.loads(path.read_text())
        doors = whole.get("doors", {})
        return (
            {name: _decoded(Profile(row[0]), row[1]) for name, row in whole["keks"].items()},
            {name: base64.b64decode(text, validate=True) for name, text in doors.items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"the file of software keys {path} is not readable") from error


def private_der(pair: RSAPrivateKey) -> bytes:
    """Return a pair in PKCS #8."""
    return pair.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _encoded(held: Kek) -> bytes:
    if isinstance(held.key, bytes):
        return held.key
    return private_der(held.key)


def _decoded(profile: Profile, text: str) -> Kek:
    raw = base64.b64decode(text, validate=True)
    if profile is not Profile.RSA_OAEP_SHA256:
        return Kek(profile, raw)
    key = load_der_private_key(raw, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("no RSA key")
    return Kek(profile, key)
