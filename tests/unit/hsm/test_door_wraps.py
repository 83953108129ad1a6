"""Single blocks are asked of the development token alone; others must do the RFCs' themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)
from tests.unit.hsm.test_keywrap import decrypt, encrypt

from hyok.errors import Malformed, Refused, Tampered
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.dialect import Dialect
from hyok.hsm.door_wraps import BLOCKS, NATIVE, DoorWraps
from hyok.hsm.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.hsm.structures import Mechanism

ECB, KW, KWP = 0x1081, 0x2109, 0x210B
OWN = bytes(range(32, 64))
MECHANISM_INVALID, TEMPLATE_INCONSISTENT, WRAPPED_KEY_INVALID = 0x70, 0xD1, 0x110


@dataclass
class Module:
    """A module whose key wrap is the RFCs' or another; with a key that it made and one let in.

    ``kwp``: "rfc", "pads" as SoftHSM does, "echo" which gives back what it was given, or "none".
    """

    kwp: str = "rfc"
    lets_in: bool = True
    asked: list[int] = field(default_factory=list)
    made: list[Mapping[int, Any]] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)

    def create(self, _session: int, attributes: Mapping[int, Any]) -> int:
        if not self.lets_in:
            raise CryptokiError("C_CreateObject", TEMPLATE_INCONSISTENT)
        self.made.append(attributes)
        self.keys[7] = attributes[ck.CKA_VALUE]
        return 7

    def generate_key(self, _session: int, _number: int, attributes: Mapping[int, Any]) -> int:
        self.made.append(attributes)
        self.keys[8] = OWN
        return 8

    def open_session(self, *_: object, **__: object) -> int:
        return 1

    def close_session(self, *_: object) -> None:
        pass

    def find(self, *_: object) -> list[int]:
        return []

    def attribute(self, _session: int, _key: int, kind: int) -> bytes:
        return b"\x01" if kind == ck.CKA_SENSITIVE else b"\0"

    def destroy(self, *_: object) -> None:
        pass

    def encrypt(self, _s: int, mechanism: Mechanism, key: int, data: bytes, _room: int) -> bytes:
        self.asked.append(mechanism.number)
        raw = self.keys[key]
        if mechanism.number == ECB:
            return encrypt(data, raw)
        if mechanism.number not in {KW, KWP} or self.kwp == "none":
            raise CryptokiError("C_EncryptInit", MECHANISM_INVALID)
        if mechanism.number == KW:
            return aes_key_wrap(raw, data)
        if self.kwp == "echo":
            return data
        if self.kwp == "pads":
            data += bytes(-len(data) % 8)
        return aes_key_wrap_with_padding(raw, data)

    def decrypt(self, _s: int, mechanism: Mechanism, key: int, data: bytes, _room: int) -> bytes:
        self.asked.append(mechanism.number)
        raw = self.keys[key]
        if mechanism.number == ECB:
            return decrypt(data, raw)
        if self.kwp == "echo":
            return data
        padded = mechanism.number == KWP
        try:
            return (aes_key_unwrap_with_padding if padded else aes_key_unwrap)(raw, data)
        except InvalidUnwrap as error:
            raise CryptokiError("C_Decrypt", WRAPPED_KEY_INVALID) from error


class Sessions:
    """As many sessions as are wanted, none of which is ever lost."""

    slot = 0

    def run(self, work: Callable[[Session], Any], *_: object, **__: object) -> Any:
        return work(Session(1, 1))


def wraps_of(module: Module, family: str) -> DoorWraps:
    module.keys[2] = OWN
    return DoorWraps(cast("Any", module), Dialect(family), cast("Any", Sessions()), lambda *_: 2)


NAME = "hyok-door/t/k/1"


@pytest.mark.parametrize("family", ["softhsm", "luna", "nss"])
@pytest.mark.parametrize("lets_in", [True, False])
def test_a_module_that_does_it_is_left_to_do_it(family: str, *, lets_in: bool) -> None:
    module = Module(lets_in=lets_in)
    wraps = wraps_of(module, family)
    assert wraps.probe() == NATIVE
    module.asked.clear()
    wrapped = wraps.wrap(NAME, b"geheim", padded=True)
    assert wrapped == aes_key_wrap_with_padding(OWN, b"geheim")
    assert wraps.unwrap(NAME, wrapped, padded=True) == b"geheim"
    wrapped = wraps.wrap(NAME, bytes(16), padded=False)
    assert wraps.unwrap(NAME, wrapped, padded=False) == bytes(16)
    assert set(module.asked) == {KW, KWP}
    wraps.create(NAME)
    made = module.made[-1]
    assert (made[ck.CKA_EXTRACTABLE], made[ck.CKA_SENSITIVE]) == (False, True)


@pytest.mark.parametrize("family", ["luna", "nss", "softhsm2", ""])
@pytest.mark.parametrize("kwp", ["pads", "echo", "none"])
@pytest.mark.parametrize("lets_in", [True, False])
def test_any_other_family_that_fails_the_trial_serves_nothing(
    family: str, kwp: str, *, lets_in: bool
) -> None:
    module = Module(kwp, lets_in=lets_in)
    wraps = wraps_of(module, family)
    for act in (
        wraps.probe,
        lambda: wraps.wrap(NAME, b"geheim", padded=True),
        lambda: wraps.unwrap(NAME, bytes(16), padded=True),
        lambda: wraps.check(NAME),
        lambda: wraps.create(NAME),
    ):
        with pytest.raises(Refused) as said:
            act()
        assert said.value.reason == "DoorsOff"
    assert all(life.get(ck.CKA_TOKEN) is False for life in module.made), "nothing was made to last"
    if lets_in:
        assert ECB not in module.asked, "single blocks are not even asked for"


@pytest.mark.parametrize("kwp", ["pads", "none"])
def test_the_development_tokens_blocks_are_put_together_here(kwp: str) -> None:
    module = Module(kwp)
    wraps = wraps_of(module, "softhsm")
    assert wraps.probe() == BLOCKS
    module.asked.clear()
    wrapped = wraps.wrap(NAME, b"twintig bytes lang..", padded=True)
    assert wrapped == aes_key_wrap_with_padding(OWN, b"twintig bytes lang..")
    assert wraps.unwrap(NAME, wrapped, padded=True) == b"twintig bytes lang.."
    with pytest.raises(Tampered):
        wraps.unwrap(NAME, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), padded=True)
    assert set(module.asked) == {ECB}
    wraps.create(NAME)
    made = module.made[-1]
    assert (made[ck.CKA_ENCRYPT], made[ck.CKA_WRAP], made[ck.CKA_EXTRACTABLE]) == (
        True,
        False,
        False,
    )


def test_a_development_token_that_lets_no_key_in_wraps_only_natively() -> None:
    with pytest.raises(Refused):
        wraps_of(Module("pads", lets_in=False), "softhsm").probe()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 15, 17, 1040, 5000])
def test_no_module_is_asked_about_a_length_that_cannot_be(size: int) -> None:
    module = Module()
    wraps = wraps_of(module, "luna")
    wraps.probe()
    module.asked.clear()
    for padded in (True, False):
        with pytest.raises(Tampered):
            wraps.unwrap(NAME, bytes(size), padded=padded)
    assert not module.asked
    with pytest.raises(Malformed):
        wraps.wrap(NAME, bytes(size if size % 8 or size < 16 else 1032), padded=False)


def test_names_of_others_are_not_asked_about() -> None:
    module = Module()
    wraps = wraps_of(module, "luna")
    for name in ("gemeente/intern/1", "hyok-audit/x/1", "hyok-door/" + "x" * 160):
        with pytest.raises(Malformed):
            wraps.unwrap(name, bytes(24), padded=True)
    assert not module.asked
