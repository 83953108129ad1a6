"""KeyCustodian: the one door to keys.  Decide, record, use, record, in that order.

Source: docs/format.md, sections 7, 10 and 11; NIST SP 800-57 for the states.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.custody.decisions import Decisions, default_class
from hyok.custody.fixed_keys import TENANT_CLASSIFICATION, FixedKeys
from hyok.custody.port import IssuedKey, RecoveredKey, Rewrapped
from hyok.custody.sharing import may_share, may_share_mode
from hyok.custody.upload_secrets import UploadSecrets
from hyok.custody.wrap_secrets import WrapSecrets
from hyok.envelope.block import Envelope, Mode, open_envelope, parse, rewrap, seal_envelope
from hyok.envelope.keys import DataKey, object_context
from hyok.envelope.layout import HYOK1
from hyok.envelope.metadata import Metadata, open_metadata, render, seal_metadata
from hyok.errors import HyokError, Malformed, Refused, Tampered
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from hyok.audit.port import Journal
    from hyok.custody.decisions import Grants, PolicyInForce
    from hyok.custody.failing_tokens import FailingTokens
    from hyok.custody.freezes import Freezes
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.keyring import Keyring
    from hyok.custody.watch import HsmWatch
    from hyok.envelope.names import NameKey
    from hyok.envelope.trailer import Trailer
    from hyok.hsm.port import Hsm
    from hyok.policy.classifications import Classifications
    from hyok.policy.decision import Decision, Engine, StoreFacts
    from hyok.policy.shadow import ShadowNotes
    from hyok.vocabulary import Ask, Bucket, DataSubject, ObjectRef

__all__ = ["TENANT_CLASSIFICATION", "IssuedKey", "KeyCustodian", "Rewrapped"]


class KeyCustodian:
    """Made once in each process by wiring."""

    def __init__(
        self,
        *,
        classifications: Classifications,
        engine: Engine,
        store_facts: Mapping[str, StoreFacts],
        zone: str,
        journal: Journal,
        hsm: Hsm,
        tokens: FailingTokens,
        watch: HsmWatch,
        keks: KekCatalog,
        keyring: Keyring,
        entropy: Callable[[int], bytes],
        clock_ms: Callable[[], int],
        freezes: Freezes,
        policy: PolicyInForce,
        grants: Grants | None = None,
        every_decision: bool = False,
        shadow: ShadowNotes | None = None,
    ) -> None:
        self._classifications = classifications
        self._keyring = keyring
        self._entropy = entropy
        self._fixed = FixedKeys(classifications, keyring, watch, clock_ms)
        self._decisions = Decisions(
            classifications=classifications,
            engine=engine,
            store_facts=store_facts,
            zone=zone,
            journal=journal,
            keks=keks,
            opaque=self._fixed.opaque,
            clock_ms=clock_ms,
            freezes=freezes,
            policy=policy,
            grants=grants,
            seal_subject=self._fixed.seal_subject,
            every_decision=every_decision,
            shadow=shadow,
        )
        self._uploads = UploadSecrets(clock_ms)
        self._secrets = WrapSecrets(
            classifications=classifications,
            hsm=hsm,
            tokens=tokens,
            watch=watch,
            keks=keks,
            keyring=keyring,
            fixed=self._fixed,
            uploads=self._uploads,
            clock_ms=clock_ms,
        )

    @property
    def decisions(self) -> Decisions:
        """What decides and records, for the keys of doors (`hyok.custody.doors`)."""
        return self._decisions

    async def decide(self, ask: Ask) -> Decision:
        """Decide about an act that uses no key; record a refusal, and the intent of a change.

        Raises:
            Refused: policy says no (reason ``AccessDenied``).
            Unavailable: the log does not confirm, so nothing may be changed.
        """
        return await self._decisions.decide(ask)

    async def conclude(
        self,
        ask: Ask,
        outcome: str,
        *,
        object_id: bytes = b"",
        kek_id: str = "",
        size_bytes: int | None = None,
        error: str = "",
    ) -> None:
        """Write the closing record; durable on return where the classification is write-ahead.

        Raises:
            Unavailable: the log does not confirm, so nobody may be told of success.
        """
        await self._decisions.conclude(
            ask, outcome, object_id=object_id, kek_id=kek_id, size_bytes=size_bytes, error=error
        )

    async def opaque(self, ask: Ask) -> str:
        """Return the id by which the log names the object asked for; empty where it cannot now."""
        return await self._fixed.opaque(ask)

    async def issue(
        self,
        ask: Ask,
        *,
        plain_size: int | None,
        multipart: bool,
        metadata: Metadata,
        part_header: bytes,
        upload_id: str = "",
    ) -> IssuedKey:
        """Make the key and the envelope of a new object; ``upload_id``: of one that comes in parts.

        Raises:
            Refused: policy says no.
            Malformed: the metadata does not fit (reason ``MetadataTooLarge``).
            Unavailable: HSM, database or log do not answer; nothing was issued.
        """
        assert ask.bucket is not None
        assert ask.classification is not None
        rule = self._classifications.get(ask.classification)
        decision = await self._decisions.permit(ask, ask.classification, b"", "")
        object_id = self._entropy(16)
        scope = await self._secrets.scope(ask, rule)
        await self._decisions.record(
            ask,
            "intend",
            "pending",
            ask.classification,
            object_id=object_id,
            scope=scope,
            reasons=decision.reasons,
            decided="permit",
            durable=rule.audit.mode == "write-ahead",
        )
        try:
            wrap = await self._secrets.current(ask, rule, scope)
            random = self._entropy(80)  # in one draw, each byte of it used once
            data_key = DataKey(random[:32])
            envelope = seal_envelope(
                data_key=data_key,
                secret=wrap.secret,
                context=_context(ask),
                suite=HYOK1,
                multipart=multipart,
                profile=wrap.profile,
                mode=wrap.mode,
                object_id=object_id,
                plain_size=plain_size,
                wrap_salt=random[32:64],
                kek_id=wrap.kek_id,
                scope=scope,
                token=wrap.token,
                metadata_block=seal_metadata(render(metadata), data_key, random[64:], object_id),
                part_header=part_header,
            )
        except HyokError as error:
            await self._decisions.failed(ask, ask.classification, object_id, error)
            raise
        if upload_id and wrap.mode is Mode.DIRECT:
            self._uploads.put(ask, upload_id, parse(envelope), wrap.secret)
        return IssuedKey(data_key, envelope, object_id, wrap.kek_id)

    async def recover(self, ask: Ask, envelope: bytes, *, upload_id: str = "") -> RecoveredKey:
        """Open the key of a stored object, or of an open upload of ours with its ``upload_id``.

        What the store says is checked against our own configuration before the HSM is asked.

        Raises:
            Refused: the key is not allowed here, or policy says no.
            Tampered: the envelope is not genuine.
            Unavailable: HSM, database or log do not answer.
        """
        object_id = b""
        try:
            found = _parsed(envelope)
            object_id = found.object_id
            kek = await self._secrets.kek_named(ask, found)
        except HyokError as error:
            await self._decisions.failed(ask, default_class(ask), object_id, error)
            raise
        await self._begin(ask, kek, found)
        try:
            kek, secret = await self._secrets.of_stored(ask, kek, found, upload_id)
            return self._opened(ask, found, secret, kek)
        except HyokError as error:
            await self._decisions.failed(ask, kek.classification, object_id, error, kek.kek_id)
            raise

    async def may_share(self, ask: Ask, envelope: bytes) -> bool:
        """Say whether a copy as ``ask`` wants it may share the data key of this stored object.

        A first look, at an envelope that is not proven yet; `rewrap` looks again.
        """
        assert ask.classification is not None
        rule = self._classifications.get(ask.classification)
        found = _parsed(envelope)
        if not may_share_mode(rule, found):
            return False
        kek = await self._secrets.wrapping_kek(ask)
        scope = await self._secrets.scope(ask, rule)
        return (found.kek_id, found.scope) == (kek.kek_id, scope)

    async def is_current(self, ask: Ask, key: RecoveredKey) -> bool:
        """Say whether a stored object is kept under the key version that writes now."""
        ask = replace(ask, classification=key.classification)
        return key.kek_id == (await self._secrets.wrapping_kek(ask)).kek_id

    async def rewrap(
        self, ask: Ask, key: RecoveredKey, trailer: Trailer, metadata: Metadata | None = None
    ) -> Rewrapped | None:
        """Wrap a stored object's key anew: for itself, or for a copy at ``ask.ref``.

        The data, the data key and the object_id stay (format.md §9).  ``key`` is what `recover`
        gave; ``trailer`` the object's own, opened with it: only that fills in a length that was
        open.  ``metadata`` replaces what is sealed beside the data, under a fresh salt.

        Returns:
            None when a copy must have a data key of its own (docs/adr/0015).

        Raises:
            Refused: policy says no; or the key was compromised, and a new wrapping would not mend
                that (code HY-2308).
            Malformed: the metadata does not fit (reason ``MetadataTooLarge``).
            Unavailable: HSM, database or log do not answer.
        """
        found = key.envelope
        if trailer.object_id != found.object_id:
            raise Tampered("the trailer belongs to another object")
        ask = replace(ask, classification=ask.classification or key.classification)
        assert ask.classification is not None
        rule = self._classifications.get(ask.classification)
        copying = ask.ref != key.ref
        scope = await self._secrets.scope(ask, rule) if copying else found.scope
        decision = await self._decisions.permit(
            ask, ask.classification, found.object_id, key.kek_id
        )
        await self._decisions.record(
            ask,
            "intend",
            "pending",
            ask.classification,
            object_id=found.object_id,
            kek_id=key.kek_id,
            scope=scope,
            reasons=decision.reasons,
            decided="permit",
            durable=rule.audit.mode == "write-ahead",
        )
        try:
            if not copying:
                await self._secrets.check_renewable(key)
            wrap = await self._secrets.current(ask, rule, scope)
            if copying and not may_share(key, wrap, rule):
                await self.conclude(ask, "failed", object_id=found.object_id, error="own-key")
                return None
            if ask.classification != key.classification:
                raise Refused(
                    "An object of another classification is sealed anew, not rewrapped.",
                    reason="AccessDenied",
                    code="HY-2309",
                )
            block = None
            if metadata is not None:
                block = seal_metadata(
                    render(metadata), key.data_key, self._entropy(16), found.object_id
                )
            envelope = rewrap(
                found,
                key.data_key,
                secret=wrap.secret,
                context=_context(ask),
                profile=wrap.profile,
                mode=wrap.mode,
                wrap_salt=self._entropy(32),
                kek_id=wrap.kek_id,
                scope=wrap.scope,
                token=wrap.token,
                plain_size=trailer.plain_size,
                metadata_block=block,
            )
        except HyokError as error:
            await self._decisions.failed(
                ask, ask.classification, found.object_id, error, key.kek_id
            )
            raise
        return Rewrapped(envelope, found.object_id, wrap.kek_id)

    async def _begin(self, ask: Ask, kek: Kek, found: Envelope) -> None:
        """Decide with the classification of the envelope, and record the intent."""
        decision = await self._decisions.permit(
            ask, kek.classification, found.object_id, kek.kek_id
        )
        rule = self._classifications.get(kek.classification)
        await self._decisions.record(
            ask,
            "intend",
            "pending",
            kek.classification,
            object_id=found.object_id,
            kek_id=kek.kek_id,
            scope=found.scope,
            reasons=decision.reasons,
            decided="permit",
            durable=rule.audit.mode == "write-ahead",
        )

    def _opened(self, ask: Ask, found: Envelope, secret: bytes, kek: Kek) -> RecoveredKey:
        data_key = open_envelope(found, secret, _context(ask))
        try:
            metadata = open_metadata(found.metadata_block, data_key, found.object_id)
        except Tampered:
            data_key.close()
            raise
        classification = ClassificationName(kek.classification)
        return RecoveredKey(data_key, found, metadata, classification, ask.ref, kek.kek_id)

    async def names_key(self, bucket: Bucket) -> NameKey:
        """Return the key of a bucket's sealed names.

        Raises:
            Unavailable, NotFound: its record cannot be opened.
        """
        return await self._fixed.names_key(bucket)

    async def new_names_key(self, bucket: Bucket) -> bytes:
        """Make the key of a new bucket's sealed names; return its ik_id."""
        return await self._fixed.new_names_key(bucket)

    async def mirror_tenant_key(self, bucket: Bucket) -> None:
        """Keep the record of the tenant's own key in a bucket: subjects keep their ids with it."""
        await self._fixed.mirror_tenant_key(bucket)

    async def keep_mirror(self, bucket: Bucket) -> int:
        """Make keyring records that a bucket's mirror lacks anew; return how many.

        Raises:
            Unavailable: store or database do not answer.
        """
        rules = map(self._classifications.get, self._classifications.names())
        kept = [rule.classification for rule in rules if not rule.keys.shreddable]
        return await self._keyring.keep_mirror(bucket, [*kept, TENANT_CLASSIFICATION])

    async def subject_scope(self, tenant: str, value: str) -> str:
        """Return ``subject:<32 hex digits>`` of a case or person: no number in clear."""
        return await self._fixed.subject_scope(tenant, value)

    async def seal_subject(self, tenant: str, subject: DataSubject) -> str:
        """Return whom data is about, as the logs have it; see `FixedKeys.seal_subject`."""
        return await self._fixed.seal_subject(tenant, subject)

    async def open_subject(self, tenant: str, sealed: str, kind: str) -> str:
        """Return whom a text in the logs names; see `FixedKeys.open_subject`."""
        return await self._fixed.open_subject(tenant, sealed, kind)

    async def opaque_id(self, ref: ObjectRef) -> str:
        """Return a stable id of an object's name for the log, which no one can guess names by."""
        return await self._fixed.opaque_id(ref)

    def uploads_held(self) -> Collection[str]:
        """Return the ids of the uploads whose keys are in memory."""
        return self._uploads.held()

    def end_upload(self, upload_id: str) -> None:
        """Forget the key of an upload that has ended."""
        self._uploads.end(upload_id)

    def sweep(self) -> None:
        """Drop keys past their time; called every second or so."""
        self._uploads.sweep()
        self._keyring.sweep()
        self._secrets.sweep()
        self._fixed.sweep()


def _parsed(raw: bytes) -> Envelope:
    try:
        return parse(raw)
    except Malformed as error:
        raise Tampered(f"the stored envelope breaks a rule: {error}") from error


def _context(ask: Ask) -> bytes:
    ref = ask.ref
    return object_context(ref.tenant, ref.bucket_id, ref.key)
