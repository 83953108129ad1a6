"""DoorKeys: the keys of one token that doors use for others.  It runs in the agent's process only.

Each is an AES-256 key of its own, for GCM and nothing else, under a name that no KEK may bear: what
a door encrypts was made by the HSM from the door's plaintext, and never opens an object of ours.
The IV is the module's where it makes it, else 96 bits of the module's own generator.

Source: docs/keyservices/xks.md; docs/format.md, section 10; NIST SP 800-38D, section 8.2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from hyok.envelope.profiles import Profile
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.keks import gcm_mechanism, session_key_attributes
from hyok.hsm.recovery import step_after_open
from hyok.hsm.tried_keys import TriedKeys, check_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.hsm.sessions import Session

IV_BYTES, TAG_BYTES = 12, 16
CHECK_BYTES = 16
_MECHANISM_PARAM_INVALID = 0x071

# A known answer of our own making: key 00 to 1f, IV 00 to 0b, metadata `v1` and no further data.
_KNOWN_KEY, _KNOWN_IV = bytes(range(32)), bytes(range(12))
_KNOWN_DATA, _KNOWN_PLAIN = bytes.fromhex("0000027631"), b"Hello World!"
_KNOWN_SEALED = bytes.fromhex("0f67ba77aac59574ff2df3aa70a4036f42a1e46ab9c24a9f010e39f1")


class DoorKeys(TriedKeys):
    """What one token can be asked about its door keys; from several threads.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a door key.
        Refused: the trial at the start showed that the module does not do AES-GCM (``DoorsOff``).
    """

    profile = Profile.AES_GCM
    mechanism = "AES-GCM"

    @property
    @override
    def _generation(self) -> int:
        return self._dialect.aes_generation

    def create(self, name: str) -> bytes:
        """Generate a key; return its check token, ``IV ‖ ciphertext ‖ tag``.

        Raises:
            Conflict: a key of this name exists.
        """
        self._make(name)
        check = self._sessions.run(lambda session: self._module.random(session.handle, CHECK_BYTES))
        return b"".join(self.seal(name, check, check_data(name)))

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

    def seal_many(self, name: str, plains: Sequence[bytes]) -> Sequence[tuple[bytes, bytes]]:
        """Return ``(IV, ciphertext ‖ tag)`` of each: one C_Encrypt for each, on one session."""
        self._check(name)

        def work(session: Session) -> Sequence[tuple[bytes, bytes]]:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            return [self._seal(session.handle, key, plain, b"") for plain in plains]

        return self._sessions.run(work)

    def open_many(self, name: str, sealed: Sequence[tuple[bytes, bytes]]) -> Sequence[bytes]:
        """Return the plaintexts, all of them.

        Raises:
            Tampered: one of them does not open, as far as the module's word goes.
        """
        self._check(name)

        def work(session: Session) -> Sequence[bytes]:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            return [self._open(session.handle, key, iv, each, b"") for iv, each in sealed]

        return self._sessions.run(work, step_after_open)

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
            lambda session: self._open_by_name(session, name, iv, sealed, check_data(name)),
            step_after_open,
        )

    def _open_by_name(
        self, session: Session, name: str, iv: bytes, sealed: bytes, data: bytes
    ) -> bytes:
        key = self._key_of(session, name, ck.CKO_SECRET_KEY)
        return self._open(session.handle, key, iv, sealed, data)

    @override
    def _try(self, session: Session) -> str:
        """Seal and open; ``known-answer`` where the token lets a key in, else ``round-trip``."""
        handle = session.handle
        plain = self._module.random(handle, CHECK_BYTES)
        key = self._passing(handle)
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
