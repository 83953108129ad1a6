"""What rules may read of a question: its shape, and the facts in its context.  Pure.

Source: policies/schema.cedarschema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.policy.decision import Question

Fact = str | int | bool | list[str]

_FACTS: Mapping[str, type] = {
    "tenant": str,
    "clearance": int,
    "grants": list,  # of texts
    "within": bool,
    "classification": str,
    "level": int,
    "purpose": str,
    "zone": str,
    "public": bool,
    "approved": bool,
    "breakGlass": bool,
}
_DOOR_FACTS: Mapping[str, type] = {
    **_FACTS,
    "door": str,
    "operation": str,
    "caller": str,
    "via": str,
    "resource": str,
}
_ENTITY_TYPES = {"app": "App", "anonymous": "Anonymous"}

BUCKET = "Bucket"
DOOR_KEY = "DoorKey"


class Shape(NamedTuple):
    """What of a question the scope of a rule is held against."""

    principal: str  # its type
    action: str
    resource: str  # its type


def shape_of(question: Question) -> Shape:
    """Return the shape of a question."""
    return Shape(
        principal=_ENTITY_TYPES.get(question.principal.kind, "Officer"),
        action=question.action,
        resource=BUCKET if question.use is None else DOOR_KEY,
    )


def facts_of(question: Question) -> Mapping[str, Fact]:
    """Return the facts of a question; which ones there are follows from its shape."""
    principal, use = question.principal, question.use
    facts: dict[str, Fact] = {
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
    }
    if use is not None:
        facts["door"] = use.door
        facts["operation"] = use.operation
        facts["caller"] = use.caller
        facts["via"] = use.via
        facts["resource"] = use.resource
    return facts


def blank_facts(shape: Shape) -> Mapping[str, Fact]:
    """Return facts of the names and types that every question of this shape has."""
    return {name: [""] if kind is list else kind() for name, kind in _kinds(shape).items()}


def are_as_told(facts: Mapping[str, Fact], shape: Shape) -> bool:
    """Are they of the names and types that `blank_facts` has?"""
    kinds = _kinds(shape)
    if facts.keys() != kinds.keys():
        return False
    for name, kind in kinds.items():
        value = facts[name]
        if type(value) is kind:
            if kind is list and not all(isinstance(one, str) for one in value):  # type: ignore[union-attr]
                return False
        elif kind is not str or not isinstance(value, str):
            return False
    return True


def _kinds(shape: Shape) -> Mapping[str, type]:
    return _FACTS if shape.resource == BUCKET else _DOOR_FACTS
