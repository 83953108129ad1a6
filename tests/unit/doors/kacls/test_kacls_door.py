"""The key service for Google: who may have keys wrapped and unwrapped, and what others hear."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.doors.kacls.world import (
    KEY,
    NOW_S,
    PROVIDERS,
    URL,
    authentication,
    authorization,
    b64,
    service,
    signed,
)
from tests.unit.identity import issuer

from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.doors.kacls.blob import BLOB_BYTES_MAX
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.doors.house import FakeExchange
    from tests.unit.doors.kacls.world import Service

ORIGIN = "https://client-side-encryption.google.com"


@pytest.fixture
async def kacls(tmp_path: Path) -> AsyncIterator[Service]:
    async with service(tmp_path) as made:
        yield made


def check_error(answer: FakeExchange, status: int, word: str = "") -> None:
    """Return quietly if this is an error of the protocol."""
    assert answer.status == status, (answer.status, answer.answer)
    told = answer.json
    assert set(told) == {"code", "message", "details"}
    assert told["code"] == status
    assert isinstance(told["code"], int)
    assert told["message"]
    assert word in told["details"], told
    assert answer.answered["access-control-allow-origin"] == ORIGIN


async def test_what_is_wrapped_unwraps_to_the_same_key(kacls: Service) -> None:
    for key in (b"\0", KEY, bytes(range(128))):
        answer = await kacls.wrap(key)
        assert answer.status == 200, answer.answer
        assert list(answer.json) == ["wrapped_key"]
        wrapped = answer.json["wrapped_key"]
        assert key not in b64decode(wrapped) or len(key) == 1
        opened = await kacls.unwrap(wrapped)
        assert (opened.status, opened.json) == (200, {"key": b64(key)})
        assert opened.answered["cache-control"] == "no-store"
        assert opened.answered["access-control-allow-origin"] == ORIGIN


async def test_the_longest_names_still_make_a_blob_that_google_keeps(kacls: Service) -> None:
    more: dict[str, Any] = {"resource_name": "n" * 512, "perimeter_id": "p" * 128}
    answer = await kacls.wrap(bytes(128), authorization("gmail", **more))
    wrapped = answer.json["wrapped_key"]
    assert len(b64decode(wrapped)) <= BLOB_BYTES_MAX
    opened = await kacls.unwrap(wrapped, authorization("gmail", role="reader", **more))
    assert opened.json == {"key": b64(bytes(128))}


async def test_every_use_is_on_record_and_names_nobody(kacls: Service) -> None:
    await kacls.unwrap(await kacls.wrapped())
    records = [r for r in kacls.records() if r.action in {"key:encrypt", "key:decrypt"}]
    assert [(r.action, r.phase, r.outcome) for r in records] == [
        ("key:encrypt", "intend", "pending"),
        ("key:encrypt", "conclude", "done"),
        ("key:decrypt", "intend", "pending"),
        ("key:decrypt", "conclude", "done"),
    ]
    words = " ".join(records[0].reasons)
    for word in ("door:kacls", "key:t/cse", "operation:wrap", "resource:doc-42", "caller:"):
        assert word in words
    assert "door-key-use" in words
    assert "jan@" not in repr(kacls.records()).lower()
    assert ("kacls", "wrap", "") in kacls.meter.seen


# -- both tokens, checked against each other -------------------------------------------------------


@pytest.mark.parametrize(
    ("may", "who", "status"),
    [
        ({}, {}, 200),
        ({"email": "JAN@Gemeente.Example"}, {"email": "jan@gemeente.example"}, 200),
        ({"kacls_url": URL + "/"}, {}, 200),
        ({"kacls_owner_domain": "Gemeente.example"}, {}, 200),
        ({"role": "upgrader"}, {}, 200),
        # google_email goes before email, which nobody looks at then.
        ({}, {"google_email": "jan@gemeente.example", "email": "j.jansen@intern.example"}, 200),
        ({}, {"google_email": "piet@gemeente.example"}, 403),
        ({}, {"email": "piet@gemeente.example"}, 403),
        ({"role": "reader"}, {}, 403),
        ({"kacls_url": "https://ander.example/v1"}, {}, 403),
        ({"kacls_url": URL + "//"}, {}, 403),
        ({"kacls_owner_domain": "ander.example"}, {}, 403),
        ({"email_type": "google-visitor"}, {}, 403),
        ({"email_type": "customer-idp"}, {}, 403),
        ({"delegated_to": "zaal@gemeente.example"}, {}, 403),
        ({}, {"delegated_to": "zaal@gemeente.example", "resource_name": "doc-42"}, 403),
        ({}, {"delegated_to": "zaal@gemeente.example"}, 401),
        ({"aud": "cse-else"}, {}, 401),
        ({"aud": ["cse-authorization", "cse-else"]}, {}, 401),
        ({}, {"aud": "cse-gasten"}, 401),
        ({"iss": "gsuitecse-tokenissuer-else@system.gserviceaccount.com"}, {}, 401),
        ({}, {"iss": "https://else.example"}, 401),
        ({"exp": NOW_S - 61}, {}, 401),
        ({}, {"exp": NOW_S - 61}, 401),
        ({"exp": NOW_S - 59}, {"exp": NOW_S - 59}, 200),
        ({"iat": NOW_S + 61}, {}, 401),
        ({"iat": None}, {}, 401),
        ({}, {"iat": None}, 401),
        ({"exp": None}, {}, 401),
        ({"email": None}, {}, 401),
        ({"role": None}, {}, 401),
        ({"resource_name": None}, {}, 401),
        ({"resource_name": "n" * 129}, {}, 401),
        ({"kacls_url": None}, {}, 401),
        ({}, {"email": None}, 401),
        ({}, {"google_email": 7}, 401),
    ],
)
async def test_both_tokens_are_checked_and_against_each_other(
    kacls: Service, may: dict[str, Any], who: dict[str, Any], status: int
) -> None:
    answer = await kacls.wrap(KEY, authorization(**may), authentication(**who))
    if status == 200:
        assert answer.status == 200, answer.answer
    else:
        check_error(answer, status)
    refused = [r for r in kacls.records() if r.outcome == "denied"]
    assert len(refused) == (status == 403), "what good tokens do not permit is on record"
    assert len([r for r in kacls.records() if r.outcome == "done"]) == (status == 200)


@pytest.mark.parametrize("where", ["authorization", "authentication"])
@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "\ud800",
        "x" * 20_001,
        signed(PROVIDERS, {"iss": "else"}),
        authorization() + "x",
        issuer.raw_token(b"{}"),
        issuer.raw_token(b'{"iss":"a","iss":"b"}'),
        authorization().rpartition(".")[0] + ".",
        issuer.encoded({"alg": "none", "kid": "RS256-0"}) + "." + issuer.encoded({}) + ".",
    ],
)
async def test_what_is_no_token_is_refused(kacls: Service, where: str, token: str) -> None:
    answer = await kacls.wrap(
        **{"may" if where == "authorization" else "who": " "} | {where: token}
    )
    assert answer.status in {400, 401}
    check_error(answer, answer.status)
    assert not kacls.records(), "a flood of them must not fill the log"


async def test_a_token_signed_by_another_is_refused(kacls: Service) -> None:
    # The provider signs what only Google may, and Google what only the provider may.
    google = {"aud": "cse-authorization", "email": "jan@gemeente.example", "role": "writer"}
    google |= {"resource_name": "doc-42", "kacls_url": URL}
    google |= {"iss": "gsuitecse-tokenissuer-drive@system.gserviceaccount.com"}
    check_error(await kacls.wrap(may=signed(PROVIDERS, google)), 401)
    check_error(await kacls.wrap(may=signed(PROVIDERS, google, kid="RS256-0")), 401)
    check_error(await kacls.wrap(may=authentication()), 401)
    check_error(await kacls.wrap(who=authorization()), 401)


async def test_a_guest_comes_through_a_provider_for_guests_alone(kacls: Service) -> None:
    for kind in ("google-visitor", "customer-idp"):
        may = authorization(email_type=kind)
        assert (await kacls.wrap(may=may, who=authentication(guest=True))).status == 200
    check_error(await kacls.wrap(who=authentication(guest=True)), 403, "guests")
    may = authorization(email_type="else")
    check_error(await kacls.wrap(may=may, who=authentication(guest=True)), 403, "guests")


@pytest.mark.parametrize("application", ["drive", "meet", "calendar", "gmail"])
async def test_each_application_signs_for_itself(kacls: Service, application: str) -> None:
    assert (await kacls.wrap(may=authorization(application))).status == 200


async def test_roles_of_unwrap(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    for role, status in (("reader", 200), ("writer", 200), ("upgrader", 403), ("verifier", 403)):
        assert (await kacls.unwrap(wrapped, authorization(role=role))).status == status
    check_error(await kacls.unwrap(wrapped, authorization("migration", role="reader")), 403)


# -- what a wrapped key says itself ----------------------------------------------------------------


async def test_a_wrapped_key_opens_for_its_own_resource_alone(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    before = len(kacls.records())
    answer = await kacls.unwrap(wrapped, authorization(role="reader", resource_name="doc-43"))
    check_error(answer, 403, "another resource")
    *_, last = kacls.records(since=before)
    assert (last.outcome, last.error) == ("denied", "Refused:HY-2681")


async def test_a_changed_blob_does_not_open_and_nothing_tells_why(kacls: Service) -> None:
    raw = b64decode(await kacls.wrapped())
    told = set()
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        kacls.monotonic[0] += 1
        answer = await kacls.unwrap(b64(changed))
        check_error(answer, 400)
        told.add(answer.answer)
    for bad in (raw[:-1], raw + b"\0", raw[:20], b"\x01", raw[:2], raw * 5):
        answer = await kacls.unwrap(b64(bad))
        if len(bad) <= BLOB_BYTES_MAX:
            told.add(answer.answer)
        check_error(answer, 400)
    assert len(told) == 1


async def test_a_blob_of_another_key_of_ours_does_not_open_as_this_ones(kacls: Service) -> None:
    await kacls.aws.make("buren", app="ander")
    raw = b64decode(await kacls.wrapped())
    renamed = raw.replace(b"\x05cse/1", b"\x07buren/1", 1)
    check_error(await kacls.unwrap(b64(renamed)), 400)


CLAIMS = [
    "email",
    "google_email",
    "role",
    "resource_name",
    "kacls_url",
    "aud",
    "iat",
    "exp",
    "nbf",
    "sub",
]
CLAIMS += ["delegated_to", "perimeter_id", "email_type", "kacls_owner_domain"]
PERIMETERS = [
    {"id": "binnen", "networks": ["10.0.0.0/8"]},
    {"id": "raad", "claims": {"groups": ["raad"]}},
    {"id": ""},
]


async def test_perimeters_are_of_the_data_and_not_of_the_token_alone(tmp_path: Path) -> None:
    async with service(tmp_path, perimeters=PERIMETERS) as kacls:
        inside = {"perimeter_id": "binnen"}
        answer = await kacls.wrap(may=authorization(**inside))
        check_error(answer, 403, "network")
        answer = await kacls.wrap(may=authorization(**inside), peer="10.1.2.3")
        wrapped = answer.json["wrapped_key"]
        reader = authorization(role="reader", **inside)
        assert (await kacls.unwrap(wrapped, reader, peer="10.1.2.3")).status == 200
        check_error(await kacls.unwrap(wrapped, reader), 403, "network")
        # Under another perimeter, or none, that the caller is within.
        for other in ("", "raad"):
            may = authorization(role="reader", perimeter_id=other)
            who = authentication(groups=["raad"])
            check_error(await kacls.unwrap(wrapped, may, who), 403, "another perimeter")
        check_error(await kacls.wrap(may=authorization(perimeter_id="buiten")), 403, "none of ours")
        check_error(await kacls.wrap(may=authorization(perimeter_id="raad")), 403, "groups")


async def test_data_that_moved_is_judged_by_the_perimeter_it_is_in_and_was_in(
    tmp_path: Path,
) -> None:
    more: dict[str, Any] = {"perimeters": PERIMETERS, "perimeter_moves": "judge"}
    async with service(tmp_path, **more) as kacls:
        may = authorization(perimeter_id="binnen")
        wrapped = (await kacls.wrap(may=may, peer="10.1.2.3")).json["wrapped_key"]
        reader = authorization(role="reader", perimeter_id="raad")
        who = authentication(groups=["raad"])
        assert (await kacls.unwrap(wrapped, reader, who, peer="10.1.2.3")).status == 200
        check_error(await kacls.unwrap(wrapped, reader, who), 403, "network")
        check_error(await kacls.unwrap(wrapped, reader, peer="10.1.2.3"), 403, "groups")
        asked = [r for r in kacls.records() if "via:drive/binnen" in r.reasons]
        assert asked, "policy was asked about the perimeter that the data was wrapped under"


# -- digest ----------------------------------------------------------------------------------------


async def test_a_digest_is_googles_and_gives_no_key_out(kacls: Service) -> None:
    key = b64decode("AAECAwQFBgcICQoLDA0ODw==")
    body = {
        "authorization": authorization("migration", role="verifier"),
        "wrapped_key": await kacls.wrapped(key),
        "reason": "",
    }
    answer = await kacls.send("digest", body)
    assert answer.json == {"resource_key_hash": "HkMb/eJyUl8Q0jQZ7s01h0YUax17HnxmvFrxRQ0cWHU="}
    for change, status in (
        ({"role": "reader"}, 403),
        ({"resource_name": "doc-43"}, 403),
        ({"kacls_url": "https://ander.example/v1"}, 403),
        ({"aud": "else"}, 401),
    ):
        may = authorization("migration", **{"role": "verifier"} | change)
        check_error(await kacls.send("digest", {**body, "authorization": may}), status)
    may = authorization("drive", role="verifier")
    check_error(await kacls.send("digest", {**body, "authorization": may}), 403)


# -- the wire --------------------------------------------------------------------------------------


async def test_status_names_what_is_served_and_nothing_else(kacls: Service) -> None:
    answer = await kacls.send("status", verb="GET")
    assert answer.json == {
        "server_type": "KACLS",
        "vendor_id": "hyok",
        "version": "1.2.3",
        "operations_supported": ["status", "wrap", "unwrap", "digest"],
    }
    assert answer.answered["access-control-allow-origin"] == ORIGIN
    for method in ("certs", "rewrap", "delegate", "privilegedwrap", "privilegedunwrap"):
        check_error(await kacls.send(method, {}), 404)
    for method in ("privatekeysign", "wrapprivatekey", "WRAP", "wrap/", "", "wrap?x"):
        check_error(await kacls.send(method, {}), 404)


async def test_all_that_is_named_is_there(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "signing_key": "cse-teken",
        "name": "gemeente",
        "administrators": ["beheer@gemeente.example"],
        "services": [{"url": "https://oud.example/v1", "rewrap_from": True, "may_unwrap": True}],
    }
    async with service(tmp_path, **more) as kacls:
        told = (await kacls.send("status", verb="GET")).json
        assert told["name"] == "gemeente"
        for name in told["operations_supported"]:
            verb = "GET" if name in {"status", "certs"} else "POST"
            assert (await kacls.send(name, {}, verb=verb)).status in {200, 400}


async def test_a_preflight_lets_googles_page_and_no_other_ask(kacls: Service) -> None:
    answer = await kacls.send("wrap", verb="OPTIONS")
    assert answer.status == 204
    assert answer.answer == b""
    assert answer.answered["access-control-allow-origin"] == ORIGIN
    assert answer.answered["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert answer.answered["access-control-allow-headers"] == "content-type"
    check_error(await kacls.send("nothing", verb="OPTIONS"), 404)


async def test_methods_of_http(kacls: Service) -> None:
    for method, verb in (("wrap", "GET"), ("status", "POST"), ("unwrap", "PUT"), ("wrap", "HEAD")):
        check_error(await kacls.send(method, {}, verb=verb), 400)


@pytest.mark.parametrize(
    "change",
    [
        {"key": b64(bytes(129))},
        {"key": ""},
        {"key": "AA"},
        {"key": None},
        {"reason": "r" * 1025},
        {"authorization": None},
        {"authentication": 7},
    ],
)
async def test_limits_and_members(kacls: Service, change: dict[str, Any]) -> None:
    check_error(await kacls.wrap(**change), 400)
    assert not kacls.records()


async def test_long_bodies_are_not_read(kacls: Service) -> None:
    check_error(await kacls.send("wrap", b"{" + b" " * (64 << 10)), 400)
    check_error(await kacls.unwrap(b64(bytes(1025))), 400)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
    | st.dictionaries(
        st.sampled_from(["authentication", "authorization", "key", "wrapped_key", "reason"]),
        st.text(max_size=30) | st.integers() | st.none(),
    )
)
async def test_any_json_is_answered_with_an_error_of_the_protocol(
    kacls: Service, body: Any
) -> None:
    for method in ("wrap", "unwrap", "digest"):
        answer = await kacls.send(method, json.dumps(body).encode())
        check_error(answer, answer.status)
        assert answer.status in {400, 401}


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=80))
async def test_any_bytes_are_answered_too(kacls: Service, raw: bytes) -> None:
    check_error(await kacls.send("wrap", raw), 400)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.dictionaries(
        st.sampled_from(CLAIMS),
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.text(max_size=9)
        | st.lists(st.text(max_size=3), max_size=2),
        min_size=1,
    )
)
async def test_claims_of_any_kind_break_nothing(kacls: Service, claims: dict[str, Any]) -> None:
    for may, who in (
        (authorization(**claims), authentication()),
        (authorization(), authentication(**claims)),
    ):
        answer = await kacls.wrap(may=may, who=who)
        assert answer.status in {200, 401, 403}, answer.answer


# -- stopping --------------------------------------------------------------------------------------


async def test_a_suspended_key_and_a_frozen_door_stop_every_method(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    digest = {
        "authorization": authorization("migration", role="verifier"),
        "wrapped_key": wrapped,
    }
    catalog = kacls.aws.catalog
    await catalog.change_state("t", "cse", KeyState.SUSPENDED)
    for answer in (
        await kacls.wrap(),
        await kacls.unwrap(wrapped),
        await kacls.send("digest", digest),
    ):
        check_error(answer, 403)
    await catalog.change_state("t", "cse", KeyState.ACTIVE)
    assert (await kacls.unwrap(wrapped)).status == 200
    freezes = Freezes(kacls.aws.house.database, lambda: kacls.aws.house.now[0])
    await freezes.freeze(Frozen.DOOR, "kacls", "gemeente", "proef")
    kacls.aws.house.now[0] += 5_000
    for answer in (await kacls.wrap(), await kacls.unwrap(wrapped)):
        check_error(answer, 403)
    assert (await kacls.send("status", verb="GET")).status == 200


async def test_an_app_that_was_revoked_or_is_for_more_serves_nobody(tmp_path: Path) -> None:
    async with service(tmp_path, app="bestaat-niet") as kacls:
        check_error(await kacls.wrap(), 500)
    (tmp_path / "tweede").mkdir()
    async with service(tmp_path / "tweede", app="ander") as kacls:
        check_error(await kacls.wrap(), 500)  # the key does not serve it


# -- load and failure ------------------------------------------------------------------------------


async def test_an_hsm_that_hangs_is_answered_503_within_the_deadline(tmp_path: Path) -> None:
    async with service(tmp_path, deadline_ms=300) as kacls:

        async def never(*_: object) -> None:
            await asyncio.sleep(60)

        kacls.aws.hsm.door_seal = never  # type: ignore[assignment,method-assign]
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await kacls.wrap()
        assert loop.time() - began < 0.45
        check_error(answer, 503)
        assert answer.answered["retry-after"] == "1"


async def test_while_the_hsm_is_known_to_be_away_nobody_waits_for_it(kacls: Service) -> None:
    wrapped = await kacls.wrapped()
    kacls.aws.hsm.away = True
    await kacls.aws.house.watch.look()
    check_error(await kacls.wrap(), 503)
    check_error(await kacls.unwrap(wrapped), 503)


async def test_an_issuer_that_cannot_be_asked_is_503_and_not_401(kacls: Service) -> None:
    async def fail(_: str) -> Any:
        raise Unavailable("The keys cannot be fetched.", code="HY-3401")

    for signer in kacls.operations._tokens._providers.values():
        signer.keys.find = fail  # type: ignore[method-assign]
    check_error(await kacls.wrap(), 503)


async def test_more_than_is_served_at_once_is_told_to_come_back(tmp_path: Path) -> None:
    async with service(tmp_path, requests_in_flight_max=1) as kacls:
        held, go = asyncio.Event(), asyncio.Event()
        seal = kacls.aws.hsm.door_seal

        async def slow(*given: Any) -> Any:
            held.set()
            await go.wait()
            return await seal(*given)

        kacls.aws.hsm.door_seal = slow  # type: ignore[assignment,method-assign]
        first = asyncio.create_task(kacls.wrap())
        await held.wait()
        check_error(await kacls.wrap(), 429)
        go.set()
        assert (await first).status == 200


async def test_one_user_who_asks_too_often_leaves_the_others_their_turn(tmp_path: Path) -> None:
    async with service(tmp_path, requests_per_user_max=2, requests_per_second_max=4) as kacls:
        statuses = [(await kacls.wrap()).status for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        piet = authorization(email="piet@gemeente.example")
        who = authentication(email="Piet@gemeente.example")
        assert [(await kacls.wrap(may=piet, who=who)).status for _ in range(2)] == [200, 200]
        kees = authorization(email="kees@gemeente.example")
        who = authentication(email="kees@gemeente.example")
        check_error(await kacls.wrap(may=kees, who=who), 429)  # all together
        kacls.monotonic[0] += 1
        assert (await kacls.wrap()).status == 200


async def test_a_bad_token_costs_nobody_a_turn(tmp_path: Path) -> None:
    async with service(tmp_path, requests_per_user_max=1, requests_per_second_max=1) as kacls:
        for _ in range(3):
            check_error(await kacls.wrap(who=authentication(aud="else")), 401)
        assert (await kacls.wrap()).status == 200
