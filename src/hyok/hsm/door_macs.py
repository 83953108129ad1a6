"""DoorMacs: keys of one token with which doors compute HMACs for others, and random bytes.

Each is a secret of its own for HMAC-SHA256 and nothing else, under a name that no KEK may bear:
what it authenticates is somebody else's text and never derives a secret of ours.  It runs in the
agent's process only.

Source: docs/keyservices/transit.md; RFC 2104.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from hyok.envelope.profiles import CHECK_VALUE_BYTES, Profile
from hyok.errors import Malformed
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.keks import session_key_attributes
from hyok.hsm.structures import Mechanism
from hyok.hsm.tried_keys import TriedKeys, check_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.hsm.sessions import Session

MAC_BYTES = 32
RANDOM_BYTES_MAX = 4096
_SIGNATURE_LEN_RANGE = 0x0C1

# A known answer of our own making: key 00 to 1f.
_KNOWN_KEY, _KNOWN_DATA = bytes(range(32)), b"Hello World!"
_KNOWN_MAC = bytes.fromhex("67feafa6845a199d5b84d95cd5f6a883a49025ead596f8477bbdfcdd833526f9")


class DoorMacs(TriedKeys):
    """What one token can be asked about these keys; from several threads.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a door's key.
        Refused: the trial showed that the module does not do HMAC-SHA256 (``DoorsOff``).
    """

    profile = Profile.HMAC_SHA256
    mechanism = "HMAC-SHA256"

    @property
    @override
    def _generation(self) -> int:
        return self._dialect.hmac_generation

    def create(self, name: str) -> bytes:
        """Generate a key; return its check value.

        Raises:
            Conflict: a key of this name exists.
        """
        self._make(name)
        return self.check(name)

    def mac(self, name: str, data: bytes) -> bytes:
        """Return the HMAC-SHA256 of ``data``: one C_Sign."""
        self._check(name)
        return self._mac_by_name(name, data)

    def mac_many(self, name: str, texts: Sequence[bytes]) -> Sequence[bytes]:
        """Return the HMAC-SHA256 of each: one C_Sign for each, on one session."""
        self._check(name)

        def work(session: Session) -> Sequence[bytes]:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            return [self._mac(session.handle, key, text) for text in texts]

        return self._sessions.run(work)

    def check(self, name: str) -> bytes:
        """Return the check value of a key."""
        self._check(name)
        return self._mac_by_name(name, check_data(name))[:CHECK_VALUE_BYTES]

    def random(self, size: int) -> bytes:
        """Return bytes of the module's own generator.

        Raises:
            Malformed: none, or more than one call gives.
        """
        if not 1 <= size <= RANDOM_BYTES_MAX:
            raise Malformed(f"one call gives 1 to {RANDOM_BYTES_MAX} random bytes")
        return self._sessions.run(lambda session: self._module.random(session.handle, size))

    def _mac_by_name(self, name: str, data: bytes) -> bytes:
        def work(session: Session) -> bytes:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            return self._mac(session.handle, key, data)

        return self._sessions.run(work)

    def _mac(self, session: int, key: int, data: bytes) -> bytes:
        mechanism = Mechanism.of(self._dialect.hmac_mechanism)
        found = self._module.sign(session, mechanism, key, data, 2 * MAC_BYTES)
        if len(found) != MAC_BYTES:
            raise CryptokiError("C_Sign", _SIGNATURE_LEN_RANGE)
        return found

    @override
    def _try(self, session: Session) -> str:
        """Compute; ``known-answer`` where the token lets a key in, else ``two-answers``.

        The second: one text, one answer, and another for another text.
        """
        handle = session.handle
        attributes = session_key_attributes(self._dialect, Profile.HMAC_SHA256, _KNOWN_KEY)
        try:
            key = self._module.create(handle, attributes)
        except CryptokiError:
            return self._try_made(handle)  # this token lets no key in
        try:
            right = self._mac(handle, key, _KNOWN_DATA) == _KNOWN_MAC
        finally:
            self._module.destroy(handle, key)
        return "known-answer" if right else ""

    def _try_made(self, handle: int) -> str:
        key = self._passing(handle)
        try:
            one, same, other = (self._mac(handle, key, text) for text in (b"1", b"1", b"2"))
        finally:
            self._module.destroy(handle, key)
        return "two-answers" if one == same != other else ""
