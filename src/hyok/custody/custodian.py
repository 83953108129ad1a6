"""KeyCustodian: the one door to keys.  Decide, record, use, record, in that order.

Source: docs/format.md, sections 7, 10 and 11; NIST SP 800-57 for the states.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord
from hyok.custody.key_states import Use, check_use
from hyok.custody.keyring import Keyring, Lifetime
from hyok.custody.port import RecoveredKey
from hyok.custody.secrets_cache import SecretCache
from hyok.envelope.block import Envelope, Mode, check_scope, open_envelope, parse, seal_envelope
from hyok.envelope.keys import DataKey, hkdf, object_context
from hyok.envelope.layout import HYOK1
from hyok.envelope.metadata import Metadata, open_metadata, render, seal_metadata
from hyok.envelope.names import NameKey
from hyok.envelope.profiles import Profile
from hyok.errors import HyokError, Malformed, Refused, Tampered, Unavailable
from hyok.policy.decision import Decision, Question
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.audit.port import Journal
    from hyok.custody.failing_tokens import FailingTokens
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.keyring import IK
    from hyok.custody.watch import HsmWatch
    from hyok.hsm.port import Hsm
    from hyok.policy.classifications import Classification, Classifications
    from hyok.policy.decision import Engine, StoreFacts
    from hyok.vocabulary import Ask, Bucket, ObjectRef

TENANT_CLASSIFICATION = "tenant"
"""The KEK of a tenant's own identifiers; it wraps no object."""

DIRECT_SCOPE = "object"

CHANGES = (":delete", ":create", ":put", ":abort")
"""Ends of the actions that leave something changed: their intent is recorded before they happen."""

NAMES_REMEMBERED_MS = 300_000


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new object's key and its envelope."""

    data_key: DataKey
    envelope: bytes
    object_id: bytes
    kek_id: str


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
    ) -> None:
        self._classifications = classifications
        self._engine = engine
        self._store_facts = store_facts
        self._zone = zone
        self._journal = journal
        self._hsm = hsm
        self._tokens = tokens
        self._watch = watch
        self._keks = keks
        self._keyring = keyring
        self._entropy = entropy
        self._clock_ms = clock_ms
        self._embedded: SecretCache[tuple[bytes, bytes]] = SecretCache(clock_ms, lambda _v: None)
        self._read_secrets: SecretCache[bytes] = SecretCache(clock_ms, lambda _v: None)
        self._names: SecretCache[NameKey] = SecretCache(clock_ms, lambda _v: None)
        self._tenant_keys: SecretCache[bytes] = SecretCache(clock_ms, lambda _v: None)

    # -- decisions and records --------------------------------------------------------------------

    async def decide(self, ask: Ask) -> Decision:
        """Decide about an act that uses no key; record a refusal, and the intent of a change.

        Raises:
            Refused: policy says no (reason ``AccessDenied``).
            Unavailable: the log does not confirm, so nothing may be changed.
        """
        classification = ask.classification or _default_class(ask)
        decision = await self._decide(ask, classification, b"", "")
        if ask.action.endswith(CHANGES):
            await self._record(
                ask,
                "intend",
                "pending",
                classification,
                reasons=decision.reasons,
                durable=self._is_write_ahead(classification),
            )
        return decision

    def _is_write_ahead(self, classification: str) -> bool:
        known = classification in self._classifications.names()
        return not known or self._classifications.get(classification).audit.mode == "write-ahead"

    async def _decide(
        self, ask: Ask, classification: str, object_id: bytes, key_name: str
    ) -> Decision:
        rule = self._classifications.get(classification) if classification else None
        store = ask.bucket.store if ask.bucket is not None else ""
        question = Question(
            principal=ask.principal,
            action=ask.action,
            bucket_id=ask.bucket.bucket_id if ask.bucket is not None else "",
            tenant=ask.bucket.tenant if ask.bucket is not None else ask.principal.tenant,
            classification=classification,
            level=rule.level if rule is not None else 0,
            store_facts=self._store_facts.get(store),
            purpose=ask.principal.purpose,
            zone=self._zone,
        )
        decision = self._engine.decide(question)
        if not decision.allowed:
            await self._record(
                ask,
                "conclude",
                "denied",
                classification,
                object_id=object_id,
                kek_id=key_name,
                reasons=decision.reasons,
                durable=True,
            )
            raise Refused(
                "Access Denied: " + (", ".join(decision.reasons) or "no rule permits this"),
                reason="AccessDenied",
            )
        return decision

    async def _record(
        self,
        ask: Ask,
        phase: str,
        outcome: str,
        classification: str,
        *,
        durable: bool,
        object_id: bytes = b"",
        kek_id: str = "",
        scope: str = "",
        reasons: tuple[str, ...] = (),
        error: str = "",
        size_bytes: int | None = None,
    ) -> None:
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase=phase,
                action=ask.action,
                outcome=outcome,
                actor=ask.principal.id,
                tenant=ask.bucket.tenant if ask.bucket is not None else ask.principal.tenant,
                origin=ask.origin,
                request_id=ask.request_id,
                trace_id=ask.trace_id,
                session=ask.principal.session,
                object_id=object_id.hex() or await self._opaque(ask),
                bucket_id=ask.bucket.bucket_id if ask.bucket is not None else "",
                classification=classification,
                kek_id=kek_id,
                scope=scope,
                reasons=reasons,
                error=error,
                size_bytes=size_bytes,
            ),
            durable=durable,
        )

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
        classification = ask.classification or _default_class(ask)
        if kek_id and ask.classification is None:
            kek = await self._keks.find(kek_id)
            classification = kek.classification if kek is not None else classification
        await self._record(
            ask,
            "conclude",
            outcome,
            classification,
            object_id=object_id,
            kek_id=kek_id,
            size_bytes=size_bytes,
            error=error,
            durable=self._is_write_ahead(classification),
        )

    # -- keys of objects --------------------------------------------------------------------------

    async def issue(
        self,
        ask: Ask,
        *,
        plain_size: int | None,
        multipart: bool,
        metadata: Metadata,
        part_header: bytes,
    ) -> IssuedKey:
        """Make the key and the envelope of a new object.

        Raises:
            Refused: policy says no.
            Malformed: the metadata does not fit (reason ``MetadataTooLarge``).
            Unavailable: HSM, database or log do not answer; nothing was issued.
        """
        assert ask.bucket is not None
        assert ask.classification is not None
        rule = self._classifications.get(ask.classification)
        decision = await self._decide(ask, ask.classification, b"", "")
        object_id = self._entropy(16)
        scope = await self._scope(ask, rule)
        await self._record(
            ask,
            "intend",
            "pending",
            ask.classification,
            object_id=object_id,
            scope=scope,
            reasons=decision.reasons,
            durable=rule.audit.mode == "write-ahead",
        )
        try:
            wrap = await self._wrap(ask, rule, scope)
            data_key = DataKey(self._entropy(32))
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
                wrap_salt=self._entropy(32),
                kek_id=wrap.kek_id,
                scope=scope,
                token=wrap.token,
                metadata_block=seal_metadata(
                    render(metadata), data_key, self._entropy(16), object_id
                ),
                part_header=part_header,
            )
        except HyokError as error:
            await self._failed(ask, ask.classification, object_id, error)
            raise
        return IssuedKey(data_key, envelope, object_id, wrap.kek_id)

    async def _failed(
        self, ask: Ask, classification: str, object_id: bytes, error: HyokError, kek_name: str = ""
    ) -> None:
        """Record a failure.  The failure itself is what the caller must see."""
        try:
            await self._record(
                ask,
                "conclude",
                "denied" if isinstance(error, Refused) else "failed",
                classification,
                object_id=object_id,
                kek_id=kek_name,
                error=f"{type(error).__name__}:{error.code or error.reason}",
                durable=isinstance(error, (Refused, Tampered)),
            )
        except Unavailable:
            return

    async def _scope(self, ask: Ask, rule: Classification) -> str:
        assert ask.bucket is not None
        if rule.keys.mode == "direct":
            return DIRECT_SCOPE
        if rule.keys.scope == "subject" and ask.scope_label:
            return await self.subject_scope(ask.bucket.tenant, ask.scope_label)
        return f"bucket:{ask.bucket.bucket_id}"

    async def _wrap(self, ask: Ask, rule: Classification, scope: str) -> _Wrap:
        assert ask.bucket is not None
        assert ask.classification is not None
        tenant = ask.bucket.tenant
        if rule.keys.mode == "keyring":
            self._check_reachable(rule)
            ik = await self._keyring.current(
                ask.bucket,
                tenant,
                ask.classification,
                scope,
                _lifetime(rule),
                mirrored=not rule.keys.shreddable,
            )
            return _Wrap(Mode.KEYRING, ik.profile, ik.kek_id, ik.ik_id, bytes(ik.secret))
        kek = await self._keks.active(tenant, ask.classification)
        check_use(kek.state, Use.WRAP)
        profile = Profile(kek.spec.profile)
        if rule.keys.mode == "direct":
            token, secret = await self._hsm.new_token(kek.spec, scope)
            return _Wrap(Mode.DIRECT, profile, kek.kek_id, token, secret)
        self._check_reachable(rule)
        token, secret = await self._embedded.get(
            (kek.kek_id, scope),
            _lifetime(rule).write_ms,
            lambda: self._hsm.new_token(kek.spec, scope),
        )
        return _Wrap(Mode.EMBEDDED, profile, kek.kek_id, token, secret)

    def _check_reachable(self, rule: Classification) -> None:
        """Keys in memory serve without the HSM only where the classification says so."""
        if rule.keys.on_hsm_loss == "fail" and not self._watch.reachable:
            raise Unavailable(
                "The HSM does not answer.",
                reason="ServiceUnavailable",
                code="HY-2101",
                effect="No data was changed; requests that need a key get 503.",
                next_step="hyok doctor",
            )

    async def recover(self, ask: Ask, envelope: bytes) -> RecoveredKey:
        """Open the key of a stored object.

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
            kek = await self._kek_named(ask, found)
        except HyokError as error:
            await self._failed(ask, _default_class(ask), object_id, error)
            raise
        await self._begin(ask, kek, found)
        try:
            if found.mode is Mode.KEYRING:
                kek, secret = await self._keyring_secret(ask, found)
            else:
                secret = await self._secret(ask.ref.bucket_id, kek, found)
            return self._opened(ask, found, secret, kek)
        except HyokError as error:
            await self._failed(ask, kek.classification, object_id, error, kek.kek_id)
            raise

    async def _kek_named(self, ask: Ask, found: Envelope) -> Kek:
        """Return the KEK that an envelope names, if it may serve this object (format.md §7)."""
        assert ask.bucket is not None
        check_scope(found.scope, ask.bucket.bucket_id)
        if (found.scope == DIRECT_SCOPE) is not (found.mode is Mode.DIRECT):
            raise Tampered("the envelope's scope does not fit its mode")
        kek = await self._keks.find(found.kek_id)
        if kek is None or kek.tenant != ask.bucket.tenant:
            raise Refused("The object's key is not one of ours.", reason="AccessDenied")
        # In mode keyring the record decides, and it may have been rewritten under another profile.
        if found.mode is not Mode.KEYRING and kek.spec.profile != found.profile:
            raise Tampered("the envelope names another profile than its key has")
        _Judged(ask, self._classifications).rule_of(kek, found.mode)
        return kek

    async def _keyring_secret(self, ask: Ask, found: Envelope) -> tuple[Kek, bytes]:
        """Return the IK and the KEK of its record, which was judged like the envelope's."""
        assert ask.bucket is not None
        named: list[Kek] = []

        def judge(kek: Kek) -> int:
            rule = _Judged(ask, self._classifications).rule_of(kek, Mode.KEYRING)
            check_use(kek.state, Use.UNWRAP)
            self._check_reachable(rule)
            named[:] = [kek]
            return _lifetime(rule).read_ms

        ik = await self._keyring.recover(
            found.token, ask.bucket.tenant, found.scope, ask.bucket, judge
        )
        return named[0], bytes(ik.secret)

    async def _begin(self, ask: Ask, kek: Kek, found: Envelope) -> None:
        """Decide with the classification of the envelope, and record the intent."""
        decision = await self._decide(ask, kek.classification, found.object_id, kek.kek_id)
        rule = self._classifications.get(kek.classification)
        await self._record(
            ask,
            "intend",
            "pending",
            kek.classification,
            object_id=found.object_id,
            kek_id=kek.kek_id,
            scope=found.scope,
            reasons=decision.reasons,
            durable=rule.audit.mode == "write-ahead",
        )

    async def _secret(self, bucket_id: str, kek: Kek, found: Envelope) -> bytes:
        check_use(kek.state, Use.UNWRAP)
        rule = self._classifications.get(kek.classification)
        ttl_ms = 0 if found.mode is Mode.DIRECT else _lifetime(rule).read_ms
        if ttl_ms:
            self._check_reachable(rule)
        return await self._read_secrets.get(
            (found.profile, found.kek_id, found.scope, found.token),
            ttl_ms,
            lambda: self._tokens.secret(bucket_id, kek.spec, found.scope, found.token),
        )

    def _opened(self, ask: Ask, found: Envelope, secret: bytes, kek: Kek) -> RecoveredKey:
        data_key = open_envelope(found, secret, _context(ask))
        try:
            metadata = open_metadata(found.metadata_block, data_key, found.object_id)
        except Tampered:
            data_key.close()
            raise
        return RecoveredKey(data_key, found, metadata, ClassificationName(kek.classification))

    # -- names and identifiers --------------------------------------------------------------------

    async def names_key(self, bucket: Bucket) -> NameKey:
        """Return the key of a bucket's sealed names.

        Raises:
            Unavailable, NotFound: its record cannot be opened.
        """
        rule = self._classifications.get(bucket.classification)
        if rule.keys.read_cache_ms:
            self._check_reachable(rule)

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

        return await self._tenant_keys.get(tenant, NAMES_REMEMBERED_MS, fetch)

    async def mirror_tenant_key(self, bucket: Bucket) -> None:
        """Keep the record of the tenant's own key in a bucket: subjects keep their ids with it."""
        with suppress(Unavailable):  # a tenant without such a key has no subjects
            await self._keyring.create_fixed(
                bucket, bucket.tenant, TENANT_CLASSIFICATION, f"tenant:{bucket.tenant}"
            )

    async def subject_scope(self, tenant: str, value: str) -> str:
        """Return ``subject:<32 hex digits>`` of a case or person: no number in clear (design 6)."""
        key = hkdf(await self._tenant_key(tenant), b"", b"hyok subject id")
        return "subject:" + hmac.digest(key, value.encode(), "sha256")[:16].hex()

    async def opaque_id(self, ref: ObjectRef) -> str:
        """Return a stable id of an object's name for the log, which no one can guess names by."""
        key = hkdf(await self._tenant_key(ref.tenant), b"", b"hyok opaque id")
        context = object_context(ref.tenant, ref.bucket_id, ref.key)
        return "name:" + hmac.digest(key, context, "sha256")[:16].hex()

    async def _opaque(self, ask: Ask) -> str:
        """The id of an act that knows no object_id; empty where the key for it is out of reach."""
        if ask.bucket is None or not ask.key:
            return ""
        if not self._watch.reachable and self._tenant_keys.peek(ask.bucket.tenant) is None:
            return ""
        try:
            return await self.opaque_id(ask.ref)
        except HyokError:
            return ""

    def sweep(self) -> None:
        """Drop keys past their time; called every second or so."""
        self._keyring.sweep()
        for cache in (self._embedded, self._read_secrets, self._names, self._tenant_keys):
            cache.sweep()


@dataclass(frozen=True, slots=True)
class _Wrap:
    mode: Mode
    profile: Profile
    kek_id: str
    token: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class _Judged:
    """Checks of format.md §7 that come before any key is asked for."""

    ask: Ask
    classifications: Classifications

    def rule_of(self, kek: Kek, mode: Mode) -> Classification:
        """Return the rule of the KEK's classification, if it may stand in this bucket.

        Raises:
            Refused: it may not, or objects of it are not kept in this mode.
        """
        bucket = self.ask.bucket
        assert bucket is not None
        if kek.tenant != bucket.tenant:
            raise Refused("The object's key is not one of ours.", reason="AccessDenied")
        if kek.classification not in bucket.allowed:
            raise Refused(
                "The object's classification is not allowed in this bucket.",
                reason="AccessDenied",
                code="HY-2305",
            )
        rule = self.classifications.get(kek.classification)
        if rule.keys.mode != mode.name.lower():
            raise Refused(
                "Objects of this classification do not keep their keys this way.",
                reason="AccessDenied",
                code="HY-2306",
            )
        return rule


def _parsed(raw: bytes) -> Envelope:
    try:
        return parse(raw)
    except Malformed as error:
        raise Tampered(f"the stored envelope breaks a rule: {error}") from error


def _context(ask: Ask) -> bytes:
    ref = ask.ref
    return object_context(ref.tenant, ref.bucket_id, ref.key)


def _names_scope(bucket: Bucket) -> str:
    return f"names:{bucket.bucket_id}"


def _default_class(ask: Ask) -> str:
    return ask.bucket.classification if ask.bucket is not None else ""


def _lifetime(rule: Classification) -> Lifetime:
    return Lifetime(
        write_ms=rule.keys.write_ttl_ms,
        writes_max=1 << 20,
        read_ms=rule.keys.read_cache_ms,
    )
