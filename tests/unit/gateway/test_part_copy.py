"""A part that comes from another object: opened there, sealed here, never less than it was."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.custody.test_custodian import House, house
from tests.unit.gateway.sealed_door import PART, Sealed, at, element, elements, sealed_door

from hyok.s3.checksums import Algorithm, compute, encode

__all__ = ["house"]

SOURCE = bytes(range(256)) * 24_000  # about 6 MB: streamed


@pytest.fixture
async def sealed(house: House) -> Sealed:
    made = await sealed_door(house)
    await made.vaults.make_bucket("elders", "intern")
    assert (await made.send("PUT bron", SOURCE)).status == 200
    return made


async def copied(sealed: Sealed, upload: str, number: int, source: str, **headers: str):
    return await sealed.send(
        "PUT doel", query=at(upload, number), x_amz_copy_source=source, **headers
    )


async def test_a_range_and_a_whole_object_become_parts(sealed: Sealed) -> None:
    upload = await sealed.begin("doel")
    whole = await copied(sealed, upload, 1, "/dossiers/bron")
    assert whole.status == 200, whole.body
    assert b"<CopyPartResult" in whole.body
    assert element(whole, "LastModified")
    crc = encode(compute(Algorithm.CRC64NVME, SOURCE))
    assert element(whole, "ChecksumCRC64NVME") == crc
    assert whole.headers["x-amz-server-side-encryption"] == "aws:kms"
    ranged = await copied(
        sealed, upload, 2, "dossiers/bron", x_amz_copy_source_range="bytes=10-300000"
    )
    parts = [(1, element(whole, "ETag")), (2, element(ranged, "ETag"))]
    assert (await sealed.complete("doel", upload, parts)).status == 200
    got = await sealed.send("GET doel")
    assert got.body == SOURCE + SOURCE[10:300_001]
    assert (await sealed.send("GET doel", range="bytes=6143990-6144010")).body == (
        got.body[6_143_990:6_144_011]
    )


async def test_a_part_of_an_object_that_was_made_of_parts(sealed: Sealed) -> None:
    upload = await sealed.begin("bron2")
    parts = [(1, await sealed.part("bron2", upload, 1, PART))]
    parts.append((2, await sealed.part("bron2", upload, 2, b"staart")))
    assert (await sealed.complete("bron2", upload, parts)).status == 200
    upload = await sealed.begin("doel")
    across = f"bytes={len(PART) - 2}-{len(PART) + 2}"
    made = await copied(sealed, upload, 1, "dossiers/bron2", x_amz_copy_source_range=across)
    assert (await sealed.complete("doel", upload, [(1, element(made, "ETag"))])).status == 200
    assert (await sealed.send("GET doel")).body == b"ppsta"


async def test_an_empty_source_is_an_empty_part(sealed: Sealed) -> None:
    await sealed.send("PUT leeg", b"")
    upload = await sealed.begin("doel")
    made = await copied(sealed, upload, 1, "dossiers/leeg")
    assert (await sealed.complete("doel", upload, [(1, element(made, "ETag"))])).status == 200
    assert (await sealed.send("GET doel")).body == b""


async def test_the_checksum_of_the_upload_holds_for_copied_parts(sealed: Sealed) -> None:
    upload = await sealed.begin("doel", x_amz_checksum_algorithm="SHA256")
    made = await copied(sealed, upload, 1, "dossiers/bron")
    value = encode(compute(Algorithm.SHA256, SOURCE))
    assert element(made, "ChecksumSHA256") == value
    done = await sealed.complete("doel", upload, [(1, element(made, "ETag"))])
    assert element(done, "ChecksumSHA256").endswith("-1")
    assert element(done, "ChecksumType") == "COMPOSITE"


async def test_a_copy_is_never_less_than_its_source(sealed: Sealed) -> None:
    upload = await sealed.begin("doel")
    secret = await sealed.send("PUT geheim", b"x", x_amz_tagging="classification=intern")
    assert secret.status == 200
    refused = await copied(sealed, upload, 1, "dossiers/geheim")
    assert (refused.status, refused.code) == (403, "AccessDenied")
    assert b"HY-3206" in refused.body
    assert not elements(await sealed.send("GET doel", query=at(upload)), "PartNumber")
    # The other way round it may: what is kept as more than it was is safe.
    upload = await sealed.begin("doel", x_amz_tagging="classification=intern")
    assert (await copied(sealed, upload, 1, "dossiers/bron")).status == 200


@pytest.mark.parametrize(
    ("source", "headers", "status", "code"),
    [
        ("dossiers/none", {}, 404, "NoSuchKey"),
        ("nowhere/none", {}, 404, "NoSuchBucket"),
        ("dossiers", {}, 400, "InvalidArgument"),
        ("dossiers/.hyok/x", {}, 403, "AccessDenied"),
        ("dossiers/bron", {"x_amz_copy_source_range": "bytes=0-6144000"}, 400, "InvalidArgument"),
        ("dossiers/bron", {"x_amz_copy_source_range": "bytes=5-"}, 400, "InvalidArgument"),
        ("dossiers/bron", {"x_amz_copy_source_range": "0-5"}, 400, "InvalidArgument"),
        ("dossiers/bron", {"x_amz_copy_source_if_match": '"x"'}, 412, "PreconditionFailed"),
        ("dossiers/bron", {"x_amz_copy_source_if_none_match": "*"}, 412, "PreconditionFailed"),
    ],
)
async def test_sources_that_are_refused(
    sealed: Sealed, source: str, headers: dict[str, str], status: int, code: str
) -> None:
    upload = await sealed.begin("doel")
    answer = await copied(sealed, upload, 1, source, **headers)
    assert (answer.status, answer.code) == (status, code), answer.body


async def test_a_source_whose_bytes_were_changed_becomes_no_part(sealed: Sealed) -> None:
    upload = await sealed.begin("doel")
    store: Any = sealed.vaults.store
    stored, body = store.newest("dossiers", "bron")
    store.tamper(
        "dossiers",
        "bron",
        stored,
        body[:3_000_000] + bytes([body[3_000_000] ^ 1]) + body[3_000_001:],
    )
    answer = await copied(sealed, upload, 1, "dossiers/bron")
    assert answer.status == 500
    assert not elements(await sealed.send("GET doel", query=at(upload)), "PartNumber")


async def test_a_source_that_is_replaced_meanwhile_is_not_mixed_with_what_was_judged(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await sealed.begin("doel")
    vault = sealed.vaults.vault
    opening = vault.open

    async def replaced_first(*args: Any, **more: Any) -> Any:
        await sealed.send("PUT bron", SOURCE)
        return await opening(*args, **more)

    monkeypatch.setattr(vault, "open", replaced_first)
    answer = await copied(sealed, upload, 1, "dossiers/bron")
    assert (answer.status, answer.code) == (409, "ConditionalRequestConflict")
    assert not elements(await sealed.send("GET doel", query=at(upload)), "PartNumber")
