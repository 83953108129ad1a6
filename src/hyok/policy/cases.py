"""Cases: decisions that a policy must come to, each with the reason why it matters.

Source: docs/policies.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyok.errors import Malformed, NotFound
from hyok.policy.decision import Question, StoreFacts
from hyok.policy.yaml_text import YAMLError, parse_yaml
from hyok.vocabulary import KeyUse, Principal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.policy.classifications import Classifications
    from hyok.policy.decision import Engine

_FIELDS = frozenset(
    {
        *("why", "action", "answer", "rule", "app", "classification", "bucket", "tenant"),
        *("store", "zone", "public", "approved", "break-glass", "use"),
    }
)
_APP_FIELDS = frozenset({"id", "tenant", "kind", "clearance", "purpose", "buckets", "grants"})
_USE_FIELDS = frozenset({"door", "key", "tenant", "operation", "caller", "via", "resource"})
_STORE_FIELDS = frozenset({"jurisdiction", "control", "use-case"})


@dataclass(frozen=True, slots=True)
class Case:
    """One question, the answer it must get, and by which rule (empty: any)."""

    why: str
    question: Question
    allowed: bool
    rule: str = ""

    def failure(self, engine: Engine) -> str:
        """Return what is wrong with the engine's answer, or nothing."""
        found = engine.decide(self.question)
        word = "permit" if found.allowed else "forbid"
        by = ", ".join(found.reasons) or "no rule"
        if found.allowed is not self.allowed:
            return f"{self.why}: {word} by {by}"
        if self.rule and self.rule not in found.reasons:
            return f"{self.why}: {word} by {by}, and not by {self.rule}"
        return ""


def parse_cases(name: str, text: str, classifications: Classifications) -> Sequence[Case]:
    """Return the cases of a YAML text.

    Raises:
        Malformed: it is none, or a case has a field that none has.
    """
    try:
        rows = parse_yaml(text)
    except YAMLError as error:
        raise Malformed(f"{name} is not YAML: {error}", code="HY-1101") from error
    if not isinstance(rows, list):
        raise Malformed(f"{name} is no list of cases", code="HY-1101")
    return [_case(name, row, classifications) for row in rows]


def _case(name: str, row: object, classifications: Classifications) -> Case:
    if not isinstance(row, dict):
        raise Malformed(f"{name}: a case is a mapping", code="HY-1101")
    why = str(row.get("why", row))
    app, store, use = row.get("app", {}), row.get("store", {}), row.get("use") or {}
    for fields, known in (
        (row, _FIELDS),
        (app, _APP_FIELDS),
        (store, _STORE_FIELDS),
        (use, _USE_FIELDS),
    ):
        if unknown := set(fields) - known:
            raise Malformed(f"{name}: {why}: no case has {sorted(unknown)[0]}", code="HY-1101")
    if row.get("answer") not in {"permit", "forbid"} or "action" not in row or "why" not in row:
        raise Malformed(f"{name}: {why}: why, action and answer are wanted", code="HY-1101")
    try:
        question = _question(row, app, store, classifications)
    except (NotFound, TypeError) as error:
        raise Malformed(f"{name}: {why}: {error}", code="HY-1101") from error
    return Case(why, question, row["answer"] == "permit", str(row.get("rule", "")))


def _question(
    row: Mapping[str, Any],
    app: Mapping[str, Any],
    store: Mapping[str, Any],
    classifications: Classifications,
) -> Question:
    principal = Principal(
        id=app.get("id", "zaaksysteem"),
        tenant=app.get("tenant", "gemeente"),
        kind=app.get("kind", "app"),
        clearance=classifications.level(app.get("clearance", "geheim")),
        purpose=app.get("purpose", "zaakafhandeling"),
        buckets=frozenset(app.get("buckets", [])),
        grants=frozenset(app.get("grants", ["read", "write", "delete", "list"])),
    )
    classification = row.get("classification", "intern")
    use = _use(row["use"], row.get("tenant", "gemeente")) if "use" in row else None
    return Question(
        principal=principal,
        action=row["action"],
        bucket_id="" if use is not None else row.get("bucket", "dossiers"),
        tenant=row.get("tenant", "gemeente"),
        classification=classification,
        level=classifications.level(classification),
        store_facts=None
        if use is not None
        else StoreFacts(
            store.get("jurisdiction", "NL"),
            store.get("control", "NL"),
            store.get("use-case", "UC1"),
        ),
        purpose=principal.purpose,
        zone=row.get("zone", "municipality"),
        public=row.get("public", False),
        approved=row.get("approved", False),
        break_glass=row.get("break-glass", False),
        use=use,
    )


def _use(told: Mapping[str, Any], tenant: str) -> KeyUse:
    return KeyUse(
        door=told.get("door", "xks"),
        tenant=told.get("tenant", tenant),
        name=told.get("key", "kms"),
        operation=told.get("operation", "Decrypt"),
        caller=told.get("caller", "arn:aws:iam::123456789012:role/app"),
        via=told.get("via", ""),
        resource=told.get("resource", ""),
    )
