"""Classifications: what each one requires, as officers write it in YAML; strictly checked.

An error names the field, the value, the bound and why there is one.  What this version cannot
enforce yet is accepted and listed by `Classifications.not_enforced`, never silently passed.

Source: docs/policies.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hyok.errors import Malformed, NotFound
from hyok.policy.yaml_text import YAMLError, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])").fullmatch
WRITE_TTL_MS_MAX = 24 * 3_600_000
READ_CACHE_MS_MAX = 24 * 3_600_000
ROTATE_MS_MAX = 5 * 365 * 86_400_000
BREAK_GLASS_MS_MAX = 24 * 3_600_000


def parse_duration(text: object) -> int:
    """Return milliseconds of ``90s``, ``15m``, ``1h``, ``365d`` or ``none``."""
    if text in ("none", 0):
        return 0
    found = _DURATION(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a duration is a number with s, m, h or d, such as 15m, or none")
    return int(found[1]) * _UNITS_MS[found[2]]


OfficerRole = Literal["security-officer", "process-owner", "privacy-officer", "archivist"]

DurationMs = Annotated[int, BeforeValidator(parse_duration)]


def _dashed(name: str) -> str:
    return name.replace("_", "-").removesuffix("-ms")


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=_dashed, populate_by_name=False
    )


class Seal(_Strict):
    """How objects are sealed."""

    suite: Literal["HYOK1"]
    names: Literal["clear", "sealed"]
    protect: tuple[
        Literal[
            "content-type",
            "content-encoding",
            "content-disposition",
            "content-language",
            "cache-control",
            "expires",
            "user-metadata",
            "tags",
        ],
        ...,
    ]


class Keys(_Strict):
    """How keys are kept.  Bounds: docs/format.md section 11."""

    mode: Literal["keyring", "embedded", "direct"]
    scope: Literal["bucket", "subject", "object"]
    scope_from: tuple[Literal["zaak", "betrokkene"], ...] = ()
    shreddable: bool
    write_ttl_ms: Annotated[DurationMs, Field(ge=0, le=WRITE_TTL_MS_MAX)]
    read_cache_ms: Annotated[DurationMs, Field(ge=0, le=READ_CACHE_MS_MAX)]
    rotate_every_ms: Annotated[DurationMs, Field(gt=0, le=ROTATE_MS_MAX)]
    hsm_group: str
    custody_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    on_hsm_loss: Literal["fail", "serve-cached"]


class Stores(_Strict):
    """Where sealed objects may stand."""

    jurisdiction: tuple[str, ...]
    control: Literal["any", "EU", "NL"]
    copies: Annotated[int, Field(ge=1, le=9)]
    distinct_parents: bool
    eu_controlled_copies: Annotated[int, Field(ge=0, le=9)]
    use_case: Literal["UC1", "any"]


class Access(_Strict):
    """What a caller must bring."""

    mfa: bool
    purpose_required: bool
    bulk_read_guard: Annotated[str, Field(pattern=r"^([0-9]{1,6}/h|none)$")]
    anonymous: Literal["none", "read"] = "none"  # read: in buckets that an officer made public


class Audit(_Strict):
    """When a record is durable."""

    mode: Literal["write-ahead", "batched"]


class Retention(_Strict):
    """What must be asked before destruction, and whether a bucket's own rules may destroy."""

    gate: Literal["archive", "none"]
    lifecycle: Literal["serve", "refuse"] | None = None  # left out: what the gate lets them

    @property
    def by_rules(self) -> bool:
        """May lifecycle rules of a bucket take objects away without anybody being asked?"""
        return (self.lifecycle or ("serve" if self.gate == "none" else "refuse")) == "serve"


class Approvals(_Strict):
    """How many officers each act takes."""

    lower: Annotated[int, Field(ge=1, le=5)]
    destroy_key: Annotated[int, Field(ge=2, le=5)]
    export: Annotated[int, Field(ge=1, le=5)]


class BreakGlass(_Strict):
    """What it takes to read beyond one's rights in an emergency, and for how long."""

    approvals: Annotated[int, Field(ge=2, le=5)]
    among: tuple[OfficerRole, ...]  # one approval of each, by a person of its own
    at_most_ms: Annotated[DurationMs, Field(gt=0, le=BREAK_GLASS_MS_MAX)]

    @model_validator(mode="after")
    def _can_be_reached(self) -> BreakGlass:
        if len(set(self.among)) != len(self.among) or len(self.among) > self.approvals:
            raise ValueError("among: each role once, and no more roles than approvals")
        return self


class Classification(_Strict):
    """One classification."""

    classification: Annotated[str, Field(pattern=r"^[a-z_]{2,32}$")]
    level: Annotated[int, Field(ge=0, le=100)]
    labels: tuple[str, ...] = Field(alias="zgw")
    denied: bool = False
    seal: Seal
    keys: Keys
    stores: Stores
    access: Access
    audit: Audit
    retention: Retention
    approvals: Approvals
    break_glass: BreakGlass | None = None  # None: never


class Classifications:
    """All classifications of an installation, and the labels that name them."""

    def __init__(self, rules: Sequence[Classification]) -> None:
        self._rules = {rule.classification: rule for rule in rules}
        self._labels: dict[str, str] = {}
        for rule in rules:
            for label in (rule.classification, *rule.labels):
                other = self._labels.setdefault(label, rule.classification)
                if other != rule.classification:
                    raise Malformed(
                        f"label {label} is claimed by {other} and by {rule.classification}"
                    )

    @classmethod
    def load(cls, files: Mapping[str, str]) -> Classifications:
        """Return the classifications of YAML texts by file name.

        Raises:
            Malformed: every field that cannot stand, with its value, the bound and the reason.
        """
        rules = []
        for name, text in files.items():
            rule = _parse(name, text)
            if rule.classification != name:
                raise Malformed(f"{name}.yaml describes {rule.classification}; one file, one class")
            rules.append(rule)
        if "onbekend" not in files:
            raise Malformed("classification onbekend is missing: it takes what nothing names")
        return cls(rules)

    def become(self, other: Classifications) -> None:
        """Be what ``other`` is from now on, for everyone who holds this one."""
        self._rules, self._labels = other._rules, other._labels

    def names(self) -> list[str]:
        """Return every classification, by level."""
        return sorted(self._rules, key=lambda name: self._rules[name].level)

    def get(self, name: str) -> Classification:
        """Return a classification.

        Raises:
            NotFound: there is none of this name.
        """
        try:
            return self._rules[name]
        except KeyError:
            raise NotFound(f"there is no classification {name}") from None

    def find(self, name: str) -> Classification | None:
        """Return a classification; None when there is none of this name."""
        return self._rules.get(name)

    def by_label(self, text: str) -> str | None:
        """Return the classification that a label names; None when it names none."""
        return self._labels.get(text)

    def labels(self) -> list[str]:
        """Return every label that is known."""
        return sorted(self._labels)

    def level(self, name: str) -> int:
        """Return how sensitive a classification is; more is higher."""
        return self.get(name).level

    def at_least(self, name: str) -> frozenset[str]:
        """Return the classifications as sensitive as this one, or more; `onbekend` allows all."""
        floor = self.level(name) if name != "onbekend" else 0
        return frozenset(
            rule.classification
            for rule in self._rules.values()
            if rule.level >= floor and not rule.denied
        )

    def not_enforced(self) -> list[str]:
        """Return what the files demand and this version does not enforce, a line each."""
        return [
            f"{name}: {demand}"
            for name in self.names()
            if not self._rules[name].denied
            for demand in _unmet(self._rules[name])
        ]


def _unmet(rule: Classification) -> Iterator[str]:
    """Yield the demands that this version leaves to people."""
    stores, keys = rule.stores, rule.keys
    if stores.copies > 1:
        parents = ", distinct parents" if stores.distinct_parents else ""
        yield f"copies over {stores.copies} suppliers{parents}"
    if stores.eu_controlled_copies:
        yield f"copies under EU control: {stores.eu_controlled_copies}"
    if keys.hsm_group != "primary":
        yield f"HSM group {keys.hsm_group}"
    yield f"country of the HSM: {keys.custody_country}"
    if rule.access.mfa:
        yield "recent MFA of readers"
    if rule.access.bulk_read_guard != "none":
        yield f"bulk-read guard {rule.access.bulk_read_guard}"
    if rule.retention.gate != "none":
        by_rules = ", also where lifecycle rules destroy" if rule.retention.by_rules else ""
        yield f"the {rule.retention.gate} is asked before applications delete{by_rules}"


def _parse(name: str, text: str) -> Classification:
    try:
        document = parse_yaml(text)
    except YAMLError as error:
        raise Malformed(f"{name}.yaml is not YAML: {error}") from error
    try:
        return Classification.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc'])} = {problem['input']!r}: "
            f"{problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise Malformed(f"{name}.yaml cannot stand: " + "; ".join(lines)) from error
