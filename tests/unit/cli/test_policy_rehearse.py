"""What `hyok policy rehearse` counts, and that it does not call nothing known nothing there."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.policy.test_rehearsal import NOW, WORLD, bucket, changed

from hyok.cli import policy_rehearse
from hyok.cli.policy_rehearse import Found, _count, _row, _tell
from hyok.cli.screen import out
from hyok.errors import NotFound
from hyok.objects.inventory import Adopted, Counted
from hyok.policy.bundle import load
from hyok.policy.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Sequence

AFTER = load(changed("vertrouwelijk", ("level: 30", "level: 15")))
OBJECTS = [
    Adopted(bytes([n]), f"jeugd/{n}" if n % 2 else f"brief {n}", "", 1, replaced=n == 9)
    for n in range(10)
]


class Inventories:
    """Inventories of one bucket, in pages."""

    async def counted(self, bucket_id: str) -> Counted:
        if bucket_id != "intern":
            raise NotFound("not adopted")
        return Counted(20, 20, len(OBJECTS), 1_000)

    async def after(
        self, _bucket: str, _start: bytes, _stop: bytes, cursor: bytes, limit: int
    ) -> Sequence[Adopted]:
        return [one for one in OBJECTS if one.row_id > cursor or not cursor][:limit]


async def counted(*buckets: Any) -> Found:
    async def all_buckets() -> Sequence[Any]:
        return buckets

    core: Any = SimpleNamespace(
        registry=SimpleNamespace(all=all_buckets), inventories=Inventories()
    )
    found, uncounted = await _count(core, NOW, AFTER, lambda _done, _all: None)
    return Found(rehearse(NOW, AFTER, WORLD), found, uncounted, [])


async def test_objects_are_counted_over_pages_by_their_prefix_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy_rehearse, "PAGE", 3)
    adopted = bucket("intern", prefix_rules={"jeugd/": "vertrouwelijk"})
    found = await counted(adopted, bucket("geheim"))
    assert found.objects == 4, "five under the prefix, one of them replaced by a sealed object"
    row = json.loads(json.dumps(_row(found)))
    assert row["objects"] == [
        {"bucket": "intern", "before": "vertrouwelijk", "after": "intern", "objects": 4}
    ]
    assert row["inventories"][0]["objects"] == 9
    assert row["inventories"][0]["days"] > 10_000
    assert row["buckets_without_inventory"] == ["geheim"]


async def test_without_an_inventory_the_number_of_objects_is_unknown_and_not_nought() -> None:
    found = await counted(bucket("geheim"))
    assert found.objects is None
    assert _row(found)["objects_that_change_class"] is None
    with out.capture() as shown:
        _tell(found)
    assert "an unknown number of objects" in shown.get()
    assert "there is no inventory" in shown.get()


async def test_the_age_of_the_inventory_is_said() -> None:
    with out.capture() as shown:
        _tell(await counted(bucket("intern")))
    assert "inventories of 1 buckets, 10 objects still in clear" in shown.get()
    assert "days old" in shown.get()
