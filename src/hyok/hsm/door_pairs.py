"""DoorPairs: RSA pairs of one token whose private half opens what others sealed to the public one.

It runs in the agent's process only.  The module does RSA-OAEP with SHA-256, shown by a trial: a
message that we encoded ourselves must open.  Of SoftHSM alone, which knows SHA-1 only, the bare RSA
operation is taken and the padding undone here; no other family is ever used so.  OAEP with SHA-1,
which one door's protocol knows, is the module's own, or there is none.

Source: docs/keyservices/dke.md; docs/adr/0032; RFC 8017, section 7.1.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from hashlib import sha1 as sha1_digest
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from hyok.errors import Conflict, Malformed, Refused, Tampered
from hyok.hsm import oaep
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.keks import oaep_mechanism, rsa_attributes
from hyok.hsm.recovery import is_bad_bytes, name_of, never_again, step_after_open
from hyok.hsm.structures import Mechanism
from hyok.hsm.tried_keys import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.sessions import Session, Sessions

BITS = (2048, 3072, 4096)
EXPONENT = 65537
EXPONENT_BYTES = b"\x01\x00\x01"
RAW_FAMILIES = frozenset({"softhsm"})
"""Families whose bare RSA we pad ourselves: the development token, and never another."""

OAEP, RAW, OAEP_SHA1 = "oaep", "raw", "oaep-sha1"
GENERATION_TIMES = 20
_CKM_RSA_X_509 = 0x3
_ATTRIBUTE_VALUE_INVALID = 0x013


class DoorPairs:
    """What one token can be asked about its pairs; from several threads.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a door's key.
        Refused: the trial showed that the module does no OAEP with SHA-256 (``DoorsOff``).
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
        self._how = ""  # empty: not tried yet
        self._knows_sha1 = False

    def create(self, name: str, bits: int) -> tuple[bytes, bytes]:
        """Generate a pair; return modulus and exponent.

        Raises:
            Conflict: a key of this name exists.
        """
        self._check(name)
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
            outer, inner, modulus = self._new_pair(session, name, bits, lasting=True)
            sensitive = self._module.attribute(session, inner, ck.CKA_SENSITIVE)
            extractable = self._module.attribute(session, inner, ck.CKA_EXTRACTABLE)
            if sensitive != b"\x01" or extractable != bytes([self._dialect.extractable]):
                for handle in (inner, outer):
                    self._module.destroy(session, handle)
                raise CryptokiError("C_GenerateKeyPair", _ATTRIBUTE_VALUE_INVALID)
            return modulus
        finally:
            self._module.close_session(session)

    def _new_pair(
        self, session: int, name: str, bits: int, *, lasting: bool
    ) -> tuple[int, int, bytes]:
        dialect = replace(self._dialect, rsa_bits=bits)
        public, private = rsa_attributes(dialect, name)
        life: dict[int, bool | int | bytes] = {ck.CKA_TOKEN: lasting}
        outer, inner = self._module.generate_pair(
            session, dialect.rsa_generation, public | life, private | life
        )
        return outer, inner, self._module.attribute(session, outer, ck.CKA_MODULUS)

    def open(self, name: str, sealed: bytes, *, sha1: bool = False) -> bytes:
        """Return the plaintext of bytes that came from outside.

        Raises:
            Tampered: they do not open, as far as the module's word goes.
        """
        self._check(name)
        if sha1 and not self._knows_sha1:
            raise _unfit("it does not do it with SHA-1")
        how = OAEP_SHA1 if sha1 else self._how

        def work(session: Session) -> bytes | None:
            key = self._key_of(session, name, ck.CKO_PRIVATE_KEY)
            return self._open_as(session.handle, key, sealed, how)

        return _opened(self._sessions.run(work, step_after_open))

    def check(self, name: str, token: bytes) -> tuple[bytes, bytes, bytes]:
        """Return what is in our own check token, and the modulus and exponent of its key.

        Raises:
            Tampered: it does not open; this is another key.
        """
        self._check(name)

        def work(session: Session) -> tuple[bytes | None, bytes]:
            key = self._key_of(session, name, ck.CKO_PRIVATE_KEY)
            opened = self._open_as(session.handle, key, token, self._how)
            return opened, self._module.attribute(session.handle, key, ck.CKA_MODULUS)

        opened, modulus = self._sessions.run(work, step_after_open)
        return _opened(opened), modulus, EXPONENT_BYTES

    def probe(self) -> str:
        """Open a message of our own with a pair that lives for this trial; return how it was done.

        Raises:
            Refused: the module does not do RSA-OAEP with SHA-256, or does it wrongly.
        """
        try:
            self._how, self._knows_sha1 = self._sessions.run(self._try, times=GENERATION_TIMES)
        except CryptokiError as error:
            raise _unfit(str(error)) from error
        if not self._how:
            raise _unfit("it does not open what RFC 8017 says")
        return self._how

    def _try(self, session: Session) -> tuple[str, bool]:
        """Return in which way SHA-256 is done, empty where it is not, and whether SHA-1 is."""
        handle = session.handle
        outer, inner, modulus = self._new_pair(handle, "trial", BITS[0], lasting=False)
        try:
            plain = os.urandom(44)
            sealed = _sealed(plain, modulus, sha256)
            ways = (OAEP, RAW) if self._dialect.family in RAW_FAMILIES else (OAEP,)
            fit = (way for way in ways if self._opens(handle, inner, sealed, plain, way))
            other = _sealed(plain, modulus, sha1_digest)
            return next(fit, ""), self._opens(handle, inner, other, plain, OAEP_SHA1)
        finally:
            for key in (inner, outer):
                self._module.destroy(handle, key)

    def _opens(self, session: int, key: int, sealed: bytes, plain: bytes, how: str) -> bool:
        try:
            return self._open_as(session, key, sealed, how) == plain
        except CryptokiError:
            return False

    def _open_as(self, session: int, key: int, sealed: bytes, how: str) -> bytes | None:
        """Return the plaintext; None, not an error, which would cost the session and tell by time.

        Of what a module refuses itself it is an error, whatever the fault was.
        """
        if how == OAEP_SHA1:
            return self._open_sha1(session, key, sealed)
        if how == OAEP:
            mechanism = oaep_mechanism(self._dialect)
            return self._module.decrypt(session, mechanism, key, sealed, len(sealed))
        raw = self._module.decrypt(session, Mechanism.of(_CKM_RSA_X_509), key, sealed, len(sealed))
        return oaep.decode(raw.rjust(len(sealed), b"\0"))

    def _open_sha1(self, session: int, key: int, sealed: bytes) -> bytes | None:
        mechanism = oaep_mechanism(self._dialect, sha1=True)
        try:
            return self._module.decrypt(session, mechanism, key, sealed, len(sealed))
        except CryptokiError as error:
            if is_bad_bytes(name_of(error.rv)) and name_of(error.rv) != "BUFFER_TOO_SMALL":
                return None  # the operation is over, and the session as good as before
            raise

    def _check(self, name: str) -> None:
        """Return quietly if this is a name of a door's key, and the module passed the trial."""
        check_name(name)
        if not self._how:
            self.probe()


def _sealed(plain: bytes, modulus: bytes, digest: Callable[[bytes], Any]) -> bytes:
    """Return what a public key of this modulus makes of a message."""
    size, seed = len(modulus), os.urandom(len(digest(b"").digest()))
    block = int.from_bytes(oaep.encode(plain, size, seed, digest), "big")
    return pow(block, EXPONENT, int.from_bytes(modulus, "big")).to_bytes(size, "big")


def _opened(plain: bytes | None) -> bytes:
    if plain is None:
        raise Tampered("it does not open", reason="ENCRYPTED_DATA_INVALID")
    return plain


def _unfit(cause: str) -> Refused:
    return Refused(f"RSA-OAEP of this module cannot serve doors: {cause}", reason="DoorsOff")
