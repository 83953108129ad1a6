"""RsaSigners: RSA pairs of one token with which doors sign their own tokens.

They have the names of doors' keys.  A pair that signs opens nothing, and one that opens signs
nothing: each has its attributes from when it was made.  It runs in the agent's process only.

Source: docs/keyservices/kacls.md; RFC 8017, section 8.2.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.errors import Conflict, Malformed
from hyok.hsm import rsa_pkcs1
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.door_pairs import BITS, EXPONENT_BYTES, GENERATION_TIMES
from hyok.hsm.keks import rsa_attributes
from hyok.hsm.recovery import never_again
from hyok.hsm.structures import Mechanism
from hyok.hsm.tried_keys import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.sessions import Session, Sessions

_CKM_RSA_PKCS = 0x1
_ATTRIBUTE_VALUE_INVALID, _KEY_FUNCTION_NOT_PERMITTED = 0x013, 0x068
SIGNATURE_BYTES_MAX = 512


class RsaSigners:
    """What one token can be asked about these pairs; from several threads.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a door's key.
    """

    def __init__(
        self,
        module: Module,
        dialect: Dialect,
        sessions: Sessions,
        key_of: Callable[[Session, str, int], int],
    ) -> None:
        self._module, self._dialect, self._sessions = module, dialect, sessions
        self._key_of = key_of
        self._create_lock = threading.Lock()

    def create(self, name: str, bits: int) -> tuple[bytes, bytes]:
        """Generate a pair; return modulus and exponent.

        Raises:
            Conflict: a key of this name exists.
        """
        check_name(name)
        if bits not in BITS:
            raise Malformed(f"an RSA key has {', '.join(map(str, BITS))} bits")
        with self._create_lock:
            modulus = self._sessions.run(
                lambda _: self._generate(name, bits), never_again, times=GENERATION_TIMES
            )
        return modulus, EXPONENT_BYTES

    def _generate(self, name: str, bits: int) -> bytes:
        session = self._module.open_session(self._sessions.slot, writable=True)
        try:
            if self._module.find(session, {ck.CKA_TOKEN: True, ck.CKA_LABEL: name.encode()}):
                raise Conflict(f"a key named {name} exists in the token")
            dialect = replace(self._dialect, rsa_bits=bits)
            public, private = rsa_attributes(dialect, name)
            public |= {ck.CKA_ENCRYPT: False, ck.CKA_VERIFY: True}
            private |= {ck.CKA_DECRYPT: False, ck.CKA_SIGN: True}
            omitted = dialect.omitted
            outer, inner = self._module.generate_pair(
                session,
                dialect.rsa_generation,
                {kind: value for kind, value in public.items() if kind not in omitted},
                {kind: value for kind, value in private.items() if kind not in omitted},
            )
            sensitive = self._module.attribute(session, inner, ck.CKA_SENSITIVE)
            extractable = self._module.attribute(session, inner, ck.CKA_EXTRACTABLE)
            if sensitive != b"\x01" or extractable != bytes([self._dialect.extractable]):
                for handle in (inner, outer):
                    self._module.destroy(session, handle)
                raise CryptokiError("C_GenerateKeyPair", _ATTRIBUTE_VALUE_INVALID)
            return self._module.attribute(session, outer, ck.CKA_MODULUS)
        finally:
            self._module.close_session(session)

    def sign_digest(self, name: str, digest: bytes) -> bytes:
        """Return the PKCS #1 v1.5 signature of a SHA-256 digest: one C_Sign."""
        check_name(name)
        info = rsa_pkcs1.digest_info("SHA256", digest)

        def work(session: Session) -> bytes:
            key = self._key_of(session, name, ck.CKO_PRIVATE_KEY)
            if self._module.attribute(session.handle, key, ck.CKA_SIGN) != b"\x01":
                # Some modules take bare RSA for both: a key that opens must never sign.
                raise CryptokiError("C_SignInit", _KEY_FUNCTION_NOT_PERMITTED)
            mechanism = Mechanism.of(_CKM_RSA_PKCS)
            return self._module.sign(session.handle, mechanism, key, info, SIGNATURE_BYTES_MAX)

        return self._sessions.run(work)
