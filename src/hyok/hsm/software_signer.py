"""SoftwareSigner: a signing key in a file.  FOR DEVELOPMENT AND TESTS ONLY.

Every checkpoint says so, in what is signed.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from hyok.errors import Conflict, Malformed, NotFound
from hyok.hsm.software_file import TOKEN_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.vocabulary import TreeHead


class SoftwareSigner:
    """The same as `TokenSigner`, for the key in the file ``path``."""

    software = True

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name

    def create(self) -> bytes:
        """Generate the pair; return its SubjectPublicKeyInfo, DER.

        Raises:
            Conflict: a key of this name exists.
        """
        rows = self._rows()
        if self._name in rows:
            raise Conflict(f"a key named {self._name} exists", code="HY-2107")
        key = ec.generate_private_key(ec.SECP256R1())
        raw = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        rows[self._name] = base64.b64encode(raw).decode()
        text = json.dumps({"warning": TOKEN_NAME, "signing_keys": rows}, indent=1)
        beside = self._path.with_name(self._path.name + ".new")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        return self.public_key()

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER.

        Raises:
            NotFound: there is no such key.
        """
        public = self._key().public_key()
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, head: TreeHead) -> bytes:
        """Return the signature over the checkpoint with this head, DER.

        Raises:
            NotFound: there is no such key.
        """
        return self._key().sign(head.text().encode(), ec.ECDSA(SHA256()))

    def _key(self) -> ec.EllipticCurvePrivateKey:
        encoded = self._rows().get(self._name)
        if encoded is None:
            raise NotFound(f"there is no software key named {self._name}", code="HY-2103")
        key = load_der_private_key(base64.b64decode(encoded), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Malformed(f"the file of software signing keys {self._path} is not readable")
        return key

    def _rows(self) -> dict[str, str]:
        try:
            rows = json.loads(self._path.read_text())["signing_keys"]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed(
                f"the file of software signing keys {self._path} is not readable"
            ) from error
        return dict(rows)
