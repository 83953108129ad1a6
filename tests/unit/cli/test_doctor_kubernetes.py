"""`hyok doctor` on the door for Kubernetes: app, key, folder and socket, each told apart."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hyok.cli.diagnosis import kubernetes
from hyok.custody.door_key import CIPHER, DoorKey, DoorVersion, Usage
from hyok.custody.key_states import KeyState
from hyok.doors.kubernetes.config import KubernetesSettings
from hyok.errors import Tampered
from hyok.hsm.port import DOOR, KekSpec

if TYPE_CHECKING:
    from pathlib import Path

SPEC = KekSpec("hyok-door/t/etcd/1", DOOR, b"x")
KEY = DoorKey(
    *("t", "etcd", "intern", frozenset({"cluster"}), CIPHER, KeyState.ACTIVE),
    (DoorVersion(1, SPEC, KeyState.ACTIVE, 0),),
    0,
)
APP = SimpleNamespace(
    state="active", grants=frozenset({"use-keys"}), principal=SimpleNamespace(tenant="t")
)


def settings(**more: Any) -> KubernetesSettings:
    told = {"enabled": True, "app": "cluster", "key": "etcd", "classification": "intern"}
    return KubernetesSettings.model_validate(told | more)


@dataclass
class Core:
    app: Any = field(default_factory=lambda: APP)
    key: DoorKey | None = KEY
    failing: dict[str, str] = field(default_factory=dict)
    other_key: bool = False
    enabled: bool = True

    def __getattr__(self, name: str) -> Any:
        async def answer(value: Any) -> Any:
            return value

        async def check(_: KekSpec) -> None:
            if self.other_key:
                raise Tampered("another key carries this name", code="HY-2106")

        parts = {
            "settings": SimpleNamespace(
                doors=SimpleNamespace(kubernetes=settings(enabled=self.enabled))
            ),
            "access_keys": SimpleNamespace(find_app=lambda _: answer(self.app)),
            "doors": SimpleNamespace(
                catalog=SimpleNamespace(find=lambda *_: answer(self.key)),
                probe=lambda _: answer(self.failing),
            ),
            "hsm": SimpleNamespace(check=check),
        }
        return parts[name]


async def words(core: Core) -> list[tuple[str, str]]:
    found = await kubernetes.kubernetes(cast("Any", core))
    return [(check.word, check.said) for check in found]


async def test_each_thing_that_can_be_wrong_is_told_apart() -> None:
    assert await words(Core()) == [("ok", "t/etcd, version 1")]
    assert await words(Core(enabled=False)) == []
    revoked = SimpleNamespace(**{**vars(APP), "state": "revoked"})
    more = SimpleNamespace(**{**vars(APP), "grants": frozenset({"use-keys", "read"})})
    for app in (None, revoked, more):
        assert await words(Core(app)) == [
            ("FAIL", "cluster is no app whose only grant is use-keys")
        ]
    for held, wanted in (
        (None, "no key etcd serves cluster"),
        (replace(KEY, apps=frozenset({"ander"})), "no key etcd serves cluster"),
        (replace(KEY, kind="rsa-3072"), "no key etcd serves cluster"),
        (replace(KEY, usage=frozenset({Usage.ENCRYPT})), "one direction"),
        (replace(KEY, classification="geheim"), "the key is for geheim"),
        (replace(KEY, state=KeyState.SUSPENDED), "the key is suspended"),
    ):
        ((word, said),) = await words(Core(key=held))
        assert (word, wanted in said) == ("FAIL", True), said
    ((word, said),) = await words(Core(other_key=True))
    assert (word, "etcd version 1" in said) == ("FAIL", True)
    ((word, said),) = await words(Core(failing={"a": "no GCM", "b": ""}))
    assert (word, said) == ("FAIL", "a: no GCM")


def of(path: Path, run_directory: Path | None = None, **more: Any) -> Any:
    return SimpleNamespace(
        doors=SimpleNamespace(kubernetes=settings(socket=path, **more)),
        installation=SimpleNamespace(run_directory=run_directory or path.parent / "none"),
    )


def test_folder_and_socket_are_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "kms"
    path = folder / "kms.sock"
    assert kubernetes.folder(of(path, enabled=False)) == []
    (check,) = kubernetes.folder(of(path))
    assert (check.word, "not there" in check.said) == ("FAIL", True)
    folder.mkdir(mode=0o750)
    (check,) = kubernetes.folder(of(path))
    assert (check.word, check.said) == ("ok", str(folder))
    assert kubernetes.listening(of(path)).word == "FAIL"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()
        path.chmod(0o660)
        assert kubernetes.listening(of(path)).word == "ok"
        path.chmod(0o666)
        found = kubernetes.listening(of(path))
        assert (found.word, "mode" in found.said) == ("FAIL", True)
    if os.geteuid() == 0:  # who asks is root, hyok's user is another
        (own := tmp_path / "run").mkdir()
        for one in (folder, own):
            os.chown(one, 1, -1)
        assert [one.word for one in kubernetes.folder(of(path, own))] == ["ok"]
        assert [one.word for one in kubernetes.folder(of(path))] == ["FAIL"]
        os.chown(folder, 0, -1)
    folder.chmod(0o770)
    (check,) = kubernetes.folder(of(path))
    assert (check.word, str(folder) in check.said) == ("FAIL", True)
