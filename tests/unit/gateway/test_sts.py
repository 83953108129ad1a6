"""The STS door: one unsigned request, judged, recorded, bounded; everything else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr
from tests.fakes.memory_journal import MemoryJournal
from tests.unit.gateway.door import NOW_MS, Answer, FakeExchange, FakeHead, Metered

from hyok.errors import HyokError, Malformed, NotAuthenticated, Refused, Tampered, Unavailable
from hyok.gateway.handlers.sts import StsDoor, code_of
from hyok.identity.apps import App
from hyok.identity.guesses import CLIENTS_MAX, FailureLimit
from hyok.identity.sessions import IssuedSession
from hyok.identity.tokens import WebIdentity
from hyok.identity.trusts import Trust
from hyok.s3 import sts

if TYPE_CHECKING:
    from hyok.gateway.port import Exchange

GOOD = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": "arn:hyok:iam::ours:role/app-1",
    "RoleSessionName": "pod-1",
    "WebIdentityToken": "the-token",
}
FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")
IDENTITY = WebIdentity("https://issuer.example", "the-subject", frozenset({"aud"}), 0.0)
TRUST = Trust("trust-1", "app-1", IDENTITY.issuer, "the-subject", "aud", 3600)


class FakeIdentities:
    def __init__(self) -> None:
        self.identify_fails: Exception | None = None
        self.assume_fails: Exception | None = None
        self.asked = 0

    async def identify(self, token: str, now_ms: int) -> WebIdentity:
        assert (token, now_ms) == ("the-token", NOW_MS)
        self.asked += 1
        if self.identify_fails is not None:
            raise self.identify_fails
        return IDENTITY

    async def assume(
        self, identity: WebIdentity, role: Any, name: str, seconds: int | None, now_ms: int
    ) -> tuple[App, Trust, IssuedSession]:
        assert identity is IDENTITY
        if self.assume_fails is not None:
            raise self.assume_fails
        session = IssuedSession(
            "ASIA" + "A" * 16,
            SecretStr("secret"),
            SecretStr("session-token"),
            name,
            now_ms + (seconds or 3600) * 1000,
        )
        return App(role.app_id, "ours", 10, frozenset({"read"})), TRUST, session


class Clock:
    seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


class StsStage:
    def __init__(self, per_minute: int = 100) -> None:
        self.identities = FakeIdentities()
        self.journal = MemoryJournal()
        self.meter = Metered()
        self.clock = Clock()
        self.passed_on: list[Exchange] = []
        self.door = StsDoor(
            self.identities,
            self.journal,
            FailureLimit(per_minute, self.clock),
            self._otherwise,
            base_domains=("s3.example",),
            clock_ms=lambda: NOW_MS,
            entropy=bytes,
            meter=self.meter,
        )

    async def _otherwise(self, exchange: Exchange) -> None:
        self.passed_on.append(exchange)

    async def post(
        self,
        fields: dict[str, str] | None = None,
        *,
        target: bytes = b"/",
        method: str = "POST",
        headers: tuple[tuple[bytes, bytes], ...] = (FORM,),
        body: bytes | None = None,
        peer: str = "192.0.2.7",
        length: int | None = -1,
    ) -> Answer:
        raw = urlencode(GOOD if fields is None else fields).encode() if body is None else body
        head = FakeHead(method, target, [(b"host", b"hyok:8443"), *headers], peer)
        exchange = FakeExchange(head, raw, length=len(raw) if length == -1 else length)
        await self.door.handle(exchange)
        return exchange.answer


async def test_a_good_token_gets_a_session_that_is_on_the_record_first() -> None:
    stage = StsStage()
    answer = await stage.post()
    assert answer.status == 200
    assert b"<SessionToken>session-token</SessionToken>" in answer.body
    assert answer.headers["cache-control"] == "no-store"
    [(record, durable)] = stage.journal.entries
    assert durable
    assert (record.action, record.outcome, record.phase) == ("sts:assume-role", "done", "conclude")
    assert (record.actor, record.tenant, record.origin) == ("app-1", "ours", "192.0.2.7")
    assert record.session == "ASIA" + "A" * 16 + ":pod-1"
    assert record.reasons == (
        "role:app-1",
        "issuer:https://issuer.example",
        "subject:the-subject",
        "trust:trust-1",
    )
    assert stage.meter.seen == [("AssumeRoleWithWebIdentity", 200)]


async def test_parameters_may_stand_in_the_query_but_not_in_both() -> None:
    stage = StsStage()
    query = urlencode(GOOD).encode()
    answer = await stage.post({}, target=b"/?" + query, headers=(), body=b"", length=None)
    assert answer.status == 200
    answer = await stage.post(target=b"/?" + query)
    assert (answer.status, answer.code) == (400, "ValidationError")


@pytest.mark.parametrize(
    ("where", "error", "code", "status", "outcome"),
    [
        ("identify", NotAuthenticated("x", reason="InvalidIdentityToken"), None, 400, "denied"),
        ("identify", NotAuthenticated("x", reason="ExpiredTokenException"), None, 400, "denied"),
        ("identify", Unavailable("x", reason="IDPCommunicationError"), None, 400, "failed"),
        ("assume", Refused("x", reason="AccessDenied"), None, 403, "denied"),
        ("assume", Malformed("x", reason="ValidationError"), None, 400, "denied"),
        ("assume", Unavailable("x"), "ServiceUnavailable", 503, "failed"),
        ("assume", Tampered("x"), "InternalFailure", 500, "denied"),
    ],
)
async def test_every_refusal_is_told_in_the_words_of_sts_and_recorded(
    where: str, error: HyokError, code: str | None, status: int, outcome: str
) -> None:
    stage = StsStage()
    setattr(stage.identities, f"{where}_fails", error)
    answer = await stage.post()
    assert (answer.status, answer.code) == (status, code or error.reason)
    assert b"https://sts.amazonaws.com/doc/2011-06-15/" in answer.body
    [(record, durable)] = stage.journal.entries
    assert durable
    assert (record.outcome, record.actor, record.session) == (outcome, "anonymous", "")
    # What a token says is told to the log only once the token is proven.
    assert bool(record.reasons) is (where == "assume")


async def test_our_own_bug_tells_nothing() -> None:
    stage = StsStage()
    stage.identities.identify_fails = ZeroDivisionError("secret detail")
    answer = await stage.post()
    assert (answer.status, answer.code) == (500, "InternalFailure")
    assert b"secret" not in answer.body


async def test_without_the_log_nobody_gets_a_session() -> None:
    stage = StsStage()
    stage.journal.away = True
    answer = await stage.post()
    assert answer.status == 503
    assert b"session-token" not in answer.body


async def test_a_client_that_fails_too_often_waits_and_others_do_not() -> None:
    stage = StsStage(per_minute=5)
    stage.identities.identify_fails = NotAuthenticated("x", reason="InvalidIdentityToken")
    codes = [(await stage.post()).code for _ in range(8)]
    assert codes == ["InvalidIdentityToken"] * 5 + ["Throttling"] * 3
    assert stage.identities.asked == 5
    assert len(stage.journal.entries) == 5  # a flood does not fill the log
    assert (await stage.post(peer="192.0.2.8")).code == "InvalidIdentityToken"
    stage.identities.identify_fails = None
    assert (await stage.post()).code == "Throttling"
    stage.clock.seconds += 12
    assert (await stage.post()).status == 200


async def test_success_and_outages_do_not_count_as_failures() -> None:
    stage = StsStage(per_minute=2)
    for _ in range(10):
        assert (await stage.post()).status == 200
    stage.identities.identify_fails = Unavailable("x", reason="IDPCommunicationError")
    for _ in range(10):
        assert (await stage.post()).code == "IDPCommunicationError"


async def test_a_form_that_is_too_long_is_not_read() -> None:
    stage = StsStage()
    answer = await stage.post(body=b"a" * (sts.FORM_BYTES_MAX + 1))
    assert (answer.status, answer.code) == (400, "ValidationError")
    assert not answer.body_was_read
    answer = await stage.post(length=None)  # chunked: its length is not told
    assert (answer.status, answer.body_was_read) == (400, False)


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "GET"},
        {"method": "PUT"},
        {"target": b"/bucket"},
        {"target": b"//"},
        {"headers": ()},
        {"headers": ((b"content-type", b"application/xml"),)},
        {"headers": ((b"content-type", b"multipart/form-data; boundary=x"),)},
        {"headers": (FORM, (b"host", b"bucket.s3.example:8443"))},
    ],
)
async def test_what_is_not_for_sts_goes_on_untouched(request_: dict[str, Any]) -> None:
    stage = StsStage()
    answer = await stage.post(**request_)
    assert len(stage.passed_on) == 1
    assert (answer.status, answer.body_was_read) == (0, False)


def test_every_kind_of_failure_has_a_code_of_sts() -> None:
    for kind in (Malformed, NotAuthenticated, Refused, Tampered, Unavailable):
        assert code_of(kind("x")) in sts.CODES
        assert code_of(kind("x", reason="NoSuchKey")) in sts.CODES


def test_failures_are_counted_by_subscriber_and_bounded() -> None:
    limit = FailureLimit(1, Clock())
    limit.note("2001:db8:1:2::1")
    assert limit.is_over("2001:db8:1:2:ffff::9")
    assert not limit.is_over("2001:db8:1:3::1")
    limit.note("::ffff:192.0.2.1")
    assert not limit.is_over("192.0.2.2")
    for number in range(CLIENTS_MAX + 5):
        limit.note(f"client-{number}")
    assert len(limit._held) == CLIENTS_MAX
