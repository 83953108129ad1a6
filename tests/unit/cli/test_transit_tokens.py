"""`hyok doors transit-token`: a token is shown once, and nowhere afterwards."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.doors.vault import Vault, vault
from typer.testing import CliRunner

from hyok.cli import transit_tokens
from hyok.cli.main import app
from hyok.errors import HyokError, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Core:
    """As much of it as these commands use."""

    made: Vault

    @property
    def door_tokens(self) -> Any:
        return self.made.tokens

    @property
    def access_keys(self) -> Any:
        return self.made.store.keys


@pytest.fixture
def hyok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    recorded: list[tuple[str, ...]] = []

    async def record(_core: Any, action: str, tenant: str, *facts: str) -> None:
        recorded.append((action, tenant, *facts))

    def run(_config: Any, act: Any) -> Any:
        async def whole() -> Any:
            async with vault(tmp_path) as made:
                for token in await made.tokens.list():
                    if token.state == "active" and not recorded:
                        await made.tokens.revoke(token.token_id)
                return await act(Core(made))

        return asyncio.run(whole())

    monkeypatch.setattr(transit_tokens, "run", run)
    monkeypatch.setattr(transit_tokens, "record", record)
    monkeypatch.setattr(transit_tokens, "clock_ms", lambda: 1_767_323_045_000)

    def command(*words: str) -> Any:
        done = CliRunner().invoke(app, ["doors", "transit-token", *words])
        return done, recorded

    return command


def test_a_token_is_made_shown_and_recorded_without_its_secret(hyok: Callable[..., Any]) -> None:
    done, recorded = hyok("create", "aws-kms", "--expires", "90d", "--json")
    assert done.exit_code == 0, done.exception
    (row,) = json.loads(done.output)
    assert row["token"].startswith(f"hyv.{row['id']}.")
    assert (row["app"], row["state"], row["ends"][:10]) == ("aws-kms", "active", "2026-04-02")
    ((action, tenant, *facts),) = recorded
    assert (action, tenant) == ("door-token:create", "t")
    assert facts == ["app:aws-kms", f"token:{row['id']}"]


@pytest.mark.parametrize("expires", ["1s", "2020-01-01", "morgen"])
def test_a_token_has_an_end_that_is_to_come(hyok: Callable[..., Any], expires: str) -> None:
    done, recorded = hyok("create", "aws-kms", "--expires", expires)
    assert isinstance(done.exception, Malformed)
    assert not recorded


def test_what_is_shown_for_people_can_be_pasted(hyok: Callable[..., Any]) -> None:
    done, _ = hyok("create", "aws-kms", "--expires", "12h")
    assert "export VAULT_TOKEN=hyv." in done.output


def test_no_app_no_token(hyok: Callable[..., Any]) -> None:
    done, recorded = hyok("create", "niemand", "--expires", "12h")
    assert cast("HyokError", done.exception).code == "HY-2611"
    assert not recorded
