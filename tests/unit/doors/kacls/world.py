"""A key service over custody, database and HSM in memory; Google and an identity provider sign."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jwt
from tests.unit.doors.house import NOW_MS, FakeExchange, Head, Meter, key_store
from tests.unit.identity import issuer

from hyok.custody.break_glass import Grant, GrantBook
from hyok.custody.door_key import Usage
from hyok.custody.secret_box import HsmSecretBox
from hyok.database.tables import proposals
from hyok.doors.kacls import jws
from hyok.doors.kacls.config import KaclsSettings
from hyok.doors.kacls.door import ANSWER_SECONDS, KaclsDoor
from hyok.doors.kacls.private import PrivateOperations
from hyok.doors.kacls.quotas import Quotas
from hyok.doors.kacls.tokens import ALGORITHMS, Signer, TokenJudge
from hyok.doors.turns import Turns
from hyok.errors import Unavailable
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

    from hyok.doors.kacls.config import ServiceSettings
    from hyok.doors.kacls.operations import Operations
    from hyok.identity.jwks import VerifyingKey

URL = "https://kacls.gemeente.example/v1"
OLD = "https://oud.example/v1"
GOOGLE = "gsuitecse-tokenissuer-{}@system.gserviceaccount.com"
MIGRATION = "apps-security-cse-kaclscommunication@system.gserviceaccount.com"
IDP, GUEST_IDP = "https://idp.gemeente.example", "https://gasten.gemeente.example"
ME = "jan@gemeente.example"
KEY = b"a data key of 32 bytes for tests"
NOW_S = NOW_MS // 1000
GOOGLES, PROVIDERS, GUESTS = 0, 1, 2
"""Numbers of the private keys that sign."""


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def settings_of(**more: Any) -> KaclsSettings:
    wanted: dict[str, Any] = {
        "enabled": True,
        "public_url": URL,
        "app": "aws-kms",
        "key": "cse",
        "owner_domain": "gemeente.example",
        "providers": [
            {"issuer": IDP, "audiences": ["cse-client"]},
            {"issuer": GUEST_IDP, "audiences": ["cse-gasten"], "guests": True},
        ],
    }
    return KaclsSettings.model_validate(wanted | more)


def signed(number: int, claims: Mapping[str, object], **headers: Any) -> str:
    every = {"exp": NOW_S + 600, "iat": NOW_S - 5, **claims}
    kept = {name: value for name, value in every.items() if value is not None}
    named = {"kid": f"RS256-{number}", **headers}
    return jwt.encode(kept, issuer.private_key("RS256", number), algorithm="RS256", headers=named)


def authorization(application: str = "drive", **changes: object) -> str:
    """Return what Google signs; None leaves a claim out."""
    moving = application == "migration"
    claims: dict[str, object] = {
        "iss": MIGRATION if moving else GOOGLE.format(application),
        "aud": "cse-authorization",
        "email": "" if moving else "Jan@gemeente.example",
        "role": "writer",
        "resource_name": "doc-42",
        "kacls_url": URL,
    }
    return signed(GOOGLES, {**claims, **changes})


def authentication(*, guest: bool = False, **changes: object) -> str:
    """Return what the identity provider signs; of a token for a person no `sub` is wanted."""
    claims: dict[str, object] = {
        "iss": GUEST_IDP if guest else IDP,
        "aud": "cse-gasten" if guest else "cse-client",
        "email": ME,
    }
    return signed(GUESTS if guest else PROVIDERS, {**claims, **changes})


@dataclass
class Service:
    """A key service, and everybody who calls it."""

    aws: KeyStore
    settings: KaclsSettings
    door: KaclsDoor
    operations: Operations
    book: GrantBook
    meter: Meter
    monotonic: list[float]
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    async def send(
        self,
        method: str,
        body: Mapping[str, Any] | bytes = b"",
        *,
        verb: str = "POST",
        peer: str = "192.0.2.7",
    ) -> FakeExchange:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        target = f"/v1/{method}".encode()
        headers = [(b"host", b"kacls.gemeente.example")]
        exchange = FakeExchange(Head(verb, target, headers, peer), raw, len(raw))
        await self.door.handle(exchange)
        return exchange

    async def wrap(
        self, data_key: bytes = KEY, may: str = "", who: str = "", **more: Any
    ) -> FakeExchange:
        body = {
            "authorization": may or authorization(),
            "authentication": who or authentication(),
            "key": b64(data_key),
            "reason": "{client:'drive'}",
        }
        peer = more.pop("peer", "192.0.2.7")
        return await self.send("wrap", body | more, peer=peer)

    async def unwrap(self, wrapped: str, may: str = "", who: str = "", **more: Any) -> FakeExchange:
        body = {
            "authorization": may or authorization(role="reader"),
            "authentication": who or authentication(),
            "wrapped_key": wrapped,
            "reason": "",
        }
        peer = more.pop("peer", "192.0.2.7")
        return await self.send("unwrap", body | more, peer=peer)

    async def wrapped(self, key: bytes = KEY, may: str = "") -> str:
        answer = await self.wrap(key, may)
        assert answer.status == 200, answer.answer
        return str(answer.json["wrapped_key"])

    async def grant(self, number: int = 1, **changed: Any) -> Grant:
        """Have officers approve a privileged call."""
        now = self.aws.house.now[0]
        made = Grant(
            grant_id=f"G{number}",
            app="aws-kms",
            tenant="t",
            bucket="",
            keys=("doc-42",),
            prefix="",
            classification="vertrouwelijk",
            level=30,
            ticket="T-1",
            author="anna",
            starts_ms=now,
            ends_ms=now + 60_000,
            door="kacls",
            door_key="cse",
            operations=("privilegedunwrap", "privilegedwrap"),
            people=(ME,),
        )
        made = replace(made, **changed)
        values = {"act": "break-glass:door", "author": "anna", "state": "executed", "sealed": b"x"}

        def act(connection: Any) -> None:
            connection.execute(
                proposals.insert().values(
                    proposal_id=made.grant_id, created_ms=1, expires_ms=2, **values
                )
            )

        await self.aws.house.database.run(act)
        await self.book.add(made)
        return made

    def records(self, *, since: int = 0) -> list[Any]:
        return list(self.aws.house.journal.records)[since:]


@dataclass
class Network:
    """Who publishes keys, and other key services that can be reached."""

    monotonic: list[float]
    peers: Sequence[Service]
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def keys(self, name: str, number: int) -> IssuerKeys:
        published = issuer.Published(issuer.key_set(issuer.public_jwk("RS256", number)))
        return self._memory(name, published.fetch)

    def keys_of(self, url: str) -> IssuerKeys:
        async def fetch() -> bytes:
            for one in self.peers:
                if one.settings.public_url == url:
                    return (await one.send("certs", verb="GET")).answer
            raise Unavailable(f"{url} does not answer")

        return self._memory(url, fetch)

    def _memory(self, name: str, fetch: Callable[[], Awaitable[bytes]]) -> IssuerKeys:
        times = KeyTimes(refresh=3600, age_max=86_400, pause=60)
        return IssuerKeys(name, ALGORITHMS, fetch, times, monotonic=lambda: self.monotonic[0])

    async def unwrap(self, one: ServiceSettings, body: Mapping[str, str], seconds: float) -> bytes:
        assert seconds > 0
        self.asked.append((one.url, body))
        for peer in self.peers:
            if peer.settings.public_url == one.url:
                answer = await peer.send("privilegedunwrap", body)
                if answer.status == 200:
                    return b64decode(answer.json["key"])
        raise Unavailable("no key", reason="OtherService", code="HY-2688")


def judge_of(
    settings: KaclsSettings,
    network: Network,
    own_keys: Callable[[], Awaitable[Sequence[VerifyingKey]]],
    clock_ms: Callable[[], int],
) -> TokenJudge:
    googles = frozenset({settings.authorization_audience})
    return TokenJudge(
        authorizations={
            one.issuer: Signer(network.keys(one.issuer, GOOGLES), googles, one.application)
            for one in settings.authorizations
        },
        providers={
            one.issuer: Signer(
                network.keys(one.issuer, GUESTS if one.guests else PROVIDERS),
                frozenset(one.audiences),
                guests=one.guests,
            )
            for one in settings.providers
        },
        services={
            one.url: Signer(network.keys_of(one.url), frozenset({"kacls-migration"}))
            for one in settings.services
            if one.may_unwrap
        },
        own_url=settings.public_url,
        own_keys=own_keys,
        own_audience=settings.delegated_audience,
        skew_seconds=settings.clock_skew_seconds,
        clock_ms=clock_ms,
    )


@asynccontextmanager
async def service(
    folder: Path, peers: Sequence[Service] = (), **more: Any
) -> AsyncIterator[Service]:
    """Yield a key service; ``peers``: others that it can reach."""
    async with key_store(folder) as aws:
        settings = settings_of(**more)
        await aws.make("cse")
        if settings.signing_key:
            await aws.make(settings.signing_key, Usage.SIGN, kind="rsa-2048")
        if settings.private_key:
            await aws.make(settings.private_key, Usage.PRIVATE)
        aws.house.journal.entries.clear()
        monotonic = [1000.0]
        network = Network(monotonic, peers)

        async def own_keys() -> Sequence[VerifyingKey]:
            return jws.verifying(await operations.public_keys()) if settings.signing_key else ()

        turns = Turns(
            in_flight_max=settings.requests_in_flight_max,
            answer_seconds=ANSWER_SECONDS,
            reachable=lambda: aws.house.watch.reachable,
        )

        def clock_ms() -> int:
            return aws.house.now[0]

        box = HsmSecretBox(aws.hsm, aws.house.keks, secrets.token_bytes)
        book = GrantBook(aws.house.database, box, aws.house.journal, clock_ms)
        quotas = Quotas(
            settings.requests_per_second_max,
            settings.requests_per_user_max,
            lambda: monotonic[0],
            1.0,
        )
        operations = PrivateOperations(
            settings,
            tokens=judge_of(settings, network, own_keys, clock_ms),
            apps=aws.keys,
            custody=aws.custody,
            grants=book,
            quotas=quotas,
            unwrap=network.unwrap,
            check_reachable=turns.check_reachable,
            clock_ms=clock_ms,
        )
        meter = Meter()
        door = KaclsDoor(
            settings,
            operations=operations,
            turns=turns,
            version="1.2.3",
            meter=meter,
            new_id=lambda: secrets.token_hex(4),
        )
        yield Service(aws, settings, door, operations, book, meter, monotonic, network.asked)
