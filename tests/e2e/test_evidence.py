"""Evidence of a real installation: it follows the state, and the inventory names its keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e import four_eyes, operated, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.fresh(tmp_path_factory.mktemp("evidence") / "home")
    yield made
    assert made.stop() == 0


def pack(config: Path) -> dict[str, dict[str, Any]]:
    shown = operated.cli(config, [["evidence", "norm", "bio2", "--json"]])[0]
    return {row["measure"]: row for row in json.loads(shown)}


def test_what_is_switched_off_and_on_shows_in_the_next_pack(home: running.Running) -> None:
    config = home.home / "hyok.toml"
    before = pack(config)
    assert before["8.24.01"]["exists"]["result"] == "shown"
    assert before["8.03.01"]["exists"]["result"] == "partly", "a folder that nobody approved"
    publish = ["policy", "publish", str(operated.ROOT / "policies")]
    four_eyes.together(config, publish)
    operated.cli(config, [["keys", "suspend", "gemeente/intern/1", "--reason", "proef"]])
    after = pack(config)
    assert after["8.03.01"]["exists"]["result"] == "shown"
    assert after["8.24.01"]["exists"]["result"] == "not shown", "no key for a class in use"
    assert after["8.02.01"]["works"]["result"] == "shown", "officers acted"
    operated.cli(config, [["keys", "resume", "gemeente/intern/1", "--reason", "proef"]])
    assert pack(config)["8.24.01"]["exists"]["result"] == "shown"


def test_the_inventory_has_every_key_of_the_hsm_with_its_state(home: running.Running) -> None:
    config = home.home / "hyok.toml"
    document = json.loads(operated.cli(config, [["evidence", "crypto"]])[0])
    keys = json.loads(operated.cli(config, [["keys", "list", "--json"]])[0])
    names = {one["name"] for one in document["components"]}
    assert {row["kek_id"] for row in keys} <= names
    assert any(name.startswith("hyok-audit/") for name in names)
    assert document["metadata"]["component"]["version"]
