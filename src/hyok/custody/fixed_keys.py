"""FixedKeys: keys that never change: of a bucket's sealed names and a tenant's identifiers."""

from __future__ import annotations

import base64
import hmac
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from hyok.custody.key_states import Use, check_use
from hyok.custody.secrets_cache import ByteSecrets, SecretCache
from hyok.envelope.keys import hkdf, object_context
from hyok.envelope.names import NameKey
from hyok.errors import HyokError, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.custody.intermediate_key import IK
    from hyok.custody.kek import Kek
    from hyok.custody.keyring import Keyring
    from hyok.custody.watch import HsmWatch
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask, Bucket, DataSubject, ObjectRef

TENANT_CLASSIFICATION = "tenant"
"""The KEK of a tenant's own identifiers; it wraps no object."""

NAMES_REMEMBERED_MS = 300_000


class FixedKeys:
    """Each has one keyring record for its whole life."""

    def __init__(
        self,
        classifications: Classifications,
        keyring: Keyring,
        watch: HsmWatch,
        clock_ms: Callable[[], int],
    ) -> None:
        self._classifications = classifications
        self._keyring = keyring
        self._watch = watch
        self._names: SecretCache[NameKey] = SecretCache(clock_ms, lambda _v: None)
        self._tenant_keys = ByteSecrets(clock_ms)

    async def names_key(self, bucket: Bucket) -> NameKey:
        """Return the key of a bucket's sealed names.

        Raises:
            Unavailable, NotFound: its record cannot be opened.
        """
        rule = self._classifications.get(bucket.classification)
        if rule.keys.read_cache_ms:
            self._watch.check_memory_serves(rule)

        async def fetch() -> NameKey:
            def judge(kek: Kek) -> int:
                check_use(kek.state, Use.UNWRAP)
                return 0

            ik = await self._keyring.recover(
                bucket.names_ik_id, bucket.tenant, _names_scope(bucket), bucket, judge
            )
            return NameKey(bytes(ik.secret), bucket.bucket_id)

        return await self._names.get(
            (bucket.tenant, bucket.names_ik_id),
            min(NAMES_REMEMBERED_MS, rule.keys.read_cache_ms),
            fetch,
        )

    async def new_names_key(self, bucket: Bucket) -> bytes:
        """Make the key of a new bucket's sealed names; return its ik_id."""
        ik = await self._keyring.create_fixed(
            bucket, bucket.tenant, bucket.classification, _names_scope(bucket)
        )
        return ik.ik_id

    async def _tenant_key(self, tenant: str) -> bytes:
        async def fetch() -> bytes:
            ik: IK = await self._keyring.create_fixed(
                None, tenant, TENANT_CLASSIFICATION, f"tenant:{tenant}"
            )
            return bytes(ik.secret)

        return await self._tenant_keys.copy_of(tenant, NAMES_REMEMBERED_MS, fetch)

    async def mirror_tenant_key(self, bucket: Bucket) -> None:
        """Keep the record of the tenant's own key in a bucket: subjects keep their ids with it."""
        with suppress(Unavailable):  # a tenant without such a key has no subjects
            await self._keyring.create_fixed(
                bucket, bucket.tenant, TENANT_CLASSIFICATION, f"tenant:{bucket.tenant}"
            )

    async def subject_scope(self, tenant: str, value: str) -> str:
        """Return ``subject:<32 hex digits>`` of a case or person: no number in clear."""
        key = hkdf(await self._tenant_key(tenant), b"", b"hyok subject id")
        return "subject:" + hmac.digest(key, value.encode(), "sha256")[:16].hex()

    async def seal_subject(self, tenant: str, subject: DataSubject) -> str:
        """Return whom data is about, encrypted: the same person gives the same text.

        AES-SIV (RFC 5297) with a key of the tenant's own; ``kind`` is bound to it.
        """
        sealed = (await self._subject_key(tenant)).encrypt(
            subject.value.encode(), [subject.kind.encode()]
        )
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def open_subject(self, tenant: str, sealed: str, kind: str) -> str:
        """Return whom `seal_subject` encrypted.

        Raises:
            Tampered: the text is not one of this tenant, or was made for another kind.
        """
        try:
            raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            return (await self._subject_key(tenant)).decrypt(raw, [kind.encode()]).decode()
        except (ValueError, InvalidTag) as error:
            raise Tampered("this is no data subject of this tenant and type") from error

    async def _subject_key(self, tenant: str) -> AESSIV:
        return AESSIV(hkdf(await self._tenant_key(tenant), b"", b"hyok data subject", 64))

    async def opaque_id(self, ref: ObjectRef) -> str:
        """Return a stable id of an object's name for the log, which no one can guess names by."""
        key = hkdf(await self._tenant_key(ref.tenant), b"", b"hyok opaque id")
        context = object_context(ref.tenant, ref.bucket_id, ref.key)
        return "name:" + hmac.digest(key, context, "sha256")[:16].hex()

    async def opaque(self, ask: Ask) -> str:
        """Return the id of an act that knows no object_id; empty where its key is out of reach."""
        if ask.bucket is None or not ask.key:
            return ""
        if not self._watch.reachable and self._tenant_keys.peek(ask.bucket.tenant) is None:
            return ""
        try:
            return await self.opaque_id(ask.ref)
        except HyokError:
            return ""

    def sweep(self) -> None:
        """Drop what is past its time."""
        self._names.sweep()
        self._tenant_keys.sweep()


def _names_scope(bucket: Bucket) -> str:
    return f"names:{bucket.bucket_id}"
