"""A candidate policy beside the one in force: what it would deny, and what it would newly allow.

The answer to a request is given before the candidate is asked anything: a request leaves a note of
its question and its answer, and whoever takes the notes asks the candidate later.  Pure.

Source: docs/policies.md, docs/adr/0020-a-shadow-answers-nobody.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from hyok.errors import HyokError, Malformed
from hyok.policy.bundle import load
from hyok.policy.decision import CachedEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.policy.bundle import Policy
    from hyok.policy.decision import Decision, Question
    from hyok.vocabulary import Ask

NOTES_MAX = 2_000
"""Different questions between two turns; more are counted and not asked of the candidate."""

REMEMBERED_MS = 30_000
ELSEWHERE = "*"
"""Stands for every app, bucket and rule, once there are too many different ones to tell apart."""


class Verdict(StrEnum):
    """How the candidate's answer stands to the one that was given."""

    SAME = "same"
    WOULD_DENY = "would-deny"
    WOULD_ALLOW = "would-allow"
    ERROR = "error"
    NOT_ASKED = "not-asked"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """What decisions are counted under; all but ``verdict`` is empty where nothing would change."""

    verdict: str
    app: str = ""
    action: str = ""
    bucket_id: str = ""
    classification: str = ""
    reason: str = ""

    def without_names(self) -> Difference:
        """Return what it is counted under when there are too many."""
        return replace(self, app=ELSEWHERE, bucket_id=ELSEWHERE, reason=ELSEWHERE)


@dataclass(slots=True)
class Noted:
    """The first request with a question, and how many there were."""

    ask: Ask
    object_id: bytes
    count: int = 0


class ShadowNotes:
    """What was asked and answered since somebody last looked.  It cannot fail, and asks nobody."""

    def __init__(self) -> None:
        self.on = False
        self._noted: dict[tuple[Question, bool], Noted] = {}
        self._beyond = 0

    def note(self, ask: Ask, question: Question, decision: Decision, object_id: bytes) -> None:
        """Remember a decision that was made; nothing at all while there is no candidate."""
        if not self.on:
            return
        key = (question, decision.allowed)
        noted = self._noted.get(key)
        if noted is None:
            if len(self._noted) >= NOTES_MAX:
                self._beyond += 1
                return
            noted = self._noted[key] = Noted(ask, object_id)
        noted.count += 1

    def take(self) -> tuple[Mapping[tuple[Question, bool], Noted], int]:
        """Return what was noted, and how many decisions more there was no room for."""
        taken = self._noted, self._beyond
        self._noted, self._beyond = {}, 0
        return taken


def candidate_of(files: Mapping[str, str], clock_ms: Callable[[], int]) -> Candidate:
    """Return the candidate of these files.

    Raises:
        Malformed: they cannot decide, for whatever reason.
    """
    try:
        return Candidate(load(files), clock_ms)
    except (HyokError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        word = type(error).__name__
        raise Malformed(f"the candidate cannot be loaded: {word}", code="HY-1101") from error


class Candidate:
    """A policy that is in force nowhere, with a memory like that of the one that is."""

    def __init__(self, policy: Policy, clock_ms: Callable[[], int]) -> None:
        self._classifications = policy.classifications
        engine = policy.deciding(clock_ms)
        self._engine = CachedEngine(engine, clock_ms=clock_ms, ttl_ms=REMEMBERED_MS)

    def judge(self, question: Question, *, allowed: bool) -> Difference:
        """Return how the candidate would have answered a question, beside the answer given."""
        app, name = question.principal.id, question.classification
        place = (app, question.action, question.bucket_id, name)
        try:
            level = self._classifications.level(name) if name else 0
            found = self._engine.decide(question._replace(level=level))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of Cedar is no Exception
            return Difference(Verdict.ERROR, *place, type(error).__name__)
        if found.allowed is allowed:
            return Difference(Verdict.SAME)
        verdict = Verdict.WOULD_ALLOW if found.allowed else Verdict.WOULD_DENY
        return Difference(verdict, *place, ",".join(found.reasons) or "no rule permits it")
