"""Delegates, and keys that move from one key service to another: tokens that this service signs."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.doors.kacls.test_kacls_door import check_error
from tests.unit.doors.kacls.world import (
    KEY,
    ME,
    NOW_S,
    OLD,
    PROVIDERS,
    URL,
    authentication,
    authorization,
    b64,
    service,
    signed,
)

from hyok.custody.door_key import Usage
from hyok.custody.key_states import KeyState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import FakeExchange
    from tests.unit.doors.kacls.world import Service

ROOM = "zaal@gemeente.example"


@pytest.fixture
async def kacls(tmp_path: Path) -> AsyncIterator[Service]:
    async with service(tmp_path, signing_key="cse-teken") as made:
        yield made


async def delegated(kacls: Service, **more: Any) -> FakeExchange:
    body = {
        "authorization": authorization(role="reader", delegated_to=ROOM),
        "authentication": authentication(google_email="JAN@gemeente.example"),
        "reason": "",
    }
    return await kacls.send("delegate", body | more)


async def public_key(kacls: Service, kid: str) -> Any:
    """Return the key that others would verify with."""
    told = (await kacls.send("certs", verb="GET")).json
    (entry,) = [one for one in told["keys"] if one["kid"] == kid]
    assert (entry["kty"], entry["alg"], entry["use"]) == ("RSA", "RS256", "sig")
    assert not {"d", "p", "q"} & set(entry)
    return jwt.PyJWK(entry).key


async def test_a_delegates_token_is_what_others_verify(kacls: Service) -> None:
    answer = await delegated(kacls)
    assert answer.status == 200, answer.answer
    token = answer.json["delegated_authentication"]
    key = await public_key(kacls, jwt.get_unverified_header(token)["kid"])
    assert isinstance(key, rsa.RSAPublicKey)
    checked: dict[str, Any] = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        token, key, algorithms=["RS256"], audience="cse-authentication", options=checked
    )
    assert claims == {
        "iss": URL,
        "aud": "cse-authentication",
        "email": ME,
        "google_email": "JAN@gemeente.example",
        "delegated_to": ROOM,
        "resource_name": "doc-42",
        "iat": NOW_S,
        "exp": NOW_S + 900,
    }
    used = [r for r in kacls.records() if r.action == "key:sign"]
    assert [r.outcome for r in used] == ["pending", "done"]


async def test_a_delegate_opens_what_was_delegated_and_nothing_else(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    other = await kacls.wrapped(may=authorization(resource_name="doc-43"))
    token = (await delegated(kacls)).json["delegated_authentication"]
    may = authorization(role="reader", delegated_to=ROOM.upper())
    assert (await kacls.unwrap(wrapped, may, token)).json == {"key": b64(KEY)}
    for change in ({"delegated_to": "hal@gemeente.example"}, {"delegated_to": None}):
        answer = await kacls.unwrap(wrapped, authorization(role="reader", **change), token)
        check_error(answer, 403, "delegation")
    may = authorization(role="reader", delegated_to=ROOM, resource_name="doc-43")
    check_error(await kacls.unwrap(other, may, token), 403, "delegation")
    may = authorization(role="reader", delegated_to=ROOM, email="piet@gemeente.example")
    check_error(await kacls.unwrap(wrapped, may, token), 403, "two users")
    kacls.aws.house.now[0] += 961_000
    may = signed(0, {**jwt.decode(may, options={"verify_signature": False}), "exp": NOW_S + 9999})
    check_error(await kacls.unwrap(wrapped, may, token), 401)


async def test_who_may_delegate(kacls: Service) -> None:
    token = (await delegated(kacls)).json["delegated_authentication"]
    for change, status in (
        ({"authorization": authorization(role="reader")}, 403),  # to nobody
        ({"authentication": token}, 403),  # a delegate does not delegate
        ({"authentication": authentication(email="piet@gemeente.example")}, 403),
        ({"authentication": authentication(aud="else")}, 401),
        ({"authorization": authorization(kacls_url=OLD, delegated_to=ROOM)}, 403),
        ({"authorization": authorization("migration", delegated_to=ROOM)}, 403),
        ({"authorization": None}, 400),
    ):
        check_error(await delegated(kacls, **change), status)


async def test_a_guest_stays_a_guest_by_delegation(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    may = authorization(role="reader", delegated_to=ROOM, email_type="customer-idp")
    answer = await delegated(kacls, authorization=may, authentication=authentication(guest=True))
    token = answer.json["delegated_authentication"]
    assert (await kacls.unwrap(wrapped, may, token)).status == 200
    insider = authorization(role="reader", delegated_to=ROOM)
    check_error(await kacls.unwrap(wrapped, insider, token), 403, "guests")


async def test_a_delegates_token_is_no_administrators(tmp_path: Path) -> None:
    more: dict[str, Any] = {"signing_key": "cse-teken", "administrators": [ME]}
    async with service(tmp_path, **more) as kacls:
        await kacls.grant()
        body = {
            "authentication": (await delegated(kacls)).json["delegated_authentication"],
            "resource_name": "doc-42",
            "wrapped_key": await kacls.wrapped(),
        }
        check_error(await kacls.send("privilegedunwrap", body), 403, "administrator")


async def test_nobody_else_signs_as_us(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    kid = (await kacls.send("certs", verb="GET")).json["keys"][0]["kid"]
    claims = {
        "iss": URL,
        "aud": "cse-authentication",
        "email": ME,
        "delegated_to": ROOM,
        "resource_name": "doc-42",
    }
    may = authorization(role="reader", delegated_to=ROOM)
    for token in (signed(PROVIDERS, claims), signed(PROVIDERS, claims, kid=kid)):
        check_error(await kacls.unwrap(wrapped, may, token), 401)


async def test_a_stopped_signing_key_signs_and_vouches_for_nothing(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    token = (await delegated(kacls)).json["delegated_authentication"]
    may = authorization(role="reader", delegated_to=ROOM)
    assert (await kacls.unwrap(wrapped, may, token)).status == 200
    await kacls.aws.catalog.change_state("t", "cse-teken", KeyState.SUSPENDED)
    check_error(await delegated(kacls), 403)
    check_error(await kacls.unwrap(wrapped, may, token), 401)
    assert (await kacls.send("certs", verb="GET")).json == {"keys": []}


async def test_a_rotated_signing_key_leaves_its_tokens_good(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    token = (await delegated(kacls)).json["delegated_authentication"]
    await kacls.aws.make("cse-teken", Usage.SIGN, kind="rsa-2048", version=2)
    newer = (await delegated(kacls)).json["delegated_authentication"]
    kids = {jwt.get_unverified_header(one)["kid"] for one in (token, newer)}
    assert len(kids) == 2
    assert {one["kid"] for one in (await kacls.send("certs", verb="GET")).json["keys"]} == kids
    may = authorization(role="reader", delegated_to=ROOM)
    for one in (token, newer):
        assert (await kacls.unwrap(wrapped, may, one)).status == 200


# -- from one service to another -------------------------------------------------------------------


@asynccontextmanager
async def two(
    tmp_path: Path, *, old: dict[str, Any] | None = None, new: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Service, Service]]:
    """Yield the service that data moves from, and the one that it moves to."""
    for name in ("oud", "nieuw"):
        (tmp_path / name).mkdir()
    peers: list[Service] = []
    of_old: dict[str, Any] = {"public_url": OLD, "services": [{"url": URL, "may_unwrap": True}]}
    of_new: dict[str, Any] = {
        "signing_key": "cse-teken",
        "services": [{"url": OLD, "rewrap_from": True}],
    }
    async with (
        service(tmp_path / "oud", peers, **(of_old | (old or {}))) as first,
        service(tmp_path / "nieuw", peers, **(of_new | (new or {}))) as second,
    ):
        peers += [first, second]
        yield first, second


def migrator(**changes: object) -> str:
    return authorization("migration", **{"role": "migrator", **changes})


async def moved(new: Service, wrapped: str, **more: Any) -> FakeExchange:
    body = {
        "authorization": migrator(),
        "original_kacls_url": OLD,
        "wrapped_key": wrapped,
        "reason": "verhuizing",
    }
    return await new.send("rewrap", body | more)


async def test_a_key_moves_and_both_services_say_the_same_hash(tmp_path: Path) -> None:
    async with two(tmp_path) as (old, new):
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        await old.grant(people=(URL,))
        answer = await moved(new, wrapped)
        assert answer.status == 200, answer.answer
        assert set(answer.json) == {"wrapped_key", "resource_key_hash"}
        opened = await new.unwrap(answer.json["wrapped_key"])
        assert opened.json == {"key": b64(KEY)}
        wanted = hmac.digest(KEY, b"ResourceKeyDigest:doc-42:", "sha256")
        assert answer.json["resource_key_hash"] == b64encode(wanted).decode()
        body = {
            "authorization": authorization("migration", role="verifier", kacls_url=OLD),
            "wrapped_key": wrapped,
        }
        told = (await old.send("digest", body)).json
        assert told == {"resource_key_hash": answer.json["resource_key_hash"]}
        (asked,) = new.asked
        assert asked[0] == OLD
        claims = jwt.decode(asked[1]["authentication"], options={"verify_signature": False})
        assert claims["iss"] == URL
        assert claims["aud"] == "kacls-migration"
        assert claims["kacls_url"] == OLD
        assert claims["resource_name"] == "doc-42"
        assert claims["exp"] - claims["iat"] == 120
        used = [r for r in old.records() if "operation:privilegedunwrap" in r.reasons]
        assert any("proposal:G1" in r.reasons for r in used)


async def test_without_an_approval_the_old_service_gives_nothing(tmp_path: Path) -> None:
    async with two(tmp_path) as (old, new):
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        answer = await moved(new, wrapped)
        check_error(answer, 503)
        assert old.meter.seen[-1] == ("kacls", "privilegedunwrap", "Denied")
        assert [r for r in old.records() if r.outcome == "denied"]
        assert [r for r in new.records() if r.outcome == "failed"]
        await old.grant(people=(URL,), keys=(), every=True)
        assert (await moved(new, wrapped)).status == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"authorization": migrator(role="writer")}, 403),
        ({"authorization": authorization(role="migrator")}, 403),  # Drive's, not of a migration
        ({"authorization": migrator(kacls_url=OLD)}, 403),
        ({"authorization": migrator(aud="else")}, 401),
        ({"original_kacls_url": "https://else.example/v1"}, 403),
        ({"original_kacls_url": "https://169.254.169.254/latest"}, 403),
        ({"original_kacls_url": OLD + "/../else"}, 403),
        ({"original_kacls_url": OLD + "@else.example"}, 403),
        ({"original_kacls_url": "http://oud.example/v1"}, 403),
        ({"original_kacls_url": None}, 400),
        ({"wrapped_key": b64(bytes(1025))}, 400),
    ],
)
async def test_who_is_not_asked(tmp_path: Path, change: dict[str, Any], status: int) -> None:
    async with two(tmp_path) as (old, new):
        await old.grant(people=(URL,))
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        check_error(await moved(new, wrapped, **change), status)
        assert not new.asked


async def test_what_another_service_must_say(tmp_path: Path) -> None:
    async with two(tmp_path) as (old, new):
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        await old.grant(people=(URL,), keys=(), every=True)
        assert (await moved(new, wrapped)).status == 200
        body = dict(new.asked[0][1])
        assert (await old.send("privilegedunwrap", body)).status == 200
        other = {**body, "resource_name": "doc-43"}
        check_error(await old.send("privilegedunwrap", other), 403, "another resource")
        part = body["authentication"].split(".")
        claims = json.loads(b64decode(part[1] + "=="))
        for wrong in (
            signed(PROVIDERS, claims, kid=jwt.get_unverified_header(body["authentication"])["kid"]),
            ".".join([part[0], b64encode(json.dumps(claims).encode()).decode(), part[2]]),
        ):
            answer = await old.send("privilegedunwrap", {**body, "authentication": wrong})
            check_error(answer, 401)
        old.aws.house.now[0] += 190_000
        check_error(await old.send("privilegedunwrap", body), 401)


async def test_a_token_made_for_a_third_service_is_worth_nothing_here(tmp_path: Path) -> None:
    third = "https://derde.example/v1"
    more: dict[str, Any] = {
        "services": [
            {"url": OLD, "rewrap_from": True},
            {"url": third, "rewrap_from": True},
        ]
    }
    async with two(tmp_path, new=more) as (old, new):
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        await old.grant(people=(URL,))
        check_error(await moved(new, wrapped, original_kacls_url=third), 503)
        (asked,) = new.asked
        check_error(await old.send("privilegedunwrap", asked[1]), 403, "another key service")


async def test_a_service_that_only_takes_from_us_is_not_asked(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "services": [
            {"url": OLD, "may_unwrap": True},
            {"url": "https://derde.example/v1", "rewrap_from": True},
        ]
    }
    async with two(tmp_path, new=more) as (old, new):
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        await old.grant(people=(URL,))
        check_error(await moved(new, wrapped), 403, "list")
        assert not new.asked


async def test_a_service_that_may_not_unwrap_has_no_token_that_counts(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "administrators": [ME],
        "services": [{"url": URL, "rewrap_from": True}],
        "signing_key": "cse-teken",
    }
    async with two(tmp_path, old=more) as (old, new):
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        await old.grant(people=(URL,))
        check_error(await moved(new, wrapped), 503)
        check_error(await old.send("privilegedunwrap", new.asked[0][1]), 401)


async def test_a_delegates_token_moves_nothing(tmp_path: Path) -> None:
    async with two(tmp_path) as (old, new):
        wrapped = await old.wrapped(may=authorization(kacls_url=OLD))
        await old.grant(people=(URL,))
        token = (await delegated(new)).json["delegated_authentication"]
        body = {"authentication": token, "resource_name": "doc-42", "wrapped_key": wrapped}
        check_error(await old.send("privilegedunwrap", body), 401)
