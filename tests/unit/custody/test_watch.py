"""One key that does not answer is not the HSM's absence."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyok.custody.kek import Kek
from hyok.custody.key_states import KeyState
from hyok.custody.watch import HsmWatch
from hyok.errors import Unavailable
from hyok.hsm.port import KekSpec


@dataclass
class Keys:
    names: tuple[str, ...]

    async def all(self) -> list[Kek]:
        return [
            Kek(KekSpec(name, 1, b"x"), "t1", name, 1, KeyState.ACTIVE, 0) for name in self.names
        ]


@dataclass
class Hsm:
    ill: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def check(self, kek: KekSpec) -> None:
        self.asked.append(kek.kek_id)
        if kek.kek_id in self.ill:
            raise Unavailable("it does not answer")


async def test_another_key_is_asked_before_the_hsm_is_called_away() -> None:
    hsm = Hsm({"a"})
    watch = HsmWatch(hsm, Keys(("a", "b")))
    assert await watch.look()
    assert (watch.reachable, watch.cause) == (True, "")
    await watch.look()
    assert hsm.asked == ["a", "b", "b"], "the one that answered last is asked first"


async def test_when_no_key_answers_it_is_away_and_comes_back() -> None:
    hsm = Hsm({"a", "b"})
    watch = HsmWatch(hsm, Keys(("a", "b")))
    assert not await watch.look()
    assert "does not answer" in watch.cause
    hsm.ill.clear()
    assert await watch.look()
    assert watch.cause == ""


async def test_without_any_key_nothing_is_asked() -> None:
    hsm = Hsm()
    assert await HsmWatch(hsm, Keys(())).look()
    assert hsm.asked == []
