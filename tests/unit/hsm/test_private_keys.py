"""A module that cannot put a wrapped private key to use serves none: there is no other way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from hyok.errors import Malformed, Refused
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.dialect import Dialect
from hyok.hsm.private_keys import PrivateKeys
from hyok.hsm.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_UNEXTRACTABLE, MECHANISM_INVALID = 0x6A, 0x70


@dataclass
class Module:
    """A module that does everything but one thing."""

    lacks: str
    destroyed: list[int] = field(default_factory=list)

    def generate_key(self, *_: object) -> int:
        return 1

    def generate_pair(self, *_: object) -> tuple[int, int]:
        return 2, 3

    def wrap(self, *_: object) -> bytes:
        if self.lacks == "wrap":
            raise CryptokiError("C_WrapKey", KEY_UNEXTRACTABLE)
        return b"wrapped"

    def unwrap(self, *_: object) -> int:
        if self.lacks == "unwrap":
            raise CryptokiError("C_UnwrapKey", MECHANISM_INVALID)
        return 4

    def sign(self, *_: object) -> bytes:
        return bytes(256)  # of nobody

    def attribute(self, _: int, __: int, kind: int) -> bytes:
        if kind == ck.CKA_EXTRACTABLE:
            return b"\0"
        return b"\x01\0\x01" if kind == ck.CKA_PUBLIC_EXPONENT else b"\xff" * 256

    def destroy(self, _: int, handle: int) -> None:
        self.destroyed.append(handle)


class Sessions:
    slot = 0

    def run(self, work: Callable[[Session], Any], *_: object, **__: object) -> Any:
        return work(Session(1, 1))


def keys_of(module: Module) -> PrivateKeys:
    return PrivateKeys(cast("Any", module), Dialect("luna"), cast("Any", Sessions()), lambda *_: 1)


@pytest.mark.parametrize("lacks", ["wrap", "unwrap", "right signature"])
def test_a_module_that_fails_the_trial_serves_nothing(lacks: str) -> None:
    module = Module(lacks)
    keys = keys_of(module)
    name, wrapped = "hyok-door/t/k/1", bytes(8)
    for act in (
        keys.probe,
        lambda: keys.create(name),
        lambda: keys.check(name, wrapped),
        lambda: keys.sign(name, wrapped, bytes(32), "pkcs1", "SHA256", bytes(32), 0),
        lambda: keys.decrypt(name, wrapped, bytes(32), "pkcs1", "SHA1", b"", b"x"),
    ):
        with pytest.raises(Refused) as said:
            act()
        assert said.value.reason == "DoorsOff"
    made = {"wrap": [1, 2, 3], "unwrap": [1, 2, 3], "right signature": [1, 2, 3, 4]}[lacks]
    assert module.destroyed == made, "what the trial made is gone"


def test_names_of_others_are_not_asked_about() -> None:
    keys = keys_of(Module(""))
    for name in ("gemeente/intern/1", "hyok-audit/x/1", "hyok-door/" + "x" * 160):
        with pytest.raises(Malformed):
            keys.check(name, bytes(40))
