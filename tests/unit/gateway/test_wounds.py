"""What other gateways got wrong once, each as clients met it; sealing is real, the store is not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import House, build, house
from tests.unit.gateway.sealed_door import (
    PART,
    Sealed,
    at,
    element,
    elements,
    sealed_door,
)

from hyok.s3.checksums import Algorithm, compute, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["house"]

TAIL = b"the last part is short"


@pytest.fixture
async def sealed(house: House) -> Sealed:
    return await sealed_door(house)


# --- ETags ---------------------------------------------------------------------------------------


async def test_the_etag_of_a_listing_is_that_of_put_head_get_copy_and_complete(
    sealed: Sealed,
) -> None:
    """rclone takes everything for modified where they differ."""
    put = await sealed.send("PUT a", b"plain")
    copy = await sealed.send("PUT b", x_amz_copy_source="dossiers/a")
    upload = await sealed.begin("c")
    parts = [(1, await sealed.part("c", upload, 1, PART))]
    parts.append((2, await sealed.part("c", upload, 2, PART)))
    done = await sealed.complete("c", upload, parts)
    told = [put.headers["etag"], element(copy, "ETag"), element(done, "ETag")]
    for query in ([], [("list-type", "2")]):
        listed = await sealed.send("GET /dossiers", query=query)
        assert elements(listed, "ETag") == told
    for key, etag in zip("abc", told, strict=True):
        for method in ("HEAD", "GET"):
            assert (await sealed.send(f"{method} {key}")).headers["etag"] == etag
    assert all("-" in etag and etag[0] == '"' == etag[-1] for etag in told)


@pytest.mark.parametrize("quote", ['"', ""])
async def test_an_etag_without_quotes_means_the_same(sealed: Sealed, quote: str) -> None:
    put = await sealed.send("PUT a", b"plain")
    etag = quote + put.headers["etag"].strip('"') + quote
    assert (await sealed.send("GET a", if_match=etag)).status == 200
    assert (await sealed.send("GET a", if_none_match=etag)).status == 304
    copied = await sealed.send(
        "PUT b", x_amz_copy_source="dossiers/a", x_amz_copy_source_if_match=etag
    )
    assert copied.status == 200
    assert (await sealed.send("PUT a", b"new", if_match=etag)).status == 200
    assert (await sealed.send("PUT a", b"newer", if_match=etag)).status == 412
    upload = await sealed.begin("c")
    part = await sealed.part("c", upload, 1, b"x")
    assert (await sealed.complete("c", upload, [(1, quote + part + quote)])).status == 200


async def test_a_write_may_ask_that_something_stands_there_or_another_version(
    sealed: Sealed,
) -> None:
    """Not Amazon's, and heeded where the store decides it: never looked up and written later."""
    assert (await sealed.send("PUT a", b"1", if_match="*")).status == 412
    first = (await sealed.send("PUT a", b"1")).headers["etag"]
    assert (await sealed.send("PUT a", b"2", if_none_match=first)).status == 412
    assert (await sealed.send("PUT a", b"2", if_match="*")).status == 200
    assert (await sealed.send("PUT a", b"3", if_none_match=first)).status == 200
    assert (await sealed.send("GET a")).body == b"3"
    upload = await sealed.begin("nieuw")
    part = [(1, await sealed.part("nieuw", upload, 1, b"x"))]
    assert (await sealed.complete("nieuw", upload, part, if_match="*")).status == 412
    assert (await sealed.complete("nieuw", upload, part, if_none_match=first)).status == 200


# --- empty and short -----------------------------------------------------------------------------


async def test_an_empty_object_is_an_object(sealed: Sealed) -> None:
    assert (await sealed.send("PUT leeg", b"")).status == 200
    head = await sealed.send("HEAD leeg")
    assert head.headers["content-length"] == "0"
    got = await sealed.send("GET leeg")
    assert (got.status, got.body) == (200, b"")
    ranged = await sealed.send("GET leeg", range="bytes=0-0")
    assert (ranged.status, ranged.code) == (416, "InvalidRange")
    assert elements(await sealed.send("GET /dossiers"), "Size") == ["0"]
    upload = await sealed.begin("leeg2")
    part = await sealed.part("leeg2", upload, 1, b"")
    assert (await sealed.complete("leeg2", upload, [(1, part)])).status == 200
    assert (await sealed.send("GET leeg2")).body == b""


async def test_only_the_last_part_may_be_short(sealed: Sealed) -> None:
    upload = await sealed.begin("k")
    parts = [(1, await sealed.part("k", upload, 1, PART))]
    parts.append((2, await sealed.part("k", upload, 2, TAIL)))
    parts.append((3, await sealed.part("k", upload, 3, TAIL)))
    refused = await sealed.complete("k", upload, parts)
    assert (refused.status, refused.code) == (400, "EntityTooSmall")
    assert (await sealed.complete("k", upload, parts[:2])).status == 200
    assert (await sealed.send("GET k")).body == PART + TAIL
    assert elements(await sealed.send("GET /dossiers"), "Size") == [str(len(PART + TAIL))]


# --- parts ---------------------------------------------------------------------------------------


async def test_a_part_that_is_sent_again_with_another_body_replaces_the_first(
    sealed: Sealed,
) -> None:
    upload = await sealed.begin("k")
    long_then_short = [await sealed.part("k", upload, 1, body) for body in (PART, TAIL)]
    old = await sealed.complete("k", upload, [(1, long_then_short[0])])
    assert (old.status, old.code) == (400, "InvalidPart")
    # A list with both is not in order; which of them is meant would be a guess.
    both = await sealed.complete("k", upload, [(1, etag) for etag in long_then_short])
    assert (both.status, both.code) == (400, "InvalidPartOrder")
    assert (await sealed.complete("k", upload, [(1, long_then_short[1])])).status == 200
    assert (await sealed.send("GET k")).body == TAIL


async def test_part_number_10000_is_taken_where_it_is_the_short_last_one(sealed: Sealed) -> None:
    upload = await sealed.begin("k")
    refused = await sealed.send("PUT k", PART, query=at(upload, 10_000))
    assert (refused.status, refused.code) == (400, "InvalidArgument")
    parts = [(9_999, await sealed.part("k", upload, 9_999, PART))]
    parts.append((10_000, await sealed.part("k", upload, 10_000, TAIL)))
    assert (await sealed.complete("k", upload, parts)).status == 200
    assert (await sealed.send("GET k")).body == PART + TAIL
    last = await sealed.send("GET k", query=[("partNumber", "10000")])
    assert (last.status, last.body) == (206, TAIL)
    assert last.headers["x-amz-mp-parts-count"] == "2"


async def test_a_complete_that_is_repeated_says_the_same_and_changes_nothing(
    sealed: Sealed,
) -> None:
    upload = await sealed.begin("k", x_amz_checksum_algorithm="CRC32")
    parts = [(1, await sealed.part("k", upload, 1, PART))]
    first = await sealed.complete("k", upload, parts)
    again = await sealed.complete("k", upload, parts)
    assert (again.status, again.body) == (first.status, first.body) == (200, first.body)


async def test_nothing_of_ours_shows_in_a_listing(sealed: Sealed) -> None:
    upload = await sealed.begin("k")
    await sealed.part("k", upload, 1, TAIL)  # held aside under .hyok/
    await sealed.send("PUT a", b"1")
    for query in ([], [("list-type", "2")], [("delimiter", "/")], [("prefix", ".hyok/")]):
        listed = await sealed.send("GET /dossiers", query=query)
        assert b".hyok" not in listed.body.partition(b"<Contents>")[2], query
        assert b"<CommonPrefixes>" not in listed.body
    assert elements(await sealed.send("GET /dossiers"), "Key") == ["a"]


# --- deleting many -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["content_md5", *(a.header.replace("-", "_") for a in Algorithm)])
async def test_many_are_deleted_with_a_right_digest_of_the_list_alone(
    sealed: Sealed, name: str
) -> None:
    await sealed.send("PUT a", b"1")
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>none</Key></Object></Delete>"
    suffix = name.rpartition("_")[2].upper()
    algorithm = Algorithm.MD5 if suffix == "MD5" else Algorithm[suffix]
    ask = {"line": "POST /dossiers", "query": [("delete", "")]}
    without = await sealed.send(body=body, **ask)
    assert (without.status, without.code) == (400, "InvalidRequest")
    wrong = encode(compute(algorithm, b"another list"))
    refused = await sealed.send(body=body, **ask, **{name: wrong})
    assert (refused.status, refused.code) == (400, "BadDigest")
    assert (await sealed.send("HEAD a")).status == 200
    gone = await sealed.send(body=body, **ask, **{name: encode(compute(algorithm, body))})
    assert (gone.status, elements(gone, "Key")) == (200, ["a", "none"])
    assert (await sealed.send("HEAD a")).status == 404


# --- several workers -----------------------------------------------------------------------------


@dataclass
class Workers:
    """Processes of one installation: one database, one HSM, one store; nothing else is shared."""

    first: Sealed
    path: Path

    async def another(self) -> Sealed:
        own = self.first.vaults.house
        made = build(self.path, own.hsm, own.mirror, own.now)
        self.houses.append(made)
        return await sealed_door(made, self.first.vaults.store)

    def __post_init__(self) -> None:
        self.houses: list[House] = []


@pytest.fixture
async def workers(house: House, tmp_path: Path) -> AsyncIterator[Workers]:
    made = Workers(await sealed_door(house, MemoryStore()), tmp_path / "hyok.db")
    yield made
    for one in made.houses:
        one.database.close()


async def test_an_upload_begun_at_one_worker_goes_on_at_another_and_ends_at_a_third(
    workers: Workers,
) -> None:
    second, third = await workers.another(), await workers.another()
    upload = await workers.first.begin("k", x_amz_checksum_algorithm="CRC64NVME")
    parts = [(2, await second.part("k", upload, 2, TAIL))]
    parts.insert(0, (1, await workers.first.part("k", upload, 1, PART)))
    done = await third.complete("k", upload, parts)
    assert done.status == 200
    assert element(done, "ChecksumCRC64NVME") == encode(compute(Algorithm.CRC64NVME, PART + TAIL))
    for worker in (workers.first, second, third):
        assert (await worker.send("GET k")).body == PART + TAIL
    gone = await second.send("PUT k", TAIL, query=at(upload, 3))
    assert (gone.status, gone.code) == (404, "NoSuchUpload")


async def test_the_parts_are_listed_after_a_restart_and_their_etags_complete_the_upload(
    workers: Workers,
) -> None:
    upload = await workers.first.begin("k")
    sent = [await workers.first.part("k", upload, n, b) for n, b in ((1, PART), (2, TAIL))]
    restarted = await workers.another()
    listed = await restarted.send("GET k", query=at(upload))
    assert [etag.strip('"') for etag in elements(listed, "ETag")] == sent
    assert elements(listed, "Size") == [str(len(PART)), str(len(TAIL))]
    parts = list(enumerate(elements(listed, "ETag"), 1))
    assert (await restarted.complete("k", upload, parts)).status == 200
    assert (await restarted.send("GET k")).body == PART + TAIL


async def test_parts_may_come_out_of_order_and_at_once_through_two_gateways(
    workers: Workers,
) -> None:
    doors = [workers.first, await workers.another()]
    upload = await workers.first.begin("k")
    bodies = {n: bytes([n]) * (len(PART) + n) for n in range(1, 7)}
    numbers = [5, 2, 6, 1, 4, 3]
    etags = await asyncio.gather(*(doors[n % 2].part("k", upload, n, bodies[n]) for n in numbers))
    parts = sorted(zip(numbers, etags, strict=True))
    assert (await doors[1].complete("k", upload, parts)).status == 200
    assert (await doors[0].send("GET k")).body == b"".join(bodies.values())


# --- checksums -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"])
async def test_every_checksum_is_verified_and_told_and_kept_where_the_format_has_a_number(
    sealed: Sealed, name: str
) -> None:
    algorithm = Algorithm[name]
    header = algorithm.header.replace("-", "_")
    value = encode(compute(algorithm, TAIL))
    wrong = await sealed.send("PUT k", TAIL, **{header: encode(compute(algorithm, b"other"))})
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    put = await sealed.send("PUT k", TAIL, **{header: value})
    assert put.headers[algorithm.header] == value
    head = await sealed.send("HEAD k", x_amz_checksum_mode="ENABLED")
    if algorithm.kept:
        assert head.headers[algorithm.header] == value
    else:
        assert algorithm.header not in head.headers
        assert head.headers["x-amz-checksum-crc64nvme"] == encode(
            compute(Algorithm.CRC64NVME, TAIL)
        )
    upload = await sealed.begin("m", x_amz_checksum_algorithm=name)
    parts = []
    for number, body in ((1, PART), (2, TAIL)):
        said = {header: encode(compute(algorithm, body))}
        parts.append((number, await sealed.part("m", upload, number, body, **said)))
    bad = await sealed.send("PUT m", TAIL, query=at(upload, 3), **{header: value[::-1]})
    assert bad.status == 400
    both = b"".join(compute(algorithm, body) for body in (PART, TAIL))
    whole = f"{encode(compute(algorithm, both))}-2"
    assert (await sealed.complete("m", upload, parts, **{header: value})).code == "BadDigest"
    done = await sealed.complete("m", upload, parts, **{header: whole})
    assert element(done, f"Checksum{name}") == whole
    assert element(done, "ChecksumType") == "COMPOSITE"
    head = await sealed.send("HEAD m", x_amz_checksum_mode="ENABLED")
    assert head.headers.get(algorithm.header) == (whole if algorithm.kept else None)
    assert (await sealed.send("GET m")).body == PART + TAIL


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
async def test_a_checksum_of_the_whole_is_joined_from_those_of_the_parts(
    sealed: Sealed, name: str
) -> None:
    algorithm = Algorithm[name]
    header = algorithm.header.replace("-", "_")
    upload = await sealed.begin(
        "m", x_amz_checksum_algorithm=name, x_amz_checksum_type="FULL_OBJECT"
    )
    parts = [(1, await sealed.part("m", upload, 1, PART))]
    parts.append((2, await sealed.part("m", upload, 2, TAIL)))
    whole = encode(compute(algorithm, PART + TAIL))
    said = {header: whole, "x_amz_checksum_type": "FULL_OBJECT"}
    short = await sealed.complete("m", upload, parts, x_amz_mp_object_size="7", **said)
    assert (short.status, short.code) == (400, "InvalidRequest")
    size = str(len(PART + TAIL))
    done = await sealed.complete("m", upload, parts, x_amz_mp_object_size=size, **said)
    assert element(done, f"Checksum{name}") == whole
    head = await sealed.send("HEAD m", x_amz_checksum_mode="ENABLED")
    assert head.headers[algorithm.header] == whole
    assert head.headers["x-amz-checksum-type"] == "FULL_OBJECT"
