"""Who acts: an officer's own key in a file, or a development login that production refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.signing import DevelopmentSigner, read_key
from hyok.errors import Malformed, NotAuthenticated, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hyok.custody.secret_box import HsmSecretBox
    from hyok.custody.signing import KeySigner, Signer


def sign_in(
    *,
    person: str,
    key_file: Path | None,
    passphrase: Callable[[], bytes],
    box: HsmSecretBox,
    development: bool,
) -> Signer:
    """Return what signs for the officer who acts.

    Args:
        person: of a development login; empty where a key says who it is.
        key_file: an Ed25519 key as PEM.
        passphrase: what the key is sealed with.
        box: vouches for a development login.
        development: whether this is a development installation.

    Raises:
        NotAuthenticated: nothing says who acts (code HY-2501).
        Refused: a development login outside development (code HY-2508).
        Malformed: the key cannot be read (code HY-2509).
    """
    if key_file is not None:
        return read_key_file(key_file, passphrase)
    if not person:
        raise NotAuthenticated(
            "Nothing says which officer acts.",
            code="HY-2501",
            effect="Nothing was changed.",
            next_step="--key FILE, or --as PERSON in a development installation",
        )
    if not development:
        raise Refused(
            "--as is the development login, and this is no development installation.",
            code="HY-2508",
            effect="Nothing was changed.",
            next_step="--key FILE with the key of the officer who acts",
        )
    return DevelopmentSigner(person, box)


def read_key_file(key_file: Path, passphrase: Callable[[], bytes]) -> KeySigner:
    """Return what signs with the key of a file.

    Raises:
        Malformed: it cannot be read, or is not sealed with this passphrase (code HY-2509).
    """
    try:
        pem = key_file.read_bytes()
    except OSError as error:
        raise Malformed(
            f"the key file {key_file} cannot be read: {error.strerror}", code="HY-2509"
        ) from error
    if b"ENCRYPTED" not in pem:
        raise Malformed(
            f"the key in {key_file} is not sealed with a passphrase",
            code="HY-2509",
            effect="Nothing was signed.",
            next_step="make one with hyok officers key",
        )
    return read_key(pem, passphrase())
