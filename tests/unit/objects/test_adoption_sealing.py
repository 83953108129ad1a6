"""Sealing in place: killed anywhere, met by clients anywhere, it loses and overwrites nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.custody.test_custodian import house
from tests.unit.objects.adopted import BACKEND, adopting

from hyok.backends.port import StoredFacts
from hyok.errors import Conflict, NotFound, Unavailable
from hyok.jobs import runner
from hyok.objects import replacing
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.custody.test_custodian import House
    from tests.unit.objects.adopted import Adopting

__all__ = ["house"]

LONG = b"lang " * (WHOLE_BODY_BYTES_MAX // 4)
OBJECTS = {"brief": b"in klare taal", "map/leeg": b"", "map/lang": LONG}
NAMES = pytest.mark.parametrize("names", ["clear", "sealed"])
STEPS = (
    ("store", ("head", "read_whole", "read", "put_whole", "put", "delete")),
    ("inventories", ("after", "find_many", "mark_replaced", "forget")),
)


class Killed(BaseException):
    """What ends a process."""


class Moments:
    """Lets something happen just before or just after the n-th step towards store or database."""

    def __init__(self, town: Adopting, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.at = -1
        self.act: Callable[[], Awaitable[None]] | None = None
        self._inside = False
        for owner, names in STEPS:
            target = town.store if owner == "store" else town.vaults.inventories
            for name in names:
                monkeypatch.setattr(target, name, self._around(getattr(target, name)))

    def _around(self, real: Any) -> Any:
        async def call(*args: Any, **more: Any) -> Any:
            await self._moment()
            answer = await real(*args, **more)
            await self._moment()
            return answer

        return call

    async def _moment(self) -> None:
        if self._inside:
            return
        self.count += 1
        if self.count == self.at and self.act is not None:
            self._inside = True
            try:
                await self.act()
            finally:
                self._inside = False

    def arm(self, at: int, act: Callable[[], Awaitable[None]]) -> None:
        self.count, self.at, self.act = 0, at, act


async def put_back(town: Adopting, key: str) -> None:
    """Let one object be as it was when it was counted."""
    shelf = town.shelf
    for name in [name for name in shelf if not name.startswith(".hyok/")]:
        del shelf[name]
    await town.store.put_whole(BACKEND, key, OBJECTS[key], StoredFacts(tags={"a": "b"}))
    await town.registry.remove("archief")
    for name in [name for name in shelf if name.startswith(".hyok/")]:
        del shelf[name]
    await town.adopt("seal")


@NAMES
async def test_every_object_is_sealed_once_and_the_bucket_is_as_any_other(
    house: House, names: str
) -> None:
    town = await adopting(house, OBJECTS, names)
    await town.adopt("seal")
    found = await town.seal()
    assert (found.state, found.objects, found.skipped, found.failed) == ("done", 3, 0, 0)
    assert found.size_bytes == sum(map(len, OBJECTS.values())) == found.bytes_total
    assert found.fraction == 1.0
    assert town.in_clear() == set()
    assert town.vaults.buckets["archief"].adoption == ""
    for key, plain in OBJECTS.items():
        assert await town.get(key) == plain
        told = await town.vaults.vault.head(
            replace(town.ask(key, "object:head"), classification=None), checksums=True
        )
        assert told.sealed
        assert (told.headers["content-type"], told.tags) == ("text/x", {"a": "b"})
        assert told.user_metadata == {"van": "vroeger"}
        assert list(told.checksums) == ["CRC64NVME"]
    if names == "sealed":
        assert not set(OBJECTS) & set(town.shelf)


@NAMES
@pytest.mark.parametrize("key", ["brief", "map/lang"])
async def test_killed_between_any_two_steps_it_goes_on_and_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, names: str, key: str
) -> None:
    town = await adopting(house, {key: OBJECTS[key]}, names)
    await town.adopt("seal")
    moments = Moments(town, monkeypatch)
    kills = 0

    async def kill() -> None:
        raise Killed

    while True:
        moments.arm(kills + 1, kill)
        try:
            await town.seal()
        except Killed:
            kills += 1
        else:
            break
        moments.arm(-1, kill)
        assert await town.get(key) == OBJECTS[key]  # at every moment, to clients
        found = await town.seal()
        assert (found.state, found.failed) == ("done", 0)
        assert await town.get(key) == OBJECTS[key]
        assert town.in_clear() == set()
        await put_back(town, key)
    assert kills > 8  # every step was met


@NAMES
@pytest.mark.parametrize("how", ["put", "delete"])
async def test_what_a_client_does_between_any_two_steps_stays(
    house: House, monkeypatch: pytest.MonkeyPatch, names: str, how: str
) -> None:
    """Where the client is told that it worked; where the key is held by the job it is told so."""
    monkeypatch.setattr(replacing, "WAIT_SECONDS_MAX", 0.0)
    town = await adopting(house, {"brief": OBJECTS["brief"]}, names)
    await town.adopt("seal")
    moments = Moments(town, monkeypatch)
    told: list[str] = []

    async def client() -> None:
        try:
            if how == "put":
                await town.put("brief", b"van de klant")
            else:
                await town.delete("brief")
        except Conflict as error:
            told.append(error.reason)
        else:
            told.append("ok")

    at, worked = 0, 0
    while True:
        at += 1
        told.clear()
        moments.arm(at, client)
        await town.seal()
        moments.arm(-1, client)
        if not told:
            break
        if told == ["ok"]:
            worked += 1
            if how == "put":
                assert await town.get("brief") == b"van de klant", at
            else:
                with pytest.raises(NotFound):
                    await town.get("brief")
        else:
            assert told == ["OperationAborted"]
            assert names == "sealed"
            assert await town.get("brief") == OBJECTS["brief"], at
        assert town.in_clear() == set(), at
        await put_back(town, "brief")
    assert worked > 5


async def test_a_store_that_is_away_makes_the_job_rest_and_not_fail(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WAIT_SECONDS", 0.001)
    town = await adopting(house, OBJECTS)
    await town.adopt("seal")
    real = town.store.put_whole
    away = [True]

    async def put_whole(*args: Any, **more: Any) -> Any:
        if away[0]:
            raise Unavailable("the store is away", reason="ServiceUnavailable")
        return await real(*args, **more)

    monkeypatch.setattr(town.store, "put_whole", put_whole)
    found = await town.seal()
    assert (found.state, found.failed) == ("paused", 0)
    assert "the store is away" in found.cause
    assert await town.get("brief") == OBJECTS["brief"]
    away[0] = False
    found = await town.seal()
    assert (found.state, found.failed) == ("done", 0)
    assert town.in_clear() == set()


async def test_an_object_that_is_gone_is_told_and_holds_nothing_up(house: House) -> None:
    town = await adopting(house, OBJECTS)
    await town.adopt("seal")
    del town.shelf["brief"]
    found = await town.seal()
    assert (found.objects, found.causes) == (2, {"NotFound HY-3513": 1})
    assert [name for name, _, _ in await town.runner().failures(found.job_id)] == ["brief"]


async def test_a_label_of_before_raises_the_class_and_an_unknown_one_is_told(house: House) -> None:
    town = await adopting(house, {"brief": b"1", "dossier": b"2"})
    labels = {"brief": "confidentieel", "dossier": "weet-niet"}
    for key, label in labels.items():
        facts = StoredFacts(user_metadata={"classification": label})
        await town.store.put_whole(BACKEND, key, b"inhoud", facts)
    await town.adopt("seal")
    found = await town.seal()
    # `confidentieel` needs sealed names, which this bucket does not keep.
    assert found.objects == 0
    assert set(found.causes) <= {"Refused HY-3201", "Refused HY-3203"}
    assert sum(found.causes.values()) == 2
    assert town.in_clear() == {"brief", "dossier"}
