"""A policy bundle: classifications, rules, schema and cases as the bytes that officers approve.

Canonical JSON, so that one SHA-256 stands for all of it.  Pure.

Source: docs/policies.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.policy.cases import Case, parse_cases
from hyok.policy.cedar import CedarEngine
from hyok.policy.classifications import Classifications
from hyok.policy.excepting import ExceptingEngine
from hyok.policy.exceptions import FILE, check_liftable, parse_exceptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.policy.decision import Engine
    from hyok.policy.exceptions import PolicyException

FORM = "hyok-policy-bundle/1"
BYTES_MAX = 4 << 20
SCHEMA = "schema.cedarschema"
_NAME = re.compile(
    r"classifications/[a-z0-9_-]{1,64}\.yaml|cases/[a-z0-9_-]{1,64}\.yaml"
    r"|rules/[a-z0-9_-]{1,64}\.cedar|schema\.cedarschema|exceptions\.yaml"
).fullmatch


@dataclass(frozen=True, slots=True)
class Bundle:
    """All files of a policy, by their names in its folder; versions only go up."""

    version: int
    files: Mapping[str, str]

    def render(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            Malformed: a file has a name that none of a policy has, or all are too long.
        """
        for name in self.files:
            if not _NAME(name):
                raise Malformed(f"{name} is no file of a policy", code="HY-1102")
        document = {"format": FORM, "version": self.version, "files": dict(self.files)}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        raw = text.encode()
        if len(raw) > BYTES_MAX:
            raise Malformed(f"a policy has at most {BYTES_MAX} bytes", code="HY-1102")
        return raw

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, hex."""
        return sha256(self.render()).hexdigest()


@dataclass(frozen=True, slots=True)
class Policy:
    """A bundle that can decide.  ``engine`` knows no exceptions; `deciding` does."""

    classifications: Classifications
    engine: CedarEngine
    cases: Sequence[Case]
    exceptions: Sequence[PolicyException] = ()

    def deciding(self, clock_ms: Callable[[], int]) -> Engine:
        """Return what decides by the rules, and by the exceptions as long as they hold."""
        if not self.exceptions:
            return self.engine
        return ExceptingEngine(self.engine, self.exceptions, clock_ms)

    def unpublished(self) -> Policy:
        """Return it without exceptions: those of a folder that nobody approved do not hold."""
        return replace(self, exceptions=())


def parse_bundle(raw: bytes) -> Bundle:
    """Return the bundle of canonical bytes.

    Raises:
        Malformed: they are not what `Bundle.render` returns (code HY-1102).
    """
    try:
        document = json.loads(raw)
        bundle = Bundle(document["version"], document["files"])
        ours = document["format"] == FORM and isinstance(bundle.version, int)
        whole = ours and bundle.render() == raw
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed("these bytes are no policy bundle", code="HY-1102") from error
    if not whole:
        raise Malformed("these bytes are no canonical policy bundle", code="HY-1102")
    return bundle


def load(files: Mapping[str, str]) -> Policy:
    """Return the policy of these files.

    Raises:
        Malformed: a field cannot stand, a rule does not fit the schema, or a file is missing.
    """
    classes = {
        name.removeprefix("classifications/").removesuffix(".yaml"): text
        for name, text in files.items()
        if name.startswith("classifications/")
    }
    rules = "\n".join(files[name] for name in sorted(files) if name.startswith("rules/"))
    if SCHEMA not in files or not rules:
        raise Malformed(f"a policy has {SCHEMA}, and rules in rules/*.cedar", code="HY-1101")
    classifications = Classifications.load(classes)
    engine = CedarEngine(rules, files[SCHEMA], classifications)
    cases = [
        case
        for name in sorted(files)
        if name.startswith("cases/")
        for case in parse_cases(name, files[name], classifications)
    ]
    exceptions = parse_exceptions(files.get(FILE, ""))
    check_liftable(exceptions, classifications, engine)
    return Policy(classifications, engine, cases, exceptions)


def failing(policy: Policy) -> Sequence[str]:
    """Return what each case says that does not come out as it demands.

    Cases know no exceptions: else a bundle would fail on the day that one ends.
    """
    found = (case.failure(policy.engine) for case in policy.cases)
    return [said for said in found if said]
