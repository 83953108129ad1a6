"""A session is its token: every gateway of its installation opens it, and no other one does."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from tests.unit.identity.issuer import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    SUBJECT,
    Published,
    token,
)
from tests.unit.identity.test_access_keys import APP, Clock, CutOff, PaperBox

from hyok.database.tables import session_keys
from hyok.errors import Conflict, Malformed, NotAuthenticated, NotFound, Refused, Unavailable
from hyok.identity.access_keys import AccessKeys
from hyok.identity.apps import App
from hyok.identity.epoch_memory import MEMORY_SECONDS_MAX, POLL_SECONDS
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.identity.session_tokens import SessionClaims, open_token, seal_token, split_token
from hyok.identity.sessions import KEY_ISSUES_MS, KEY_KEPT_MS, IssuedSession, Sessions
from hyok.identity.trusts import TRUSTS_MAX, Trust
from hyok.identity.web_identity import WebIdentities
from hyok.s3.sts import RoleAsked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_MS = NOW_S * 1000
TRUST = Trust("", "zaaksysteem", ISSUER, SUBJECT, AUDIENCE, 7200)
ROLE = RoleAsked("gemeente", "zaaksysteem")


class Installation:
    """One database and one HSM, with as many gateways as one likes."""

    def __init__(self, path: Path) -> None:
        self.database = CutOff(f"sqlite:///{path}")
        self.database.migrate()
        self.box = PaperBox()
        self.clock = Clock()
        self.now_ms = NOW_MS
        self.published = Published()
        self.keys = AccessKeys(self.database, self.box, monotonic=self.clock)
        self.sessions = self.gateway()
        self.identities = self.judge(self.sessions)

    def gateway(self, issuers: tuple[str, ...] = (ISSUER,)) -> Sessions:
        return Sessions(
            self.database,
            self.box,
            issuers=issuers,
            monotonic=self.clock,
            now_ms=lambda: self.now_ms,
        )

    def judge(self, sessions: Sessions) -> WebIdentities:
        keys = IssuerKeys(
            ISSUER, ["RS256"], self.published.fetch, KeyTimes(300, 3600, 10), monotonic=self.clock
        )
        return WebIdentities(
            self.database,
            sessions,
            {ISSUER: keys},
            skew_seconds=60,
            now_ms=lambda: self.now_ms,
        )

    async def registered(self, *trusts: Trust) -> list[Trust]:
        await self.keys.add_tenant("gemeente")
        await self.keys.create_app(APP)
        return [await self.identities.add_trust(trust) for trust in trusts or (TRUST,)]

    async def assume(
        self, role: RoleAsked = ROLE, seconds: int | None = None, **claims: object
    ) -> IssuedSession:
        identity = await self.identities.identify(token(**claims), self.now_ms)
        _, _, session = await self.identities.assume(identity, role, "pod-1", seconds, self.now_ms)
        return session


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "hyok.db")
    yield made
    made.database.close()


async def refused(sessions: Sessions, issued: IssuedSession, now_ms: int = NOW_MS) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        await found(sessions, issued, now_ms)
    return caught.value.reason


async def found(sessions: Sessions, issued: IssuedSession, now_ms: int = NOW_MS) -> object:
    return await sessions.find(issued.access_key, issued.token.get_secret_value(), now_ms)


async def test_a_session_acts_as_its_app_and_carries_its_name(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    assert len(issued.access_key) == 20
    assert issued.access_key.startswith("ASIA")
    credential = await here.sessions.find(
        issued.access_key, issued.token.get_secret_value(), NOW_MS
    )
    assert credential.secret == issued.secret
    assert credential.principal == APP.principal
    assert credential.principal.session == f"{issued.access_key}:pod-1"
    assert credential.expires_ms == NOW_MS + 3_600_000
    for shown in (repr(issued), repr(credential)):
        assert issued.secret.get_secret_value() not in shown
        assert issued.token.get_secret_value() not in shown


async def test_a_session_is_no_row(here: Installation) -> None:
    await here.registered()
    for _ in range(5):
        await here.assume()
    assert len(here.database.read_sync(lambda c: c.execute(select(session_keys)).all())) == 1


async def test_every_gateway_of_the_installation_takes_it_and_no_other_does(
    here: Installation, tmp_path: Path
) -> None:
    await here.registered()
    issued = await here.assume()
    await found(here.gateway(), issued)
    other = Installation(tmp_path / "other.db")
    await other.registered()
    await other.assume()
    assert await refused(other.sessions, issued) == "InvalidToken"
    other.database.close()


async def test_it_ends_when_it_said_it_would(here: Installation) -> None:
    await here.registered()
    issued = await here.assume(seconds=900)
    await found(here.sessions, issued, NOW_MS + 899_999)
    assert await refused(here.sessions, issued, NOW_MS + 900_000) == "ExpiredToken"


async def test_the_second_request_asks_neither_hsm_nor_database(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    other = here.gateway()
    await found(other, issued)
    opened, reads = here.box.opened, here.database.reads
    for _ in range(5):
        await found(other, issued)
    assert (here.box.opened, here.database.reads) == (opened, reads)


@pytest.mark.parametrize("what", ["trust", "app", "all"])
async def test_revoking_bites_here_at_once_and_elsewhere_within_five_seconds(
    here: Installation, what: str
) -> None:
    [trust] = await here.registered()
    issued = await here.assume()
    other = here.gateway()
    for sessions in (here.sessions, other):
        await found(sessions, issued)
    if what == "trust":
        await here.identities.revoke_trust(trust.trust_id)
    elif what == "app":
        await here.keys.revoke_app("zaaksysteem")
        here.sessions.forget()
    else:
        await here.sessions.end_all()
    assert await refused(here.sessions, issued) == "InvalidToken"
    here.clock.seconds += POLL_SECONDS
    assert await refused(other, issued) == "InvalidToken"


async def test_less_clearance_reaches_a_running_session(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    other = here.gateway()
    await found(other, issued)
    await here.keys.change_app(App("zaaksysteem", "gemeente", 10, frozenset({"read"})))
    here.clock.seconds += POLL_SECONDS
    credential = await other.find(issued.access_key, issued.token.get_secret_value(), NOW_MS)
    assert (credential.principal.clearance, credential.principal.grants) == (10, {"read"})


async def test_an_issuer_taken_out_of_the_settings_ends_its_sessions(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    assert await refused(here.gateway(issuers=()), issued) == "InvalidToken"


async def test_without_the_database_memory_serves_thirty_seconds(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    await found(here.sessions, issued)
    here.database.down = True
    here.clock.seconds += MEMORY_SECONDS_MAX - 1
    await found(here.sessions, issued)
    here.clock.seconds += 2
    with pytest.raises(Unavailable):
        await found(here.sessions, issued)


async def test_an_hsm_that_is_away_is_an_outage_and_not_a_refusal(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    await found(here.sessions, issued)
    here.box.fail = Unavailable("no token answers")
    await found(here.sessions, issued)
    with pytest.raises(Unavailable):
        await found(here.gateway(), issued)


async def test_garbage_never_reaches_the_hsm(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    opened = here.box.opened
    good = issued.token.get_secret_value()
    for bad in ("", "x", "é", good + "=", good + "\n", "A" * 3000, good[:40], good[::-1]):
        with pytest.raises(NotAuthenticated) as caught:
            await here.sessions.find(issued.access_key, bad, NOW_MS)
        assert caught.value.reason == "InvalidToken"
    unknown = base64.urlsafe_b64encode(b"HYT1" + bytes(8 + 16 + 64)).decode().rstrip("=")
    for access_key in (issued.access_key, "HY" + "A" * 18, "", "ASIA"):
        with pytest.raises(NotAuthenticated):
            await here.sessions.find(access_key, unknown, NOW_MS)
    assert here.box.opened == opened


async def test_a_token_serves_its_own_access_key_only(here: Installation) -> None:
    await here.registered()
    one, two = await here.assume(), await here.assume()
    with pytest.raises(NotAuthenticated):
        await here.sessions.find(one.access_key, two.token.get_secret_value(), NOW_MS)


async def test_the_session_key_changes_weekly_and_old_sessions_live_on(here: Installation) -> None:
    await here.registered()

    def count() -> int:
        return len(here.database.read_sync(lambda c: c.execute(select(session_keys)).all()))

    here.now_ms += KEY_ISSUES_MS - 1  # no key yet: the first is made now
    first = await here.assume(exp=here.now_ms // 1000 + 600)
    here.now_ms += KEY_ISSUES_MS
    second = await here.assume(exp=here.now_ms // 1000 + 600)
    assert count() == 2
    await found(here.gateway(), first)
    await found(here.gateway(), second)
    here.now_ms += KEY_KEPT_MS + 1
    await here.assume(exp=here.now_ms // 1000 + 600)
    assert count() == 1
    assert await refused(here.gateway(), first) == "InvalidToken"


async def test_workers_that_begin_at_once_may_each_issue(here: Installation) -> None:
    await here.registered()
    issued = await here.assume()
    other = here.judge(here.gateway())
    identity = await other.identify(token(), NOW_MS)
    _, _, theirs = await other.assume(identity, ROLE, "pod-2", None, NOW_MS)
    await found(here.sessions, theirs)
    await found(here.gateway(), issued)
    assert len(here.database.read_sync(lambda c: c.execute(select(session_keys)).all())) == 1


# --- who gets one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        (SUBJECT, SUBJECT, True),
        (SUBJECT, SUBJECT + "2", False),
        (SUBJECT, SUBJECT[:-1], False),
        (SUBJECT, SUBJECT.upper(), False),
        ("system:serviceaccount:zaken:*", SUBJECT, True),
        ("system:serviceaccount:zaken:*", "system:serviceaccount:zaken-test:archief", False),
        ("repo:gemeente/app:*", "repo:gemeente/app:ref:refs/heads/main", True),
        ("repo:gemeente/app:*", "repo:gemeente/app-2:ref", False),
        ("a.c", "abc", False),
    ],
)
async def test_a_subject_fits_wholly_or_up_to_its_star(
    here: Installation, pattern: str, subject: str, *, fits: bool
) -> None:
    await here.registered(Trust("", "zaaksysteem", ISSUER, pattern, AUDIENCE, 3600))
    if fits:
        await here.assume(sub=subject)
    else:
        with pytest.raises(Refused) as caught:
            await here.assume(sub=subject)
        assert caught.value.reason == "AccessDenied"


async def test_each_part_of_a_trust_must_fit(here: Installation) -> None:
    await here.registered()
    with pytest.raises(NotAuthenticated) as wrong_audience:
        await here.assume(aud="other")
    assert wrong_audience.value.reason == "InvalidIdentityToken"
    for role in (
        RoleAsked("elders", "zaaksysteem"),
        RoleAsked("", "nobody"),
        RoleAsked("gemeente", "nobody"),
    ):
        with pytest.raises(Refused):
            await here.assume(role)
    await here.assume(RoleAsked("", "zaaksysteem"))
    with pytest.raises(NotAuthenticated):
        await here.assume(iss="https://other.example")


async def test_a_session_is_no_longer_than_its_trust_allows(here: Installation) -> None:
    short = Trust("", "zaaksysteem", ISSUER, "system:serviceaccount:a:b", AUDIENCE, 900)
    await here.registered(TRUST, short)
    assert (await here.assume(seconds=7200)).expires_ms == NOW_MS + 7_200_000
    with pytest.raises(Malformed):
        await here.assume(seconds=7201)
    issued = await here.assume(sub="system:serviceaccount:a:b")
    assert issued.expires_ms == NOW_MS + 900_000  # below the usual hour


async def test_the_longest_of_several_trusts_counts(here: Installation) -> None:
    wide = Trust("", "zaaksysteem", ISSUER, "system:serviceaccount:zaken:*", AUDIENCE, 43_200)
    await here.registered(TRUST, wide)
    assert (await here.assume(seconds=43_200)).expires_ms == NOW_MS + 43_200_000


async def test_an_algorithm_that_the_issuer_does_not_use_causes_no_fetch(
    here: Installation,
) -> None:
    await here.registered()
    with pytest.raises(NotAuthenticated):
        await here.identities.identify(token("ES256"), NOW_MS)
    with pytest.raises(NotAuthenticated):
        await here.identities.identify(token(iss="https://other.example"), NOW_MS)
    assert here.published.fetches == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": ""},
        {"subject": "*"},
        {"subject": "system:*:zaken"},
        {"subject": "system:serviceaccount:zaken:a**"},
        {"subject": "repo:?"},
        {"subject": "system:serviceaccount:*"},
        {"subject": "system:serviceaccount:zaken*"},
        {"subject": "system:*"},
        {"subject": "s*"},
        {"subject": "a\nb"},
        {"subject": "a" * 256},
        {"audience": ""},
        {"audience": "*"},
        {"issuer": ""},
        {"issuer": "https://not-in-the-settings.example"},
        {"duration_seconds_max": 899},
        {"duration_seconds_max": 43_201},
    ],
)
async def test_a_trust_that_says_too_much_or_nothing_is_refused(
    here: Installation, changes: dict[str, object]
) -> None:
    await here.registered()
    fields = {name: getattr(TRUST, name) for name in Trust.__dataclass_fields__} | changes
    with pytest.raises(Malformed):
        await here.identities.add_trust(Trust(**fields))
    assert len(await here.identities.list_trusts()) == 1


async def test_a_trust_is_of_an_active_app_once_and_within_a_bound(here: Installation) -> None:
    with pytest.raises(NotFound):
        await here.identities.add_trust(TRUST)
    [trust] = await here.registered()
    with pytest.raises(Conflict):
        await here.identities.add_trust(TRUST)
    await here.identities.revoke_trust(trust.trust_id)
    again = await here.identities.add_trust(TRUST)
    assert again.trust_id != trust.trust_id
    with pytest.raises(NotFound):
        await here.identities.revoke_trust("trust-unknown")
    for number in range(TRUSTS_MAX - 1):
        await here.identities.add_trust(
            Trust("", "zaaksysteem", ISSUER, f"s-{number}", AUDIENCE, 900)
        )
    with pytest.raises(Conflict):
        await here.identities.add_trust(Trust("", "zaaksysteem", ISSUER, "s", AUDIENCE, 900))
    states = [trust.state for trust in await here.identities.list_trusts("zaaksysteem")]
    assert states.count("revoked") == 1


# --- the token as bytes --------------------------------------------------------------------------

CLAIMS = SessionClaims("ASIA" + "A" * 16, "secret", "app", "trust-1", "naam", 5)


def test_a_token_opens_to_what_was_sealed() -> None:
    text = seal_token(CLAIMS, key_id=b"k" * 8, key=b"K" * 32, salt=b"s" * 16)
    assert split_token(text).key_id == b"k" * 8
    assert open_token(split_token(text), b"K" * 32) == CLAIMS
    assert "secret" not in base64.urlsafe_b64decode(text + "==").decode("latin-1")
    with pytest.raises(NotAuthenticated):
        open_token(split_token(text), b"k" * 32)


@given(at=st.integers(0, 400), bit=st.integers(0, 7))
def test_every_bit_of_a_token_counts(at: int, bit: int) -> None:
    raw = bytearray(
        base64.urlsafe_b64decode(
            seal_token(CLAIMS, key_id=b"k" * 8, key=b"K" * 32, salt=b"s" * 16) + "=="
        )
    )
    raw[at % len(raw)] ^= 1 << bit
    with pytest.raises(NotAuthenticated):
        open_token(split_token(base64.urlsafe_b64encode(raw).decode().rstrip("=")), b"K" * 32)


@given(st.text(max_size=100))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        open_token(split_token(text), b"K" * 32)
