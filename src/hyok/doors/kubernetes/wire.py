"""What API servers send and are sent; ids of keys, and what the HSM authenticates.  Pure.

A ciphertext is `01 ‖ IV (12) ‖ ciphertext ‖ tag (16)`.  Annotations are given out with none; those
that a request shows are authenticated, so that one with any that were added does not open.

Source: Kubernetes, `k8s.io/kms/apis/v2/api.proto` and "Using a KMS provider for data encryption";
docs/keyservices/kubernetes.md; NIST SP 800-38D.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from hyok.doors.kubernetes.messages import MESSAGES
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.custody.door_key import DoorKey, DoorVersion

REQUEST_BYTES_MAX = 16_384
PLAIN_BYTES_MAX = 512
"""A seed or a data key has 32; what comes of more must stay below the 1 KiB of a ciphertext."""

TEXT_BYTES_MAX = 1024
"""Of a ciphertext and of a key's id: the protocol's own limit."""

ANNOTATIONS_MAX = 16
ANNOTATIONS_BYTES_MAX = 4096
VERSION, OK = "v2", "ok"
FORMAT = b"\x01"
IV_BYTES, TAG_BYTES = 12, 16
_UID = re.compile(r"[A-Za-z0-9_.:-]{1,128}").fullmatch


class Operation(StrEnum):
    """What can be asked."""

    STATUS = "status"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"


@dataclass(frozen=True, slots=True)
class EncryptAsked:
    plaintext: bytes = field(repr=False)
    uid: str  # empty: none that can be shown


@dataclass(frozen=True, slots=True)
class DecryptAsked:
    iv: bytes
    ciphertext: bytes
    tag: bytes
    uid: str
    key_id: str
    annotations: Mapping[str, bytes]


def parse_status(raw: bytes) -> None:
    """Return quietly if this asks for the status.

    Raises:
        Malformed: it is no such message.
    """
    _parsed("StatusRequest", raw)


def parse_encrypt(raw: bytes) -> EncryptAsked:
    """Return what is to be encrypted.

    Raises:
        Malformed: nothing, more than is served, or no such message.
    """
    message = _parsed("EncryptRequest", raw)
    if not 0 < len(message.plaintext) <= PLAIN_BYTES_MAX:
        raise malformed(f"plaintext has 1 to {PLAIN_BYTES_MAX} bytes")
    return EncryptAsked(message.plaintext, _uid(message.uid))


def parse_decrypt(raw: bytes) -> DecryptAsked:
    """Return what is to be decrypted.

    Raises:
        Malformed: it is nothing that was ever given out here, or no such message.
    """
    message = _parsed("DecryptRequest", raw)
    whole, annotations = message.ciphertext, dict(message.annotations)
    if not 0 < len(message.key_id.encode()) <= TEXT_BYTES_MAX:
        raise malformed(f"key_id has 1 to {TEXT_BYTES_MAX} bytes")
    if not len(FORMAT) + IV_BYTES + TAG_BYTES < len(whole) <= TEXT_BYTES_MAX:
        raise malformed("ciphertext is none of this plugin's")
    if not whole.startswith(FORMAT):
        raise malformed("ciphertext is of a form that this plugin does not know")
    room = sum(len(name.encode()) + len(value) for name, value in annotations.items())
    if len(annotations) > ANNOTATIONS_MAX or room > ANNOTATIONS_BYTES_MAX:
        raise malformed(f"at most {ANNOTATIONS_MAX} annotations of {ANNOTATIONS_BYTES_MAX} bytes")
    rest = whole[len(FORMAT) :]
    return DecryptAsked(
        rest[:IV_BYTES],
        rest[IV_BYTES:-TAG_BYTES],
        rest[-TAG_BYTES:],
        _uid(message.uid),
        message.key_id,
        annotations,
    )


def render_status(key_id: str, healthz: str) -> bytes:
    return _rendered("StatusResponse", version=VERSION, healthz=healthz, key_id=key_id)


def render_encrypted(key_id: str, iv: bytes, ciphertext: bytes, tag: bytes) -> bytes:
    whole = FORMAT + iv + ciphertext + tag
    return _rendered("EncryptResponse", ciphertext=whole, key_id=key_id)


def render_decrypted(plaintext: bytes) -> bytes:
    return _rendered("DecryptResponse", plaintext=plaintext)


def key_id_of(key: DoorKey, version: DoorVersion) -> str:
    """Return the id of a version: the same at every API server, another after every rotation.

    Its last part tells keys apart that came by the same name and number, as after a restore of a
    backup from before a rotation.  It is made of what the key sealed when it was made.
    """
    mark = sha256(version.spec.check_token).hexdigest()[:16]
    return f"hyok:{key.tenant}/{key.name}/{version.number}:{mark}"


def version_of(key: DoorKey, key_id: str) -> DoorVersion | None:
    """Return the version that an id names; None: none of this key."""
    return next((one for one in key.versions if key_id_of(key, one) == key_id), None)


def data_of(key: str, version: int, annotations: Mapping[str, bytes]) -> bytes:
    """Return what is authenticated beside a plaintext; each part with its length.

    It begins with the door: what another door encrypted under this key does not open here.
    """
    parts = [b"kubernetes", key.encode(), version.to_bytes(4, "big")]
    for name in sorted(annotations):
        parts += [name.encode(), annotations[name]]
    return FORMAT + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def malformed(sentence: str) -> Malformed:
    """Return the error of a request that cannot be served as it stands."""
    return Malformed(sentence, code="HY-2740")


def _parsed(name: str, raw: bytes) -> Any:
    try:
        return MESSAGES[name].FromString(raw)
    except DecodeError as error:
        raise malformed(f"no {name}") from error


def _rendered(name: str, **members: object) -> bytes:
    made: bytes = MESSAGES[name](**members).SerializeToString()
    return made


def _uid(text: str) -> str:
    """Return an id that our logs may show as it stands, or nothing."""
    return text if _UID(text) else ""
