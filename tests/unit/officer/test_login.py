"""An officer's key opens with its passphrase alone; the development login is for development."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hyok.custody.signing import check_public, make_key, read_key
from hyok.errors import HyokError, Malformed, NotAuthenticated, Refused
from hyok.officer.login import sign_in

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.custody.signing import Signer

SECRET = b"paard batterij nietje"


def signed_in(
    key: Path | None = None, person: str = "", secret: bytes = SECRET, *, development: bool = False
) -> Signer:
    return sign_in(
        person=person,
        key_file=key,
        passphrase=lambda: secret,
        box=None,  # type: ignore[arg-type]  # not used before something is signed
        development=development,
    )


def test_a_key_says_by_itself_whose_it_is(tmp_path: Path) -> None:
    pem, public = make_key(SECRET)
    (tmp_path / "key").write_bytes(pem)
    assert signed_in(tmp_path / "key").identity == check_public(public) == f"ed25519:{public}"
    # A key is more than a word, in development too.
    mixed = signed_in(tmp_path / "key", "bram", development=True)
    assert mixed.identity == f"ed25519:{public}"


def test_a_wrong_passphrase_and_files_that_are_no_key_are_refused(tmp_path: Path) -> None:
    pem, _ = make_key(SECRET)
    (tmp_path / "key").write_bytes(pem)
    (tmp_path / "open").write_bytes(
        read_key(pem, SECRET)._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (tmp_path / "ec").write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET)
        )
    )
    (tmp_path / "rubbish").write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nxx\n")
    for name, secret in [
        *(("key", b"verkeerd verkeerd"), ("key", b""), ("open", SECRET), ("ec", SECRET)),
        *(("rubbish", SECRET), ("missing", SECRET)),
    ]:
        with pytest.raises(Malformed) as said:
            signed_in(tmp_path / name, secret=secret)
        assert said.value.code == "HY-2509", name


@pytest.mark.parametrize("secret", [b"", b"elf tekens."])
def test_no_key_is_made_without_a_passphrase(secret: bytes) -> None:
    with pytest.raises(Malformed):
        make_key(secret)


@pytest.mark.parametrize("public", ["", "00", "zz" * 32, "00" * 33])
def test_a_public_key_is_64_hex_digits(public: str) -> None:
    with pytest.raises(Malformed):
        check_public(public)


@pytest.mark.parametrize(
    ("person", "development", "kind", "code"),
    [
        ("anna", False, Refused, "HY-2508"),
        ("", False, NotAuthenticated, "HY-2501"),
        ("", True, NotAuthenticated, "HY-2501"),
    ],
)
def test_a_name_alone_is_a_login_in_development_alone(
    person: str, development: bool, kind: type[HyokError], code: str
) -> None:
    with pytest.raises(kind) as said:
        signed_in(None, person, development=development)
    assert said.value.code == code
    assert signed_in(None, "anna", development=True).identity == "development:anna"
