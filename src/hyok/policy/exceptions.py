"""Exceptions of a policy: what is let pass for a while, by whose word and why; strictly read.

Two things can be lifted and nothing else: where one classification of one bucket may stand, and one
`forbid` of the rules for one application in one bucket.  An exception ends by the clock, at the end
of its last day (UTC).  Pure.

Source: docs/policies.md.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections import Counter
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from hyok.errors import Malformed
from hyok.policy.cedar import WRITES
from hyok.policy.yaml_text import YAMLError, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.policy.cedar import CedarEngine
    from hyok.policy.classifications import Classifications
    from hyok.policy.decision import Question

FILE = "exceptions.yaml"
EXCEPTIONS_MAX = 50
DAY_MS = 86_400_000
SOON_MS = 30 * DAY_MS
"""So long before its end it is told that an exception ends."""


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def _day(value: object) -> object:
    """Return a day that is written as one: 2027-05-31."""
    if isinstance(value, str) and _DAY(value):
        return date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("a day is written as 2027-05-31")  # noqa: TRY004 - pydantic wants it so
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S+$")]


class StoreLift(_Strict):
    """The store of one bucket may have one classification, whatever its residency or control."""

    kind: Literal["store"]
    guardrail: Literal["jurisdiction", "control"]
    classification: _Name
    bucket: _Name

    @property
    def lifted(self) -> str:
        """The id of what is lifted, as a decision's reason names it."""
        return f"guardrail-{self.guardrail}"

    def fits(self, question: Question) -> bool:
        """Is it about this question?"""
        asked = (question.bucket_id, question.classification)
        return asked == (self.bucket, self.classification) and question.action in WRITES


class RuleLift(_Strict):
    """One `forbid`, by its id, does not hold for one application in one bucket."""

    kind: Literal["rule"]
    rule: _Name
    app: _Name
    bucket: _Name

    @property
    def lifted(self) -> str:
        """The id of what is lifted, as a decision's reason names it."""
        return self.rule

    def fits(self, question: Question) -> bool:
        """Is it about this question?"""
        asked = (question.principal.kind, question.principal.id, question.bucket_id)
        return asked == ("app", self.app, self.bucket)


class PolicyException(_Strict):
    """One exception.  Its approval is the publication of the bundle that has it first."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    lifts: Annotated[StoreLift | RuleLift, Field(discriminator="kind")]
    reason: Annotated[str, Field(min_length=10, max_length=300)]
    owner: Annotated[str, Field(min_length=1, max_length=128)]
    until: Annotated[date, BeforeValidator(_day)]

    @property
    def ends_ms(self) -> int:
        """When it holds no more, unix milliseconds: the first moment after its last day, UTC."""
        return timegm(self.until.timetuple()) * 1000 + DAY_MS

    @property
    def word(self) -> str:
        """As a decision's reason names it."""
        return f"exception:{self.id}"

    def describe(self) -> str:
        """Return what it lifts and until when, for those who approve it."""
        lifts = self.lifts
        if isinstance(lifts, StoreLift):
            what = f"{lifts.guardrail} of {lifts.classification} in bucket {lifts.bucket}"
        else:
            what = f"{lifts.rule} for app {lifts.app} in bucket {lifts.bucket}"
        return f"{self.id}: {what}, until {self.until}, owner {self.owner}: {self.reason}"


_FILE = TypeAdapter(Annotated[list[PolicyException], Field(max_length=EXCEPTIONS_MAX)])


def parse_exceptions(text: str) -> Sequence[PolicyException]:
    """Return the exceptions of a YAML text.

    Raises:
        Malformed: it is none, or a field cannot stand (code HY-2407).
    """
    try:
        found = _FILE.validate_python(parse_yaml(text) or [])
    except YAMLError as error:
        raise Malformed(f"{FILE} is not YAML: {error}", code="HY-2407") from error
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc'])} = {problem['input']!r}: "
            f"{problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise Malformed(f"{FILE} cannot stand: " + "; ".join(lines), code="HY-2407") from error
    twice = [name for name, count in Counter(one.id for one in found).items() if count > 1]
    if twice:
        raise Malformed(f"{FILE}: {twice[0]} stands there twice", code="HY-2407")
    return found


def check_liftable(
    exceptions: Sequence[PolicyException], classifications: Classifications, engine: CedarEngine
) -> None:
    """Return quietly if each lifts something that this policy has and that can be lifted.

    Raises:
        Malformed: one does not (code HY-2407).
    """
    for one in exceptions:
        lifts = one.lifts
        if isinstance(lifts, RuleLift):
            if lifts.rule not in engine.forbids:
                known = ", ".join(sorted(engine.forbids))
                raise Malformed(
                    f"{FILE}: {one.id}: no forbid of the rules has the id {lifts.rule} (@id); "
                    f"there are: {known}",
                    code="HY-2407",
                )
        elif lifts.classification not in classifications.names():
            raise Malformed(
                f"{FILE}: {one.id}: there is no classification {lifts.classification}",
                code="HY-2407",
            )
        elif classifications.get(lifts.classification).denied:
            raise Malformed(
                f"{FILE}: {one.id}: {lifts.classification} is refused altogether",
                code="HY-2407",
            )


def check_terms(
    exceptions: Sequence[PolicyException],
    now_ms: int,
    approved: Mapping[str, tuple[int, PolicyException]],
) -> None:
    """Return quietly if every exception may be published now.

    Args:
        exceptions: of the bundle that would come.
        now_ms: when it would.
        approved: when each id was published first, unix milliseconds, and what it was then.

    Raises:
        Malformed: one has ended, or would last over a year from its first approval (HY-2408); or
            its id was approved for something else (HY-2409).
    """
    for one in exceptions:
        since_ms, before = approved.get(one.id, (now_ms, one))
        if before.lifts != one.lifts:
            raise Malformed(
                f"exception {one.id} was approved for something else",
                code="HY-2409",
                next_step="give the new one an id of its own",
            )
        if one.ends_ms <= now_ms:
            raise Malformed(
                f"exception {one.id} has ended on {one.until}",
                code="HY-2408",
                next_step="take it out; if it is still needed, ask for a new one with its own id",
            )
        last = _year_after(since_ms)
        if one.until > last:
            raise Malformed(
                f"exception {one.id}: until {one.until} is more than a year after it was first "
                f"approved; the last day is {last}",
                code="HY-2408",
                next_step="name an earlier day",
            )


def _year_after(at_ms: int) -> date:
    """Return the same day of the next year; of 29 February, the 28th."""
    day = date(1970, 1, 1).toordinal() + at_ms // DAY_MS
    found = date.fromordinal(day)
    try:
        return found.replace(year=found.year + 1)
    except ValueError:
        return found.replace(year=found.year + 1, day=28)
