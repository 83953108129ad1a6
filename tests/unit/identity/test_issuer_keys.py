"""Keys are fetched when they must be, never more often than allowed, and never from elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from tests.peers.oidc_issuer import DISCOVERY, KEYS, OidcIssuer
from tests.unit.identity.issuer import ISSUER, Published, key_set, public_jwk

from hyok.errors import Malformed, Unavailable
from hyok.identity.config import IssuerSettings
from hyok.identity.issuer_fetch import DOCUMENT_BYTES_MAX, fetch_key_set, source_of
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.identity.jwks import parse_jwks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMES = KeyTimes(refresh=300, age_max=3600, pause=10)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def keys(published: Published, clock: Clock) -> IssuerKeys:
    return IssuerKeys(ISSUER, ["RS256"], published.fetch, TIMES, monotonic=clock)


async def ids(keys: IssuerKeys, wanted: str = "RS256-0") -> list[str]:
    return [key.key_id for key in await keys.find(wanted)]


async def test_known_keys_are_fetched_once_until_they_are_old(
    keys: IssuerKeys, published: Published, clock: Clock
) -> None:
    for seconds in (0, 10, 289):
        clock.seconds = 1000 + seconds
        assert await ids(keys) == ["RS256-0"]
    assert published.fetches == 1
    clock.seconds = 1000 + 301
    await ids(keys)
    assert published.fetches == 2


async def test_many_at_once_share_one_fetch(keys: IssuerKeys, published: Published) -> None:
    await asyncio.gather(*(ids(keys, f"kid-{number}") for number in range(200)))
    assert published.fetches == 1


async def test_a_new_key_is_found_after_the_pause_at_the_latest(
    keys: IssuerKeys, published: Published, clock: Clock
) -> None:
    await ids(keys)
    published.raw = key_set(public_jwk("RS256"), public_jwk("ES256"))
    assert await ids(keys, "ES256-0") == ["RS256-0"]  # too soon after the last fetch
    clock.seconds += TIMES.pause
    assert await ids(keys, "ES256-0") == ["RS256-0", "ES256-0"]


async def test_a_flood_of_unknown_keys_is_one_fetch_per_pause(
    keys: IssuerKeys, published: Published, clock: Clock
) -> None:
    for number in range(1000):
        clock.seconds += 0.1
        assert await ids(keys, f"unknown-{number}") == ["RS256-0"]
    assert published.fetches == 10


async def test_a_key_that_the_issuer_withdrew_is_gone_at_the_next_refresh(
    keys: IssuerKeys, published: Published, clock: Clock
) -> None:
    await ids(keys)
    published.raw = key_set(public_jwk("RS256", 1))
    clock.seconds += TIMES.refresh + 1
    assert await ids(keys) == ["RS256-1"]


@pytest.mark.parametrize("error", [Unavailable("away"), Malformed("rubbish")])
async def test_an_issuer_that_is_away_is_bridged_for_an_hour_and_no_longer(
    keys: IssuerKeys, published: Published, clock: Clock, error: Exception
) -> None:
    await ids(keys)
    published.fail = error
    start = clock.seconds
    for seconds in (301, 1800, 3600):
        clock.seconds = start + seconds
        assert await ids(keys) == ["RS256-0"]
    clock.seconds = start + 3601
    with pytest.raises(Unavailable) as caught:
        await ids(keys)
    assert caught.value.reason == "IDPCommunicationError"
    published.fail = None
    clock.seconds += TIMES.pause
    assert await ids(keys) == ["RS256-0"]


async def test_an_issuer_never_reached_is_asked_once_per_pause(
    keys: IssuerKeys, published: Published, clock: Clock
) -> None:
    published.fail = Unavailable("away")
    for _ in range(50):
        clock.seconds += 1
        with pytest.raises(Unavailable):
            await ids(keys)
    assert published.fetches == 5


async def test_a_client_that_goes_away_does_not_take_the_keys_along(clock: Clock) -> None:
    gate = asyncio.Event()

    async def fetch() -> bytes:
        await gate.wait()
        return key_set(public_jwk("RS256"))

    keys = IssuerKeys(ISSUER, ["RS256"], fetch, TIMES, monotonic=clock)
    first, second = asyncio.create_task(ids(keys)), asyncio.create_task(ids(keys))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second == ["RS256-0"]


# --- over TLS ------------------------------------------------------------------------------------


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[OidcIssuer]:
    with OidcIssuer(tmp_path) as made:
        yield made


def settings(issuer: OidcIssuer, **changes: Any) -> IssuerSettings:
    return IssuerSettings(**{"issuer": issuer.url, "ca_file": issuer.ca_file, **changes})


async def test_keys_come_by_discovery(issuer: OidcIssuer) -> None:
    found = parse_jwks(await fetch_key_set(settings(issuer), 5))
    assert [key.key_id for key in found] == [issuer.kid]
    assert issuer.asked == [DISCOVERY, KEYS]


async def test_a_given_address_needs_no_discovery(issuer: OidcIssuer) -> None:
    await fetch_key_set(settings(issuer, jwks_uri=issuer.url + KEYS), 5)
    assert issuer.asked == [KEYS]


async def test_an_issuer_with_another_certificate_is_not_asked(
    issuer: OidcIssuer, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    for ca_file in (other, None):
        with pytest.raises(Unavailable):
            await fetch_key_set(settings(issuer, ca_file=ca_file), 5)
    assert issuer.asked == []


async def test_a_certificate_for_another_name_is_refused(issuer: OidcIssuer) -> None:
    elsewhere = issuer.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(Unavailable):
        await fetch_key_set(settings(issuer, jwks_uri=elsewhere + KEYS), 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 404},
        {"status": 500},
        {"redirect": KEYS},
        {"body": b"not json"},
        {"body": b"[" * 100_000},
        {"body": b"[]"},
        {"pad": DOCUMENT_BYTES_MAX},
        {"gzip": True},
        {"issuer": "https://other.example"},
        {"jwks_uri": "http://127.0.0.1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 5},
    ],
)
async def test_a_wrong_answer_is_no_key_set(issuer: OidcIssuer, wrong: dict[str, Any]) -> None:
    issuer.misbehave = wrong
    with pytest.raises((Unavailable, Malformed)):
        await fetch_key_set(settings(issuer), 5)
    assert issuer.asked == [DISCOVERY]  # nothing was followed


async def test_a_slow_issuer_is_given_up(issuer: OidcIssuer) -> None:
    issuer.misbehave = {"seconds": 0.8}
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(Unavailable):
        await fetch_key_set(settings(issuer), 0.2)
    assert loop.time() - start < 0.7
    await asyncio.sleep(1)  # the transport ends with the peer's last word, not with the loop


async def test_a_bearer_token_goes_to_the_issuer_and_nowhere_else(
    issuer: OidcIssuer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("gateways-own-token\n")
    issuer.bearer = "gateways-own-token"
    await fetch_key_set(settings(issuer, bearer_token_file=file), 5)
    elsewhere = issuer.url.replace("127.0.0.1", "localhost")
    issuer.misbehave = {"jwks_uri": elsewhere + KEYS}
    with pytest.raises(Unavailable):
        await fetch_key_set(settings(issuer, bearer_token_file=file), 5)
    assert issuer.asked == [DISCOVERY, KEYS, DISCOVERY, KEYS]
    assert "authorization" not in issuer.seen[-1]


async def test_keys_from_a_file_need_no_network(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    fetch = source_of(IssuerSettings(issuer=ISSUER, jwks_file=file), 5)
    with pytest.raises(Unavailable):
        await fetch()
    file.write_bytes(key_set(public_jwk("ES256")))
    assert [key.key_id for key in parse_jwks(await fetch())] == ["ES256-0"]
    file.write_bytes(b" " * (DOCUMENT_BYTES_MAX + 1))
    with pytest.raises(Malformed):
        await fetch()


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://cluster.example"},
        {"issuer": ""},
        {"issuer": "https://user:pw@cluster.example"},
        {"issuer": "https://cluster.example/?x=1"},
        {"issuer": "https://cluster.example/ x"},
        {"jwks_uri": "http://cluster.example/keys"},
        {"jwks_file": "/keys.json", "jwks_uri": "https://cluster.example/keys"},
        {"jwks_file": "/keys.json", "ca_file": "/ca.pem"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
    ],
)
def test_an_issuer_that_cannot_be_trusted_stops_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"https|jwks_file|algorithms"):
        IssuerSettings(**{"issuer": "https://cluster.example", **wrong})
