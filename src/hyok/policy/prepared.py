"""PreparedRules: the rules of a bundle, read once and made ready for each shape of question.

Of a shape's questions nothing differs that the schema looks at, when their facts are of the types
they should be; so the schema is held against a shape once, and not against each question.

Source: docs/adr/0038-a-decision-asks-only-the-rules-that-can-apply.md.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import cedarpy

from hyok.errors import Malformed
from hyok.policy.facts import are_as_told, blank_facts
from hyok.policy.selection import facts_read, groups_of, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hyok.policy.facts import Fact, Shape
    from hyok.policy.selection import Rule

GUARDRAIL = "guardrail-"
"""How the ids of our own guardrails begin.  A rule of such a name cannot be lifted."""

KEPT_MAX = 1_000
"""Shapes, with what is lifted, that are kept ready."""

_NOTHING = "[]"


class Answer(NamedTuple):
    """What Cedar says: ``rules`` are those that decided, by their ids."""

    allowed: bool
    rules: tuple[str, ...]
    errors: tuple[str, ...]


class _Ready(NamedTuple):
    rules: cedarpy.PolicySet
    reads: tuple[str, ...]


class PreparedRules:
    """The rules of one bundle."""

    def __init__(self, policies_text: str, schema_text: str) -> None:
        try:
            self._schema = cedarpy.Schema.from_str(schema_text)
            self._all = cedarpy.PolicySet.from_str(policies_text)
            checked = cedarpy.validate_policies(policies_text, self._schema)
            document = json.loads(cedarpy.policies_to_json_str(policies_text))
        except (ValueError, RecursionError) as error:
            raise Malformed(f"the policy rules cannot be read: {error}", code="HY-1101") from error
        if not checked.validation_passed:
            said = "; ".join(str(problem.error) for problem in checked.errors)
            raise Malformed(f"the policy rules do not fit the schema: {said}", code="HY-1101")
        self._rules: dict[str, Rule] = document["staticPolicies"]
        self._ids = {
            name: rule.get("annotations", {}).get("id", name) for name, rule in self._rules.items()
        }
        self.forbids = frozenset(self._liftable())
        # With the schema's groups of actions: without them a rule for a group would never apply.
        self._entities = cedarpy.Entities.from_json_str(_NOTHING, self._schema)
        self._groups = groups_of(json.loads(str(self._entities)))
        self._ready: dict[tuple[Shape, frozenset[str]], _Ready | None] = {}

    def ask(
        self,
        shape: Shape,
        principal_id: str,
        resource_id: str,
        facts: Mapping[str, Fact],
        lifted: frozenset[str] = frozenset(),
    ) -> Answer:
        """Return what the rules say, without the ``lifted`` ones of `forbids`."""
        ready = self._prepare(shape, lifted & self.forbids)
        if ready is None or not are_as_told(facts, shape):
            return self.ask_all(shape, principal_id, resource_id, facts)
        told = {name: facts[name] for name in ready.reads if name in facts}
        asked = _request(shape, principal_id, resource_id, told)
        return self._answer(cedarpy.is_authorized(asked, ready.rules, self._entities))

    def ask_all(
        self, shape: Shape, principal_id: str, resource_id: str, facts: Mapping[str, Fact]
    ) -> Answer:
        """Return what all rules say of all facts, held against the schema; nothing is lifted."""
        asked = _request(shape, principal_id, resource_id, facts)
        return self._answer(cedarpy.is_authorized(asked, self._all, self._entities, self._schema))

    def read_by(self, shape: Shape) -> frozenset[str] | None:
        """Return the facts that rules read of questions of a shape; None: all are told."""
        ready = self._prepare(shape, frozenset())
        return None if ready is None else frozenset(ready.reads)

    def _liftable(self) -> Iterable[str]:
        named = Counter(self._ids.values())
        for name, rule in self._rules.items():
            own = "id" in rule.get("annotations", {}) and named[self._ids[name]] == 1
            if rule["effect"] == "forbid" and own and not self._ids[name].startswith(GUARDRAIL):
                yield self._ids[name]

    def _prepare(self, shape: Shape, lifted: frozenset[str]) -> _Ready | None:
        """Return the rules that can apply; None: all are to be asked, with the schema."""
        wanted = (shape, lifted)
        if wanted not in self._ready:
            if len(self._ready) >= KEPT_MAX:
                self._ready.clear()
            self._ready[wanted] = self._make(shape, lifted)
        return self._ready[wanted]

    def _make(self, shape: Shape, lifted: frozenset[str]) -> _Ready | None:
        if shape.action not in self._groups or not self._fits(shape):
            return None
        rest = {name: rule for name, rule in self._rules.items() if self._ids[name] not in lifted}
        chosen = select(rest, shape, self._groups[shape.action])
        document = {"templates": {}, "staticPolicies": chosen, "templateLinks": []}
        try:
            rules = cedarpy.PolicySet.from_json_str(json.dumps(document))
        except (ValueError, RecursionError):
            return None  # Cedar reads deeper nesting as text than as JSON
        reads = facts_read(chosen.values())
        return _Ready(rules, tuple(sorted(blank_facts(shape) if reads is None else reads)))

    def _fits(self, shape: Shape) -> bool:
        """Does the schema take questions of this shape?"""
        asked = _request(shape, "", "", blank_facts(shape))
        nothing = cedarpy.PolicySet.from_str("")
        said = cedarpy.is_authorized(asked, nothing, self._entities, self._schema)
        return not said.diagnostics.errors

    def _answer(self, said: cedarpy.AuthzResult) -> Answer:
        found = said.diagnostics
        return Answer(
            bool(said.allowed),
            tuple(sorted(self._ids.get(name, name) for name in found.reasons)),
            tuple(found.errors),
        )


def _request(
    shape: Shape, principal_id: str, resource_id: str, facts: Mapping[str, Fact]
) -> dict[str, object]:
    return {
        "principal": {"type": shape.principal, "id": principal_id},
        "action": {"type": "Action", "id": shape.action},
        "resource": {"type": shape.resource, "id": resource_id},
        "context": json.dumps(facts),
    }
