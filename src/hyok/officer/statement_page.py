"""The statement of destruction as a page for people, in Dutch and English.  Pure.

Source: docs/shredding.md.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hyok.officer.document_page import listed, page, table
from hyok.officer.statement import KEK_DESTROYED, KEY_DESTROYED, NOT_IN_HSM, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


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
    "scope": "Wat is vernietigd (van een zaak of betrokkene: het pseudoniem)",
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
    "kek-destroyed": "geweigerd, de KEK is vernietigd",
    "not-in-hsm": "de HSM zelf is gevraagd: die heeft deze KEK niet meer",
    "other": "om een andere reden geweigerd; dit toont de vernietiging niet",
    "copies": "Wat nog bestaat, en tot wanneer",
    "horizon": (
        "Back-ups van de database kunnen de sleutels nog bevatten tot {when}. Tot dat moment "
        "weigert hyok ze; wie zo'n back-up, een kopie van de bestanden en de HSM samen heeft, zou "
        "ze buiten hyok om kunnen openen. Kopieën van de versleutelde bestanden bij de leverancier "
        "zijn na dat moment voorgoed onleesbaar."
    ),
    "more-keys": "In totaal {count} sleutels; SHA-256 van al hun nummers: {sha256}",
    "keks": "KEK's die in de HSM zijn vernietigd",
    "check-value": "Controlewaarde",
    "tokens": "Uit de tokens",
    "keks-kept": "KEK's die nog bestaan, omdat ze ook andere sleutels bewaren",
    "records": "Bewaarde sleutels en kopieën daarvan",
    "written-since": (
        "Bestanden van deze classificatie die sinds het begin zijn geschreven of opnieuw verpakt, "
        "onder een nieuwe sleutel, en die nog bestaan: {count}"
    ),
    "hsm-horizon": (
        "Wat de vernietigde KEK's bewaarden is met een back-up van de database niet meer te "
        "openen. Een back-up van de HSM van vóór de vernietiging kan ze nog bevatten; hyok kent "
        "die back-ups niet. Wie zo'n back-up heeft, een kopie van de bestanden en, waar sleutels "
        "in de database stonden, een back-up daarvan, zou ze kunnen openen. Vernietig ook de "
        "back-ups van de HSM."
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
    "scope": "What was destroyed (of a case or person: the pseudonym)",
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
    "kek-destroyed": "refused, the KEK was destroyed",
    "not-in-hsm": "the HSM itself was asked: it has this KEK no more",
    "other": "refused for another reason; this does not show the destruction",
    "copies": "What still exists, and until when",
    "horizon": (
        "Backups of the database may hold the keys until {when}. Until then hyok refuses them; "
        "whoever has such a backup, a copy of the objects and the HSM together could open them "
        "outside of hyok. After that moment copies of the sealed objects at the supplier can never "
        "be read again."
    ),
    "more-keys": "{count} keys in all; SHA-256 of all their numbers: {sha256}",
    "keks": "KEKs destroyed in the HSM",
    "check-value": "Check value",
    "tokens": "From the tokens",
    "keks-kept": "KEKs that still exist, since they keep other keys as well",
    "records": "Keys kept, and copies of such",
    "written-since": (
        "Objects of this classification that were written or wrapped anew since it began, under a "
        "new key, and that still exist: {count}"
    ),
    "hsm-horizon": (
        "What the destroyed KEKs kept can be opened with no backup of the database any more. A "
        "backup of the HSM from before may still have them; hyok does not know those backups. "
        "Whoever has one, a copy of the objects and, where keys stood in the database, a backup "
        "of that, could open them. Destroy the backups of the HSM as well."
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
            _keks(document, words, at),
            table(words, "keys", ("key", "kek", "class", "made"), keys),
            _more_keys(document, words),
            table(words, "objects", ("bucket", "store", "versions", "bytes"), parts),
            _only_deleted(document, words),
            f"<p>{words['absent']}{escape(str(document['remaining']))}</p>\n",
            _written_since(document, words),
            table(words, "attempts", ("bucket", "at", "answer"), attempts),
            f"<h2>{words['copies']}</h2>\n",
            _horizon(document, words, at(document["horizon_ms"])),
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
    gone = _ended(document)
    if any(row.get("mirrored") and row["kek_id"] not in gone for row in _rows(document["keys"])):
        shown += f"<p>{words['mirrored']}</p>\n"
    return shown


def _keks(
    document: Mapping[str, object], words: Mapping[str, str], at: Callable[[object], str]
) -> str:
    """Return the key versions that went, and those that did not."""
    shown = ""
    rows = _rows(document.get("keks", []))
    if rows:
        cells = [
            [one["kek_id"], one["check_value"], ", ".join(_texts(one["tokens"])), at(one["at_ms"])]
            for one in rows
        ]
        shown += table(words, "keks", ("kek", "check-value", "tokens", "at"), cells)
    kept = document.get("keks_kept", {})
    assert isinstance(kept, dict)
    if kept:
        cells = [[name, count] for name, count in sorted(kept.items())]
        shown += table(words, "keks-kept", ("kek", "records"), cells)
    return shown


def _more_keys(document: Mapping[str, object], words: Mapping[str, str]) -> str:
    count = document.get("keys_count", 0)
    if not count:
        return ""
    told = words["more-keys"].format(count=count, sha256=document["keys_sha256"])
    return f"<p>{escape(told)}</p>\n"


def _written_since(document: Mapping[str, object], words: Mapping[str, str]) -> str:
    count = document.get("written_since", 0)
    return f"<p>{escape(words['written-since'].format(count=count))}</p>\n" if count else ""


def _ended(document: Mapping[str, object]) -> frozenset[object]:
    return frozenset(one["kek_id"] for one in _rows(document.get("keks", [])))


def _horizon(document: Mapping[str, object], words: Mapping[str, str], when: str) -> str:
    """Return which backups can still open something: where the KEK went, only the HSM's."""
    ended = _ended(document)
    shown = f"<p>{words['hsm-horizon']}</p>\n" if ended else ""
    if not ended or document.get("keks_kept"):
        shown += f"<p>{words['horizon'].format(when=when)}</p>\n"
    return shown


def _texts(value: object) -> Sequence[str]:
    assert isinstance(value, (list, tuple))
    return [str(one) for one in value]


def _answered(row: Mapping[str, object]) -> str:
    known = {
        KEY_DESTROYED: "destroyed",
        KEK_DESTROYED: "kek-destroyed",
        NOT_IN_HSM: "not-in-hsm",
    }
    return known.get(str(row["answer"]), "other")


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    assert isinstance(value, (list, tuple))
    return value
