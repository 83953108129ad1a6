"""Evidence: which measures of a norm the installation supports, by facts of its live state.  Pure.

A norm is a data file.  hyok *supports* measures; whether an organisation meets a norm others judge.

Source: docs/evidence.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from hyok.errors import Malformed
from hyok.policy.yaml_text import YAMLError, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Word = Literal["shown", "partly", "not shown"]
ASPECTS = {
    "designed": ("opzet", "designed"),
    "exists": ("bestaan", "exists"),
    "works": ("werking", "works"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at: ``result`` as a check says it, ok, warn or FAIL."""

    name: str
    result: str
    said: str


class _Text(BaseModel, extra="forbid", frozen=True):
    nl: str
    en: str


class Measure(BaseModel, extra="forbid", frozen=True):
    """One measure of a norm, and the facts that support it."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,32}$")]
    title: _Text
    designed: tuple[str, ...]
    exists: tuple[str, ...]
    works: tuple[str, ...]
    people: _Text | None = None


class Norm(BaseModel, extra="forbid", frozen=True):
    """A norm as its data file has it."""

    norm: str
    version: str
    source: str
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """How one aspect of a measure is supported, and by which facts."""

    word: Word
    facts: Sequence[Fact]
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """A measure with its three findings, by aspect."""

    measure: Measure
    findings: Mapping[str, Finding]


def parse_norm(text: str) -> Norm:
    """Return the norm of a data file.

    Raises:
        Malformed: it is none; the error says which field.
    """
    try:
        norm = Norm.model_validate(parse_yaml(text))
    except (YAMLError, ValidationError) as error:
        raise Malformed(f"the file of a norm cannot stand: {error}", code="HY-2340") from error
    ids = [measure.id for measure in norm.measures]
    if len(set(ids)) != len(ids):
        raise Malformed("a measure stands in the file twice", code="HY-2340")
    return norm


def judge(norm: Norm, facts: Mapping[str, Fact]) -> Sequence[Judged]:
    """Return how these facts support every measure; one that is missing shows nothing."""
    return [
        Judged(
            measure,
            {aspect: _finding(getattr(measure, aspect), facts) for aspect in ASPECTS},
        )
        for measure in norm.measures
    ]


def _finding(names: Sequence[str], facts: Mapping[str, Fact]) -> Finding:
    found = [facts[name] for name in names if name in facts]
    missing = [name for name in names if name not in facts]
    good = sum(fact.result == "ok" for fact in found)
    bad = any(fact.result == "FAIL" for fact in found)
    word: Word = "not shown"
    if names and not missing and good == len(names):
        word = "shown"
    elif good and not bad:
        word = "partly"
    return Finding(word, found, missing)


def as_rows(judged: Sequence[Judged]) -> list[dict[str, object]]:
    """Return the pack for programs."""
    return [_row(one) for one in judged]


def _row(one: Judged) -> dict[str, object]:
    people = one.measure.people
    row: dict[str, object] = {"measure": one.measure.id, "title": one.measure.title.model_dump()}
    row["people"] = None if people is None else people.model_dump()
    for aspect, finding in one.findings.items():
        facts = [
            {"name": fact.name, "result": fact.result, "said": fact.said} for fact in finding.facts
        ]
        row[aspect] = {"result": finding.word, "facts": facts, "missing": list(finding.missing)}
    return row
