"""DoorSigners: key pairs of one token with which doors sign for others.

They have the names of doors' keys, which none that signs the audit log may bear: a digest that
somebody sends is signed by these alone, and never passes for a checkpoint.  It runs in the agent's
process only.

Source: docs/keyservices/transit.md; FIPS 186-5.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.ecdsa import DIGEST_BYTES, der_of_point, is_signature
from hyok.hsm.signing_keys import SIGNATURE_BYTES, SigningKeys, point_of
from hyok.hsm.structures import Mechanism
from hyok.hsm.tried_keys import NAME_BYTES_MAX
from hyok.hsm.wire import DOOR_PREFIX

if TYPE_CHECKING:
    from hyok.hsm.sessions import Session

_CKM_ECDSA = 0x1041
_SIGNATURE_LEN_RANGE = 0x0C1


class DoorSigners(SigningKeys):
    """What one token can be asked about these keys; from several threads.

    Raises, from its operations, what those of `SigningKeys` raise, and:
        Refused: the trial showed that the module does not do ECDSA (``DoorsOff``).
    """

    prefix = DOOR_PREFIX
    name_bytes_max = NAME_BYTES_MAX
    _fit: bool | None = None  # None: not tried yet

    def make(self, name: str) -> bytes:
        """Generate a pair; return its public point.

        Raises:
            Conflict: a key of this name exists.
        """
        self._check_fit()
        return self.create(name)

    def sign_digest(self, name: str, digest: bytes) -> bytes:
        """Return ``r ‖ s`` over a SHA-256 digest: one C_Sign."""
        self._check_name(name)
        self._check_fit()
        if len(digest) != DIGEST_BYTES:
            raise Malformed(f"a digest has {DIGEST_BYTES} bytes")

        def work(session: Session) -> bytes:
            return self._sign(session.handle, self._key(session, name, ck.CKO_PRIVATE_KEY), digest)

        return self._sessions.run(work)

    def _sign(self, session: int, key: int, digest: bytes) -> bytes:
        mechanism = Mechanism.of(_CKM_ECDSA)
        found = self._module.sign(session, mechanism, key, digest, 2 * SIGNATURE_BYTES)
        if len(found) != SIGNATURE_BYTES:
            raise CryptokiError("C_Sign", _SIGNATURE_LEN_RANGE)
        return found

    def probe(self) -> str:
        """Sign with a pair that lives for this trial; software verifies.

        Raises:
            Refused: the module does not do ECDSA, or does it wrongly (``DoorsOff``).
        """
        try:
            self._fit = self._sessions.run(self._try)
        except CryptokiError as error:
            self._fit = False
            raise _unfit(str(error)) from error
        if not self._fit:
            raise _unfit("it answers wrongly")
        return "verified"

    def _try(self, session: Session) -> bool:
        public, private = self._attributes("trial")
        life = {ck.CKA_TOKEN: False}
        outer, inner = self._module.generate_pair(
            session.handle, self._dialect.ec_generation, public | life, private | life
        )
        digest = sha256(b"trial").digest()
        try:
            point = point_of(self._module.attribute(session.handle, outer, ck.CKA_EC_POINT))
            signature = self._sign(session.handle, inner, digest)
        finally:
            self._module.destroy(session.handle, inner)
            self._module.destroy(session.handle, outer)
        return is_signature(der_of_point(point), digest, signature)

    def _check_fit(self) -> None:
        if self._fit is None:
            self.probe()
        if not self._fit:
            raise _unfit("it failed the trial at the start")


def _unfit(cause: str) -> Refused:
    return Refused(f"ECDSA of this module cannot serve doors: {cause}", reason="DoorsOff")
