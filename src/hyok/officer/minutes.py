"""Minutes of a key ceremony, as data and as a page for people.  Pure.

They say what was read back from the HSM, who was named as present and what was run.  They are
signed with the audit key, and their SHA-256 stands in the audit log.

Source: docs/keys.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING

from hyok.audit.signed import digest
from hyok.errors import Malformed
from hyok.officer.document_page import listed, page, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FORM = "hyok-minutes/1"
ACTION = "key:minutes"
REASON = "minutes-sha256:"
"""In front of the digest, in the record of the audit log."""

TEXT_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Present:
    """A person who was there, as whoever ran the command says."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Minutes:
    """What happened.  Times are unix milliseconds.

    ``tokens`` is what each token says of itself and of the key; ``key`` is empty where a token was
    made and no key.
    """

    act: str
    installation: str
    version: str  # of hyok
    operator: str
    command: Sequence[str]
    present: Sequence[Present]
    begun_ms: int
    ended_ms: int
    key: Mapping[str, object]
    tokens: Sequence[Mapping[str, object]]

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        document: dict[str, object] = json.loads(json.dumps({"format": FORM} | asdict(self)))
        return document


def parse_present(words: Sequence[str]) -> list[Present]:
    """Return the persons of ``--present NAME:ROLE``.

    Raises:
        Malformed: nobody is named, or one without a role (code HY-2429).
    """
    found = []
    for word in words:
        name, _, role = (part.strip() for part in word.rpartition(":"))
        said = (name, role)
        if not all(text and len(text) <= TEXT_CHARS_MAX and text.isprintable() for text in said):
            raise Malformed(
                f"{word!r} is no person with a role",
                code="HY-2429",
                effect="No key was made.",
                next_step='--present "A. de Vries:sleutelbeheerder", once for each person',
            )
        found.append(Present(name, role))
    if not found:
        raise Malformed(
            "minutes name the persons who were present",
            code="HY-2429",
            effect="No key was made.",
            next_step='--present "A. de Vries:sleutelbeheerder", once for each person',
        )
    return found


def render_page(
    document: Mapping[str, object], moment: Callable[[int], str], signed_by: str
) -> str:
    """Return the minutes as one HTML page in Dutch and English.

    ``moment`` renders a time; ``signed_by`` names the key, or is empty while nobody signed.
    """
    articles = "".join(_article(document, moment, signed_by, words) for words in (_DUTCH, _ENGLISH))
    return page("Proces-verbaal van de sleutelceremonie / Minutes of the key ceremony", articles)


_DUTCH = {
    "lang": "nl",
    "title": "Proces-verbaal van de sleutelceremonie",
    "intro": "Wat hieronder over de HSM en de sleutel staat is na de handeling uit de HSM gelezen.",
    "act": "Handeling",
    "installation": "Installatie",
    "version": "Versie van hyok",
    "operator": "Uitgevoerd onder account",
    "command": "Uitgevoerde opdracht",
    "begun": "Begonnen (UTC)",
    "ended": "Voltooid (UTC)",
    "persons": "Aanwezigen, zoals opgegeven",
    "name": "Naam",
    "role": "Rol",
    "key": "De sleutel",
    "token": "Token",
    "attributes": "Eigenschappen, teruggelezen",
    "what": "Gegeven",
    "value": "Waarde",
    "none": "Geen.",
    "signed": "Ondertekening",
    "by": "Ondertekend in de HSM met de sleutel van het auditlogboek, vingerafdruk ",
    "unsigned": "Nog niet ondertekend.",
}
_ENGLISH = {
    "lang": "en",
    "title": "Minutes of the key ceremony",
    "intro": "What stands below about the HSM and the key was read from the HSM after the act.",
    "act": "Act",
    "installation": "Installation",
    "version": "Version of hyok",
    "operator": "Run under the account",
    "command": "Command that was run",
    "begun": "Begun (UTC)",
    "ended": "Completed (UTC)",
    "persons": "Persons present, as they were given",
    "name": "Name",
    "role": "Role",
    "key": "The key",
    "token": "Token",
    "attributes": "Attributes, read back",
    "what": "Fact",
    "value": "Value",
    "none": "None.",
    "signed": "Signature",
    "by": "Signed in the HSM with the key of the audit log, fingerprint ",
    "unsigned": "Not signed yet.",
}


def _article(
    document: Mapping[str, object],
    moment: Callable[[int], str],
    signed_by: str,
    words: Mapping[str, str],
) -> str:
    begun, ended = document["begun_ms"], document["ended_ms"]
    command, key = document["command"], document["key"]
    assert isinstance(begun, int)
    assert isinstance(ended, int)
    assert isinstance(command, list)
    assert isinstance(key, dict)
    facts = [
        (words["act"], document["act"]),
        (words["installation"], document["installation"]),
        (words["version"], document["version"]),
        (words["operator"], document["operator"]),
        (words["command"], " ".join(map(str, command))),
        (words["begun"], moment(begun)),
        (words["ended"], moment(ended)),
    ]
    persons = [[row["name"], row["role"]] for row in _rows(document["present"])]
    shown = f"{words['by']}{escape(signed_by)}" if signed_by else words["unsigned"]
    return "".join(
        (
            f'<article lang="{words["lang"]}">\n<h1>{words["title"]}</h1>\n',
            f"<p>{words['intro']}</p>\n{listed(facts)}\n",
            table(words, "persons", ("name", "role"), persons),
            table(words, "key", ("what", "value"), [[name, key[name]] for name in sorted(key)]),
            *(_token(token, words) for token in _rows(document["tokens"])),
            f"<h2>{words['signed']}</h2>\n<p>{shown}</p>\n",
            f"<p>SHA-256: {digest(document)}</p>\n</article>\n",
        )
    )


def _token(token: Mapping[str, object], words: Mapping[str, str]) -> str:
    facts = [[name, token[name]] for name in sorted(token) if name != "keys"]
    keys = token.get("keys", [])
    tables = [table(words, "token", ("what", "value"), facts)]
    for key in _rows(keys):
        rows = [[name, key[name]] for name in sorted(key)]
        tables.append(table(words, "attributes", ("what", "value"), rows))
    return "".join(tables)


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    assert isinstance(value, (list, tuple))
    return value
