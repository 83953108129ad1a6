"""LoneKeys: opens the keys of stored objects with an HSM alone: no database, no policy, no log.

What a gateway checks against its configuration is checked here against what the HSM itself proves:
the labels of its keys, and documents that only this HSM can have sealed.

Source: docs/format.md, sections 7 and 15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.kek import from_label
from hyok.custody.port import RecoveredKey
from hyok.envelope.block import Mode, check_scope, open_envelope, parse
from hyok.envelope.keys import object_context
from hyok.envelope.metadata import open_metadata
from hyok.envelope.names import NameKey
from hyok.envelope.records import checked_record, open_record, parse_record
from hyok.errors import Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hyok.custody.kek import Kek
    from hyok.envelope.block import Envelope
    from hyok.hsm.port import Hsm
    from hyok.vocabulary import Ask, Bucket

    Records = Callable[[Bucket, bytes], Awaitable[bytes | None]]

REMEMBERED_MAX = 10_000


async def find_keks(hsm: Hsm, named: Sequence[Kek] = ()) -> Mapping[str, Kek]:
    """Return every key version: those of profile 1 from the HSM, the others as ``named``.

    What is named wins: its check value shows that the HSM's key is the right one.
    """
    found = [from_label(spec) for spec in await hsm.find_keks()]
    known = {kek.kek_id: kek for kek in found if kek is not None}
    return known | {kek.kek_id: kek for kek in named}


class LoneKeys:
    """Fills `KeyOpener` and `KekBook`.  ``records`` finds the keyring record of an object."""

    def __init__(self, hsm: Hsm, keks: Mapping[str, Kek], records: Records) -> None:
        self._hsm = hsm
        self._keks = keks
        self._records = records
        self._iks: dict[bytes, tuple[bytes, Kek]] = {}
        self._scopes: dict[bytes, str] = {}

    async def find(self, name: str) -> Kek | None:
        """Return a key version by its kek_id."""
        return self._keks.get(name)

    async def active(self, tenant: str, classification: str) -> Kek:
        """Return the newest key version.

        Raises:
            Unavailable: there is none.
        """
        found = [
            kek
            for kek in self._keks.values()
            if (kek.tenant, kek.classification) == (tenant, classification)
        ]
        if not found:
            raise Unavailable(f"the HSM has no key for {tenant}/{classification}", code="HY-2303")
        return max(found, key=lambda kek: kek.version)

    async def recover(self, ask: Ask, envelope: bytes) -> RecoveredKey:
        """Open the key of a stored object of ``ask.bucket`` and ``ask.key``.

        Raises:
            Refused: the key may not serve in this bucket.
            NotFound: its keyring record is missing (code HY-2304).
            Tampered: envelope or record are not genuine.
        """
        bucket = ask.bucket
        assert bucket is not None
        try:
            found = parse(envelope)
        except Malformed as error:
            raise Tampered(f"the stored envelope breaks a rule: {error}") from error
        check_scope(found.scope, bucket.bucket_id)
        if found.mode is Mode.KEYRING:
            secret, kek = await self._ik(bucket, found.token, found.scope)
        else:
            kek = self._kek(bucket, found.kek_id)
            _check_profile(kek, found)
            secret = await self._hsm.secret(kek.spec, found.scope, found.token)
        if kek.classification not in bucket.allowed:
            raise Refused(
                "The object's classification is not allowed in this bucket.", code="HY-2305"
            )
        ref = ask.ref
        data_key = open_envelope(found, secret, object_context(ref.tenant, ref.bucket_id, ref.key))
        try:
            metadata = open_metadata(found.metadata_block, data_key, found.object_id)
        except Tampered:
            data_key.close()
            raise
        classification = ClassificationName(kek.classification)
        return RecoveredKey(data_key, found, metadata, classification, ref, kek.kek_id)

    async def names_key(self, bucket: Bucket) -> NameKey | None:
        """Return the key of a bucket's sealed names; None where they are clear."""
        if bucket.names != "sealed":
            return None
        secret, _ = await self._ik(bucket, bucket.names_ik_id, f"names:{bucket.bucket_id}")
        return NameKey(secret, bucket.bucket_id)

    async def prove(self, bucket: Bucket, ik_id: bytes, raw: bytes) -> Kek:
        """Return the key version of a record that opens; one HSM call.

        Raises:
            Tampered, Refused, NotFound: it does not.
        """
        try:
            record = parse_record(raw)
        except Malformed as error:
            raise Tampered(f"a keyring record is damaged: {error}") from error
        if record.ik_id != ik_id:
            raise Tampered("a keyring record is not the one that its name says")
        kek = self._kek(bucket, record.kek_id)
        secret = await self._hsm.secret(kek.spec, record.scope, record.token)
        open_record(record, secret)
        return kek

    def _kek(self, bucket: Bucket, name: str) -> Kek:
        kek = self._keks.get(name)
        if kek is None:
            raise NotFound(
                f"the HSM has no key {name}",
                code="HY-2103",
                next_step="name keys of profiles 2 to 4 with --keys",
            )
        if kek.tenant != bucket.tenant:
            raise Refused("The object's key is another tenant's.", reason="AccessDenied")
        return kek

    async def _ik(self, bucket: Bucket, ik_id: bytes, scope: str) -> tuple[bytes, Kek]:
        held = self._iks.get(ik_id)
        if held is None:
            raw = await self._records(bucket, ik_id)
            if raw is None:
                raise NotFound(
                    "The key of this object is not here: its record is missing or was destroyed.",
                    reason="AccessDenied",
                    code="HY-2304",
                )
            record = checked_record(raw, ik_id, scope)
            kek = self._kek(bucket, record.kek_id)
            if kek.spec.profile != record.profile:
                raise Tampered("a keyring record names another profile than its key has")
            secret = await self._hsm.secret(kek.spec, scope, record.token)
            held = open_record(record, secret), kek
            if len(self._iks) >= REMEMBERED_MAX:
                self._iks.clear()
            self._iks[ik_id] = held
            self._scopes[ik_id] = scope
        elif self._scopes[ik_id] != scope:
            raise Tampered("the object names another scope than its key's")
        return held


def _check_profile(kek: Kek, found: Envelope) -> None:
    if kek.spec.profile != found.profile:
        raise Tampered("the envelope names another profile than its key has")
    if (found.scope == "object") is not (found.mode is Mode.DIRECT):
        raise Tampered("the envelope's scope does not fit its mode")
