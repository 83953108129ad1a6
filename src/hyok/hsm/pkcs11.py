"""Pkcs11Token: what one token can be asked.  It runs in the agent's process only.

What goes into an HMAC is built here, from token, kek_id and scope; nothing takes ready-made bytes.

Source: docs/format.md, sections 10 and 13.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

from hyok.envelope.profiles import (
    CHECK_VALUE_BYTES,
    Profile,
    check_token,
    gcm_associated_data,
    hmac_check_input,
    hmac_input,
    join_gcm_token,
    same_key_input,
    split_gcm_token,
)
from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered
from hyok.hsm import structures as ck
from hyok.hsm.about import about_of
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.describe import describe_keys, describe_token
from hyok.hsm.door_keys import DoorKeys
from hyok.hsm.door_macs import DoorMacs
from hyok.hsm.door_pairs import DoorPairs
from hyok.hsm.door_signers import DoorSigners
from hyok.hsm.door_wraps import DoorWraps
from hyok.hsm.keks import (
    Attributes,
    gcm_mechanism,
    kek_attributes,
    open_seed,
    rsa_attributes,
    seal_seed,
    session_key_attributes,
)
from hyok.hsm.private_keys import PrivateKeys
from hyok.hsm.recovery import Step, never_again, step_after, step_after_open
from hyok.hsm.rsa_signers import RsaSigners
from hyok.hsm.signing_keys import SigningKeys
from hyok.hsm.structures import Mechanism
from hyok.hsm.wire import BENCH_PREFIX, DOOR_PREFIX, PROVE_PREFIX, SIGNING_PREFIX

if TYPE_CHECKING:
    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.sessions import Session, Sessions

SECRET_BYTES = 32
KEY_SOUGHT_ANEW_SECONDS = 30.0
GENERATION_TIMES = 12  # an RSA key may take a slow module a minute
_ACTION_PROHIBITED = 0x01B
_ATTRIBUTE_VALUE_INVALID, _DEVICE_REMOVED, _MECHANISM_PARAM_INVALID = 0x013, 0x032, 0x071


class Pkcs11Token:
    """The KEKs of one token; every method may be called from several threads.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this kek_id.
        Refused: the profile is not switched on for this token.
    """

    def __init__(self, module: Module, label: str, dialect: Dialect, sessions: Sessions) -> None:
        self._module, self._label, self.dialect = module, label, dialect
        self.sessions = sessions
        self.signing = SigningKeys(module, label, dialect, sessions)
        self.doors = DoorKeys(module, dialect, sessions, self._key)
        self.pairs = DoorPairs(module, dialect, sessions, self._key)
        self.macs = DoorMacs(module, dialect, sessions, self._key)
        self.signers = DoorSigners(module, label, dialect, sessions)
        self.wraps = DoorWraps(module, dialect, sessions, self._key)
        self.rsa_signers = RsaSigners(module, dialect, sessions, self._key)
        self.private = PrivateKeys(module, dialect, sessions, self._key)
        self._hmac_mechanism = Mechanism.of(dialect.hmac_mechanism)  # it has no parameter
        self._seen: set[str] = set()
        self._passing: dict[str, tuple[int, int]] = {}  # of a measurement: session, key
        self._create_lock = threading.Lock()

    def hmac(self, kek_id: str, scope: str, token: bytes) -> bytes:
        """Return the secret of a token of profile 1: one C_Sign."""
        return self._signed(kek_id, hmac_input(token, kek_id, scope))

    def hmac_check(self, kek_id: str) -> bytes:
        """Return the check value of a KEK of profile 1."""
        return self._signed(kek_id, hmac_check_input(kek_id))[:CHECK_VALUE_BYTES]

    def _check_in_use(self, profile: int) -> None:
        """Return quietly if this profile was switched on, and so was self-tested."""
        if profile not in self.dialect.profiles:
            raise Refused(
                f"profile {profile} is not switched on for the token {self._label}",
                reason="ProfileOff",
            )

    def _signed(self, kek_id: str, data: bytes) -> bytes:
        self._check_in_use(Profile.HMAC_SHA256)

        def work(session: Session) -> bytes:
            key = self._key(session, kek_id, ck.CKO_SECRET_KEY)
            return self._sign(session.handle, key, data)

        return _whole(self.sessions.run(work))

    def open(self, profile: int, kek_id: str, scope: str, token: bytes, *, trusted: bool) -> bytes:
        """Return the seed in a token of profiles 2 to 4.

        ``trusted`` says that the token is the configuration's own (a check token, an origin), so a
        failure is the device's.  A token from the store can make a module say anything.
        """
        self._check_in_use(profile)
        check_token(Profile(profile), token)
        kind = ck.CKO_PRIVATE_KEY if profile == Profile.RSA_OAEP_SHA256 else ck.CKO_SECRET_KEY

        def work(session: Session) -> bytes:
            key = self._key(session, kek_id, kind)
            return self._open(session.handle, profile, key, (kek_id, scope, token))

        return _whole(self.sessions.run(work, step_after if trusted else step_after_open))

    def seal(self, profile: int, kek_id: str, scope: str, seed: bytes, iv: bytes) -> bytes:
        """Return a token of profile 2 or 3 that holds ``seed``; ``iv`` is fresh, for profile 2."""
        self._check_in_use(profile)
        if self.dialect.gcm_iv == "module":
            iv = bytes(len(iv))  # room for the module's own

        def work(session: Session) -> bytes:
            key = self._key(session, kek_id, ck.CKO_SECRET_KEY)
            if profile == Profile.AES_GCM:
                mechanism = gcm_mechanism(self.dialect, iv, gcm_associated_data(kek_id, scope))
                sealed = self._module.encrypt(
                    session.handle, mechanism, key, seed, SECRET_BYTES + 16
                )
                used = mechanism.iv_now()
                if used == bytes(len(used)):
                    # A module said to make the IV left ours, of zeros, in place: two tokens under
                    # one IV would give the key away.
                    raise CryptokiError("C_Encrypt", _MECHANISM_PARAM_INVALID)
                return join_gcm_token(used, sealed)
            return seal_seed(self._module, self.dialect, session.handle, key, seed)

        return self.sessions.run(work)

    def create(self, profile: int, kek_id: str) -> tuple[bytes, ...]:
        """Generate a KEK; return its check value (profile 1) or modulus and exponent (4).

        Raises:
            Conflict: a key of this name exists.
            Malformed: the name is one of the keys that sign, or of a door's.
        """
        self._check_in_use(profile)
        if kek_id.startswith((SIGNING_PREFIX, DOOR_PREFIX)):
            raise Malformed("a KEK may not have the name of a key that signs, or of a door's")
        with self._create_lock:
            return self.sessions.run(
                lambda _: self._generate(Profile(profile), kek_id),
                never_again,
                times=GENERATION_TIMES,
            )

    def _generate(self, profile: Profile, kek_id: str) -> tuple[bytes, ...]:
        # A writable session of its own: the pool's are read-only, so that no other call could
        # change anything in the token.
        passing, kept = kek_id.startswith(BENCH_PREFIX), False
        session = self._module.open_session(self.sessions.slot, writable=not passing)
        try:
            named: Attributes = {
                ck.CKA_TOKEN: True,
                ck.CKA_LABEL: kek_id.encode(),
            }
            if kek_id in self._passing or self._module.find(session, named):
                raise Conflict(f"a key named {kek_id} exists in the token")
            key, told = self._new_key(session, profile, kek_id, {ck.CKA_TOKEN: not passing})
            if passing:
                self._passing[kek_id] = (session, key)
                kept = True
            return told
        finally:
            if not kept:  # with it goes what was made for this session alone
                self._module.close_session(session)

    def _new_key(
        self, session: int, profile: Profile, kek_id: str, life: Attributes
    ) -> tuple[int, tuple[bytes, ...]]:
        """Return the handle that opens, and what `create` tells of it."""
        if profile is Profile.RSA_OAEP_SHA256:
            public, private = rsa_attributes(self.dialect, kek_id)
            outer, inner = self._module.generate_pair(
                session, self.dialect.rsa_generation, public | life, private | life
            )
            self._check_guarded(session, inner, outer)
            return inner, (
                self._module.attribute(session, outer, ck.CKA_MODULUS),
                self._module.attribute(session, outer, ck.CKA_PUBLIC_EXPONENT),
            )
        hmac = profile is Profile.HMAC_SHA256
        number = self.dialect.hmac_generation if hmac else self.dialect.aes_generation
        attributes = kek_attributes(self.dialect, profile, kek_id) | life
        key = self._module.generate_key(session, number, attributes)
        self._check_guarded(session, key)
        if not hmac:
            return key, ()
        value = self._sign(session, key, hmac_check_input(kek_id))
        return key, (value[:CHECK_VALUE_BYTES],)

    def _check_guarded(self, session: int, key: int, beside: int | None = None) -> None:
        """Destroy a new KEK that the module does not guard as it was told to."""
        sensitive = self._module.attribute(session, key, ck.CKA_SENSITIVE)
        extractable = self._module.attribute(session, key, ck.CKA_EXTRACTABLE)
        if sensitive == b"\x01" and extractable == bytes([self.dialect.extractable]):
            return
        for handle in (key, beside):
            if handle is not None:
                self._module.destroy(session, handle)
        raise CryptokiError("C_GenerateKey", _ATTRIBUTE_VALUE_INVALID)

    def about(self) -> dict[str, str]:
        """Return what module and token say of themselves; no serial number."""
        return self.sessions.run(
            lambda _: about_of(
                self._module.library_info(), self._module.token_info(self.sessions.slot)
            )
        )

    def mechanisms(self) -> frozenset[int]:
        """Return the numbers of every mechanism that the module says it offers."""
        return self.sessions.run(lambda _: self._module.mechanisms(self.sessions.slot))

    def describe(self, name: str, tested: str) -> bytes:
        """Return what module and token say of themselves and of the key of this name, as JSON."""

        def work(session: Session) -> bytes:
            slot = self.sessions.slot
            facts = describe_token(self._module, slot)
            facts["family"] = self.dialect.family
            facts["self_test"] = tested
            facts["keys"] = describe_keys(self._module, session.handle, name)
            return json.dumps(facts, sort_keys=True).encode()

        return self.sessions.run(work)

    def discard(self, kek_id: str) -> None:
        """Destroy what a proof made; no other key can be destroyed here.

        Raises:
            Malformed: the name is not one of a proof.
        """
        if kek_id.startswith(BENCH_PREFIX):
            if (passing := self._passing.pop(kek_id, None)) is not None:
                self.sessions.run(lambda _: self._module.close_session(passing[0]), never_again)
            return
        if not kek_id.startswith(PROVE_PREFIX):
            raise Malformed("only what a proof made can be destroyed here")
        self._destroy(kek_id)

    def destroy(self, kek_id: str) -> None:
        """Destroy the KEK of this name; on return a search of the token finds none.

        Raises:
            Malformed: the name is one of the keys that sign.
            NotFound: there is none.
        """
        if kek_id.startswith(SIGNING_PREFIX):
            raise Malformed("a key that signs checkpoints is not destroyed here")
        if not self._destroy(kek_id):
            raise NotFound(f"no key in the token {self._label} has the name {kek_id}")

    def _destroy(self, kek_id: str) -> int:
        wanted: Attributes = {ck.CKA_TOKEN: True, ck.CKA_LABEL: kek_id.encode()}

        def work(_: Session) -> int:
            session = self._module.open_session(self.sessions.slot, writable=True)
            try:
                handles = self._module.find(session, wanted)
                for handle in handles:
                    self._module.destroy(session, handle)
                if self._module.find(session, wanted):
                    raise CryptokiError("C_DestroyObject", _ACTION_PROHIBITED)
                return len(handles)
            finally:
                self._module.close_session(session)

        destroyed = self.sessions.run(work, never_again)
        self._seen.discard(kek_id)
        return destroyed

    def is_same_key(self, profile: int, kek_id: str, other: str) -> bool:
        """Say whether two names stand for one key: what the first one makes, the second one opens.

        Of profiles 1 to 3; the names of a pair are compared by its public key.
        """
        nonce = os.urandom(SECRET_BYTES)
        if profile == Profile.HMAC_SHA256:
            data = same_key_input(nonce)
            return self._signed(kek_id, data) == self._signed(other, data)
        token = self.seal(profile, kek_id, "", nonce, os.urandom(12))

        def work(session: Session) -> bytes:
            key = self._key(session, other, ck.CKO_SECRET_KEY)
            # Under the first one's name, so that nothing but the key itself can make a difference.
            return self._open(session.handle, profile, key, (kek_id, "", token))

        try:
            return self.sessions.run(work, step_after_open) == nonce
        except Tampered:
            return False

    def find(self) -> list[tuple[str, bytes]]:
        """Return ``(kek_id, check value)`` of every KEK of profile 1 whose name is its own."""
        if Profile.HMAC_SHA256 not in self.dialect.profiles:
            return []
        names = self.sessions.run(self._hmac_names)
        alone = sorted(name for name in names if names.count(name) == 1)
        return [(name, self.hmac_check(name)) for name in alone]

    def _hmac_names(self, session: Session) -> list[str]:
        wanted: Attributes = {
            ck.CKA_CLASS: ck.CKO_SECRET_KEY,
            ck.CKA_TOKEN: True,
            ck.CKA_SIGN: True,
            ck.CKA_KEY_TYPE: self.dialect.hmac_key_type,
        }
        names = []
        for key in self._module.find(session.handle, wanted):
            label = self._module.attribute(session.handle, key, ck.CKA_LABEL)
            if 1 <= len(label) <= 64:
                names.append(label.decode("utf-8", "replace"))
        return names

    def try_known(
        self, profile: Profile, kek: bytes, kek_id: str, scope: str, token: bytes
    ) -> bytes | None:
        """Return what ``kek``, as a key of one session, answers; None where none may come in.

        Raises:
            CryptokiError: the key came in, and the module will not use it so.
        """

        def work(session: Session) -> bytes | None:
            handle = session.handle
            try:
                key = self._module.create(
                    handle, session_key_attributes(self.dialect, profile, kek)
                )
            except CryptokiError:
                return None
            try:
                if profile is Profile.HMAC_SHA256:
                    return self._sign(handle, key, hmac_input(token, kek_id, scope))
                return self._open(handle, profile, key, (kek_id, scope, token))
            finally:
                self._module.destroy(handle, key)

        return self.sessions.run(work, lambda _: Step.REFUSE)

    def _sign(self, session: int, key: int, data: bytes) -> bytes:
        return self._module.sign(session, self._hmac_mechanism, key, data, SECRET_BYTES)

    def _open(
        self, session: int, profile: int, key: int, sealed_seed: tuple[str, str, bytes]
    ) -> bytes:
        kek_id, scope, token = sealed_seed
        if profile == Profile.AES_GCM:
            iv, sealed = split_gcm_token(token)
            mechanism = gcm_mechanism(self.dialect, iv, gcm_associated_data(kek_id, scope))
            return self._module.decrypt(session, mechanism, key, sealed, len(sealed))
        return open_seed(self._module, self.dialect, session, profile, key, token)

    def _key(self, session: Session, kek_id: str, kind: int) -> int:
        if kek_id in self._passing:
            return self._passing[kek_id][1]
        known = session.keys.get(kek_id)
        now = time.monotonic()
        # Sought anew now and then, so that a second key of the same name does not stay unseen.
        if known is not None and now - known[1] < KEY_SOUGHT_ANEW_SECONDS:
            return known[0]
        found = self._module.find(
            session.handle,
            {ck.CKA_CLASS: kind, ck.CKA_TOKEN: True, ck.CKA_LABEL: kek_id.encode()},
        )
        if len(found) == 1:
            session.keys[kek_id] = (found[0], now)
            self._seen.add(kek_id)
            return found[0]
        if not found and kek_id in self._seen:
            # A key that was here and is gone: more likely the token went away under us.  A new
            # process either finds neither, or answers NotFound itself.
            raise CryptokiError("C_FindObjects", _DEVICE_REMOVED)
        count = "no key" if not found else f"{len(found)} keys"
        raise NotFound(
            f"{count} in the token {self._label} has the name {kek_id}",
            code="HY-2103",
            effect="Nothing was opened or sealed with it.",
            next_step="hyok hsm status shows the keys; a KEK's label is its kek_id, once.",
        )


def _whole(answer: bytes) -> bytes:
    if len(answer) != SECRET_BYTES:
        raise Tampered("the module's answer is not 32 bytes", reason="AnswerLength")
    return answer
