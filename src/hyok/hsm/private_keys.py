"""PrivateKeys: RSA keys of others, wrapped outside, put into one token for a single use.

Each wrapping key is an AES-256 key of its own that wraps and unwraps (RFC 5649) and does nothing
else.  What it wraps comes in as an object of one session, sensitive and never extractable, signs or
decrypts once and is destroyed: once it is wrapped, no process of ours holds its private half.

That the module does so is shown by a trial with a pair of the moment.  One that does not serves
none of this; there is no way around it in software.  Of SoftHSM alone, which knows OAEP with SHA-1
and no label only, the bare RSA operation is taken for the rest and the padding undone here.

Source: docs/keyservices/kacls.md; docs/adr/0034; RFC 5649; RFC 8017.
"""

from __future__ import annotations

import os
import threading
from ctypes import addressof, create_string_buffer
from dataclasses import replace
from hashlib import sha1, sha256, sha512
from typing import TYPE_CHECKING, TypeVar

from hyok.errors import Conflict, Malformed, Refused, Tampered
from hyok.hsm import oaep, rsa_pkcs1
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.door_pairs import BITS, GENERATION_TIMES, RAW_FAMILIES
from hyok.hsm.keks import rsa_attributes
from hyok.hsm.port import OTHER_PUBLIC_KEY
from hyok.hsm.private_templates import CKK_RSA, NUMBERS, attributes_of, passing
from hyok.hsm.public_key import public_key_der
from hyok.hsm.recovery import never_again, step_after_open
from hyok.hsm.structures import Mechanism, OaepParameters, PssParameters
from hyok.hsm.tried_keys import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.keks import Attributes
    from hyok.hsm.sessions import Session, Sessions

T = TypeVar("T")

CHECK_BYTES = 32
CHECK_TOKEN_BYTES = CHECK_BYTES + 8
WRAPPED_BYTES_MIN, WRAPPED_BYTES_MAX = 1024, 4096
RSA_BYTES_MAX = 512
_CKM_RSA_PKCS, _CKM_RSA_X_509, _CKM_RSA_PKCS_PSS = 0x1, 0x3, 0xD
_DIGESTS = {"SHA1": sha1, "SHA256": sha256, "SHA512": sha512}
_HASHES = {"SHA1": (0x220, 0x1), "SHA256": (0x250, 0x2), "SHA512": (0x270, 0x4)}
_ATTRIBUTE_VALUE_INVALID = 0x013


class PrivateKeys:
    """What one token can be asked about these keys; from several threads.

    Raises, from its operations, what `Sessions.run` raises, and:
        NotFound: no key, or more than one, has this name.
        Malformed: it is no name of a door's key, or what is asked cannot be meant.
        Refused: the trial showed that the module does not do this (``DoorsOff``).
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
        """Generate a wrapping key; return its check token, a wrapped secret of 32 bytes.

        Raises:
            Conflict: a key of this name exists.
        """
        self._check(name)
        with self._create_lock:
            self._sessions.run(lambda _: self._generate(name), never_again)

        def work(session: Session) -> bytes:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            inner = self._module.create(session.handle, passing(os.urandom(CHECK_BYTES)))
            try:
                return self._wrap(session.handle, key, inner)
            finally:
                self._module.destroy(session.handle, inner)

        return self._sessions.run(work)

    def _generate(self, name: str) -> None:
        session = self._module.open_session(self._sessions.slot, writable=True)
        try:
            if self._module.find(session, {ck.CKA_TOKEN: True, ck.CKA_LABEL: name.encode()}):
                raise Conflict(f"a key named {name} exists in the token")
            key = self._new_key(session, name, lasting=True)
            sensitive = self._module.attribute(session, key, ck.CKA_SENSITIVE)
            extractable = self._module.attribute(session, key, ck.CKA_EXTRACTABLE)
            if sensitive != b"\x01" or extractable != bytes([self._dialect.extractable]):
                self._module.destroy(session, key)
                raise CryptokiError("C_GenerateKey", _ATTRIBUTE_VALUE_INVALID)
        finally:
            self._module.close_session(session)

    def _new_key(self, session: int, name: str, *, lasting: bool) -> int:
        attributes: Attributes = {
            ck.CKA_CLASS: ck.CKO_SECRET_KEY,
            ck.CKA_KEY_TYPE: self._dialect.aes_key_type,
            ck.CKA_VALUE_LEN: 32,
            ck.CKA_TOKEN: lasting,
            ck.CKA_PRIVATE: True,
            ck.CKA_SENSITIVE: True,
            ck.CKA_EXTRACTABLE: self._dialect.extractable,
            ck.CKA_MODIFIABLE: False,
            ck.CKA_LABEL: name.encode(),
            ck.CKA_SIGN: False,
            ck.CKA_VERIFY: False,
            ck.CKA_ENCRYPT: False,
            ck.CKA_DECRYPT: False,
            ck.CKA_WRAP: True,
            ck.CKA_UNWRAP: True,
            ck.CKA_DERIVE: False,
        }
        if self._dialect.extractable:
            attributes[ck.CKA_WRAP_WITH_TRUSTED] = True
        return self._module.generate_key(
            session, self._dialect.aes_generation, self._kept(attributes)
        )

    def check(self, name: str, token: bytes) -> bytes:
        """Return what is in our own check token.

        Raises:
            Tampered: it does not open; this is another key.
        """
        self._check(name)
        if len(token) != CHECK_TOKEN_BYTES:
            # A wrapped private key, taken for a secret, would come out in the clear.
            raise Tampered("it is no check token", reason="WRAPPED_KEY_LEN_RANGE")

        def work(session: Session) -> bytes:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            mechanism = Mechanism.of(self._dialect.kwp_mechanism)
            inner = self._module.unwrap(session.handle, mechanism, key, token, passing(None))
            try:
                return self._module.attribute(session.handle, inner, ck.CKA_VALUE)
            finally:
                self._module.destroy(session.handle, inner)

        return self._sessions.run(work, step_after_open)

    def wrap(self, name: str, private_der: bytes) -> bytes:
        """Return an RSA private key (PKCS #8, DER) wrapped under this key."""
        self._check(name)
        attributes = attributes_of(private_der)

        def work(session: Session) -> bytes:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            inner = self._module.create(session.handle, attributes)
            try:
                return self._wrap(session.handle, key, inner)
            finally:
                self._module.destroy(session.handle, inner)

        return self._sessions.run(work)

    def sign(
        self,
        name: str,
        wrapped: bytes,
        spki: bytes,
        padding: str,
        of: str,
        digest: bytes,
        salt: int,
    ) -> bytes:
        """Return the signature of a digest by a wrapped key.

        Args:
            name: of the key that wrapped it.
            wrapped: as `wrap` returned it.
            spki: SHA-256 of its SubjectPublicKeyInfo.
            padding: pkcs1 or pss.
            of: the digest's hash: SHA1, SHA256 or SHA512.
            digest: made elsewhere.
            salt: of pss, in bytes.

        Raises:
            Tampered: the wrapped key does not open, as far as the module's word goes.
            Refused: it is another key than ``spki`` names (`OTHER_PUBLIC_KEY`).
        """
        info = rsa_pkcs1.digest_info(_known(of), digest)
        mechanism = Mechanism.of(_CKM_RSA_PKCS)
        if padding == "pss":
            numbers = _HASHES[of]
            mechanism = Mechanism.of(_CKM_RSA_PKCS_PSS, PssParameters(*numbers, salt))
            info = digest
        elif padding != "pkcs1":
            raise Malformed("a signature is of pkcs1 or pss")

        def use(session: int, key: int) -> bytes:
            return self._module.sign(session, mechanism, key, info, RSA_BYTES_MAX)

        return self._with(name, wrapped, spki, {ck.CKA_SIGN: True}, use)

    def decrypt(
        self,
        name: str,
        wrapped: bytes,
        spki: bytes,
        padding: str,
        of: str,
        label: bytes,
        sealed: bytes,
    ) -> bytes:
        """Return what somebody encrypted to a wrapped key.

        ``padding``: pkcs1 or oaep; ``of`` and ``label`` are of oaep.  Else as `sign`.

        Raises:
            Tampered: key or ciphertext do not open, as far as the module's word goes.
        """
        if padding not in {"pkcs1", "oaep"}:
            raise Malformed("an encryption is of pkcs1 or oaep")
        bare = self._dialect.family in RAW_FAMILIES and (of != "SHA1" or bool(label))

        def use(session: int, key: int) -> bytes | None:
            if padding == "pkcs1":
                way = Mechanism.of(_CKM_RSA_PKCS)
            elif bare:
                raw = self._module.decrypt(
                    session, Mechanism.of(_CKM_RSA_X_509), key, sealed, RSA_BYTES_MAX
                )
                return oaep.decode(raw.rjust(len(sealed), b"\0"), _DIGESTS[of], label)
            else:
                way = self._oaep(of, label)
            return self._module.decrypt(session, way, key, sealed, RSA_BYTES_MAX)

        _known(of)
        plain = self._with(name, wrapped, spki, {ck.CKA_DECRYPT: True}, use)
        if plain is None:
            raise Tampered("it does not open", reason="ENCRYPTED_DATA_INVALID")
        return plain

    def _oaep(self, of: str, label: bytes) -> Mechanism:
        room = create_string_buffer(label, len(label)) if label else None
        where = addressof(room) if room is not None else None
        parameters = OaepParameters(*_HASHES[of], 0x1, where, len(label))
        parameters.kept = room
        return Mechanism.of(self._dialect.oaep_mechanism, parameters)

    def _with(
        self,
        name: str,
        wrapped: bytes,
        spki: bytes,
        purpose: Attributes,
        use: Callable[[int, int], T],
    ) -> T:
        self._check(name)
        if len(wrapped) > WRAPPED_BYTES_MAX:
            raise Malformed("the wrapped key is too long")
        if len(wrapped) < WRAPPED_BYTES_MIN or len(wrapped) % 8:
            # Not every module looks before it unwraps.
            raise Tampered("it is no wrapped private key", reason="WRAPPED_KEY_LEN_RANGE")

        def work(session: Session) -> T:
            key = self._key_of(session, name, ck.CKO_SECRET_KEY)
            handle = session.handle
            inner = self._unwrapped(handle, key, wrapped, purpose)
            try:
                numbers = [self._module.attribute(handle, inner, one) for one in NUMBERS[:2]]
                if sha256(public_key_der(*numbers)).digest() != spki:
                    raise Refused("the wrapped key is another", reason=OTHER_PUBLIC_KEY)
                return use(handle, inner)
            finally:
                self._module.destroy(handle, inner)

        return self._sessions.run(work, step_after_open)

    def _unwrapped(self, session: int, key: int, wrapped: bytes, purpose: Attributes) -> int:
        """Return the handle of a wrapped key inside: for one purpose, and never to come out."""
        template: Attributes = {
            ck.CKA_CLASS: ck.CKO_PRIVATE_KEY,
            ck.CKA_KEY_TYPE: CKK_RSA,
            ck.CKA_TOKEN: False,
            ck.CKA_PRIVATE: True,
            ck.CKA_SENSITIVE: True,
            ck.CKA_EXTRACTABLE: False,
            ck.CKA_SIGN: False,
            ck.CKA_DECRYPT: False,
            ck.CKA_UNWRAP: False,
        }
        mechanism = Mechanism.of(self._dialect.kwp_mechanism)
        attributes = self._kept(template | purpose)
        return self._module.unwrap(session, mechanism, key, wrapped, attributes)

    def _wrap(self, session: int, key: int, inner: int) -> bytes:
        mechanism = Mechanism.of(self._dialect.kwp_mechanism)
        return self._module.wrap(session, mechanism, key, inner, WRAPPED_BYTES_MAX)

    def probe(self) -> str:
        """Wrap a pair of the moment, put it back, sign with it; software verifies.

        Raises:
            Refused: the module does not do this, or does it wrongly (``DoorsOff``).
        """
        try:
            self._fit = self._sessions.run(self._try, times=GENERATION_TIMES)
        except CryptokiError as error:
            self._fit = False
            raise _unfit(str(error)) from error
        if not self._fit:
            raise _unfit("it answers wrongly, or lets the key out")
        return "verified"

    def _try(self, session: Session) -> bool:
        handle = session.handle
        key = self._new_key(handle, "trial", lasting=False)
        made: list[int] = [key]
        try:
            public, private = rsa_attributes(replace(self._dialect, rsa_bits=BITS[0]), "trial")
            life: Attributes = {ck.CKA_TOKEN: False}
            out: Attributes = {ck.CKA_EXTRACTABLE: True, ck.CKA_WRAP_WITH_TRUSTED: False}
            outer, inner = self._module.generate_pair(
                handle,
                self._dialect.rsa_generation,
                public | life,
                {k: v for k, v in (private | life | out).items() if k != ck.CKA_WRAP_WITH_TRUSTED},
            )
            made += [outer, inner]
            wrapped = self._wrap(handle, key, inner)
            back = self._unwrapped(handle, key, wrapped, {ck.CKA_SIGN: True})
            made.append(back)
            digest = sha256(b"trial").digest()
            info = rsa_pkcs1.digest_info("SHA256", digest)
            way = Mechanism.of(_CKM_RSA_PKCS)
            signature = self._module.sign(handle, way, back, info, RSA_BYTES_MAX)
            numbers = [self._module.attribute(handle, back, one) for one in NUMBERS[:2]]
            kept = self._module.attribute(handle, back, ck.CKA_EXTRACTABLE) == b"\0"
            return kept and rsa_pkcs1.is_signature(public_key_der(*numbers), digest, signature)
        finally:
            for one in made:
                self._module.destroy(handle, one)

    def _kept(self, attributes: Attributes) -> Attributes:
        omitted = self._dialect.omitted
        return {kind: value for kind, value in attributes.items() if kind not in omitted}

    def _check(self, name: str) -> None:
        """Return quietly if this is a name of a door's key, and the module passed the trial."""
        check_name(name)
        if self._fit is None:
            self.probe()
        if not self._fit:
            raise _unfit("it failed the trial")


def _known(of: str) -> str:
    if of not in _HASHES:
        raise Malformed(f"a hash is one of {', '.join(_HASHES)}")
    return of


def _unfit(cause: str) -> Refused:
    return Refused(f"this module puts no wrapped private keys to use: {cause}", reason="DoorsOff")
