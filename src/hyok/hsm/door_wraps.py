"""DoorWraps: AES keys of one token that wrap other keys for doors.  It runs in the agent's process.

The module does RFC 3394 and RFC 5649 itself where a trial shows that it does, with a length that is
no multiple of 8 as well.  Of SoftHSM alone, whose padding is not the RFC's, single blocks are asked
for and put together here; a module of another family that fails the trial wraps nothing.  No
question takes or returns a single block, whatever the key could do.

Source: docs/keyservices/ekm.md; docs/adr/0035; RFC 3394; RFC 5649.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.envelope.profiles import CHECK_VALUE_BYTES, Profile
from hyok.errors import Conflict, Malformed, Refused, Tampered
from hyok.hsm import keywrap
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.keks import kek_attributes, passing_attributes
from hyok.hsm.recovery import is_bad_bytes, name_of, never_again, step_after_open
from hyok.hsm.structures import Mechanism
from hyok.hsm.tried_keys import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.keks import Attributes
    from hyok.hsm.sessions import Session, Sessions

VALUE_BYTES_MAX = 1024
"""Of a value: a block is asked for six times for each 8 bytes of it, where they are asked for."""

BLOCK_FAMILIES = frozenset({"softhsm"})
"""Families of which single blocks are asked for: the development token, and never another."""

NATIVE, BLOCKS = "native", "blocks"
GENERATION_TIMES = 2
_CKM_AES_ECB = 0x1081
_BLOCK_BYTES = 16
_ATTRIBUTE_VALUE_INVALID, _DATA_LEN_RANGE = 0x013, 0x021

# Known answers: RFC 3394, section 4.6, and the same key with padding, of 32 and of 20 bytes.
_KNOWN_KEY = bytes(range(32))
_KNOWN_VALUE = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
_KNOWN = (
    (False, 32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"),
    (True, 32, "4a8029243027353b0694cf1bd8fc745bb0ce8a739b19b1960b12426d4c39cfeda926d103ab34e9f6"),
    (True, 20, "2ec848c1a77981da003e3ce3b028c5e46ba5bebc032dce29eb892a57092d5c09"),
)


class DoorWraps:
    """What one token can be asked about these keys; from several threads.

    ``key_of`` finds the one key of a name on a session.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a door's key, or no length that can be wrapped.
        Refused: the trial showed that the module's key wrap is not the RFCs' (``DoorsOff``).
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
        self._how = ""  # empty: not tried yet, or not fit

    def create(self, name: str) -> bytes:
        """Generate a key; return its check value.

        Raises:
            Conflict: a key of this name exists.
        """
        how = self._check(name)
        with self._create_lock:
            self._sessions.run(lambda _: self._generate(name, how), never_again)
        return self.check(name)

    def _generate(self, name: str, how: str) -> None:
        # A writable session of its own; the pool's are read-only.
        session = self._module.open_session(self._sessions.slot, writable=True)
        try:
            if self._module.find(session, {ck.CKA_TOKEN: True, ck.CKA_LABEL: name.encode()}):
                raise Conflict(f"a key named {name} exists in the token")
            attributes = self._attributes(how, name)
            key = self._module.generate_key(session, self._dialect.aes_generation, attributes)
            sensitive = self._module.attribute(session, key, ck.CKA_SENSITIVE)
            extractable = self._module.attribute(session, key, ck.CKA_EXTRACTABLE)
            if sensitive != b"\x01" or extractable != bytes([self._dialect.extractable]):
                self._module.destroy(session, key)
                raise CryptokiError("C_GenerateKey", _ATTRIBUTE_VALUE_INVALID)
        finally:
            self._module.close_session(session)

    def _attributes(self, how: str, name: str) -> Attributes:
        """Return the template of a new key: for the one way in which it will be used."""
        attributes = kek_attributes(self._dialect, Profile.AES_KWP, name)
        if how == BLOCKS:
            attributes |= {ck.CKA_WRAP: False, ck.CKA_UNWRAP: False}
            attributes |= {ck.CKA_ENCRYPT: True, ck.CKA_DECRYPT: True}
        return attributes

    def wrap(self, name: str, value: bytes, *, padded: bool) -> bytes:
        """Return a value wrapped."""
        how = self._check(name)
        fits = bool(value) if padded else len(value) % 8 == 0 and len(value) >= _BLOCK_BYTES
        if not fits or len(value) > VALUE_BYTES_MAX:
            raise Malformed("a value of this length is not wrapped")

        def work(session: Session) -> bytes:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            return self._wrap(session.handle, key, value, padded=padded, how=how)

        return self._sessions.run(work)

    def unwrap(self, name: str, wrapped: bytes, *, padded: bool) -> bytes:
        """Return the value in bytes that came from outside.

        Raises:
            Tampered: they do not unwrap, as far as the module's word goes.
        """
        how = self._check(name)
        least = keywrap.SEMI * (2 if padded else 3)
        if len(wrapped) % 8 or not least <= len(wrapped) <= VALUE_BYTES_MAX + keywrap.SEMI:
            # Never asked of a module: one was seen to end its process over such bytes.
            raise Tampered("it does not unwrap", reason="WRAPPED_KEY_LEN_RANGE")

        def work(session: Session) -> bytes | None:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            return self._unwrap(session.handle, key, wrapped, padded=padded, how=how)

        value = self._sessions.run(work, step_after_open)
        if value is None:
            raise Tampered("it does not unwrap", reason="WRAPPED_KEY_INVALID")
        return value

    def check(self, name: str) -> bytes:
        """Return the check value of a key."""
        wrapped = self.wrap(
            name, sha256(b"hyok door check\0" + name.encode()).digest(), padded=False
        )
        return sha256(wrapped).digest()[:CHECK_VALUE_BYTES]

    def probe(self) -> str:
        """Wrap and unwrap with keys that live for this trial; return the way in which that is done.

        Raises:
            Refused: the module's key wrap is not the RFCs' (``DoorsOff``).
        """
        try:
            self._how = self._sessions.run(self._try, times=GENERATION_TIMES)
        except CryptokiError as error:
            self._how = ""
            raise _unfit(str(error)) from error
        if not self._how:
            raise _unfit("it answers otherwise than RFC 3394 and RFC 5649 say")
        return self._how

    def _try(self, session: Session) -> str:
        ways = (NATIVE, BLOCKS) if self._dialect.family in BLOCK_FAMILIES else (NATIVE,)
        return next((way for way in ways if self._is_right(session.handle, way)), "")

    def _is_right(self, session: int, how: str) -> bool:
        """Say whether this way gives the known answers, with a key that is let in for it."""
        attributes = self._attributes(how, "trial")
        for kind in (ck.CKA_VALUE_LEN, ck.CKA_LABEL, ck.CKA_MODIFIABLE, ck.CKA_WRAP_WITH_TRUSTED):
            attributes.pop(kind, None)
        attributes |= {ck.CKA_TOKEN: False, ck.CKA_VALUE: _KNOWN_KEY}
        try:
            key = self._module.create(session, attributes)
        except CryptokiError:
            return how == NATIVE and self._is_right_of_its_own(session)
        try:
            return all(
                self._gives(session, key, size, bytes.fromhex(said), padded=padded, how=how)
                for padded, size, said in _KNOWN
            )
        finally:
            self._module.destroy(session, key)

    def _is_right_of_its_own(self, session: int) -> bool:
        """Say whether the module's key wrap is the RFCs', by a key of which blocks can be had.

        For a token that lets no key in.  The key lives for this trial and wraps nothing else.
        """
        attributes = self._attributes(NATIVE, "trial") | {ck.CKA_TOKEN: False}
        attributes |= {ck.CKA_ENCRYPT: True, ck.CKA_DECRYPT: True}
        key = self._module.generate_key(session, self._dialect.aes_generation, attributes)
        try:
            return all(
                self._gives(
                    session,
                    key,
                    size,
                    self._wrap(session, key, _KNOWN_VALUE[:size], padded=padded, how=BLOCKS),
                    padded=padded,
                    how=NATIVE,
                )
                for padded, size, _ in _KNOWN
            )
        finally:
            self._module.destroy(session, key)

    def _gives(
        self, session: int, key: int, size: int, wrapped: bytes, *, padded: bool, how: str
    ) -> bool:
        value = _KNOWN_VALUE[:size]
        try:
            return (
                self._wrap(session, key, value, padded=padded, how=how) == wrapped
                and self._unwrap(session, key, wrapped, padded=padded, how=how) == value
                and self._refuses(session, key, wrapped, padded=padded, how=how)
            )
        except CryptokiError:
            return False

    def _refuses(self, session: int, key: int, wrapped: bytes, *, padded: bool, how: str) -> bool:
        spoilt = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
        try:
            return self._unwrap(session, key, spoilt, padded=padded, how=how) is None
        except CryptokiError:  # in whatever words
            return True

    def _wrap(self, session: int, key: int, value: bytes, *, padded: bool, how: str) -> bytes:
        if how == BLOCKS:
            encrypt = partial(self._block, session, key, encrypts=True)
            return (keywrap.wrap_padded if padded else keywrap.wrap)(encrypt, value)
        mechanism, room = self._mechanism(padded=padded), len(value) + 2 * _BLOCK_BYTES
        if self._dialect.kwp_call == "crypt":
            return self._module.encrypt(session, mechanism, key, value, room)
        inner = self._module.create(session, passing_attributes(value))
        try:
            return self._module.wrap(session, mechanism, key, inner, room)
        finally:
            self._module.destroy(session, inner)

    def _unwrap(
        self, session: int, key: int, wrapped: bytes, *, padded: bool, how: str
    ) -> bytes | None:
        """Return the value; None, not an error, which would cost the session and tell by time.

        What a module says that may concern more than the bytes is an error nevertheless.
        """
        if how == BLOCKS:
            decrypt = partial(self._block, session, key, encrypts=False)
            return (keywrap.unwrap_padded if padded else keywrap.unwrap)(decrypt, wrapped)
        try:
            return self._unwrap_natively(session, key, wrapped, padded=padded)
        except CryptokiError as error:
            if is_bad_bytes(name_of(error.rv)) and name_of(error.rv) != "BUFFER_TOO_SMALL":
                return None
            raise

    def _unwrap_natively(self, session: int, key: int, wrapped: bytes, *, padded: bool) -> bytes:
        mechanism = self._mechanism(padded=padded)
        if self._dialect.kwp_call == "crypt":
            return self._module.decrypt(session, mechanism, key, wrapped, len(wrapped))
        inner = self._module.unwrap(session, mechanism, key, wrapped, passing_attributes(None))
        try:
            return self._module.attribute(session, inner, ck.CKA_VALUE)
        finally:
            with suppress(CryptokiError):
                self._module.destroy(session, inner)

    def _mechanism(self, *, padded: bool) -> Mechanism:
        dialect = self._dialect
        return Mechanism.of(dialect.kwp_mechanism if padded else dialect.kw_mechanism)

    def _block(self, session: int, key: int, block: bytes, *, encrypts: bool) -> bytes:
        act = self._module.encrypt if encrypts else self._module.decrypt
        found = act(session, Mechanism.of(_CKM_AES_ECB), key, block, 2 * _BLOCK_BYTES)
        if len(found) != _BLOCK_BYTES:
            raise CryptokiError("C_Encrypt", _DATA_LEN_RANGE)
        return found

    def _check(self, name: str) -> str:
        """Return how it is done, if this is a name of a door's key, and the module can."""
        check_name(name)
        return self._how or self.probe()


def _unfit(cause: str) -> Refused:
    return Refused(f"key wrap of this module cannot serve doors: {cause}", reason="DoorsOff")
