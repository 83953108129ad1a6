"""`hyok doctor` on the door for Azure: no app, a pool without a key, a key that is another."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hyok.cli.diagnosis import ekm
from hyok.custody.door_key import CIPHER, DoorKey, DoorVersion, Usage
from hyok.custody.key_states import KeyState
from hyok.doors.ekm.config import EkmSettings
from hyok.errors import Tampered
from hyok.hsm.port import DOOR_WRAP, KekSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

POOL = {"prefix": "/nl", "app": "azure", "client_names": ["pool.example"]}
SETTINGS = EkmSettings.model_validate(
    {"enabled": True, "tls_certificate": "/a", "tls_key": "/b", "client_ca": "/c", "pools": [POOL]}
)


def key(app: str = "azure", *, wraps: bool = True, state: KeyState = KeyState.ACTIVE) -> DoorKey:
    spec = KekSpec("hyok-door/t/kek/1", DOOR_WRAP, b"x")
    version = DoorVersion(1, spec, KeyState.ACTIVE, 0)
    usage = frozenset({Usage.WRAP}) if wraps else CIPHER
    return DoorKey("t", "kek", "intern", frozenset({app}), usage, state, (version,), 1)


@dataclass
class Core:
    keys: Sequence[DoorKey] = ()
    grants: frozenset[str] = frozenset({"use-keys"})
    state: str = "active"
    failing: dict[str, str] = field(default_factory=dict)
    other_key: bool = False
    door: EkmSettings = SETTINGS

    def __getattr__(self, name: str) -> Any:
        async def answer(value: Any) -> Any:
            return value

        async def check(_: KekSpec) -> None:
            if self.other_key:
                raise Tampered("another key carries this name", code="HY-2106")

        app = SimpleNamespace(state=self.state, grants=self.grants)
        parts = {
            "settings": SimpleNamespace(doors=SimpleNamespace(ekm=self.door)),
            "access_keys": SimpleNamespace(find_app=lambda _: answer(app)),
            "doors": SimpleNamespace(
                catalog=SimpleNamespace(all=lambda: answer(self.keys)),
                probe_wraps=lambda _: answer(self.failing),
            ),
            "hsm": SimpleNamespace(check=check),
        }
        return parts[name]


async def words(core: Core) -> list[tuple[str, str]]:
    return [(check.word, check.said) for check in await ekm.ekm(cast("Any", core))]


async def test_each_thing_that_can_be_wrong_is_told_apart() -> None:
    assert await words(Core([key()])) == [("ok", "1 pools, 1 keys")]
    off = SETTINGS.model_copy(update={"enabled": False})
    assert await words(Core([key()], door=off)) == []
    assert ekm.certificate(cast("Any", Core([key()], door=off).settings), 1) == []
    for core in (
        Core([key()], state="revoked"),
        Core([key()], grants=frozenset({"read", "use-keys"})),
    ):
        ((word, said),) = await words(core)
        assert (word, "azure is no app" in said) == ("FAIL", True)
    for keys in ([], [key("ander")], [key(wraps=False)], [key(state=KeyState.SUSPENDED)]):
        ((word, said),) = await words(Core(keys))
        assert (word, "no key that wraps" in said) == ("warn", True)
    ((word, said),) = await words(Core([key()], other_key=True))
    assert (word, "kek version 1" in said) == ("FAIL", True)
    ((word, said),) = await words(Core([key()], failing={"a": "no RFC 5649", "b": ""}))
    assert (word, said) == ("FAIL", "a: no RFC 5649")
