"""Checkpoints: how many records the log has, and their root hash, signed.  Pure.

A checkpoint is a signed note: a text of lines, a blank line, signature lines.  Our signatures are
ECDSA over P-256 with SHA-256, in DER, and name their key by the first four bytes of the SHA-256 of
its SubjectPublicKeyInfo (note signature type 0x02).

Source: C2SP tlog-checkpoint and signed-note.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from hyok.errors import Malformed, Tampered
from hyok.vocabulary import TreeHead

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTE_BYTES_MAX = 64 << 10
SIGNATURES_MAX = 64
ROOT_BYTES = 32
TIME = "time "
"""The extension line that has the unix time in milliseconds at which a head was signed."""

SOFTWARE = "software key, not for production"
"""The extension line of heads that no HSM signed."""

_DASH = "\u2014 "
_KEY_ID_BYTES = 4
_SIZE_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """Return it as it stands in a note."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key that signs checkpoints."""

    der: bytes

    @property
    def key_id(self) -> bytes:
        """What signature lines name it by."""
        return sha256(self.der).digest()[:_KEY_ID_BYTES]

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its SubjectPublicKeyInfo, hex: what people compare by telephone."""
        return sha256(self.der).hexdigest()

    def pem(self) -> str:
        """Return it as PEM."""
        return (
            _loaded(self.der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )

    def verify(self, signature: bytes, text: bytes) -> None:
        """Return quietly if ``signature`` is this key's over ``text``.

        Raises:
            Tampered: it is not.
        """
        try:
            _loaded(self.der).verify(signature, text, ECDSA(SHA256()))
        except InvalidSignature as error:
            raise Tampered("the signature is not this key's over this text") from error


def parse_public_key(pem: bytes) -> PublicKey:
    """Return the key of a PEM file.

    Raises:
        Malformed: it is no public key of P-256.
    """
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise Malformed("the public key is no PEM that can be read") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise Malformed("the public key is none of ECDSA over P-256")
    return PublicKey(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _loaded(der: bytes) -> EllipticCurvePublicKey:
    key = load_der_public_key(der)
    if not isinstance(key, EllipticCurvePublicKey):
        raise Malformed("the public key is none of ECDSA over P-256")
    return key


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head of the tree and the signatures over it."""

    head: TreeHead
    signatures: tuple[NoteSignature, ...]

    def note(self) -> str:
        """Return the whole note."""
        return self.head.text() + "\n" + "".join(each.line() for each in self.signatures)

    def verify(self, keys: Sequence[PublicKey], name: str = "") -> PublicKey:
        """Return the first of ``keys`` that signed this; all lines that name one must be right.

        ``name``: the key name that the line must bear; empty: the checkpoint's origin.

        Raises:
            Tampered: none of them did, or a line in one's name is not its signature.
        """
        signed: PublicKey | None = None
        text = self.head.text().encode()
        for line in self.signatures:
            for key in keys:
                if (line.name, line.key_id) == (name or self.head.origin, key.key_id):
                    key.verify(line.signature, text)
                    signed = signed or key
        if signed is None:
            raise Tampered("none of the keys given signed this checkpoint")
        return signed


def time_of(head: TreeHead) -> int | None:
    """Return when a head was signed, unix milliseconds, as its signer says; None if it does not."""
    for line in head.extensions:
        digits = line.removeprefix(TIME)
        if digits != line and digits.isascii() and digits.isdigit():
            return int(digits[:_SIZE_DIGITS_MAX])
    return None


def parse_head(text: str) -> TreeHead:
    """Return the head of a checkpoint's text.

    Raises:
        Malformed: it is none.
    """
    origin, *rest = text[:-1].split("\n")
    if len(rest) < 2 or not text.endswith("\n") or not all((origin, *rest)):
        raise Malformed("the checkpoint's text is not origin, size, root hash and further lines")
    if any(ord(letter) < ord(" ") for letter in text if letter != "\n"):
        raise Malformed("the checkpoint's text has a control character")
    size, root, *extensions = rest
    if not (size.isascii() and size.isdigit()) or len(size) > _SIZE_DIGITS_MAX:
        raise Malformed("the checkpoint's size is no number")
    try:
        raw = base64.b64decode(root, validate=True)
    except ValueError as error:
        raise Malformed("the checkpoint's root hash is no base64") from error
    head = TreeHead(origin, int(size), raw, tuple(extensions))
    if len(raw) != ROOT_BYTES or head.text() != text:
        raise Malformed("the checkpoint's size or root hash is not written as it must be")
    return head


def sign_line(name: str, key: PublicKey, signature: bytes) -> NoteSignature:
    """Return the line of a signature by ``key``."""
    return NoteSignature(name, key.key_id, signature)


def parse_checkpoint(note: str) -> Checkpoint:
    """Return the checkpoint of a note.

    Raises:
        Malformed: it is none.
    """
    if len(note.encode()) > NOTE_BYTES_MAX:
        raise Malformed("the checkpoint is too long")
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise Malformed("the checkpoint has no signature, or its end is cut off")
    rows = lines[:-1].split("\n")
    if len(rows) > SIGNATURES_MAX:
        raise Malformed("the checkpoint has too many signatures")
    return Checkpoint(parse_head(text + "\n"), tuple(_signature(row) for row in rows))


def _signature(line: str) -> NoteSignature:
    name, blank, encoded = line.removeprefix(_DASH).rpartition(" ")
    if not line.startswith(_DASH) or not blank or not name or "+" in name or name.split() != [name]:
        raise Malformed("a line of the checkpoint is no signature")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise Malformed("a signature of the checkpoint is no base64") from error
    if len(raw) <= _KEY_ID_BYTES:
        raise Malformed("a signature of the checkpoint is too short")
    return NoteSignature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])
