"""Versions, tags and locks at the door: what is said, what is told, and who may."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from hashlib import md5
from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import House, house
from tests.unit.gateway.door import NOW_MS, Door
from tests.unit.objects.test_store_copy import LARGE
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.backends.port import Deleted
from hyok.envelope.block import parse
from hyok.errors import Malformed, Refused
from hyok.objects.version_listing import Place, Versions
from hyok.s3.locks import LockAsked, LockConfiguration, Mode, Retention
from hyok.s3.versions import MarkerEntry, VersionEntry, Versioning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.gateway.door import Answer

__all__ = ["house"]

LATER = "2026-11-25T12:00:00Z"
LATER_MS = NOW_MS + 86_400_000
HELD = Retention(Mode.GOVERNANCE, LATER_MS)


def at(version_id: str) -> list[tuple[str, str]]:
    return [("versionId", version_id)]


# --- versions ------------------------------------------------------------------------------------


async def test_writes_and_reads_tell_the_version() -> None:
    door = Door()
    door.vault.version_id = "v7"
    assert (await door.send("PUT /bucket/k", b"x")).headers["x-amz-version-id"] == "v7"
    for line in ("GET /bucket/k", "HEAD /bucket/k"):
        for query in ((), at("v7")):
            answer = await door.send(line, query=query)
            assert (answer.status, answer.headers["x-amz-version-id"]) == (200, "v7")
    assert (await door.send("GET /bucket/k", query=at("v8"))).code == "NoSuchVersion"
    copied = await door.send("PUT /bucket/k2", x_amz_copy_source="/bucket/k?versionId=v7")
    assert copied.headers["x-amz-copy-source-version-id"] == "v7"
    assert copied.headers["x-amz-version-id"] == "v7"


async def test_a_write_where_versions_are_suspended_names_no_version() -> None:
    door = Door()
    door.vault.version_id = "null"
    written = await door.send("PUT /bucket/k", b"x")
    copied = await door.send("PUT /bucket/k2", x_amz_copy_source="/bucket/k")
    assert (written.status, copied.status) == (200, 200)
    assert "x-amz-version-id" not in written.headers
    assert "x-amz-version-id" not in copied.headers
    assert (await door.send("GET /bucket/k")).headers["x-amz-version-id"] == "null"


async def test_where_there_are_no_versions_none_is_told() -> None:
    door = Door()
    assert "x-amz-version-id" not in (await door.send("PUT /bucket/k", b"x")).headers
    assert "x-amz-version-id" not in (await door.send("GET /bucket/k")).headers


async def test_a_delete_tells_what_it_did() -> None:
    door = Door()
    door.vault.deleted = Deleted("m1", marker=True)
    answer = await door.send("DELETE /bucket/k")
    assert answer.status == 204
    assert answer.headers["x-amz-delete-marker"] == "true"
    assert answer.headers["x-amz-version-id"] == "m1"
    door.vault.deleted = Deleted("v1")
    answer = await door.send("DELETE /bucket/k", query=at("v1"))
    assert "x-amz-delete-marker" not in answer.headers
    assert answer.headers["x-amz-version-id"] == "v1"
    assert door.vault.deletes == [("k", "", False), ("k", "v1", False)]


async def test_a_reader_of_a_deleted_object_is_told_of_the_marker() -> None:
    door = Door()
    door.vault.told = {"delete-marker": "true", "version-id": "m1", "other": "secret"}
    for line in ("GET /bucket/k", "HEAD /bucket/k"):
        answer = await door.send(line)
        assert answer.status == 404
        assert answer.headers["x-amz-delete-marker"] == "true"
        assert answer.headers["x-amz-version-id"] == "m1"
        assert "secret" not in str(answer.headers)
    door.vault.fail = Malformed("m", reason="MethodNotAllowed", facts=door.vault.told)
    answer = await door.send("GET /bucket/k", query=at("m1"))
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert answer.headers["x-amz-delete-marker"] == "true"


async def test_delete_objects_tells_of_versions_and_markers() -> None:
    door = Door()
    door.vault.deleted = Deleted("m1", marker=True)
    body = (
        b"<Delete><Object><Key>a</Key></Object>"
        b"<Object><Key>b</Key><VersionId>v2</VersionId></Object></Delete>"
    )
    answer = await door.send("POST /bucket", body, query=[("delete", "")], content_md5=md5_of(body))
    assert answer.status == 200
    assert answer.body.count(b"<DeleteMarkerVersionId>m1</DeleteMarkerVersionId>") == 2
    assert b"<Key>b</Key><VersionId>v2</VersionId>" in answer.body
    assert sorted(door.vault.deletes) == [("a", "", False), ("b", "v2", False)]


def md5_of(body: bytes) -> str:
    return b64encode(md5(body).digest()).decode()


async def test_versions_are_switched_on_suspended_and_told() -> None:
    door = Door()
    told = await door.send("GET /bucket", query=[("versioning", "")])
    assert b"Status" not in told.body
    for state in ("Enabled", "Suspended"):
        document = f"<VersioningConfiguration><Status>{state}</Status></VersioningConfiguration>"
        answer = await door.send("PUT /bucket", document.encode(), query=[("versioning", "")])
        assert answer.status == 200
        assert door.states.state is Versioning(state)
        told = await door.send("GET /bucket", query=[("versioning", "")])
        assert f"<Status>{state}</Status>".encode() in told.body
    empty = await door.send("PUT /bucket", query=[("versioning", "")])
    assert empty.code == "MissingRequestBodyError"


async def test_a_page_of_versions_is_asked_for_and_shown() -> None:
    door = Door()
    door.versions.page_is = Versions(
        [
            VersionEntry("map/a b", "v2", True, NOW_MS, 5, "e-1"),
            MarkerEntry("map/c", "m1", False, NOW_MS),
        ],
        ["map/d/"],
        Place("map/c", "m1"),
    )
    query = [
        ("versions", ""), ("prefix", "map/"), ("delimiter", "/"), ("key-marker", "map/a"),
        ("version-id-marker", "v9"), ("max-keys", "3"), ("encoding-type", "url"),
    ]  # fmt: skip
    answer = await door.send("GET /bucket", query=query)
    assert answer.status == 200
    assert door.versions.asked == {
        "prefix": "map/", "delimiter": "/", "after": Place("map/a", "v9"), "limit": 3,
    }  # fmt: skip
    for part in (
        b"<Key>map/a%20b</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest>",
        b"<DeleteMarker><Key>map/c</Key><VersionId>m1</VersionId>",
        b"<NextKeyMarker>map/c</NextKeyMarker>",
        b"<NextVersionIdMarker>m1</NextVersionIdMarker>",
        b"<Prefix>map/d/</Prefix>",
        b"<IsTruncated>true</IsTruncated>",
    ):
        assert part.replace(b"%20", b"") in answer.body.replace(b"%20", b"").replace(b"+", b"")
    lone = [("versions", ""), ("version-id-marker", "v9")]
    assert (await door.send("GET /bucket", query=lone)).code == "InvalidArgument"


# --- locks ---------------------------------------------------------------------------------------


async def test_a_lock_is_asked_for_with_a_write_and_told_again() -> None:
    door = Door()
    answer = await door.send(
        "PUT /bucket/k", b"x", x_amz_object_lock_mode="GOVERNANCE",
        x_amz_object_lock_retain_until_date=LATER, x_amz_object_lock_legal_hold="ON",
    )  # fmt: skip
    assert answer.status == 200
    assert [ask.action for ask in door.vault.custodian.decided] == ["object:lock"]
    told = (await door.send("HEAD /bucket/k")).headers
    assert told["x-amz-object-lock-mode"] == "GOVERNANCE"
    assert told["x-amz-object-lock-retain-until-date"].startswith("2026-11-25T12:00:00")
    assert told["x-amz-object-lock-legal-hold"] == "ON"


async def test_who_may_not_lock_writes_nothing_locked() -> None:
    door = Door()
    door.vault.custodian.refuse = Refused("no", reason="AccessDenied")
    answer = await door.send("PUT /bucket/k", b"x", x_amz_object_lock_legal_hold="ON")
    assert answer.code == "AccessDenied"
    assert not answer.body_was_read
    assert not door.vault.kept


async def test_to_bypass_governance_is_a_right_of_its_own() -> None:
    door = Door()
    header = {"x_amz_bypass_governance_retention": "true"}
    await door.send("DELETE /bucket/k", query=at("v1"), **header)  # type: ignore[arg-type]
    assert door.vault.deletes == [("k", "v1", True)]
    assert [ask.action for ask in door.vault.custodian.decided] == ["object:bypass-governance"]
    door.vault.custodian.refuse = Refused("no", reason="AccessDenied")
    answer = await door.send("DELETE /bucket/k", query=at("v1"), **header)  # type: ignore[arg-type]
    assert answer.code == "AccessDenied"
    assert len(door.vault.deletes) == 1


async def locked_door(lock: LockAsked) -> Door:
    door = Door()
    door.vault.version_id = "v1"
    await door.send("PUT /bucket/k", b"x")
    kept = door.vault.kept["bucket", "k"]
    kept.facts = replace(kept.facts, lock=lock)
    door.vault.locked = True
    return door


def retention(mode: str, until: str) -> bytes:
    return (
        f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
    ).encode()


async def test_a_retention_is_told_and_lengthened_and_shortened_only_with_the_right() -> None:
    door = await locked_door(LockAsked(HELD))
    told = await door.send("GET /bucket/k", query=[("retention", "")])
    assert b"<Mode>GOVERNANCE</Mode>" in told.body
    sooner, longer = "2026-11-24T13:00:00Z", "2026-11-26T12:00:00Z"
    query = [("retention", "")]
    refused = await door.send("PUT /bucket/k", retention("GOVERNANCE", sooner), query=query)
    assert refused.code == "AccessDenied"
    assert not door.vault.locks
    bypass = await door.send(
        "PUT /bucket/k", retention("GOVERNANCE", sooner), query=query,
        x_amz_bypass_governance_retention="true",
    )  # fmt: skip
    assert bypass.status == 200
    assert (
        await door.send("PUT /bucket/k", retention("GOVERNANCE", longer), query=query)
    ).status == 200
    assert [(version, by) for _, version, by in door.vault.locks] == [("v1", True), ("v1", False)]
    actions = {ask.action for ask in door.vault.asks if ask.action != "object:put"}
    assert actions == {"object:head", "object:lock"}


async def test_a_legal_hold_is_set_and_told() -> None:
    door = await locked_door(LockAsked())
    query = [("legal-hold", "")]
    assert (await door.send("GET /bucket/k", query=query)).code == "NoSuchObjectLockConfiguration"
    on = b"<LegalHold><Status>ON</Status></LegalHold>"
    assert (await door.send("PUT /bucket/k", on, query=query)).status == 200
    assert door.vault.locks == [(LockAsked(legal_hold=True), "v1", False)]


async def test_a_bucket_without_object_lock_says_so() -> None:
    door = await locked_door(LockAsked())
    door.vault.locked = False
    for what in ("retention", "legal-hold"):
        assert (await door.send("GET /bucket/k", query=[(what, "")])).code == "InvalidRequest"
    told = await door.send("GET /bucket", query=[("object-lock", "")])
    assert told.code == "ObjectLockConfigurationNotFoundError"
    rule = (
        b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
        b"<DefaultRetention><Mode>COMPLIANCE</Mode><Days>3</Days></DefaultRetention></Rule>"
        b"</ObjectLockConfiguration>"
    )
    assert (await door.send("PUT /bucket", rule, query=[("object-lock", "")])).status == 200
    assert door.states.lock == LockConfiguration(Mode.COMPLIANCE, days=3)


async def test_a_new_bucket_may_have_object_lock() -> None:
    door = Door()
    await door.send("PUT /nieuw-slot", x_amz_bucket_object_lock_enabled="true")
    assert door.keeper.wanted.object_lock
    await door.send("PUT /nieuw-open")
    assert not door.keeper.wanted.object_lock


# --- tags ----------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["in clear", "sealed"])
async def tagged(house: House, request: pytest.FixtureRequest) -> tuple[Door, Vaults]:
    """A door before a real vault, over a store that keeps tags in clear or not."""
    vaults = await vaults_over(house, MemoryStore(keeps_metadata=request.param))
    await vaults.make_bucket("stukken", "vertrouwelijk")
    door = Door(
        vault=vaults.vault,
        here=tuple(vaults.buckets.values()),
        tenant="t",
        clearance=50,
        purpose="werk",
        grants=frozenset({"read", "write"}),
    )
    return door, vaults


def tags(**pairs: str) -> bytes:
    rows = "".join(f"<Tag><Key>{k}</Key><Value>{v}</Value></Tag>" for k, v in pairs.items())
    return f"<Tagging><TagSet>{rows}</TagSet></Tagging>".encode()


async def retag(
    door: Door, body: bytes, more: Sequence[tuple[str, str]] = (), path: str = "/dossiers/k"
) -> Answer:
    return await door.send(f"PUT {path}", body, query=[("tagging", ""), *more])


async def test_tags_are_replaced_told_and_taken_off(tagged: tuple[Door, Vaults]) -> None:
    door, _ = tagged
    await door.send("PUT /dossiers/k", b"x", x_amz_tagging="a=1&b=2&c=3")
    before = (await door.send("HEAD /dossiers/k")).headers
    assert before["x-amz-tagging-count"] == "3"
    assert (await retag(door, tags(d="4"))).status == 200
    after = (await door.send("HEAD /dossiers/k")).headers
    assert after["x-amz-tagging-count"] == "1"
    assert (after["etag"], after["last-modified"]) == (before["etag"], before["last-modified"])
    told = await door.send("GET /dossiers/k", query=[("tagging", "")])
    assert b"<Tag><Key>d</Key><Value>4</Value></Tag>" in told.body
    assert (await door.send("DELETE /dossiers/k", query=[("tagging", "")])).status == 204
    told = await door.send("GET /dossiers/k", query=[("tagging", "")])
    assert b"<Tag>" not in told.body
    assert "x-amz-tagging-count" not in (await door.send("HEAD /dossiers/k")).headers


@pytest.mark.parametrize("body", [b"x", LARGE], ids=["small", "large"])
async def test_a_label_that_raises_has_the_object_sealed_anew(
    tagged: tuple[Door, Vaults], body: bytes
) -> None:
    door, vaults = tagged
    await door.send("PUT /dossiers/k", body, content_type="text/x", x_amz_tagging="a=1")
    first = (await door.send("HEAD /dossiers/k")).headers
    raised = await retag(door, tags(a="1", classification="intern"))
    assert raised.status == 200, raised.body
    now = await door.send("GET /dossiers/k")
    assert now.body == body
    assert now.headers["content-type"] == "text/x"
    key = "x-amz-server-side-encryption-aws-kms-key-id"
    assert (first[key], now.headers[key]) == ("t/openbaar/1", "t/intern/1")
    assert now.headers["x-amz-tagging-count"] == "2"
    for lower in (tags(classification="openbaar"), tags(a="1"), tags()):
        refused = await retag(door, lower)
        assert (refused.status, refused.code) == (403, "AccessDenied")
        assert b"an officer does that" in refused.body
        assert b"HY-3207" in refused.body
    assert (await door.send("HEAD /dossiers/k")).headers[key] == "t/intern/1"
    assert vaults


async def test_another_case_has_the_object_sealed_anew_under_its_own_keys(
    tagged: tuple[Door, Vaults],
) -> None:
    door, vaults = tagged
    path = "/stukken/k"
    await door.send(f"PUT {path}", b"x", x_amz_tagging="zaak=2026-1")
    before = await scope_of(vaults)
    assert (await retag(door, tags(zaak="2026-1", jaar="2026"), path=path)).status == 200
    assert await scope_of(vaults) == before, "the same case, the same keys"
    assert (await retag(door, tags(zaak="2026-2"), path=path)).status == 200
    assert await scope_of(vaults) != before
    assert (await door.send(f"GET {path}")).body == b"x"


async def scope_of(vaults: Vaults) -> str:
    ask = vaults.ask("k", bucket_id="stukken")
    place = await vaults.vault.places.of(vaults.buckets["stukken"], ask.key)
    stored = await place.store.head(place.bucket, place.name)
    assert stored.facts is not None
    return parse(stored.facts.envelope).scope


async def test_an_older_version_is_never_sealed_anew(tagged: tuple[Door, Vaults]) -> None:
    door, vaults = tagged
    await vaults.store.set_versioning("dossiers", "Enabled")
    first = (await door.send("PUT /dossiers/k", b"een")).headers["x-amz-version-id"]
    second = (await door.send("PUT /dossiers/k", b"twee")).headers["x-amz-version-id"]
    refused = await retag(door, tags(classification="intern"), at(first))
    assert (refused.status, refused.code) == (403, "AccessDenied")
    assert b"HY-3208" in refused.body
    raised = await retag(door, tags(classification="intern"), at(second))
    assert raised.status == 200
    assert raised.headers["x-amz-version-id"] not in {first, second}
    assert (await door.send("GET /dossiers/k", query=at(first))).body == b"een"


async def test_who_reads_only_changes_no_tags(house: House) -> None:
    vaults = await vaults_over(house)
    rights = {"tenant": "t", "clearance": 50, "purpose": "werk"}
    here = tuple(vaults.buckets.values())
    writer = Door(vault=vaults.vault, here=here, grants=frozenset({"read", "write"}), **rights)
    await writer.send("PUT /dossiers/k", b"x", x_amz_tagging="a=1")
    reader = Door(vault=vaults.vault, here=here, grants=frozenset({"read"}), **rights)
    assert (await retag(reader, tags(b="2"))).code == "AccessDenied"
    assert b"<Key>a</Key>" in (await reader.send("GET /dossiers/k", query=[("tagging", "")])).body
