"""Bare RSA is padded outside of the development token alone; others must do OAEP themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hyok.errors import Malformed, Refused, Tampered
from hyok.hsm import oaep
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.dialect import Dialect
from hyok.hsm.door_pairs import OAEP, RAW, DoorPairs
from hyok.hsm.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.hsm.structures import Mechanism

PAIR = rsa.generate_private_key(65537, 2048)
NUMBERS = PAIR.private_numbers()
MODULUS = NUMBERS.public_numbers.n
CKM_RSA_X_509, CKM_RSA_PKCS_OAEP, CKM_SHA_1 = 0x3, 0x9, 0x220
MECHANISM_PARAM_INVALID, FUNCTION_FAILED, ENCRYPTED_DATA_INVALID = 0x71, 0x6, 0x40
SHA1_WAY = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)


@dataclass
class Module:
    """A module with one pair; ``oaep``: what it makes of OAEP with SHA-256."""

    oaep: str = "no"
    sha1: bool = False
    asked: list[int] = field(default_factory=list)

    def generate_pair(self, *_: object) -> tuple[int, int]:
        return 1, 2

    def destroy(self, *_: object) -> None:
        pass

    def attribute(self, *_: object) -> bytes:
        return MODULUS.to_bytes(256, "big")

    def decrypt(
        self, _session: int, mechanism: Mechanism, _key: int, sealed: bytes, _room: int
    ) -> bytes:
        self.asked.append(mechanism.number)
        block = pow(int.from_bytes(sealed, "big"), NUMBERS.d, MODULUS)
        if mechanism.number == CKM_RSA_X_509:
            return block.to_bytes(256, "big").lstrip(b"\0")  # as some modules do
        if mechanism.kept.hash == CKM_SHA_1:
            if not self.sha1:
                raise CryptokiError("C_DecryptInit", MECHANISM_PARAM_INVALID)
            try:
                return PAIR.decrypt(sealed, SHA1_WAY)
            except ValueError as error:
                raise CryptokiError("C_Decrypt", ENCRYPTED_DATA_INVALID) from error
        if self.oaep == "no":
            raise CryptokiError("C_DecryptInit", MECHANISM_PARAM_INVALID)
        opened = oaep.decode(block.to_bytes(256, "big"))
        if opened is None:
            raise CryptokiError("C_Decrypt", FUNCTION_FAILED)
        return opened if self.oaep == "yes" else b"wrong"


class Sessions:
    """As many sessions as are wanted, none of which is ever lost."""

    slot = 0

    def run(self, work: Callable[[Session], Any], *_: object, **__: object) -> Any:
        return work(Session(1, 1))


def pairs_of(module: Module, family: str) -> DoorPairs:
    parts: Mapping[str, Any] = {"module": module, "sessions": Sessions()}
    return DoorPairs(
        cast("Any", parts["module"]),
        Dialect(family),
        cast("Any", parts["sessions"]),
        lambda *_: 2,
    )


def sealed_as(block: bytes) -> bytes:
    return pow(int.from_bytes(block, "big"), 65537, MODULUS).to_bytes(256, "big")


@pytest.mark.parametrize("family", ["softhsm", "luna", "nss"])
def test_a_module_that_does_it_is_left_to_do_it(family: str) -> None:
    module = Module("yes")
    pairs = pairs_of(module, family)
    assert pairs.probe() == OAEP
    sealed = sealed_as(oaep.encode(b"geheim", 256, bytes(32)))
    assert pairs.open("hyok-door/t/k/1", sealed) == b"geheim"
    assert set(module.asked) == {CKM_RSA_PKCS_OAEP}


@pytest.mark.parametrize("family", ["luna", "nss", "softhsm2", ""])
@pytest.mark.parametrize("how", ["no", "wrong"])
def test_any_other_family_that_fails_the_trial_serves_nothing(family: str, how: str) -> None:
    module = Module(how)
    pairs = pairs_of(module, family)
    for act in (
        pairs.probe,
        lambda: pairs.open("hyok-door/t/k/1", bytes(256)),
        lambda: pairs.check("hyok-door/t/k/1", bytes(256)),
        lambda: pairs.create("hyok-door/t/k/1", 2048),
    ):
        with pytest.raises(Refused) as said:
            act()
        assert said.value.reason == "DoorsOff"
    assert CKM_RSA_X_509 not in module.asked, "bare RSA is not even asked for"


def test_the_development_token_is_padded_here() -> None:
    pairs = pairs_of(Module(), "softhsm")
    assert pairs.probe() == RAW
    sealed = sealed_as(oaep.encode(b"geheim", 256, bytes(32)))
    assert pairs.open("hyok-door/t/k/1", sealed) == b"geheim"
    opened, modulus, exponent = pairs.check("hyok-door/t/k/1", sealed)
    assert (opened, modulus, exponent) == (b"geheim", MODULUS.to_bytes(256, "big"), b"\x01\x00\x01")
    with pytest.raises(Tampered):
        pairs.open("hyok-door/t/k/1", sealed_as(b"\0" + bytes(200) + b"\x01" + bytes(54)))


def test_names_of_others_are_not_asked_about() -> None:
    module = Module("yes")
    pairs = pairs_of(module, "luna")
    for name in ("gemeente/intern/1", "hyok-audit/x/1", "hyok-door/" + "x" * 160):
        with pytest.raises(Malformed):
            pairs.open(name, bytes(256))
    assert not module.asked


@pytest.mark.parametrize("family", ["softhsm", "luna"])
def test_sha1_is_the_modules_own_or_there_is_none(family: str) -> None:
    sealed = PAIR.public_key().encrypt(b"geheim", SHA1_WAY)
    pairs = pairs_of(Module("yes", sha1=True), family)
    assert pairs.open("hyok-door/t/k/1", sealed, sha1=True) == b"geheim"
    with pytest.raises(Tampered):
        pairs.open("hyok-door/t/k/1", sealed[:-1] + bytes([sealed[-1] ^ 1]), sha1=True)
    module = Module("yes")
    with pytest.raises(Refused) as said:
        pairs_of(module, family).open("hyok-door/t/k/1", sealed, sha1=True)
    assert said.value.reason == "DoorsOff"
    assert CKM_RSA_X_509 not in module.asked, "of the bare operation nothing is made for it"
