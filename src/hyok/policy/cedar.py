"""CedarEngine: decisions by Cedar rules, behind guardrails made from the classifications.

Cedar skips a rule that errors, so a `forbid` that errors would let something pass: rules that do
not validate against the schema are not loaded, and any error while deciding is a no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.policy.decision import Decision
from hyok.policy.facts import facts_of, shape_of
from hyok.policy.prepared import PreparedRules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.policy.classifications import Classification, Classifications
    from hyok.policy.decision import Question, StoreFacts

EEA = frozenset(
    {
        "EEA",
        "EU",
        "AT",
        "BE",
        "BG",
        "HR",
        "CY",
        "CZ",
        "DK",
        "EE",
        "FI",
        "FR",
        "DE",
        "GR",
        "HU",
        "IS",
        "IE",
        "IT",
        "LV",
        "LI",
        "LT",
        "LU",
        "MT",
        "NL",
        "NO",
        "PL",
        "PT",
        "RO",
        "SK",
        "SI",
        "ES",
        "SE",
    }
)
WRITES = frozenset(
    {
        *("object:put", "object:seal", "object:lower", "file:seal"),
        *("bucket:create", "bucket:adopt"),
    }
)
"""What brings bytes to a store, or promises to.  Of a file nobody knows where it goes: it is sealed
where an object of its bucket could be.

Not `object:rewrap` and `object:reseal`: the bytes stand there already, and to leave them under a
compromised key where a store has become illegal would be worse.
"""

LIFTABLE = frozenset({"guardrail-jurisdiction", "guardrail-control"})
"""Guardrails that an exception can lift.  No other can be."""


class CedarEngine:
    """The rules of one bundle, parsed once."""

    def __init__(
        self, policies_text: str, schema_text: str, classifications: Classifications
    ) -> None:
        self._rules = PreparedRules(policies_text, schema_text)
        self.forbids = self._rules.forbids
        self._classifications = classifications

    def decide(self, question: Question, lifted: frozenset[str] = frozenset()) -> Decision:
        """Return the decision; the guardrails come first and no rule can undo them.

        ``lifted``: guardrails of stores, and rules of `forbids`, that do not hold this time.
        """
        barred = self._guardrail(question, lifted)
        if barred:
            return Decision(allowed=False, reasons=(barred,))
        shape, use = shape_of(question), question.use
        answer = self._rules.ask(
            shape,
            question.principal.id,
            question.bucket_id if use is None else use.key,
            facts_of(question),
            lifted,
        )
        if answer.errors:
            return Decision(allowed=False, reasons=("guardrail-error",))
        return Decision(allowed=answer.allowed, reasons=answer.rules)

    def _guardrail(self, question: Question, lifted: frozenset[str]) -> str:
        """Return the guardrail that forbids this, or nothing."""
        if question.principal.tenant != question.tenant:
            return "guardrail-tenant"
        if not question.classification:
            return "guardrail-anonymous" if question.principal.kind == "anonymous" else ""
        rule = self._classifications.get(question.classification)
        if rule.denied:
            return "guardrail-denied-classification"
        if question.principal.kind == "anonymous" and rule.access.anonymous != "read":
            return "guardrail-anonymous"
        if (
            rule.access.purpose_required
            and question.principal.kind == "app"
            and not question.purpose
        ):
            return "guardrail-purpose"
        if question.action in {"bucket:expire", "object:expire"} and not rule.retention.by_rules:
            return "guardrail-retention"
        return _store_guardrail(rule, question, lifted)


def _store_guardrail(rule: Classification, question: Question, lifted: frozenset[str]) -> str:
    """Residency and supplier: decided for writes, before the first byte leaves."""
    if question.store_facts is None or question.action not in WRITES:
        return ""
    bars = store_bars(rule, question.store_facts, question.zone)
    return next((bar for bar in bars if bar not in lifted & LIFTABLE), "")


def store_bars(rule: Classification, facts: StoreFacts, zone: str) -> Iterator[str]:
    """Yield the guardrails that keep a classification out of a store."""
    wanted = rule.stores
    places = {facts.jurisdiction} | ({"EEA"} if facts.jurisdiction in EEA else set())
    if "any" not in wanted.jurisdiction and not places & set(wanted.jurisdiction):
        yield "guardrail-jurisdiction"
    controlled = {
        "any": True,
        "EU": facts.control in EEA,
        "NL": facts.control == "NL",
    }[wanted.control]
    if not controlled:
        yield "guardrail-control"
    if wanted.use_case == "UC1" and (facts.use_case != "UC1" or zone != "municipality"):
        yield "guardrail-use-case"
