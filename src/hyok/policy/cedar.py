"""CedarEngine: decisions by Cedar rules, behind guardrails made from the classifications.

Cedar skips a rule that errors, so a `forbid` that errors would let something pass: rules that do
not validate against the schema are not loaded, and any error while deciding is a no.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import cedarpy

from hyok.errors import Malformed
from hyok.policy.decision import Decision

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
WRITES = frozenset({"object:put", "object:seal", "object:lower", "bucket:create", "bucket:adopt"})
"""What brings bytes to a store, or promises to.

Not `object:rewrap` and `object:reseal`: the bytes stand there already, and to leave them under a
compromised key where a store has become illegal would be worse.
"""

GUARDRAIL = "guardrail-"
"""How the ids of our own guardrails begin.  A rule of such a name cannot be lifted."""

LIFTABLE = frozenset({"guardrail-jurisdiction", "guardrail-control"})
"""Guardrails that an exception can lift.  No other can be."""

_NOTHING = "[]"
_ENTITY_TYPES = {"app": "App", "anonymous": "Anonymous"}


class CedarEngine:
    """The rules of one bundle, parsed once."""

    def __init__(
        self, policies_text: str, schema_text: str, classifications: Classifications
    ) -> None:
        try:
            self._schema = cedarpy.Schema.from_str(schema_text)
            self._policies = cedarpy.PolicySet.from_str(policies_text)
            checked = cedarpy.validate_policies(policies_text, self._schema)
        except ValueError as error:
            raise Malformed(f"the policy rules cannot be read: {error}", code="HY-1101") from error
        if not checked.validation_passed:
            said = "; ".join(str(problem.error) for problem in checked.errors)
            raise Malformed(f"the policy rules do not fit the schema: {said}", code="HY-1101")
        ruled = json.loads(cedarpy.policies_to_json_str(policies_text))["staticPolicies"]
        self._document = ruled
        self._ids = {
            name: rule.get("annotations", {}).get("id", name) for name, rule in ruled.items()
        }
        named = Counter(self._ids.values())
        self.forbids = frozenset(
            self._ids[name]
            for name, rule in ruled.items()
            if rule["effect"] == "forbid"
            and "id" in rule.get("annotations", {})
            and named[self._ids[name]] == 1
            and not self._ids[name].startswith(GUARDRAIL)
        )
        self._without: dict[frozenset[str], cedarpy.PolicySet] = {}
        self._entities = cedarpy.Entities.from_json_str(_NOTHING)
        self._classifications = classifications

    def decide(self, question: Question, lifted: frozenset[str] = frozenset()) -> Decision:
        """Return the decision; the guardrails come first and no rule can undo them.

        ``lifted``: guardrails of stores, and rules of `forbids`, that do not hold this time.
        """
        barred = self._guardrail(question, lifted)
        if barred:
            return Decision(allowed=False, reasons=(barred,))
        answer = cedarpy.is_authorized(
            _request(question), self._rules(lifted & self.forbids), self._entities, self._schema
        )
        if answer.diagnostics.errors:
            return Decision(allowed=False, reasons=("guardrail-error",))
        reasons = tuple(sorted(self._ids.get(name, name) for name in answer.diagnostics.reasons))
        return Decision(allowed=bool(answer.allowed), reasons=reasons)

    def _rules(self, lifted: frozenset[str]) -> cedarpy.PolicySet:
        """Return the rules without some of their forbids."""
        if not lifted:
            return self._policies
        if lifted not in self._without:
            rest = {n: rule for n, rule in self._document.items() if self._ids[n] not in lifted}
            document = {"templates": {}, "staticPolicies": rest, "templateLinks": []}
            self._without[lifted] = cedarpy.PolicySet.from_json_str(json.dumps(document))
        return self._without[lifted]

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


def _request(question: Question) -> dict[str, object]:
    principal, use = question.principal, question.use
    resource = {"type": "Bucket", "id": question.bucket_id}
    told: dict[str, object] = {}
    if use is not None:
        resource = {"type": "DoorKey", "id": use.key}
        told = {
            "door": use.door,
            "operation": use.operation,
            "caller": use.caller,
            "via": use.via,
            "resource": use.resource,
        }
    return {
        "principal": {"type": _ENTITY_TYPES.get(principal.kind, "Officer"), "id": principal.id},
        "action": {"type": "Action", "id": question.action},
        "resource": resource,
        "context": {
            **told,
            "tenant": question.tenant,
            "clearance": principal.clearance,
            "grants": sorted(principal.grants),
            "within": not principal.buckets
            or not question.bucket_id
            or question.bucket_id in principal.buckets,
            "classification": question.classification,
            "level": question.level,
            "purpose": question.purpose,
            "zone": question.zone,
            "public": question.public,
            "approved": question.approved,
            "breakGlass": question.break_glass,
        },
    }
