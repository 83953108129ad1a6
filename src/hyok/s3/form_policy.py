"""The policy of a browser's form: read, and held against every field and the file's length.

Source: Amazon S3 API Reference, "Creating a POST policy".
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.s3.times import parse_date

if TYPE_CHECKING:
    from collections.abc import Mapping

CONDITIONS_MAX = 200
SIZE_MAX = 2**63 - 1
_POLICY_CHARS_MAX = 28 << 10  # no field is longer (`hyok.s3.form_data`)

# What needs no condition: the policy itself, its signature, the file, and what is to be ignored.
_EXEMPT = frozenset({"policy", "x-amz-signature", "file"})
_IGNORED_PREFIX = "x-ignore-"


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field must be: exactly ``value``, or begin with it.  ``field`` in lower case."""

    field: str
    value: str
    prefix: bool

    def holds(self, text: str) -> bool:
        """Does the field with this text fit?"""
        if not self.prefix:
            return text == self.value
        if self.field == "content-type":  # a list, of which each must fit
            return all(one.strip().startswith(self.value) for one in text.split(","))
        return text.startswith(self.value)

    def shown(self) -> str:
        """Return the condition as S3 shows it in an error."""
        return json.dumps(["starts-with" if self.prefix else "eq", f"${self.field}", self.value])


@dataclass(frozen=True, slots=True)
class FormPolicy:
    """What a form may hold and until when, in unix milliseconds; sizes are plaintext bytes."""

    expires_ms: int
    conditions: tuple[Condition, ...]
    size_min: int = 0
    size_max: int = SIZE_MAX


def parse_policy(text: str) -> FormPolicy:
    """Return the policy of a ``policy`` field.

    Raises:
        Malformed: it is none (reason ``InvalidPolicyDocument``).
    """
    document = _document(text)
    expiration, conditions = document.get("expiration"), document.get("conditions")
    if expiration is None:
        raise _invalid("Policy missing expiration.")
    expires_ms = parse_date(expiration) if isinstance(expiration, str) else None
    if expires_ms is None:
        raise _invalid("Invalid 'expiration' value.")
    if conditions is None:
        raise _invalid("Policy missing conditions.")
    if not isinstance(conditions, list) or len(conditions) > CONDITIONS_MAX:
        raise _invalid("Invalid 'conditions' value.")
    rules: list[Condition] = []
    low, high = 0, SIZE_MAX
    for condition in conditions:
        found = _condition(condition)
        if isinstance(found, Condition):
            rules.append(found)
        else:
            low, high = max(low, found[0]), min(high, found[1])
    return FormPolicy(expires_ms, tuple(rules), low, high)


def _document(text: str) -> dict[str, object]:
    try:
        raw = base64.b64decode("".join(text[:_POLICY_CHARS_MAX].split()), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("Invalid Base64 encoding.") from None
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    return document


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Of two values of one name another reader would take the other.
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def _condition(condition: object) -> Condition | tuple[int, int]:
    if isinstance(condition, dict):
        if len(condition) != 1:
            raise _invalid("Invalid Simple-Condition: Simple-Conditions must have one property.")
        name, value = next(iter(condition.items()))
        if not isinstance(value, str) or not name:
            raise _invalid("Invalid Simple-Condition: value must be a string.")
        return Condition(name.lower(), value, prefix=False)
    if not isinstance(condition, list) or len(condition) != 3 or not isinstance(condition[0], str):
        raise _invalid("Invalid Condition: it must be an object or a list of three.")
    operator, name, value = condition
    if operator.lower() == "content-length-range":
        return _size(name), _size(value)
    if operator.lower() not in ("eq", "starts-with"):
        raise _invalid(f"Invalid Condition: unknown operation '{operator[:64]}'.")
    if not isinstance(name, str) or not isinstance(value, str) or len(name) < 2 or name[0] != "$":
        raise _invalid("Invalid Condition: it must name a field with $ and a string.")
    return Condition(name[1:].lower(), value, prefix=operator.lower() == "starts-with")


def _size(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SIZE_MAX:
        raise _invalid("Invalid content-length-range: it must have two whole numbers.")
    return value


def _invalid(sentence: str) -> Malformed:
    return Malformed(f"Invalid Policy: {sentence}", reason="InvalidPolicyDocument")


def check_fields(policy: FormPolicy, fields: Mapping[str, str], *, now_ms: int) -> None:
    """Return quietly if the policy allows these fields, for now.

    Args:
        policy: proven to be signed.
        fields: by lower-case name, ``bucket`` among them and ``key`` as it will be used.
        now_ms: unix milliseconds.

    Raises:
        Refused: expired, a condition does not hold, or a field that no condition names (reason
            ``AccessDenied``).
    """
    if now_ms > policy.expires_ms:
        raise _refused("Policy expired.")
    for condition in policy.conditions:
        if not condition.holds(fields.get(condition.field, "")):
            raise _refused(f"Policy Condition failed: {condition.shown()[:500]}")
    covered = {condition.field for condition in policy.conditions} | _EXEMPT
    extra = [n for n in fields if n not in covered and not n.startswith(_IGNORED_PREFIX)]
    if extra:
        raise _refused(f"Extra input fields: {', '.join(extra)[:500]}")


def check_size(policy: FormPolicy, size: int, *, complete: bool) -> None:
    """Return quietly if a file may be so long, in plaintext bytes; ``complete``: no more comes.

    Raises:
        Malformed: reasons ``EntityTooLarge``, ``EntityTooSmall``.
    """
    if size > policy.size_max:
        raise Malformed(
            "Your proposed upload exceeds the maximum allowed size", reason="EntityTooLarge"
        )
    if complete and size < policy.size_min:
        raise Malformed(
            "Your proposed upload is smaller than the minimum allowed size",
            reason="EntityTooSmall",
        )


def _refused(sentence: str) -> Refused:
    return Refused(f"Invalid according to Policy: {sentence}", reason="AccessDenied")
