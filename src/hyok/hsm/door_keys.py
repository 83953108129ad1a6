"""DoorKeys: the keys of one token that doors use for others.  It runs in the agent's process only.

Each is an AES-256 key of its own, for GCM and nothing else, under a name that no KEK may bear: what
a door encrypts was made by the HSM from the door's plaintext, and never opens an object of ours.
The IV is the module's where it makes it, else 96 bits of the module's own generator.

Source: docs/keyservices/xks.md; docs/format.md, section 10; NIST SP 800-38D, section 8.2.2.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hyok.envelope.profiles import Profile
from hyok.errors import Conflict, Malformed, Refused, Tampered
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.keks import gcm_mechanism, kek_attributes, session_key_attributes
from hyok.hsm.recovery import Step, step_after, step_after_open
from hyok.hsm.wire import DOOR_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.sessions import Session, Sessions

IV_BYTES, TAG_BYTES = 12, 16
CHECK_BYTES = 16
NAME_BYTES_MAX = 160
_ATTRIBUTE_VALUE_INVALID, _MECHANISM_PARAM_INVALID = 0x013, 0x071

# A known answer of our own making: key 00 to 1f, IV 00 to 0b, metadata `v1` and no further data.
_KNOWN_KEY, _KNOWN_IV = bytes(range(32)), bytes(range(12))
_KNOWN_DATA, _KNOWN_PLAIN = bytes.fromhex("0000027631"), b"Hello World!"
_KNOWN_SEALED = bytes.fromhex("0f67ba77aac59574ff2df3aa70a4036f42a1e46ab9c24a9f010e39f1")


class DoorKeys:
    """What one token can be asked about its door keys; from several threads.

    ``key_of`` finds the one key of a name on a session.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a door key.
        Refused: the trial at the start showed that the module does not do AES-GCM (``DoorsOff``).
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
        self._fit: bool | None = None  # None: not tried yet

    def create(self, name: str) -> bytes:
        """Generate a key; return its check token, ``IV ‖ ciphertext ‖ tag``.

        Raises:
            Conflict: a key of this name exists.
        """
        self._check(name)
        with self._create_lock:
            self._sessions.run(lambda _: self._generate(name), _never_again)
        check = self._sessions.run(lambda session: self._module.random(session.handle, CHECK_BYTES))
        return b"".join(self.seal(name, check, _check_data(name)))

    def _generate(self, name: str) -> None:
        # A writable session of its own; the pool's are read-only.
        session = self._module.open_session(self._sessions.slot, writable=True)
        try:
            if self._module.find(session, {ck.CKA_TOKEN: True, ck.CKA_LABEL: name.encode()}):
                raise Conflict(f"a key named {name} exists in the token")
            attributes = kek_attributes(self._dialect, Profile.AES_GCM, name)
            key = self._module.generate_key(session, self._dialect.aes_generation, attributes)
            sensitive = self._module.attribute(session, key, ck.CKA_SENSITIVE)
            extractable = self._module.attribute(session, key, ck.CKA_EXTRACTABLE)
            if sensitive != b"\x01" or extractable != bytes([self._dialect.extractable]):
                self._module.destroy(session, key)
                raise CryptokiError("C_GenerateKey", _ATTRIBUTE_VALUE_INVALID)
        finally:
            self._module.close_session(session)

    def seal(self, name: str, plain: bytes, data: bytes) -> tuple[bytes, bytes]:
        """Return ``(IV, ciphertext ‖ tag)``: one C_Encrypt, under an IV that was never ours."""
        self._check(name)

        def work(session: Session) -> tuple[bytes, bytes]:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            return self._seal(session.handle, key, plain, data)

        return self._sessions.run(work)

    def open(self, name: str, iv: bytes, sealed: bytes, data: bytes) -> bytes:
        """Return the plaintext of bytes that came from outside.

        Raises:
            Tampered: they do not open, as far as the module's word goes.
        """
        self._check(name)
        return self._sessions.run(
            lambda session: self._open_by_name(session, name, iv, sealed, data), step_after_open
        )

    def check(self, name: str, token: bytes) -> bytes:
        """Return what is in our own check token.

        A module calls a wrong key anything, so no answer to this replaces the process: a device
        that is ill is found by the check values of KEKs, which need no bytes to be right.

        Raises:
            Tampered: it does not open; this is another key.
        """
        self._check(name)
        iv, sealed = token[:IV_BYTES], token[IV_BYTES:]
        return self._sessions.run(
            lambda session: self._open_by_name(session, name, iv, sealed, _check_data(name)),
            step_after_open,
        )

    def _open_by_name(
        self, session: Session, name: str, iv: bytes, sealed: bytes, data: bytes
    ) -> bytes:
        key = self._key_of(session, name, ck.CKO_SECRET_KEY)
        return self._open(session.handle, key, iv, sealed, data)

    def probe(self) -> str:
        """Seal and open with a key that lives for this trial; return what that showed.

        ``known-answer`` where the token lets a key in, else ``round-trip``.

        Raises:
            Refused: the module does not do AES-GCM, or does it wrongly (``DoorsOff``).
        """
        try:
            shown = self._sessions.run(self._try)
        except CryptokiError as error:
            self._fit = False
            raise _unfit(str(error)) from error
        except Tampered as error:
            self._fit = False
            raise _unfit("what it sealed does not open") from error
        self._fit = bool(shown)
        if not shown:
            raise _unfit("it answers wrongly")
        return shown

    def _try(self, session: Session) -> str:
        """Return how AES-GCM was shown to be right; empty where it is not."""
        handle = session.handle
        plain = self._module.random(handle, CHECK_BYTES)
        life = kek_attributes(self._dialect, Profile.AES_GCM, "trial") | {ck.CKA_TOKEN: False}
        key = self._module.generate_key(handle, self._dialect.aes_generation, life)
        try:
            iv, sealed = self._seal(handle, key, plain, b"trial")
            if self._open(handle, key, iv, sealed, b"trial") != plain:
                return ""
        finally:
            self._module.destroy(handle, key)
        return self._try_known(handle)

    def _try_known(self, handle: int) -> str:
        attributes = session_key_attributes(self._dialect, Profile.AES_GCM, _KNOWN_KEY)
        try:
            key = self._module.create(handle, attributes)
        except CryptokiError:
            return "round-trip"  # this token lets no key in
        try:
            opened = self._open(handle, key, _KNOWN_IV, _KNOWN_SEALED, _KNOWN_DATA)
        finally:
            self._module.destroy(handle, key)
        return "known-answer" if opened == _KNOWN_PLAIN else ""

    def _seal(self, session: int, key: int, plain: bytes, data: bytes) -> tuple[bytes, bytes]:
        theirs = self._dialect.gcm_iv == "module"
        iv = bytes(IV_BYTES) if theirs else self._module.random(session, IV_BYTES)
        mechanism = gcm_mechanism(self._dialect, iv, data)
        sealed = self._module.encrypt(session, mechanism, key, plain, len(plain) + TAG_BYTES)
        used = mechanism.iv_now()
        if used == bytes(IV_BYTES) or len(sealed) != len(plain) + TAG_BYTES:
            # Two messages under one IV would give the key away.
            raise CryptokiError("C_Encrypt", _MECHANISM_PARAM_INVALID)
        return used, sealed

    def _open(self, session: int, key: int, iv: bytes, sealed: bytes, data: bytes) -> bytes:
        mechanism = gcm_mechanism(self._dialect, iv, data)
        return self._module.decrypt(session, mechanism, key, sealed, len(sealed))

    def _check(self, name: str) -> None:
        """Return quietly if this is a name of a door key, and the module passed the trial."""
        if not name.startswith(DOOR_PREFIX) or len(name.encode()) > NAME_BYTES_MAX:
            raise Malformed(f"the name of a door's key begins with {DOOR_PREFIX}")
        if self._fit is None:
            self.probe()
        if not self._fit:
            raise _unfit("it failed the trial at the start")


def _check_data(name: str) -> bytes:
    return b"hyok door check\0" + name.encode()


def _unfit(cause: str) -> Refused:
    return Refused(f"AES-GCM of this module cannot serve doors: {cause}", reason="DoorsOff")


def _never_again(rv: int) -> Step:
    step = step_after(rv)
    return Step.REPLACE if step is Step.NEW_SESSION else step
