"""The HTTP API of Vault's Transit engine: paths, members, answers.  Pure.

Members that nobody knows are passed over, as Vault does; those that would change what is done and
that we do not do are refused with a sentence.

Source: HashiCorp Vault and OpenBao, "Transit secrets engine (API)".
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, unquote

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BODY_BYTES_MAX = 1 << 20
ITEMS_MAX = 128
TARGET_BYTES_MAX = 1024
HEADERS = [("content-type", "application/json"), ("cache-control", "no-store")]


class Operation(StrEnum):
    """What can be asked of the mount, by the first word of the path."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    REWRAP = "rewrap"
    DATAKEY = "datakey"
    RANDOM = "random"
    HMAC = "hmac"
    SIGN = "sign"
    VERIFY = "verify"
    KEYS = "keys"


ABSENT = frozenset({"hash", "export", "backup", "restore", "byok-export", "wrapping_key"})
"""Operations of the engine that this door refuses by name, with a sentence."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a request's path names below `/v1/`: the mount's part, or Vault's own."""

    area: str  # the mount, `sys` or `auth`
    parts: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)


def parse_target(target: bytes) -> Place | None:
    """Return what a path names; None: it is none of the API's."""
    if len(target) > TARGET_BYTES_MAX:
        return None
    path, _, query = target.partition(b"?")
    try:
        words = [unquote(word, errors="strict") for word in path.decode("ascii").split("/")]
        asked = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=32)
    except (UnicodeDecodeError, ValueError):
        return None
    if words[-1] == "":
        words.pop()  # a slash at the end says nothing
    if len(words) < 3 or words[:2] != ["", "v1"] or not all(words[2:]):
        return None
    return Place(words[2], tuple(words[3:]), {name: told[-1] for name, told in asked.items()})


def parse_body(raw: bytes) -> Mapping[str, object]:
    """Return the members of a body; nothing at all is no members.

    Raises:
        Malformed: it is no JSON object, or names a member twice.
    """
    if not raw.strip():
        return {}
    try:
        found = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise malformed("error parsing JSON") from error
    if not isinstance(found, dict):
        raise malformed("error parsing JSON")
    return cast("Mapping[str, object]", found)


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def parse_batch(body: Mapping[str, object]) -> Sequence[Mapping[str, object]] | None:
    """Return the items of a batch; None: it is a single one.

    Raises:
        Malformed: it is no list of objects, empty, or longer than we serve.
    """
    found = body.get("batch_input")
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise malformed("failed to parse batch input")
    if not found:
        raise malformed("missing batch input to process")
    if len(found) > ITEMS_MAX:
        raise malformed(f"at most {ITEMS_MAX} items are served in one batch")
    return found


def text_of(members: Mapping[str, object], name: str, default: str = "") -> str:
    """Return a member that is text.

    Raises:
        Malformed: it is something else.
    """
    found = members.get(name)
    if found is None:
        return default
    if not isinstance(found, str):
        raise malformed(f"{name} must be text")
    return found


def number_of(members: Mapping[str, object], name: str, default: int = 0) -> int:
    """Return a member that is a whole number, as such or in text, as Vault takes it.

    Raises:
        Malformed: it is something else.
    """
    found = members.get(name)
    if found is None or found == "":
        return default
    if isinstance(found, str) and re.fullmatch(r"[0-9]{1,9}", found):
        return int(found)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 10**9:
        raise malformed(f"{name} must be a number")
    return found


def bytes_of(members: Mapping[str, object], name: str) -> bytes | None:
    """Return a member that is base64, standard and padded; None: it is not there.

    Raises:
        Malformed: it is something else.
    """
    found = members.get(name)
    if found is None:
        return None
    if not isinstance(found, str):
        raise malformed(f"failed to base64-decode {name}")
    try:
        return b64decode(found.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise malformed(f"failed to base64-decode {name}") from error


def refuse_members(members: Mapping[str, object]) -> None:
    """Refuse what would have to change what is done.

    Raises:
        Malformed: a nonce, or convergent encryption, is asked for.
    """
    if members.get("nonce"):
        raise malformed("a nonce of the caller's is not taken: the HSM makes it")
    if members.get("convergent_encryption"):
        raise malformed("convergent encryption is not served: equal texts would look equal")


def malformed(sentence: str) -> Malformed:
    """Return the error of a request that cannot be served as it stands."""
    return Malformed(sentence, code="HY-2677")


def render(request_id: str, data: object = None, auth: object = None) -> bytes:
    """Return Vault's envelope."""
    return _line(
        {
            "request_id": request_id,
            "lease_id": "",
            "renewable": False,
            "lease_duration": 0,
            "data": data,
            "wrap_info": None,
            "warnings": None,
            "auth": auth,
        }
    )


def render_bare(document: Mapping[str, object]) -> bytes:
    """Return a document that Vault puts in no envelope."""
    return _line(document)


def render_errors(*sentences: str) -> bytes:
    """Return Vault's form of an error."""
    return _line({"errors": list(sentences)})


def _line(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def base64_of(raw: bytes) -> str:
    """Return bytes as the API writes them."""
    return b64encode(raw).decode("ascii")
