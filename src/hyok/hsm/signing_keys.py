"""SigningKeys: the key pairs of one token that sign the audit log's checkpoints, and nothing else.

They have names of their own, which no KEK may bear, and are of another type than any KEK.  The text
that is signed is put together here from origin, size and root hash, and nothing takes ready-made
bytes: what this key signed is a checkpoint.  It runs in the agent's process only.

Source: docs/format.md, section 13.6; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import struct
import threading
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.errors import Conflict, Malformed, NotFound
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.recovery import never_again
from hyok.hsm.structures import Mechanism
from hyok.hsm.wire import SIGNING_PREFIX
from hyok.vocabulary import TreeHead

if TYPE_CHECKING:
    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.keks import Attributes
    from hyok.hsm.sessions import Session, Sessions

P256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"  # the curve's OID, DER
POINT_BYTES = 65
SIGNATURE_BYTES = 64
EXTENSIONS_MAX = 4
TEXT_BYTES_MAX = 1024
_ROOT_BYTES = 32
_SIZE = struct.Struct(">Q")
_CKM_ECDSA = 0x1041
_ATTRIBUTE_VALUE_INVALID, _SIGNATURE_LEN_RANGE = 0x013, 0x0C1


class SigningKeys:
    """What one token can be asked about its signing keys; from several threads.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a signing key.
    """

    prefix = SIGNING_PREFIX
    name_bytes_max = 64

    def __init__(self, module: Module, label: str, dialect: Dialect, sessions: Sessions) -> None:
        self._module, self._label, self._dialect = module, label, dialect
        self._sessions = sessions
        self._create_lock = threading.Lock()

    def create(self, name: str) -> bytes:
        """Generate a pair of P-256; return its public point, uncompressed.

        Raises:
            Conflict: a key of this name exists.
        """
        self._check_name(name)
        with self._create_lock:
            return self._sessions.run(lambda _: self._generate(name), never_again)

    def _generate(self, name: str) -> bytes:
        # A writable session of its own; the pool's are read-only.
        session = self._module.open_session(self._sessions.slot, writable=True)
        try:
            if self._module.find(session, {ck.CKA_TOKEN: True, ck.CKA_LABEL: name.encode()}):
                raise Conflict(f"a key named {name} exists in the token")
            public, private = self._attributes(name)
            outer, inner = self._module.generate_pair(
                session, self._dialect.ec_generation, public, private
            )
            sensitive = self._module.attribute(session, inner, ck.CKA_SENSITIVE)
            extractable = self._module.attribute(session, inner, ck.CKA_EXTRACTABLE)
            if sensitive != b"\x01" or extractable != bytes([self._dialect.extractable]):
                self._module.destroy(session, inner)
                self._module.destroy(session, outer)
                raise CryptokiError("C_GenerateKeyPair", _ATTRIBUTE_VALUE_INVALID)
            return point_of(self._module.attribute(session, outer, ck.CKA_EC_POINT))
        finally:
            self._module.close_session(session)

    def _attributes(self, name: str) -> tuple[Attributes, Attributes]:
        named: Attributes = {
            ck.CKA_TOKEN: True,
            ck.CKA_LABEL: name.encode(),
            ck.CKA_ID: name.encode(),
        }
        public: Attributes = named | {ck.CKA_EC_PARAMS: P256, ck.CKA_VERIFY: True}
        private: Attributes = named | {
            ck.CKA_PRIVATE: True,
            ck.CKA_SENSITIVE: True,
            ck.CKA_EXTRACTABLE: self._dialect.extractable,
            ck.CKA_MODIFIABLE: False,
            ck.CKA_SIGN: True,
            ck.CKA_DECRYPT: False,
            ck.CKA_UNWRAP: False,
            ck.CKA_DERIVE: False,
        }
        if self._dialect.extractable:
            private[ck.CKA_WRAP_WITH_TRUSTED] = True
        omitted = self._dialect.omitted
        return (
            {kind: value for kind, value in public.items() if kind not in omitted},
            {kind: value for kind, value in private.items() if kind not in omitted},
        )

    def public_point(self, name: str) -> bytes:
        """Return the public point of a pair, uncompressed."""
        self._check_name(name)

        def work(session: Session) -> bytes:
            key = self._key(session, name, ck.CKO_PUBLIC_KEY)
            return point_of(self._module.attribute(session.handle, key, ck.CKA_EC_POINT))

        return self._sessions.run(work)

    def sign(
        self, name: str, origin: str, size: bytes, root: bytes, extensions: tuple[str, ...]
    ) -> bytes:
        """Return ``r ‖ s`` over the checkpoint with this head; ``size`` is 8 bytes, big-endian."""
        self._check_name(name)
        text = _text(origin, size, root, extensions)
        hashed_there = self._dialect.ecdsa_mechanism != _CKM_ECDSA
        data = text if hashed_there else sha256(text).digest()

        def work(session: Session) -> bytes:
            key = self._key(session, name, ck.CKO_PRIVATE_KEY)
            mechanism = Mechanism.of(self._dialect.ecdsa_mechanism)
            return self._module.sign(session.handle, mechanism, key, data, 2 * SIGNATURE_BYTES)

        signature = self._sessions.run(work)
        if len(signature) != SIGNATURE_BYTES:
            raise CryptokiError("C_Sign", _SIGNATURE_LEN_RANGE)
        return signature

    def _check_name(self, name: str) -> None:
        if not name.startswith(self.prefix) or len(name.encode()) > self.name_bytes_max:
            raise Malformed(f"a signing key's name begins with {self.prefix}")

    def _key(self, session: Session, name: str, kind: int) -> int:
        wanted: Attributes = {
            ck.CKA_CLASS: kind,
            ck.CKA_KEY_TYPE: ck.CKK_EC,
            ck.CKA_TOKEN: True,
            ck.CKA_LABEL: name.encode(),
        }
        found = self._module.find(session.handle, wanted)
        if len(found) != 1:
            count = "no key" if not found else f"{len(found)} keys"
            raise NotFound(f"{count} in the token {self._label} has the name {name}")
        return found[0]


def _text(origin: str, size: bytes, root: bytes, extensions: tuple[str, ...]) -> bytes:
    """Return the text of a checkpoint.

    Raises:
        Malformed: the fields make none.
    """
    lines = (origin, *extensions)
    if len(size) != _SIZE.size or len(root) != _ROOT_BYTES or len(extensions) > EXTENSIONS_MAX:
        raise Malformed("a checkpoint has a size of 8 bytes, a root hash of 32, few lines more")
    if not all(line and line.isprintable() for line in lines):
        raise Malformed("a line of a checkpoint is empty or has a control character")
    text = TreeHead(origin, _SIZE.unpack(size)[0], root, extensions).text().encode()
    if len(text) > TEXT_BYTES_MAX:
        raise Malformed("the checkpoint is too long")
    return text


def point_of(attribute: bytes) -> bytes:
    """Return the point that CKA_EC_POINT holds: in an OCTET STRING, or bare as some modules do."""
    bare = attribute[2:] if len(attribute) == POINT_BYTES + 2 else attribute
    if len(bare) != POINT_BYTES or bare[0] != 0x04:
        raise CryptokiError("C_GetAttributeValue", _ATTRIBUTE_VALUE_INVALID)
    return bare
