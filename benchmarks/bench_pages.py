"""What a page of a listing costs, from the bytes of the store's answer to those of the client's.

    python benchmarks/bench_pages.py [--rows 1000] [--rounds 100] [--json]

No store and no gateway: a document as SeaweedFS writes it, with clear names and with sealed ones,
is read, opened, sorted and written.  CPU of this process, in microseconds: the median of the
rounds, and the least of them, which others on the machine disturb least.  All rows are of one size
and second, as in `bench_gateway.py`; with `--different` each is of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "src")]

from hyok.backends.s3_answers import parse_listing  # noqa: E402
from hyok.envelope.layout import LAYOUT  # noqa: E402
from hyok.envelope.names import NameKey  # noqa: E402
from hyok.objects.object_rows import Sorted, entries_of, opened, without_reserved  # noqa: E402
from hyok.s3.answers import Page, list_objects_v2  # noqa: E402
from hyok.s3.elements import timestamp  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.backends.port import StoreListing
    from hyok.s3.answers import Entries

FOLDER = "list/"
SECRET = bytes(range(32))
BEGUN_MS = 1_795_521_600_000


def document_of(names: Sequence[str], *, different: bool) -> bytes:
    """Return what SeaweedFS answers a listing of these names with."""
    rows = []
    for at, name in enumerate(names):
        size = LAYOUT.object_sealed_size(16 + at * 977 * different)
        second = timestamp(BEGUN_MS + 61_000 * at * different)[:19]
        rows.append(
            f"<Contents><Key>{name}</Key><ETag>&#34;{at:032x}&#34;</ETag><Size>{size}</Size>"
            f"<StorageClass>STANDARD</StorageClass><LastModified>{second}Z</LastModified></Contents>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
        f"<IsTruncated>false</IsTruncated>{''.join(rows)}</ListBucketResult>"
    ).encode()


def clear(page: StoreListing) -> Entries:
    shown = without_reserved(page.objects)
    return entries_of(shown.names, shown)


def arranged(page: StoreListing, name_key: NameKey) -> Entries:
    found = opened(page, name_key, FOLDER)
    whole = Sorted.of(found.entries, found.prefixes, FOLDER, "")
    return whole.part("", len(found.entries)).entries


def written(entries: Entries) -> bytes:
    page = Page("b", FOLDER, max_keys=len(entries), entries=entries)
    return list_objects_v2(page, token=None, next_token="", start_after=None)


def measured(act: Callable[[], object], rounds: int) -> tuple[int, int]:
    """Return the median and the least CPU, in microseconds."""
    act()
    found = []
    for _ in range(rounds):
        began = time.process_time_ns()
        act()
        found.append((time.process_time_ns() - began) // 1000)
    return round(statistics.median(found)), min(found)


def figures(rows: int, rounds: int, *, different: bool) -> dict[str, tuple[int, int]]:
    keys = [f"{FOLDER}{number:04}" for number in range(rows)]
    name_key = NameKey(SECRET, "b")
    sealed = sorted(map(name_key.seal, keys))
    documents = [document_of(names, different=different) for names in (keys, sealed)]
    below = ("", name_key.seal(FOLDER))
    pages = [parse_listing(body, prefix)[0] for body, prefix in zip(documents, below, strict=True)]
    entries = clear(pages[0])
    assert list(entries.keys) == list(arranged(pages[1], name_key).keys) == keys

    def strange() -> Entries:
        return arranged(pages[1], NameKey(SECRET, "b"))

    return {
        "clear: read": measured(lambda: parse_listing(documents[0], ""), rounds),
        "clear: sizes, ETags": measured(lambda: clear(pages[0]), rounds),
        "sealed: read": measured(lambda: parse_listing(documents[1], below[1]), rounds),
        "sealed: known names, order": measured(lambda: arranged(pages[1], name_key), rounds),
        "sealed: new names, order": measured(strange, rounds),
        "both: written": measured(lambda: written(entries), rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--different", action="store_true", help="each row another size and time")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = figures(asked.rows, asked.rounds, different=asked.different)
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for step, (median, least) in found.items():
        print(f"{step:28} {median:8,} us, at least {least:8,}")


if __name__ == "__main__":
    main()
