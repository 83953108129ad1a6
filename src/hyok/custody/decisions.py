"""Decisions: may this be done?  And the record of what was decided and of what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

from hyok.audit.record import AuditRecord
from hyok.custody.freezes import refusal
from hyok.errors import HyokError, Refused, Tampered, Unavailable
from hyok.policy.decision import Decision, Question

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.audit.port import Journal
    from hyok.custody.freezes import Freeze, Freezes
    from hyok.custody.keks import KekCatalog
    from hyok.policy.classifications import Classifications
    from hyok.policy.decision import Engine, StoreFacts
    from hyok.policy.shadow import ShadowNotes
    from hyok.vocabulary import Ask, DataSubject

CHANGES = (
    ":delete",
    ":create",
    ":put",
    ":abort",
    ":configure",
    ":publish",
    ":lower",
    ":lock",
    ":bypass-governance",
    ":adopt",
    ":destroy",
    ":shred",
    ":expire",
)
"""Ends of the actions that leave something changed: their intent is recorded before they happen."""


_READS = frozenset({"object:get", "object:head"})
"""Actions that a break-glass grant may cover."""


class Grants(Protocol):
    """Who may read what beyond their rights at this moment; filled by `custody.break_glass`."""

    async def covering(self, ask: Ask, level: int) -> str:
        """Return the id of a grant that covers this reading now, or nothing."""
        ...


class PolicyInForce(Protocol):
    """What officers put in force; filled by `custody.bundles`."""

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle that decides, hex: the log names it with each decision."""
        ...

    async def check_taken(self) -> None:
        """Return quietly if this process decides by it, or by the last good one before it.

        Raises:
            HyokError: it could not be taken yet, and there is none before it.
        """
        ...


class Decisions:
    """Asks the engine and writes the journal.

    ``opaque`` gives the id by which the log names an object whose object_id is not known, and
    ``seal_subject`` the text by which it names a person.  ``policy`` names the policies in force.
    ``every_decision``: also those that permit an act that changes nothing are on record.
    ``shadow`` notes what was decided, for a policy that is in shadow.
    """

    def __init__(
        self,
        *,
        classifications: Classifications,
        engine: Engine,
        store_facts: Mapping[str, StoreFacts],
        zone: str,
        journal: Journal,
        keks: KekCatalog,
        opaque: Callable[[Ask], Awaitable[str]],
        clock_ms: Callable[[], int],
        seal_subject: Callable[[str, DataSubject], Awaitable[str]],
        freezes: Freezes,
        policy: PolicyInForce,
        every_decision: bool = False,
        grants: Grants | None = None,
        shadow: ShadowNotes | None = None,
    ) -> None:
        self._seal_subject = seal_subject
        self._shadow = shadow
        self._policy = policy
        self._every_decision = every_decision
        self._freezes = freezes
        self._grants = grants
        self._classifications = classifications
        self._engine = engine
        self._store_facts = store_facts
        self._zone = zone
        self._journal = journal
        self._keks = keks
        self._opaque = opaque
        self._clock_ms = clock_ms

    async def decide(self, ask: Ask) -> Decision:
        """Decide about an act that uses no key; record a refusal, and the intent of a change.

        Raises:
            Refused: policy says no (reason ``AccessDenied``).
            Unavailable: the log does not confirm, so nothing may be changed.
        """
        classification = ask.classification or default_class(ask)
        decision = await self.permit(ask, classification, b"", "")
        changes = ask.action.endswith(CHANGES)
        if changes or self._every_decision:
            await self.record(
                ask,
                "intend",
                "pending" if changes else "allowed",
                classification,
                reasons=decision.reasons,
                decided="permit",
                durable=self.is_write_ahead(classification),
            )
        return decision

    def is_write_ahead(self, classification: str) -> bool:
        rule = self._classifications.find(classification)
        return rule is None or rule.audit.mode == "write-ahead"

    async def permit(
        self, ask: Ask, classification: str, object_id: bytes, key_name: str
    ) -> Decision:
        await self._policy.check_taken()
        freeze = await self._freezes.touching(ask)
        if freeze is not None:
            await self._refuse_frozen(freeze, ask, classification, object_id, key_name)
        level = self._classifications.get(classification).level if classification else 0
        bucket, principal = ask.bucket, ask.principal
        grant = ""
        if self._grants is not None and ask.action in _READS and principal.kind == "app":
            grant = await self._grants.covering(ask, level) if bucket is not None else ""
        question = Question(
            principal=principal,
            action=ask.action,
            bucket_id=bucket.bucket_id if bucket is not None else "",
            tenant=_tenant(ask),
            classification=classification,
            level=level,
            store_facts=self._store_facts.get(bucket.store) if bucket is not None else None,
            purpose=principal.purpose,
            zone=self._zone,
            public=bucket is not None and bucket.public,
            approved=bool(ask.approval),
            break_glass=bool(grant),
            use=ask.use,
        )
        decision = self._engine.decide(question)
        if self._shadow is not None and self._shadow.on:
            self._shadow.note(ask, question, decision, object_id)
        if not decision.allowed:
            await self.record(
                ask,
                "conclude",
                "denied",
                classification,
                object_id=object_id,
                kek_id=key_name,
                reasons=decision.reasons,
                decided="deny",
                durable=True,
            )
            raise Refused(
                "Access Denied: " + (", ".join(decision.reasons) or "no rule permits this"),
                reason="AccessDenied",
            )
        if grant or ask.approval:
            # On every record from here on: by whose word this was done.
            word = f"grant:{grant}" if grant else f"proposal:{ask.approval}"
            return Decision(decision.allowed, (*decision.reasons, word))
        return decision

    async def _refuse_frozen(
        self, freeze: Freeze, ask: Ask, classification: str, object_id: bytes, key_name: str
    ) -> NoReturn:
        """Record the refusal.

        Raises:
            Refused: always (code HY-2315).
        """
        await self.record(
            ask,
            "conclude",
            "denied",
            classification,
            object_id=object_id,
            kek_id=key_name,
            reasons=(freeze.word,),
            decided="deny",
            durable=True,
        )
        raise refusal(freeze)

    async def record(
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
        decided: str = "",
        subject: str = "",
    ) -> None:
        concluded = phase == "conclude" and ask.principal.processing_activity
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase=phase,
                action=ask.action,
                outcome=outcome,
                actor=ask.principal.id,
                session=ask.principal.session,
                tenant=_tenant(ask),
                origin=ask.origin,
                request_id=ask.request_id,
                trace_id=ask.trace_id,
                object_id=object_id.hex() or await self._opaque(ask),
                bucket_id=ask.bucket.bucket_id if ask.bucket is not None else "",
                classification=classification,
                kek_id=kek_id,
                scope=scope,
                reasons=reasons if ask.use is None else (*reasons, *ask.use.words),
                error=error,
                size_bytes=size_bytes,
                parent_span_id=ask.parent_span_id,
                began_ms=ask.at_ms if concluded else None,
                decided=decided,
                actor_kind=ask.principal.kind if decided else "",
                policy=self._policy.digest if decided else "",
                activity=ask.principal.processing_activity if concluded else "",
                subject=subject,
                subject_kind=ask.subject.kind if subject and ask.subject is not None else "",
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
        classification = ask.classification or default_class(ask)
        if kek_id and ask.classification is None:
            kek = await self._keks.find(kek_id)
            classification = kek.classification if kek is not None else classification
        subject = ""
        if ask.subject is not None and ask.principal.processing_activity:
            subject = await self._seal_subject(_tenant(ask), ask.subject)
        await self.record(
            ask,
            "conclude",
            outcome,
            classification,
            object_id=object_id,
            kek_id=kek_id,
            size_bytes=size_bytes,
            error=error,
            subject=subject,
            durable=self.is_write_ahead(classification),
        )

    async def failed(
        self, ask: Ask, classification: str, object_id: bytes, error: HyokError, kek_name: str = ""
    ) -> None:
        """Record a failure.  The failure itself is what the caller must see."""
        try:
            await self.record(
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


def _tenant(ask: Ask) -> str:
    if ask.use is not None:
        return ask.use.tenant
    return ask.bucket.tenant if ask.bucket is not None else ask.principal.tenant


def default_class(ask: Ask) -> str:
    """Return the classification of an act whose object's is not known: the bucket's."""
    return ask.bucket.classification if ask.bucket is not None else ""
