"""Signing in at npm's oidc-provider: the whole exchange, and each way in which it must fail."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.peers.oidc_provider import CLI_CLIENT, CLIENT, OidcProvider

from hyok.errors import NotAuthenticated, Refused, Unavailable
from hyok.officer.config import OidcSettings
from hyok.sign_in import build_sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.identity.oidc import Attempt, OidcSignIn

pytestmark = pytest.mark.integration
BACK = "http://127.0.0.1:9/callback"
SECONDS = 8


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    folder = tmp_path_factory.mktemp("provider")
    with OidcProvider(folder, "https://hyok.example/sign-in/callback", SECONDS) as made:
        yield made


def client(provider: OidcProvider, name: str = CLI_CLIENT, **more: object) -> OidcSignIn:
    settings = OidcSettings.model_validate(
        {
            "issuer": provider.issuer,
            "client_id": name,
            "ca_file": provider.ca_file,
            "scopes": ("openid", "offline_access"),
            "clock_skew_seconds": 0,
            **more,
        }
    )
    made = build_sign_in(settings, lambda: time.time_ns() // 1_000_000)
    assert made is not None
    return made


async def answer(
    provider: OidcProvider, sign_in: OidcSignIn, login: str = "anna"
) -> tuple[Attempt, dict[str, str]]:
    address, attempt = await sign_in.begin(BACK)
    back = await asyncio.to_thread(provider.sign_in, address, login, BACK)
    return attempt, dict(parse_qsl(urlsplit(back).query))


async def test_who_signs_in_is_who_the_provider_says_and_can_be_asked_again(
    provider: OidcProvider,
) -> None:
    sign_in = client(provider)
    found, tokens = await sign_in.finish(*await answer(provider, sign_in))
    assert (found.issuer, found.subject) == (provider.issuer, "anna")
    assert found.audiences == {CLI_CLIENT}
    # Shown at the door, whose own client is another one of ours.
    door = client(provider, CLIENT, cli_client_id=CLI_CLIENT)
    assert (await door.judge.shown(tokens.id_token)).subject == "anna"
    await asyncio.sleep(1.1)  # tokens made in one second are equal
    again, _ = await sign_in.refresh(tokens.refresh_token)
    assert again.subject == "anna"
    assert again.expires_s > found.expires_s


async def test_a_code_is_good_once_and_for_the_attempt_that_asked(provider: OidcProvider) -> None:
    sign_in = client(provider)
    attempt, said = await answer(provider, sign_in)
    for other in (
        replace(attempt, state="another"),
        replace(attempt, verifier="x" * 64),
    ):
        with pytest.raises(NotAuthenticated):
            await sign_in.finish(other, said)
    with pytest.raises(NotAuthenticated):
        await sign_in.finish(attempt, {**said, "iss": "https://login.elders.example"})
    attempt, said = await answer(provider, sign_in)
    await sign_in.finish(attempt, said)
    with pytest.raises(NotAuthenticated, match="does not take the code"):
        await sign_in.finish(attempt, said)


async def test_a_token_of_another_attempt_signs_nobody_in(provider: OidcProvider) -> None:
    sign_in = client(provider)
    attempt, said = await answer(provider, sign_in)
    with pytest.raises(NotAuthenticated, match="another sign-in"):
        await sign_in.finish(replace(attempt, nonce="another"), said)


async def test_a_token_for_another_audience_or_of_yesterday_is_refused(
    provider: OidcProvider,
) -> None:
    stranger = client(provider, "another-client")
    _, theirs = await stranger.finish(*await answer(provider, stranger))
    door = client(provider, CLIENT, cli_client_id=CLI_CLIENT)
    with pytest.raises(NotAuthenticated, match="audience"):
        await door.judge.shown(theirs.id_token)
    sign_in = client(provider)
    found, tokens = await sign_in.finish(*await answer(provider, sign_in))
    await door.judge.shown(tokens.id_token)
    await asyncio.sleep(max(0.0, found.expires_s - time.time()) + 0.2)
    with pytest.raises(NotAuthenticated, match="expired"):
        await door.judge.shown(tokens.id_token)


async def test_where_it_must_be_sure_of_a_person_its_word_alone_is_not_enough(
    provider: OidcProvider,
) -> None:
    sign_in = client(provider)
    attempt, said = await answer(provider, sign_in)
    sure = client(provider, acr=("urn:level:high",))
    with pytest.raises(Refused) as refused:
        await sure.finish(attempt, said)
    assert refused.value.code == "HY-2518"


async def test_a_provider_that_is_away_or_another_is_not_believed(provider: OidcProvider) -> None:
    away = client(replace_issuer(provider, "https://127.0.0.1:9"))
    with pytest.raises(Unavailable):
        await away.begin(BACK)


def replace_issuer(provider: OidcProvider, issuer: str) -> OidcProvider:
    made = OidcProvider(provider.folder, provider.redirect_uri)
    made.issuer = issuer
    return made
