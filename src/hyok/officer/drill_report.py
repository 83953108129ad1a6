"""The report of a restore drill, as data and as a page for people.  Pure.

Source: docs/operate.md; BIO2, measure 8.13.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING

from hyok.audit.signed import digest
from hyok.officer.document_page import listed, page, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FORM = "hyok-restore-drill/1"
ACTION = "drill:restore"
REASON = "drill-sha256:"
"""In front of the digest, in the record of the audit log."""
FAILURES_MAX = 50


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of the sample of one classification."""

    classification: str
    looked_at: int
    sampled: int
    opened: int
    size_bytes: int
    checksums: int
    newer: int
    destroyed: int
    failed: int


@dataclass(frozen=True, slots=True)
class DrillReport:
    """Everything that is reported.  Times are unix milliseconds.

    ``rows``: what the restored database holds, by table.  ``keys_right``: key versions whose check
    value the HSM answered.
    """

    installation: str
    version: str  # of hyok
    operator: str
    backup: str
    backup_id: str
    backup_made_ms: int
    backup_bytes: int
    custodians: Sequence[str]  # whose shares opened it; empty: the HSM did
    begun_ms: int
    restored_ms: int
    ended_ms: int
    rows: Mapping[str, int]
    keys: int
    keys_right: int
    officers: int
    classes: Sequence[Opened]
    failures: Sequence[str]

    @property
    def passed(self) -> bool:
        """Everything that was tried came back, and something was."""
        opened = sum(one.opened for one in self.classes)
        return not self.failures and self.keys_right == self.keys and opened > 0

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        whole = {"format": FORM, "passed": self.passed} | asdict(self)
        whole["failures"] = list(self.failures[:FAILURES_MAX])
        document: dict[str, object] = json.loads(json.dumps(whole))
        return document


def render_page(
    document: Mapping[str, object], moment: Callable[[int], str], signed_by: str
) -> str:
    """Return the report as one HTML page in Dutch and English."""
    articles = "".join(_article(document, moment, signed_by, words) for words in (_DUTCH, _ENGLISH))
    return page("Verslag van de hersteltest / Report of the restore drill", articles)


_DUTCH = {
    "lang": "nl",
    "title": "Verslag van de hersteltest",
    "passed": "Geslaagd: de back-up is teruggezet en de steekproef is met de HSM geopend.",
    "not": "Niet geslaagd: zie hieronder wat niet terugkwam.",
    "beside": "De back-up is naast de draaiende installatie teruggezet en daarna verwijderd.",
    "installation": "Installatie",
    "version": "Versie van hyok",
    "operator": "Uitgevoerd onder account",
    "backup": "Back-up",
    "id": "Kenmerk van de back-up",
    "made": "Gemaakt (UTC)",
    "size": "Bytes van de database",
    "by": "Geopend door",
    "hsm": "de HSM",
    "begun": "Begonnen (UTC)",
    "ended": "Voltooid (UTC)",
    "seconds": "Seconden tot de database er weer was",
    "keys": "Sleutels die de HSM kent",
    "officers": "Functionarissen, bewezen",
    "rows": "Rijen in de teruggezette database",
    "table": "Tabel",
    "count": "Aantal",
    "classes": "Steekproef per classificatie",
    "class": "Classificatie",
    "looked": "Bekeken",
    "sampled": "Gekozen",
    "opened": "Geopend",
    "bytes": "Bytes",
    "sums": "Controlegetallen vergeleken",
    "newer": "Nieuwer dan de back-up",
    "destroyed": "Sleutel vernietigd",
    "failed": "Mislukt",
    "failures": "Wat mislukte",
    "what": "Wat",
    "none": "Geen.",
    "signed": "Ondertekening",
    "signedby": "Ondertekend in de HSM met de sleutel van het auditlogboek, vingerafdruk ",
    "unsigned": "Nog niet ondertekend.",
}
_ENGLISH = {
    "lang": "en",
    "title": "Report of the restore drill",
    "passed": "Passed: the backup was restored and the sample was opened with the HSM.",
    "not": "Not passed: see below what did not come back.",
    "beside": "The backup was restored beside the running installation and removed afterwards.",
    "installation": "Installation",
    "version": "Version of hyok",
    "operator": "Run under the account",
    "backup": "Backup",
    "id": "Id of the backup",
    "made": "Made (UTC)",
    "size": "Bytes of the database",
    "by": "Opened by",
    "hsm": "the HSM",
    "begun": "Begun (UTC)",
    "ended": "Completed (UTC)",
    "seconds": "Seconds until the database was back",
    "keys": "Keys that the HSM knows",
    "officers": "Officers, proven",
    "rows": "Rows of the restored database",
    "table": "Table",
    "count": "Count",
    "classes": "Sample by classification",
    "class": "Classification",
    "looked": "Looked at",
    "sampled": "Chosen",
    "opened": "Opened",
    "bytes": "Bytes",
    "sums": "Checksums compared",
    "newer": "Newer than the backup",
    "destroyed": "Key destroyed",
    "failed": "Failed",
    "failures": "What failed",
    "what": "What",
    "none": "None.",
    "signed": "Signature",
    "signedby": "Signed in the HSM with the key of the audit log, fingerprint ",
    "unsigned": "Not signed yet.",
}
_COLUMNS = ("class", "looked", "sampled", "opened", "bytes", "sums", "newer", "destroyed", "failed")


def _article(
    document: Mapping[str, object],
    moment: Callable[[int], str],
    signed_by: str,
    words: Mapping[str, str],
) -> str:
    begun, restored, ended = (
        _number(document[f"{name}_ms"]) for name in ("begun", "restored", "ended")
    )
    custodians, classes, rows = document["custodians"], document["classes"], document["rows"]
    failures = document["failures"]
    assert isinstance(custodians, list)
    assert isinstance(classes, list)
    assert isinstance(rows, dict)
    assert isinstance(failures, list)
    facts = [
        (words["installation"], document["installation"]),
        (words["version"], document["version"]),
        (words["operator"], document["operator"]),
        (words["backup"], document["backup"]),
        (words["id"], document["backup_id"]),
        (words["made"], moment(_number(document["backup_made_ms"]))),
        (words["size"], document["backup_bytes"]),
        (words["by"], ", ".join(custodians) or words["hsm"]),
        (words["begun"], moment(begun)),
        (words["seconds"], f"{(restored - begun) / 1000:.1f}"),
        (words["ended"], moment(ended)),
        (words["keys"], f"{document['keys_right']} / {document['keys']}"),
        (words["officers"], document["officers"]),
    ]
    shown = f"{words['signedby']}{escape(signed_by)}" if signed_by else words["unsigned"]
    return "".join(
        (
            f'<article lang="{words["lang"]}">\n<h1>{words["title"]}</h1>\n',
            f"<p><strong>{words['passed' if document['passed'] else 'not']}</strong></p>\n",
            f"<p>{words['beside']}</p>\n{listed(facts)}\n",
            table(words, "classes", _COLUMNS, [list(one.values()) for one in classes]),
            table(words, "failures", ("what",), [[text] for text in failures]),
            table(words, "rows", ("table", "count"), sorted(rows.items())),
            f"<h2>{words['signed']}</h2>\n<p>{shown}</p>\n",
            f"<p>SHA-256: {digest(document)}</p>\n</article>\n",
        )
    )


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
