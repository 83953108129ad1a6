"""Which rules can apply to a question, by their scope alone, and which facts they read.  Pure.

Cedar evaluates a rule as its scope and then its conditions.  So a rule whose scope does not hold
neither applies nor errs, and a scope that holds is the same as one without bounds.  What is not
known for certain here is left to Cedar.

Source: https://docs.cedarpolicy.com/policies/json-format.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hyok.policy.facts import Shape

Rule = dict[str, Any]
"""A rule, or a part of one, in Cedar's JSON format."""

_ACTION = "Action"
_ALL: Rule = {"op": "All"}
_CONTEXT = {"Var": "context"}
_READING = frozenset({".", "has"})


def groups_of(entities: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """Return each action with all groups that it is in, of entities in Cedar's JSON format."""
    return {
        entity["uid"]["id"]: frozenset(
            parent["id"] for parent in entity["parents"] if parent["type"] == _ACTION
        )
        for entity in entities
        if entity["uid"]["type"] == _ACTION
    }


def select(rules: Mapping[str, Rule], shape: Shape, groups: Collection[str]) -> Mapping[str, Rule]:
    """Return the rules that can apply, their scopes opened as far as they hold.

    Args:
        rules: by their names.
        shape: of the question.
        groups: of actions, that the question's action is in.
    """
    found = {}
    for name, rule in rules.items():
        principal = _of_type(rule["principal"], shape.principal)
        action = _of_action(rule["action"], shape.action, groups)
        resource = _of_type(rule["resource"], shape.resource)
        if principal is not None and action is not None and resource is not None:
            found[name] = {
                "effect": rule["effect"],
                "principal": principal,
                "action": action,
                "resource": resource,
                "conditions": rule["conditions"],
            }
    return found


def facts_read(rules: Iterable[Rule]) -> frozenset[str] | None:
    """Return the names of the facts that conditions read; None: they may read any."""
    names = set()
    waiting: list[Any] = [rule["conditions"] for rule in rules]
    while waiting:
        part = waiting.pop()
        if part == _CONTEXT:
            return None
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            for word, inner in part.items():
                name = _fact_read(word, inner)
                if name is None:
                    waiting.append(inner)
                else:
                    names.add(name)
    return frozenset(names)


def _fact_read(word: str, inner: object) -> str | None:
    """Return the fact that an expression reads; None: it does something else."""
    if word in _READING and isinstance(inner, dict) and inner.get("left") == _CONTEXT:
        name = inner.get("attr")
        return name if isinstance(name, str) and len(inner) == len(("left", "attr")) else None
    return None


def _of_type(scope: Rule, kind: str) -> Rule | None:
    """Return the scope as it is for entities of this type; None: it holds for none of them."""
    if scope["op"] == "is":
        if scope["entity_type"] != kind:
            return None
        return scope if "in" in scope else _ALL
    if scope["op"] == "==" and scope["entity"]["type"] != kind:
        return None
    return scope


def _of_action(scope: Rule, action: str, groups: Collection[str]) -> Rule | None:
    """Return the scope as it is for this action; None: it does not hold."""
    if scope["op"] == "==":
        listed, mine = [scope["entity"]], {action}
    elif scope["op"] == "in":
        listed = scope["entities"] if "entities" in scope else [scope["entity"]]
        mine = {action, *groups}
    else:
        return scope
    return _ALL if any(one["type"] == _ACTION and one["id"] in mine for one in listed) else None
