"""Who names an object after a BSN in a bucket of clear names is seen, and the name is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog
from tests.unit.custody.test_custodian import House, house
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.errors import Unavailable
from hyok.objects.copying import copy_object
from hyok.objects.facts import PutFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

__all__ = ["house"]

BSN = "111222333"  # passes the elfproef
NAME = f"brieven/{BSN}.pdf"
EVENT = "object.name_may_hold_bsn"


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, object]]]:
    with structlog.testing.capture_logs() as found:
        yield found


@pytest.fixture
async def vaults(house: House) -> Vaults:
    made = await vaults_over(house)
    await made.make_bucket("verzegeld", "vertrouwelijk")
    return made


def warnings(lines: list[MutableMapping[str, object]]) -> list[MutableMapping[str, object]]:
    assert BSN not in str(lines), "the name is never in the log"
    return [line for line in lines if line["event"] == EVENT]


async def test_a_put_an_upload_and_a_copy_under_such_a_name_are_warned_of(
    vaults: Vaults, lines: list[MutableMapping[str, object]]
) -> None:
    await vaults.put(vaults.ask(NAME), b"1")
    await vaults.upload(vaults.ask(f"2/{BSN}"), b"2")
    await vaults.put(vaults.ask("bron"), bytes(2 << 20))
    await copy_object(  # made by the store itself
        vaults.vault,
        source=vaults.ask("bron", "object:get"),
        target=vaults.ask(f"3/{BSN}"),
        size=2 << 20,
        check=lambda _facts: None,
        facts=lambda _facts: PutFacts(),
    )
    found = warnings(lines)
    assert [line["log_level"] for line in found] == ["warning"] * 3
    assert {line["bucket"] for line in found} == {"dossiers"}
    assert all(len(str(line["object_id"])) == 32 for line in found)
    assert len({line["object_id"] for line in found}) == 3


@pytest.mark.parametrize(
    ("key", "bucket_id"), [("brieven/111222334.pdf", ""), ("20260131.pdf", ""), (NAME, "verzegeld")]
)
async def test_other_names_and_sealed_ones_are_not(
    vaults: Vaults, lines: list[MutableMapping[str, object]], key: str, bucket_id: str
) -> None:
    await vaults.put(vaults.ask(key, bucket_id=bucket_id), b"1")
    assert not warnings(lines)


async def test_a_write_that_failed_is_not_warned_of(
    vaults: Vaults, lines: list[MutableMapping[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object, **__: object) -> None:
        raise Unavailable("the store is away")

    monkeypatch.setattr(vaults.store, "put_whole", failing)
    with pytest.raises(Unavailable):
        await vaults.put(vaults.ask(NAME), b"1")
    assert not warnings(lines)
