"""`hyok doctor` on the Transit door: a way in that is missing or ends, keys that are none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hyok.cli.diagnosis import payloads, transit
from hyok.custody.door_key import CIPHER, DoorKey, DoorVersion
from hyok.custody.key_states import KeyState
from hyok.doors.payloads.config import PayloadSettings
from hyok.doors.transit.config import TransitSettings
from hyok.errors import Tampered
from hyok.hsm.port import DOOR, KekSpec
from hyok.identity.door_tokens import DoorToken

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW_MS = 1_767_323_045_000
DAY_MS = 86_400_000


def key(app: str = "ceph") -> DoorKey:
    spec = KekSpec("hyok-door/t/emmers/1", DOOR, b"x")
    version = DoorVersion(1, spec, KeyState.ACTIVE, 0)
    apps = frozenset({app})
    return DoorKey("t", "emmers", "intern", apps, CIPHER, KeyState.ACTIVE, (version,), NOW_MS)


def token(days: int, app: str = "ceph", state: str = "active") -> DoorToken:
    return DoorToken("A" * 20, app, state, NOW_MS, NOW_MS + days * DAY_MS)


@dataclass
class Core:
    tokens: Sequence[DoorToken] = ()
    keys: Sequence[DoorKey] = ()
    trusts: Sequence[Any] = ()
    failing: dict[str, str] = field(default_factory=dict)
    other_key: bool = False
    enabled: bool = True
    buckets: frozenset[str] = frozenset()  # of the app "ceph"

    def __getattr__(self, name: str) -> Any:
        async def answer(value: Any) -> Any:
            return value

        async def check(_: KekSpec) -> None:
            if self.other_key:
                raise Tampered("another key carries this name", code="HY-2106")

        doors = SimpleNamespace(
            transit=TransitSettings(enabled=self.enabled),
            payloads=PayloadSettings(enabled=self.enabled),
            xks=SimpleNamespace(enabled=False),
            dke=SimpleNamespace(enabled=False),
        )
        parts = {
            "settings": SimpleNamespace(doors=doors),
            "door_tokens": SimpleNamespace(list=lambda: answer(self.tokens)),
            "identities": SimpleNamespace(list_trusts=lambda: answer(self.trusts)),
            "doors": SimpleNamespace(
                catalog=SimpleNamespace(all=lambda: answer(self.keys)),
                probe=lambda _: answer(self.failing),
            ),
            "hsm": SimpleNamespace(check=check),
            "access_keys": SimpleNamespace(
                list_apps=lambda: answer(
                    [
                        SimpleNamespace(
                            app_id="ceph", principal=SimpleNamespace(buckets=self.buckets)
                        )
                    ]
                )
            ),
        }
        return parts[name]


async def words(core: Core) -> list[tuple[str, str]]:
    found = await transit.transit(cast("Any", core), NOW_MS)
    return [(check.word, check.said) for check in found]


async def test_each_thing_that_can_be_wrong_is_told_apart() -> None:
    assert await words(Core([token(90)], [key()])) == [("ok", "1 tokens, 0 trusts, 1 keys")]
    assert await words(Core(enabled=False)) == []
    trust = SimpleNamespace(app_id="ceph", state="active")
    assert (await words(Core(keys=[key()], trusts=[trust])))[0][0] == "ok"
    for none in ([], [token(90, state="revoked")], [token(-1)]):
        assert await words(Core(none, [key()])) == [("warn", "no live token, no trust")]
    ((word, said),) = await words(Core([token(6)], [key()]))
    assert (word, "ends within a week" in said) == ("warn", True)
    assert (await words(Core([token(6), token(90)], [key()])))[0][0] == "ok"
    ((word, said),) = await words(Core([token(90)], [key("ander")]))
    assert (word, said) == ("warn", "who may come in has no key")
    ((word, said),) = await words(Core([token(90)], [key()], other_key=True))
    assert (word, "emmers version 1" in said) == ("FAIL", True)
    ((word, said),) = await words(Core([token(90)], [key()], failing={"a": "no GCM", "b": ""}))
    assert (word, said) == ("FAIL", "a: no GCM")


async def test_the_payloads_door_is_looked_at_as_well() -> None:
    async def found(core: Core) -> list[tuple[str, str, str]]:
        made = await payloads.payloads(cast("Any", core), NOW_MS)
        return [(check.name, check.word, check.said) for check in made]

    name = "door payloads"
    assert await found(Core(enabled=False)) == []
    good = (name, "ok", "1 tokens, 0 trusts, 1 keys")
    assert await found(Core([token(90)], [key()])) == [good]
    assert await found(Core([], [key()])) == [(name, "warn", "no live token, no trust")]
    # The Transit door's check looked at this key; at a pair nobody else looks.
    pair = dataclasses.replace(key(), kind="rsa-3072")
    assert await found(Core([token(90)], [key()], other_key=True)) == [good]
    told = await found(Core([token(90)], [pair], other_key=True))
    assert [word for _, word, _ in told] == ["ok", "FAIL"]


async def test_an_app_for_files_needs_no_key_of_a_door() -> None:
    for buckets, wanted in ((frozenset({"scans"}), "ok"), (frozenset(), "warn")):
        core = Core([token(90)], buckets=buckets)
        found = await payloads.payloads(cast("Any", core), NOW_MS)
        assert [check.word for check in found] == [wanted]
        # The Transit door serves no files.
        assert [word for word, _ in await words(core)] == ["warn"]
