"""Nothing is gained by skipping a check: what each road must refuse, tried beside every row.

A road that checks must refuse a wrong signature and a body that is not the one that was signed or
summed; a road that seals must leave no plaintext at the store, and give out nothing that was
changed there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus

from benchmarks.side_by_side.client import Answer, send, send_raw
from benchmarks.side_by_side.requests import SAME, Ask, Slice, signed
from benchmarks.side_by_side.rows import MIB
from benchmarks.side_by_side.work import Failed, body_of, key_path, list_ask, load

if TYPE_CHECKING:
    from benchmarks.side_by_side.roads import Road
    from benchmarks.side_by_side.rows import Row
    from benchmarks.side_by_side.work import Bench

SAMPLED = 16
WINDOW, WINDOW_EVERY = 32, 4096
"""So many bytes of plaintext are looked for at the store, at every so many."""

TAMPERED_BYTES_MAX = 3 * MIB
"""Long enough to take the road of long bodies."""


def prove(bench: Bench, road: Road, row: Row) -> list[str]:
    """Try everything that applies; return what was tried.

    Raises:
        Failed: something got through.
    """
    tried = []
    if row.kind in {"put", "multipart"}:
        _bodies(bench, road, row)
        tried.append("bodies")
    if row.kind == "list":
        _listed(bench, road, row)
        tried.append("listing")
    if road.checks:
        _wrong_signature(bench, road, row)
        tried.append("signature")
    if road.opens and row.kind == "put" and row.signing != "unsigned":
        _wrong_body(bench, road, row)
        tried.append("body")
    if road.opens and row.kind in {"put", "get", "range", "multipart"}:
        _tampered(bench, road, row)
        tried.append("tampering")
    return tried


def _bodies(bench: Bench, road: Road, row: Row) -> None:
    """Read a sample back and compare each byte."""
    if row.kind == "multipart":
        asks = [_read(road, row, "parts", Slice(0, row.size))]
    else:
        written = min(row.keys, row.connections)  # by each round at least, however slow the road
        count = min(written, SAMPLED if row.size < MIB else 2)
        chosen = [number * written // count for number in range(count)]
        asks = [_read(road, row, f"{row.size}/{n}", body_of(row, n)) for n in chosen]
    told = load(bench, road, asks, connections=1, seconds=0, count=len(asks))
    if told["checked"] != len(asks):
        raise Failed(f"{road.name}: the bodies of {row.name} were not compared")


def _read(road: Road, row: Row, key: str, body: Slice) -> Ask:
    return Ask("GET", key_path(road, row, key), check=SAME, expected=body)


def _listed(bench: Bench, road: Road, row: Row) -> None:
    answer = send(road, list_ask(road, row), bench.pattern)
    names = re.findall(rb"<Key>list/(\d{4})</Key>", answer.body)
    if names != [b"%04d" % number for number in range(row.size)]:
        raise Failed(f"{road.name}: the listing has {len(names)} of {row.size} names")


def _wrong_signature(bench: Bench, road: Road, row: Row) -> None:
    path = key_path(road, row, "refused")
    put = Ask("PUT", path, body=Slice(7, min(row.size, 1024)), signing=row.signing)
    for ask in (put, Ask("GET", path)):
        answer = send(road, ask, bench.pattern, wrong_signature=True)
        if answer.status != 403:
            raise Failed(f"{road.name}: a wrong signature is answered with {answer.status}")
    if send(road, Ask("GET", path), bench.pattern).status != 404:
        raise Failed(f"{road.name}: a refused body is there")


def _wrong_body(bench: Bench, road: Road, row: Row) -> None:
    """Change one byte of a body whose digest was signed or stands behind it."""
    size = min(row.size, TAMPERED_BYTES_MAX)
    path = key_path(road, row, "changed")
    ask = Ask("PUT", path, body=Slice(11, size), signing=row.signing)
    head, *parts = signed(ask, road.host, road.signer, bench.pattern)
    assert isinstance(head, bytes)
    whole = bytearray().join(
        part if isinstance(part, bytes) else part.of(bench.pattern) for part in parts
    )
    # The middle of the first chunk: never framing, never the trailer.
    whole[min(size, 1024) // 2 + 16] ^= 1
    answer = send_raw(road, head, bytes(whole))
    if answer.status // 100 != 4:
        raise Failed(f"{road.name}: a changed body ({row.signing}) is answered {answer.status}")
    if send(road, Ask("GET", path), bench.pattern).status != 404:
        raise Failed(f"{road.name}: a changed body ({row.signing}) is there")


def names_at(bench: Bench, road: Road, bucket: str) -> set[str]:
    """Return all names of a bucket of a store."""
    names: set[str] = set()
    token = ""
    while True:
        query = [("encoding-type", "url"), ("list-type", "2")]
        if token:
            query.insert(0, ("continuation-token", token))
        answer = send(road, Ask("GET", f"/{bucket}", tuple(query)), bench.pattern)
        if answer.status != 200:
            raise Failed(f"the store does not list {bucket}: {answer.status}")
        text = answer.body.decode()
        names |= {unquote_plus(name) for name in re.findall(r"<Key>(.*?)</Key>", text)}
        found = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", text)
        if found is None:
            return names
        token = unquote_plus(found[1])


def _tampered(bench: Bench, road: Road, row: Row) -> None:
    """Change one byte at the store and read it through the road."""
    store = bench.stores[row.store].road
    bucket = road.backend_bucket(row.classification)
    small = replace(row, size=min(row.size, TAMPERED_BYTES_MAX))
    key, body = f"tampered/{row.name}", Slice(13, small.size)
    path = key_path(road, row, key)
    before = names_at(bench, store, bucket)
    _must(send(road, Ask("PUT", path, body=body), bench.pattern), 200, road, "a PUT")
    made = [n for n in names_at(bench, store, bucket) - before if not n.startswith(".hyok/")]
    if len(made) != 1:
        raise Failed(f"{road.name}: {len(made)} objects came of one")
    at = f"/{bucket}/{quote(made[0])}"
    stored = send(store, Ask("GET", at), bench.pattern)
    plain = body.of(bench.pattern)
    starts = range(0, max(0, len(plain) - WINDOW + 1), WINDOW_EVERY)
    if any(plain[at : at + WINDOW] in stored.body for at in starts):
        raise Failed(f"{road.name}: plaintext of {key} stands at the store")
    whole = send(road, Ask("GET", path), bench.pattern)
    if whole.cut or whole.body != plain:
        raise Failed(f"{road.name}: what was put at {key} does not come back")
    changed = bytearray(stored.body)
    changed[len(changed) // 2] ^= 1
    kept = {
        name: value
        for name, value in stored.headers.items()
        if name.startswith("x-amz-meta-") or name == "content-type"
    }
    _put_raw(store, at, kept, bytes(changed), bench.pattern)
    answer = send(road, Ask("GET", path), bench.pattern)
    if answer.status // 100 == 2 and not answer.cut:
        raise Failed(f"{road.name}: bytes that were changed at the store are given out as whole")
    if answer.status // 100 == 2 and not plain.startswith(answer.body):
        raise Failed(f"{road.name}: changed bytes came out before the answer was cut")
    _must(send(road, Ask("DELETE", path), bench.pattern), 204, road, "a DELETE")


def _put_raw(store: Road, path: str, headers: dict[str, str], body: bytes, pattern: bytes) -> None:
    head, *_ = signed(Ask("PUT", path, headers=headers), store.host, store.signer, pattern)
    assert isinstance(head, bytes)
    head = head.replace(b"content-length: 0\r\n", b"content-length: %d\r\n" % len(body))
    _must(send_raw(store, head, body), 200, store, "a PUT at the store")


def _must(answer: Answer, status: int, road: Road, what: str) -> None:
    if answer.status != status:
        raise Failed(f"{road.name}: {what} is answered {answer.status} {answer.body[:300]!r}")
