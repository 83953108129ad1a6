"""`hyok freeze`: what is named is frozen, a supplier included, and a wrong name is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from hyok import settings as settings_file
from hyok.cli import freezes
from hyok.cli.main import app
from hyok.custody.freezes import Freezes, Frozen
from hyok.database.engine import Database
from hyok.vocabulary import Ask, Bucket, ClassificationName, Principal
from hyok.wiring import clock_ms, open_core

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

POLICIES = Path(__file__).resolve().parents[3] / "policies"
CONTOSO = "Contoso Cloud"
WHY = ("--reason", "kort geding")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three stores, two of one supplier, behind the commands."""
    database = Database(f"sqlite:///{tmp_path / 'hyok.db'}")
    database.migrate()
    parents = {"west": CONTOSO, "noord": "contoso  cloud", "eigen": ""}
    nobody = SimpleNamespace(
        all=_nothing, list_apps=_nothing, catalog=SimpleNamespace(all=_nothing)
    )
    core = SimpleNamespace(
        settings=SimpleNamespace(
            stores=[SimpleNamespace(name=name, parent=parent) for name, parent in parents.items()]
        ),
        stores=parents,
        freezes=Freezes(database, clock_ms),
        access_keys=nobody,
        registry=nobody,
        keks=nobody,
        doors=nobody,
        recorded=[],
    )

    def run(_config: object, act: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(act(core))  # type: ignore[arg-type]

    async def record(_core: Any, action: str, _tenant: str, *facts: str, outcome: str = "") -> None:
        if not outcome:
            core.recorded.append((action, facts[0]))

    monkeypatch.setattr(freezes, "run", run)
    monkeypatch.setattr(freezes, "record", record)
    yield core
    database.close()


def reading(store: str) -> Ask:
    bucket = Bucket("dossiers", "t", store, "dossiers", ClassificationName("intern"), "clear")
    return Ask(Principal("zaak", "t"), "object:get", bucket, "k", "1", "local", 0)


async def _nothing() -> list[Any]:
    return []


def frozen(core: Any) -> set[tuple[Frozen, str]]:
    return {(one.kind, one.name) for one in asyncio.run(core.freezes.all())}


def test_a_supplier_is_frozen_by_its_name_and_thawed_without_its_stores(house: Any) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["freeze", "store", "west", *WHY]).exit_code == 0
    done = runner.invoke(app, ["freeze", "supplier", CONTOSO, *WHY])
    assert done.exit_code == 0, done.output
    assert "west, noord" in done.output
    assert frozen(house) == {(Frozen.STORE, "west"), (Frozen.SUPPLIER, CONTOSO)}
    assert house.recorded == [
        ("freeze:begin", "store west"),
        ("freeze:begin", f"supplier {CONTOSO}"),
    ]
    assert runner.invoke(app, ["thaw", "supplier", CONTOSO, *WHY]).exit_code == 0
    assert frozen(house) == {(Frozen.STORE, "west")}


@pytest.mark.parametrize("name", ["", "contoso cloud", "west"])
def test_a_supplier_that_no_store_names_is_told(house: Any, name: str) -> None:
    done = CliRunner().invoke(app, ["freeze", "supplier", name, *WHY])
    assert done.exit_code != 0
    assert getattr(done.exception, "code", "") == "HY-2316"
    assert frozen(house) == set()


async def test_a_process_knows_each_store_s_supplier_from_its_settings(tmp_path: Path) -> None:
    store = '[[stores]]\nkind = "files"\nname = "{0}"\npath = "{1}/{0}"\nparent = "{2}"\n'
    stores = store.format("west", tmp_path, CONTOSO) + store.format("local", tmp_path, "")
    settings = settings_file.parse(
        f"""
[installation]
mode = "development"
run_directory = "{tmp_path}"
[database]
url = "sqlite:///{tmp_path}/hyok.db"
[audit]
file = "{tmp_path}/audit.jsonl"
[policies]
directory = "{POLICIES}"
[hsm]
kind = "software"
software_file = "{tmp_path}/keys.json"
{stores}""",
        "test",
    )
    core = open_core(settings)
    try:
        await core.freezes.freeze(Frozen.SUPPLIER, CONTOSO, "anna", "kort geding")
        touched = {name: await core.freezes.touching(reading(name)) for name in ("west", "local")}
    finally:
        await core.close()
    assert {name: one is not None for name, one in touched.items()} == {
        "west": True,
        "local": False,
    }


def test_what_is_gone_can_be_thawed(house: Any) -> None:
    asyncio.run(house.freezes.freeze(Frozen.BUCKET, "weg", "anna", "incident"))
    assert CliRunner().invoke(app, ["thaw", "bucket", "weg", *WHY]).exit_code == 0
    assert asyncio.run(house.freezes.all()) == []
