"""The officers' door over a desk in memory: asked as a client asks, without a socket."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from tests.fakes.authenticator import SoftAuthenticator
from tests.unit.officer.desk import PEOPLE, Desk, furnished

from hyok.custody.authenticators import AuthenticatorBook
from hyok.custody.break_glass import GrantBook
from hyok.custody.keks import KekCatalog
from hyok.custody.quorum import Verdict
from hyok.database.engine import Database
from hyok.identity.access_keys import AccessKeys
from hyok.identity.guesses import FailureLimit
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.identity.oidc import Endpoints, OidcClient, OidcJudge, OidcSignIn
from hyok.identity.passkeys import Site, decode
from hyok.objects.registry import BucketRegistry
from hyok.officer.api.services import Services
from hyok.officer.break_glass import BreakGlassDesk
from hyok.officer.challenges import LIFE_MS, Challenges, Waiting
from hyok.officer.door import build_door
from hyok.officer.sessions import SessionBook, SessionTimes
from hyok.policy.classifications import Classifications

if TYPE_CHECKING:
    from collections.abc import Mapping

ISSUER = "https://login.gemeente.example"
CLIENT = "hyok-officers"
ORIGIN = "https://localhost:8444"
MINUTE_MS = 60_000
POLICIES = Path(__file__).resolve().parents[3] / "policies" / "classifications"


@dataclass
class Provider:
    """An identity provider without a network: signs tokens, and its keys are at hand."""

    issuer: str = ISSUER
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    now: list[int] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)  # code -> ID token
    forms: list[Mapping[str, str]] = field(default_factory=list)

    def token(self, person: str, **changes: object) -> str:
        at = self.now[0] // 1000
        claims = {
            "iss": self.issuer,
            "sub": f"sub-{person}",
            "aud": CLIENT,
            "iat": at,
            "exp": at + 600,
            "jti": secrets.token_hex(8),
            **changes,
        }
        return jwt.encode(claims, self.key, "ES256", {"kid": "k1"})

    async def keys(self) -> bytes:
        entry = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**entry, "kid": "k1", "use": "sig"}]}).encode()

    async def discover(self) -> Endpoints:
        return Endpoints(f"{self.issuer}/auth", f"{self.issuer}/token")

    async def post(
        self, address: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        del address, headers
        self.forms.append(form)
        token = self.answers.pop(form.get("code", ""), None)  # a code is good once
        if token is None:
            return 400, b'{"error":"invalid_grant"}'
        return 200, json.dumps({"id_token": token, "token_type": "Bearer"}).encode()


@dataclass
class Door:
    """The door, who stands behind it, and clients."""

    desk: Desk
    services: Services
    provider: Provider
    app: Any
    records: list[dict[str, object]]

    def client(self, person: str = "", **headers: str) -> httpx.AsyncClient:
        """Return a client that shows a token of ``person``, or nothing."""
        if person:
            headers["authorization"] = f"Bearer {self.provider.token(person)}"
        transport = httpx.ASGITransport(self.app, client=("192.0.2.7", 4711))
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)

    async def ask(
        self, person: str, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        async with self.client(person, **headers) as client:
            return await client.request(method, path, json=body)

    async def propose(self, person: str = "anna", **effect: object) -> str:
        wanted = {"act": "object:export", "effect": {"bucket": "b", **effect}, "reason": "waarom"}
        made = await self.ask(person, "POST", "/v1/proposals", wanted)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def statement(self, person: str, proposal: str, verdict: str, **more: str) -> Any:
        asked = {"verdict": verdict, "method": "webauthn", **more}
        made = await self.ask(person, "POST", f"/v1/proposals/{proposal}/statements", asked)
        assert made.status_code == 201, made.text
        return made.json()

    async def signed(
        self, person: str, proposal: str, verdict: str, by: SoftAuthenticator, **more: object
    ) -> dict[str, object]:
        """Return a signature by an authenticator, as a body holds it."""
        drafted = await self.statement(person, proposal, verdict)
        made = by.sign(decode(drafted["challenge"]), **more)
        told = {name: drafted[name] for name in ("atMs", "sequence")}
        return {"method": "webauthn", **told, **made}

    async def decide(
        self, person: str, proposal: str, verdict: str, by: SoftAuthenticator
    ) -> httpx.Response:
        signature = await self.signed(person, proposal, verdict, by)
        body = {"verdict": verdict, "signature": signature}
        return await self.ask(person, "POST", f"/v1/proposals/{proposal}/decisions", body)

    def denied(self) -> list[tuple[str, str, str]]:
        """Return what the audit log has of refusals: act, actor and error."""
        return [
            (r.action, r.actor, r.error)
            for r, durable in self.desk.journal.entries
            if durable and r.outcome == "denied"
        ]


def services_over(desk: Desk, provider: Provider, *, development: bool = False) -> Services:
    def clock_ms() -> int:
        return desk.now[0]

    classifications = Classifications.load(
        {path.stem: path.read_text() for path in POLICIES.glob("*.yaml")}
    )
    times = KeyTimes(refresh=300, age_max=3600, pause=1)
    judge = OidcJudge(
        OidcClient(provider.issuer, CLIENT),
        IssuerKeys(provider.issuer, ["ES256"], provider.keys, times),
        clock_ms,
    )
    database, box = desk.database, desk.box
    book = GrantBook(database, box, desk.journal, clock_ms)
    return Services(
        actions=desk.actions,
        break_glass=BreakGlassDesk(book, desk.register, desk.journal, desk.hooks, clock_ms),
        authenticators=AuthenticatorBook(database),
        challenges=Challenges(secrets.token_bytes, clock_ms),
        attempts=Waiting(LIFE_MS, clock_ms),
        sessions=SessionBook(
            *(database, box, SessionTimes(480 * MINUTE_MS, 15 * MINUTE_MS)),
            *(secrets.token_bytes, clock_ms),
        ),
        sign_in=OidcSignIn(judge, provider.discover, provider.post),
        box=box,
        registry=BucketRegistry(database, classifications, clock_ms),
        access_keys=AccessKeys(database, box),
        keks=KekCatalog(database, clock_ms),
        classifications=classifications,
        records=lambda _: [],
        journal=desk.journal,
        failures=FailureLimit(60, time.monotonic),
        site=Site("localhost", ORIGIN),
        development=development,
        clock_ms=clock_ms,
        entropy=secrets.token_bytes,
    )


async def opened(database: Database, *, development: bool = False) -> Door:
    """Return a door at which everybody of `PEOPLE` signs in at the provider."""
    desk = await furnished(database, development=development)
    for person in PEOPLE:
        await desk.register.add_identity(person, f"oidc:{ISSUER}#sub-{person}")
    provider = Provider(now=desk.now)
    services = services_over(desk, provider, development=development)
    found: list[dict[str, object]] = []
    services = replace(services, records=lambda _: found)
    app = build_door(services, body_bytes_max=131_072)
    return Door(desk, services, provider, app, found)


async def registered(door: Door, person: str, approver: str = "bram") -> SoftAuthenticator:
    """Register an authenticator for somebody, as the page does, approved by another's key."""
    made = SoftAuthenticator()
    asked = await door.ask(person, "POST", "/v1/authenticator-challenges")
    challenge = asked.json()["challenge"]
    body = {"challenge": challenge, "reason": "nieuw", **made.make(decode(challenge))}
    proposed = await door.ask(person, "POST", "/v1/authenticators", body)
    assert proposed.status_code == 201, proposed.text
    proposal = proposed.json()["id"]
    if approver == person:
        approver = "anna"
    # The author's own hand is what is being registered, so it takes two others.
    for other in {approver, "dewi" if person != "dewi" else "chris"}:
        await door.desk.actions.decide(door.desk.sign(other), proposal, Verdict.APPROVE)
    await door.desk.actions.execute(door.desk.sign(approver), proposal)
    return made
