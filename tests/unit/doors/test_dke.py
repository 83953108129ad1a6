"""Double Key Encryption: Office encrypts by itself, and opens here; who may not, opens nothing."""

from __future__ import annotations

import datetime
import json
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.unit.doors.house import NOW_MS, FakeExchange, Head, Meter, key_store
from tests.unit.identity import issuer

from hyok.custody.freezes import Freezes, Frozen
from hyok.custody.key_states import KeyState
from hyok.doors.dke.config import DkeSettings
from hyok.doors.dke.door import DkeDoor
from hyok.doors.dke.tokens import ALGORITHMS, Directory, TokenJudge
from hyok.errors import Unavailable
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.unit.doors.house import KeyStore

URL = "https://dke.gemeente.example"
TENANT = "11111111-2222-4333-8444-555555555555"
OTHER = "99999999-2222-4333-8444-555555555555"
NOW_S = NOW_MS // 1000
V1, V2 = f"https://sts.windows.net/{TENANT}/", f"https://login.microsoftonline.com/{TENANT}/v2.0"


def settings_of(**more: Any) -> DkeSettings:
    wanted: dict[str, Any] = {
        "enabled": True,
        "public_url": URL,
        "app": "aws-kms",
        "tenants": [{"id": TENANT}],
        "keys": [
            {
                "name": "geheim-2026",
                "label": "Geheim (DKE)",
                "classification": "vertrouwelijk",
                "people": ["anna@gemeente.example", "@raad.example"],
                "roles": ["DKE.Lezer"],
            }
        ],
    }
    return DkeSettings.model_validate(wanted | more)


def claims(**changes: object) -> dict[str, Any]:
    """Return the claims of an access token of Entra ID; None leaves one out."""
    every = {
        "aud": URL,
        "iss": V1,
        "tid": TENANT,
        "exp": NOW_S + 3600,
        "iat": NOW_S - 60,
        "nbf": NOW_S - 60,
        "sub": "b5b5b5b5",
        "upn": "Anna@gemeente.example ",
        **changes,
    }
    return {name: value for name, value in every.items() if value is not None}


def token(number: int = 0, *, headers: Mapping[str, Any] | None = None, **changes: object) -> str:
    named = {"kid": f"RS256-{number}", **(headers or {})}
    wanted = {name: value for name, value in named.items() if value is not None}
    key = issuer.private_key("RS256", number)
    return jwt.encode(claims(**changes), key, algorithm="RS256", headers=wanted)


@dataclass
class Office:
    """The key store, and Office before it."""

    aws: KeyStore
    door: DkeDoor
    published: issuer.Published
    judge: TokenJudge
    monotonic: list[float] = field(default_factory=lambda: [1000.0])

    async def send(
        self, method: str, target: str, body: bytes = b"", bearer: str = ""
    ) -> FakeExchange:
        headers = [(b"host", b"anders.example")]
        if bearer:
            headers.append((b"authorization", f"Bearer {bearer}".encode()))
        exchange = FakeExchange(Head(method, target.encode(), headers), body, len(body))
        await self.door.handle(exchange)
        return exchange

    async def public(self) -> tuple[rsa.RSAPublicKey, str]:
        """Return the public key as an Office client reads it, and the address to decrypt at."""
        answer = await self.send("GET", "/geheim-2026")
        assert answer.status == 200, answer.answer
        key = answer.json["key"]
        modulus = int.from_bytes(b64decode(key["n"], validate=True), "big")
        return rsa.RSAPublicNumbers(key["e"], modulus).public_key(), key["kid"]

    async def decrypt(self, sealed: bytes, kid: str, bearer: str = "", **more: Any) -> FakeExchange:
        body = {"alg": "RSA-OAEP-256", "value": b64encode(sealed).decode()} | more
        target = kid.removeprefix(URL) + "/decrypt"
        return await self.send("POST", target, json.dumps(body).encode(), bearer or token())

    async def sealed(self, plain: bytes) -> tuple[bytes, str]:
        key, kid = await self.public()
        way = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        return key.encrypt(plain, way), kid


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with key_store(tmp_path) as aws:
        yield await open_office(aws)


async def open_office(aws: KeyStore, settings: DkeSettings | None = None) -> Office:
    settings = settings or settings_of()
    monotonic = [1000.0]
    published = issuer.Published()
    times = KeyTimes(refresh=3600, age_max=7200, pause=60)
    keys = IssuerKeys(V1, ALGORITHMS, published.fetch, times, monotonic=lambda: monotonic[0])
    judge = TokenJudge(
        {name: Directory(TENANT, keys) for name in (V1, V2)},
        audiences=settings.audiences,
        skew_seconds=60,
        clock_ms=lambda: aws.house.now[0],
    )
    if await aws.catalog.find("t", "geheim-2026") is None:
        await aws.make("geheim-2026", *(), kind="rsa-2048")
    aws.house.journal.entries.clear()
    door = DkeDoor(
        settings,
        tokens=judge,
        apps=aws.keys,
        custody=aws.custody,
        reachable=lambda: aws.house.watch.reachable,
        clock_ms=lambda: aws.house.now[0],
        monotonic=lambda: monotonic[0],
        meter=aws.meter,
        new_id=lambda: secrets.token_hex(4),
    )
    return Office(aws, door, published, judge, monotonic)


async def test_what_office_encrypts_by_itself_opens_here(office: Office) -> None:
    plain = secrets.token_bytes(44)
    sealed, kid = await office.sealed(plain)
    answer = await office.decrypt(sealed, kid)
    assert (answer.status, b64decode(answer.json["value"])) == (200, plain)
    assert answer.answered["cache-control"] == "no-store"
    intent, end = [r for r in office.aws.house.journal.records if r.action == "key:decrypt"]
    assert (intent.phase, end.outcome) == ("intend", "done")
    assert end.kek_id == "hyok-door/t/geheim-2026/1"
    words = " ".join(intent.reasons)
    assert "door-key-use" in words
    assert "anna" not in json.dumps([repr(r) for r in office.aws.house.journal.records]).lower()


async def test_the_public_key_is_told_as_office_wants_it(office: Office) -> None:
    answer = await office.send("GET", "/geheim-2026?api=1")
    key, cache = answer.json["key"], answer.json["cache"]
    assert (key["kty"], key["alg"], key["e"]) == ("RSA", "RS256", 65537)
    modulus = b64decode(key["n"], validate=True)
    assert len(modulus) == 256
    assert modulus[0]
    base, name, key_id = key["kid"].rsplit("/", 2)
    assert (base, name, len(key_id)) == (URL, "geheim-2026", 36)  # not of the Host that was sent
    ends = datetime.datetime.strptime(cache["exp"], "%Y-%m-%dT%H:%M:%S").replace(
        tzinfo=datetime.UTC
    )
    assert ends.timestamp() == NOW_S + 86_400
    assert answer.answered["cache-control"] == "max-age=86400"
    held = office.aws.key_value("geheim-2026")
    pair = serialization.load_der_private_key(held, None)
    assert isinstance(pair, rsa.RSAPrivateKey)
    assert pair.public_key().public_numbers().n == int.from_bytes(modulus, "big")


async def test_without_caching_office_asks_each_time(tmp_path: Path) -> None:
    async with key_store(tmp_path) as aws:
        office = await open_office(aws, settings_of(cache_hours=0))
        answer = await office.send("GET", "/geheim-2026")
        assert "cache" not in answer.json
        assert answer.answered["cache-control"] == "no-store"


async def test_after_a_rotation_old_documents_open_and_new_ones_use_the_new_key(
    office: Office,
) -> None:
    old, old_kid = await office.sealed(b"oud")
    await office.aws.make("geheim-2026", version=2)
    new, new_kid = await office.sealed(b"nieuw")
    assert old_kid != new_kid
    for sealed, kid, plain in ((old, old_kid.upper(), b"oud"), (new, new_kid, b"nieuw")):
        place = URL + kid[len(URL) :].replace("GEHEIM", "geheim")
        answer = await office.decrypt(sealed, place)
        assert b64decode(answer.json["value"]) == plain
    assert (await office.decrypt(old, new_kid)).status == 400


async def test_without_a_token_office_learns_where_to_get_one(office: Office) -> None:
    _, kid = await office.sealed(b"x")
    target = kid.removeprefix(URL) + "/Decrypt"
    answer = await office.send("POST", target, b"not even JSON")
    assert answer.status == 401
    assert not answer.read, "the body is not looked at"
    login = "https://login.windows.net/common/oauth2/authorize"
    assert answer.answered["www-authenticate"] == (
        f'Bearer resource="{URL}", authorization="{login}", realm="{URL}"'
    )
    assert answer.answered["resource"] == URL
    assert answer.answered["authorization"] == login


def hmac_token() -> str:
    """Return HS256 under the public key's own text, for whoever mixes the two up."""
    public = issuer.private_key("RS256").public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    import hashlib
    import hmac

    head = issuer.encoded({"alg": "HS256", "kid": "RS256-0", "typ": "JWT"})
    signed = f"{head}.{issuer.encoded(claims())}"
    mac = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{issuer.encoded(mac)}"


def unsigned(algorithm: str = "none") -> str:
    head = issuer.encoded({"alg": algorithm, "kid": "RS256-0"})
    return f"{head}.{issuer.encoded(claims())}."


def changed(**more: object) -> str:
    """Return a genuine token whose claims were changed afterwards."""
    head, _, signature = token().split(".")
    return f"{head}.{issuer.encoded(claims(**more))}.{signature}"


ATTACKER = issuer.public_jwk("RS256", 7)
BAD = {
    "expired": token(exp=NOW_S - 61),
    "without an end": token(exp=None),
    "future": token(nbf=NOW_S + 61),
    "made in the future": token(iat=NOW_S + 61),
    "another audience": token(aud="https://graph.microsoft.com"),
    "several audiences": token(aud=[URL, "https://graph.microsoft.com"]),
    "audience with a slash": token(aud=URL + "/"),
    "no audience": token(aud=None),
    "another issuer": token(iss=f"https://sts.windows.net/{OTHER}/"),
    "an issuer that begins so": token(iss=V1 + "x"),
    "no issuer": token(iss=None),
    "another tenant": token(tid=OTHER),
    "no tenant": token(tid=None),
    "another key": token(7, headers={"kid": "RS256-0"}),
    "an unknown key": token(7),
    "a key of the header's address": token(
        7, headers={"kid": "RS256-0", "jku": "https://attacker.example/keys"}
    ),
    "a certificate of the header's address": token(
        7, headers={"kid": "RS256-0", "x5u": "https://attacker.example/cert"}
    ),
    "a key in the header": token(7, headers={"kid": "RS256-0", "jwk": ATTACKER}),
    "a path as key id": token(7, headers={"kid": "../../dev/null"}),
    "critical extension": token(headers={"crit": ["x"], "x": 1}),
    "none": unsigned(),
    "None": unsigned("NoNe"),
    "HS256 with the public key": hmac_token(),
    "changed": changed(upn="burgemeester@gemeente.example"),
    "no key id": token(headers={"kid": None}),
    "RS512": jwt.encode(
        claims(), issuer.private_key("RS256"), algorithm="RS512", headers={"kid": "RS256-0"}
    ),
    "two parts": "a.b",
    "nothing": "...",
    "long": "a" * 17_000,
}


async def test_tokens_that_are_not_good_open_nothing(office: Office) -> None:
    sealed, kid = await office.sealed(b"geheim")
    for what, bad in BAD.items():
        answer = await office.decrypt(sealed, kid, bad)
        assert answer.status == 401, what
        assert "www-authenticate" in answer.answered
        assert not answer.read, what
    assert not [r for r in office.aws.house.journal.records if r.action == "key:decrypt"]


GOOD: tuple[dict[str, Any], ...] = (
    {"iss": V2},
    {"exp": NOW_S - 59, "nbf": NOW_S - 3600},
    {"nbf": NOW_S + 59, "iat": NOW_S + 59},
    {"aud": [URL]},
    {"upn": None, "email": "ANNA@GEMEENTE.EXAMPLE"},
    {"upn": "wie.ook@raad.example"},
    {"upn": None, "roles": ["Iets", "DKE.Lezer"]},
    {"upn": "elders@example.org", "groups": ["DKE.Lezer"]},
)


async def test_tokens_and_people_that_are_good(office: Office) -> None:
    sealed, kid = await office.sealed(b"geheim")
    for change in GOOD:
        assert (await office.decrypt(sealed, kid, token(**change))).status == 200, change


STRANGERS: tuple[dict[str, Any], ...] = (
    {"upn": "bram@gemeente.example"},
    {"upn": "anna@gemeente.example.org"},
    {"upn": "anna@sub.raad.example"},
    {"upn": "@raad.example"},
    {"upn": "raad.example"},
    {"upn": ["anna@gemeente.example"]},
    {"upn": "anna@gemeente.example\u0000"},
    {"upn": None},
    {"upn": None, "preferred_username": "anna@gemeente.example"},  # must be switched on
    {"email": "elders@example.org"},  # the first claim counts
    {"upn": None, "roles": "DKE.Lezer"},
    {"upn": None, "roles": ["dke.lezer"]},
    {"upn": None, "roles": [["DKE.Lezer"]]},
)


async def test_people_who_are_not_listed_open_nothing(office: Office) -> None:
    sealed, kid = await office.sealed(b"geheim")
    for change in STRANGERS:
        assert (await office.decrypt(sealed, kid, token(**change))).status == 403, change
    records = [r for r in office.aws.house.journal.records if r.action == "key:decrypt"]
    assert len(records) == len(STRANGERS)
    assert {(r.outcome, r.error) for r in records} == {("denied", "Refused:HY-2642")}


async def test_another_claim_names_people_where_that_is_wanted(tmp_path: Path) -> None:
    async with key_store(tmp_path) as aws:
        wanted = settings_of(mail_claims=["preferred_username"])
        office = await open_office(aws, wanted)
        sealed, kid = await office.sealed(b"x")
        good = token(upn=None, preferred_username="anna@gemeente.example")
        assert (await office.decrypt(sealed, kid, good)).status == 200
        assert (await office.decrypt(sealed, kid)).status == 403


async def test_version_2_tokens_may_name_the_client_id(tmp_path: Path) -> None:
    client = "77777777-2222-4333-8444-555555555555"
    async with key_store(tmp_path) as aws:
        office = await open_office(aws, settings_of(client_id=client))
        sealed, kid = await office.sealed(b"x")
        assert (await office.decrypt(sealed, kid, token(iss=V2, aud=client))).status == 200
        assert (await office.decrypt(sealed, kid, token(iss=V2, aud=OTHER))).status == 401


async def test_an_unknown_key_id_causes_one_fetch_a_minute(office: Office) -> None:
    sealed, kid = await office.sealed(b"x")
    assert (await office.decrypt(sealed, kid)).status == 200
    assert office.published.fetches == 1
    for _ in range(5):
        assert (await office.decrypt(sealed, kid, token(7))).status == 401
    assert office.published.fetches == 1  # the last one was less than a minute ago
    office.monotonic[0] += 61
    office.published.raw = issuer.key_set(*(issuer.public_jwk("RS256", n) for n in (0, 7)))
    for _ in range(3):
        assert (await office.decrypt(sealed, kid, token(7))).status == 200
    assert office.published.fetches == 2


async def test_keys_are_kept_for_a_while_when_the_directory_is_away(office: Office) -> None:
    sealed, kid = await office.sealed(b"x")
    assert (await office.decrypt(sealed, kid)).status == 200
    office.published.fail = Unavailable("away")
    office.monotonic[0] += 7199
    assert (await office.decrypt(sealed, kid)).status == 200
    office.monotonic[0] += 2
    answer = await office.decrypt(sealed, kid)
    assert (answer.status, answer.answered["retry-after"]) == (503, "1")


ODD: tuple[dict[str, Any], ...] = (
    {"alg": "RSA-OAEP"},
    {"alg": "none"},
    {"alg": None},
    {"value": "niet base64"},
    {"value": ""},
    {"value": 7},
    {"value": b64encode(bytes(513)).decode()},
)


async def test_what_is_not_asked_rightly(office: Office) -> None:
    _, kid = await office.sealed(b"x")
    for more in ODD:
        assert (await office.decrypt(b"x", kid, **more)).status == 400, more


async def test_what_is_no_request(office: Office) -> None:
    _, kid = await office.sealed(b"x")
    target = kid.removeprefix(URL) + "/decrypt"
    for body in (b"", b"[]", b"{", b'{"alg":1,"alg":2}', b"[" * 5000, b"x" * 9000):
        assert (await office.send("POST", target, body, token())).status == 400, body[:9]


async def test_whatever_does_not_open_is_one_answer(office: Office) -> None:
    sealed, kid = await office.sealed(b"geheim")
    key, _ = await office.public()
    sha1 = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    label = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"x")
    answers = set()
    for bad in (
        bytes([sealed[0] ^ 1]) + sealed[1:],
        sealed[:-1],
        sealed + b"\0",
        key.encrypt(b"geheim", sha1),
        key.encrypt(b"geheim", label),
        key.encrypt(b"geheim", padding.PKCS1v15()),
    ):
        answer = await office.decrypt(bad, kid)
        answers.add((answer.status, answer.answer))
    unknown = await office.decrypt(sealed, kid.rpartition("/")[0] + "/" + TENANT)
    answers.add((unknown.status, unknown.answer))
    assert len(answers) == 1
    assert answers.pop()[0] == 400


async def test_paths_that_are_not_there(office: Office) -> None:
    named = ("/", "/onbekend", "/geheim-2026/", "/geheim-2026/x/decrypt", "/kms", "/a/b/c/d")
    for target in (*named, "/x" * 300):
        assert (await office.send("GET", target)).status == 404, target


async def test_methods_are_told(office: Office) -> None:
    _, kid = await office.sealed(b"x")
    for method, target, allowed in (
        ("POST", "/geheim-2026", "GET"),
        ("GET", kid.removeprefix(URL) + "/decrypt", "POST"),
    ):
        answer = await office.send(method, target)
        assert (answer.status, answer.answered["allow"]) == (405, allowed)
    assert (await office.send("GET", "/ping")).answer == b"ok\n"


async def test_a_key_that_is_stopped_neither_encrypts_nor_opens(office: Office) -> None:
    sealed, kid = await office.sealed(b"x")
    catalog = office.aws.catalog
    await catalog.change_state("t", "geheim-2026", KeyState.SUSPENDED)
    assert (await office.send("GET", "/geheim-2026")).status == 403
    assert (await office.decrypt(sealed, kid)).status == 403
    await catalog.change_state("t", "geheim-2026", KeyState.DEACTIVATED)
    assert (await office.send("GET", "/geheim-2026")).status == 403
    assert (await office.decrypt(sealed, kid)).status == 200


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Frozen.DOOR, "dke"), (Frozen.KEY, "t/geheim-2026"), (Frozen.APP, "aws-kms")],
)
async def test_a_freeze_stops_it(office: Office, kind: Frozen, name: str) -> None:
    sealed, kid = await office.sealed(b"x")
    freezes = Freezes(office.aws.house.database, lambda: office.aws.house.now[0])
    await freezes.freeze(kind, name, "anna", "incident")
    office.aws.house.now[0] += 3000
    good = token(exp=NOW_S + 3600)
    assert (await office.decrypt(sealed, kid, good)).status == 403
    assert (await office.send("GET", "/geheim-2026")).status == 403


async def test_the_labels_classification_must_be_the_keys(tmp_path: Path) -> None:
    async with key_store(tmp_path) as aws:
        office = await open_office(aws)
        sealed, kid = await office.sealed(b"x")
        key = settings_of().keys[0].model_dump() | {"classification": "intern"}
        other = await open_office(aws, settings_of(keys=[key]))
        assert (await other.send("GET", "/geheim-2026")).status == 403
        assert (await other.decrypt(sealed, kid)).status == 403
        errors = [r.error for r in aws.house.journal.records if r.action == "key:decrypt"]
        assert errors == ["Refused:HY-2645"]


async def test_keys_of_other_kinds_and_apps_are_not_there(tmp_path: Path) -> None:
    async with key_store(tmp_path) as aws:
        await aws.make("van-ander", app="ander", kind="rsa-2048")
        one = settings_of().keys[0]
        keys = [one.model_copy(update={"name": name}) for name in ("kms", "van-ander")]
        office = await open_office(aws, settings_of(keys=[key.model_dump() for key in keys]))
        for name in ("kms", "van-ander"):  # an AES key; a pair of another app
            assert (await office.send("GET", f"/{name}")).status == 404
        await aws.make("paar", kind="rsa-2048")
        answer = await aws.encrypt(key="paar")
        assert answer.json["errorName"] == "KeyNotFoundException"


async def test_an_app_that_is_for_more_or_revoked_serves_nobody(office: Office) -> None:
    sealed, kid = await office.sealed(b"x")
    await office.aws.keys.revoke_app("aws-kms")
    assert (await office.send("GET", "/geheim-2026")).status == 403
    assert (await office.decrypt(sealed, kid)).status == 403


async def test_a_public_key_that_somebody_wrote_into_the_database_is_not_given_out(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await office.aws.catalog.named("t", "geheim-2026")
    theirs = issuer.private_key("RS256").public_key()
    der = theirs.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    spec = replace(key.newest.spec, public_key=der)
    forged = replace(key, versions=(replace(key.newest, spec=spec),))

    async def find(*_: str) -> object:
        return forged

    monkeypatch.setattr(office.aws.catalog, "find", find)
    answer = await office.send("GET", "/geheim-2026")
    assert answer.status == 500
    assert "n" not in answer.json


async def test_too_many_and_a_hanging_hsm_are_told_in_time(tmp_path: Path) -> None:
    async with key_store(tmp_path) as aws:
        office = await open_office(aws, settings_of(requests_per_second_max=2, deadline_ms=150))
        assert (await office.send("GET", "/geheim-2026")).status == 200

        async def hang(*_: object) -> bytes:
            import asyncio

            await asyncio.sleep(30)
            raise AssertionError

        aws.hsm.pair_public = hang  # type: ignore[method-assign]
        answer = await office.send("GET", "/geheim-2026")
        assert (answer.status, answer.answered["retry-after"]) == (503, "1")
        assert (await office.send("GET", "/geheim-2026")).status == 503  # the rate is used up
        assert isinstance(aws.meter, Meter)
        errors = [error for door, _, error in aws.meter.seen if door == "dke"]
        assert errors == ["", "Timeout", "TooMany"]
