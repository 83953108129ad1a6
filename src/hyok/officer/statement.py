"""The statement of destruction (verklaring van vernietiging), as data and as a page for people.

What it says is covered by the audit log: its SHA-256 stands in a record there, and the HSM signs
checkpoints over that log.  Pure.

Source: docs/shredding.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

from hyok.custody.proposal import canonical
from hyok.officer.document_page import listed, page, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FORM = "hyok-destruction-statement/1"
ACTION = "shred:statement"
KEY_DESTROYED = "HY-2304"
REASON = "statement-sha256:"
"""In front of the digest, in the record of the audit log."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one bucket lost: versions of objects and their sealed bytes."""

    bucket: str
    store: str
    versions: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Key:
    """One intermediate key that was destroyed."""

    ik_id: str
    kek_id: str
    classification: str
    created_ms: int
    mirrored: bool = False  # copies of its record stood in buckets, where a store may have kept one


@dataclass(frozen=True, slots=True)
class Deleted:
    """Versions that were removed while their keys live on, and why these do.

    ``why``: ``shared``, the key keeps other objects; ``alone``, a KEK keeps each by itself.
    """

    bucket: str
    why: str
    versions: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Person:
    """Who decided, and how they signed in."""

    person: str
    verdict: str
    method: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A decryption that was tried after the keys were destroyed."""

    bucket: str
    at_ms: int
    answer: str  # the code with which it failed


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything that is stated.  Times are unix milliseconds."""

    installation: str
    proposal: str
    proposal_sha256: str
    tenant: str
    scope: str
    classification: str
    selection: str
    reason: str
    persons: Sequence[Person]
    executed_by: str
    begun_ms: int
    ended_ms: int
    keys: Sequence[Key]
    parts: Sequence[Part]
    remaining: int
    attempts: Sequence[Attempt]
    horizon_ms: int
    deleted: Sequence[Deleted] = ()  # part of `parts`

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        document: dict[str, object] = json.loads(json.dumps({"format": FORM} | asdict(self)))
        return document


def digest(document: Mapping[str, object]) -> str:
    """Return the SHA-256 of a statement's canonical bytes, hex."""
    return sha256(canonical(document)).hexdigest()


def render_page(document: Mapping[str, object], moment: Callable[[int], str], proof: str) -> str:
    """Return the statement as one HTML page in Dutch and English, without anything from elsewhere.

    ``moment`` renders a time; ``proof`` names the checkpoint that covers it, or is empty.
    """
    parts = "".join(_part(document, moment, proof, words) for words in (_DUTCH, _ENGLISH))
    return page("Verklaring van vernietiging / Statement of destruction", parts)


_DUTCH = {
    "lang": "nl",
    "title": "Verklaring van vernietiging",
    "intro": "De sleutels en de versleutelde bestanden hieronder zijn vernietigd.",
    "installation": "Installatie",
    "tenant": "Organisatie",
    "scope": "Zaak of betrokkene (pseudoniem)",
    "classification": "Classificatie",
    "selection": "Grondslag (selectielijst)",
    "reason": "Reden",
    "proposal": "Voorstel",
    "digest": "SHA-256 van het voorstel",
    "executed": "Uitgevoerd door",
    "ended": "Voltooid",
    "persons": "Wie heeft besloten",
    "person": "Persoon",
    "verdict": "Besluit",
    "method": "Ondertekend met",
    "at": "Tijdstip (UTC)",
    "keys": "Vernietigde sleutels",
    "key": "Sleutel",
    "kek": "Bewaard onder",
    "class": "Classificatie",
    "made": "Gemaakt (UTC)",
    "objects": "Gewiste bestanden, alle versies",
    "bucket": "Bucket",
    "store": "Opslag",
    "versions": "Versies",
    "bytes": "Versleutelde bytes",
    "none": "Geen.",
    "deleted": "Daarvan alleen gewist: de sleutel bestaat nog",
    "why": "Waarom",
    "shared": "de sleutel bewaart ook andere bestanden",
    "alone": "elk bestand heeft zijn eigen sleutel, bewaard onder de KEK",
    "warning": (
        "Let op: een kopie die de leverancier van de alleen gewiste bestanden bewaarde, is nog te "
        "openen door wie de HSM mag gebruiken, totdat de KEK is vernietigd."
    ),
    "mirrored": (
        "Van sommige vernietigde sleutels stonden versleutelde kopieën bij de leverancier. Ze zijn "
        "gewist; bewaarde de leverancier er een, dan is die te openen door wie de HSM mag "
        "gebruiken, totdat de KEK is geroteerd en vernietigd."
    ),
    "absent": "Na het wissen zijn alle buckets opnieuw doorzocht; aantal gevonden versies: ",
    "attempts": "Daarna is geprobeerd een bestand te ontsleutelen",
    "answer": "Uitkomst",
    "destroyed": "geweigerd, de sleutel is vernietigd",
    "other": "om een andere reden geweigerd; dit toont de vernietiging niet",
    "copies": "Wat nog bestaat, en tot wanneer",
    "horizon": (
        "Back-ups van de database kunnen de sleutels nog bevatten tot {when}. Tot dat moment "
        "weigert hyok ze; wie zo'n back-up, een kopie van de bestanden en de HSM samen heeft, zou "
        "ze buiten hyok om kunnen openen. Kopieën van de versleutelde bestanden bij de leverancier "
        "zijn na dat moment voorgoed onleesbaar."
    ),
    "proof": "Bewijs",
    "proven": "Deze verklaring staat in het auditlogboek, onder een checkpoint van de HSM: ",
    "unproven": "Nog geen checkpoint van het auditlogboek dekt deze verklaring.",
}
_ENGLISH = {
    "lang": "en",
    "title": "Statement of destruction",
    "intro": "The keys and the sealed objects below were destroyed.",
    "installation": "Installation",
    "tenant": "Organisation",
    "scope": "Case or person (pseudonym)",
    "classification": "Classification",
    "selection": "Ground (selection list)",
    "reason": "Reason",
    "proposal": "Proposal",
    "digest": "SHA-256 of the proposal",
    "executed": "Executed by",
    "ended": "Completed",
    "persons": "Who decided",
    "person": "Person",
    "verdict": "Decision",
    "method": "Signed with",
    "at": "Time (UTC)",
    "keys": "Keys destroyed",
    "key": "Key",
    "kek": "Kept under",
    "class": "Classification",
    "made": "Made (UTC)",
    "objects": "Objects erased, in every version",
    "bucket": "Bucket",
    "store": "Store",
    "versions": "Versions",
    "bytes": "Sealed bytes",
    "none": "None.",
    "deleted": "Of these only deleted: the key lives on",
    "why": "Why",
    "shared": "the key keeps other objects as well",
    "alone": "each object has a key of its own, kept under the KEK",
    "warning": (
        "Note: a copy that the supplier kept of the objects that were only deleted can still be "
        "opened by whoever may use the HSM, until the KEK is destroyed."
    ),
    "mirrored": (
        "Sealed copies of some of the destroyed keys stood at the supplier. They are removed; if "
        "the supplier kept one, whoever may use the HSM can open it until the KEK is rotated and "
        "destroyed."
    ),
    "absent": "After the erasure every bucket was searched again; versions found: ",
    "attempts": "Then a decryption was tried",
    "answer": "Result",
    "destroyed": "refused, the key was destroyed",
    "other": "refused for another reason; this does not show the destruction",
    "copies": "What still exists, and until when",
    "horizon": (
        "Backups of the database may hold the keys until {when}. Until then hyok refuses them; "
        "whoever has such a backup, a copy of the objects and the HSM together could open them "
        "outside of hyok. After that moment copies of the sealed objects at the supplier can never "
        "be read again."
    ),
    "proof": "Proof",
    "proven": "This statement stands in the audit log, under a checkpoint of the HSM: ",
    "unproven": "No checkpoint of the audit log covers this statement yet.",
}


def _part(
    document: Mapping[str, object],
    moment: Callable[[int], str],
    proof: str,
    words: Mapping[str, str],
) -> str:
    def at(value: object) -> str:
        return moment(value) if isinstance(value, int) and value else "-"

    facts = [
        (words["installation"], document["installation"]),
        (words["tenant"], document["tenant"]),
        (words["scope"], document["scope"]),
        (words["classification"], document["classification"]),
        (words["selection"], document["selection"] or "-"),
        (words["reason"], document["reason"]),
        (words["proposal"], document["proposal"]),
        (words["digest"], document["proposal_sha256"]),
        (words["executed"], document["executed_by"]),
        (words["ended"], at(document["ended_ms"])),
    ]
    persons = [
        [row["person"], row["verdict"], row["method"], at(row["at_ms"])]
        for row in _rows(document["persons"])
    ]
    keys = [
        [row["ik_id"], row["kek_id"], row["classification"], at(row["created_ms"])]
        for row in _rows(document["keys"])
    ]
    parts = [
        [row["bucket"], row["store"], row["versions"], row["size_bytes"]]
        for row in _rows(document["parts"])
    ]
    attempts = [
        [row["bucket"], at(row["at_ms"]), f"{row['answer']}: {words[_answered(row)]}"]
        for row in _rows(document["attempts"])
    ]
    return "".join(
        (
            f'<article lang="{words["lang"]}">\n<h1>{words["title"]}</h1>\n',
            f"<p>{words['intro']}</p>\n{listed(facts)}\n",
            table(words, "persons", ("person", "verdict", "method", "at"), persons),
            table(words, "keys", ("key", "kek", "class", "made"), keys),
            table(words, "objects", ("bucket", "store", "versions", "bytes"), parts),
            _only_deleted(document, words),
            f"<p>{words['absent']}{escape(str(document['remaining']))}</p>\n",
            table(words, "attempts", ("bucket", "at", "answer"), attempts),
            f"<h2>{words['copies']}</h2>\n",
            f"<p>{words['horizon'].format(when=at(document['horizon_ms']))}</p>\n",
            f"<h2>{words['proof']}</h2>\n",
            f"<p>{words['proven']}{escape(proof)}</p>\n"
            if proof
            else f"<p>{words['unproven']}</p>\n",
            f"<p>SHA-256: {digest(document)}</p>\n</article>\n",
        )
    )


def _only_deleted(document: Mapping[str, object], words: Mapping[str, str]) -> str:
    rows = [
        [row["bucket"], words[str(row["why"])], row["versions"], row["size_bytes"]]
        for row in _rows(document.get("deleted", []))
    ]
    shown = ""
    if rows:
        shown += table(words, "deleted", ("bucket", "why", "versions", "bytes"), rows)
        shown += f"<p><strong>{words['warning']}</strong></p>\n"
    if any(row.get("mirrored") for row in _rows(document["keys"])):
        shown += f"<p>{words['mirrored']}</p>\n"
    return shown


def _answered(row: Mapping[str, object]) -> str:
    return "destroyed" if row["answer"] == KEY_DESTROYED else "other"


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    assert isinstance(value, (list, tuple))
    return value
