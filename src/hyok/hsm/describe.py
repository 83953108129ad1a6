"""What a module, a token and a key say of themselves, for the minutes of a ceremony.

Read back from the module after the act, never repeated from what it was asked for.

Source: PKCS#11 2.40, section 4.4.
"""

from __future__ import annotations

import json
import sys
from ctypes import c_ulong, sizeof
from typing import TYPE_CHECKING

from hyok.hsm import structures as ck
from hyok.hsm.about import parse_library, parse_token
from hyok.hsm.cryptoki import CryptokiError, Module, slot_of_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.hsm.keks import Attributes

_LONG = sizeof(c_ulong)

FLAGS: Mapping[str, int] = {
    "CKA_TOKEN": ck.CKA_TOKEN,
    "CKA_PRIVATE": ck.CKA_PRIVATE,
    "CKA_SENSITIVE": ck.CKA_SENSITIVE,
    "CKA_ALWAYS_SENSITIVE": 0x165,
    "CKA_EXTRACTABLE": ck.CKA_EXTRACTABLE,
    "CKA_NEVER_EXTRACTABLE": 0x164,
    "CKA_LOCAL": 0x163,
    "CKA_MODIFIABLE": ck.CKA_MODIFIABLE,
    "CKA_WRAP_WITH_TRUSTED": ck.CKA_WRAP_WITH_TRUSTED,
    "CKA_SIGN": ck.CKA_SIGN,
    "CKA_VERIFY": ck.CKA_VERIFY,
    "CKA_ENCRYPT": ck.CKA_ENCRYPT,
    "CKA_DECRYPT": ck.CKA_DECRYPT,
    "CKA_WRAP": ck.CKA_WRAP,
    "CKA_UNWRAP": ck.CKA_UNWRAP,
    "CKA_DERIVE": ck.CKA_DERIVE,
}
NUMBERS: Mapping[str, int] = {
    "CKA_CLASS": ck.CKA_CLASS,
    "CKA_KEY_TYPE": ck.CKA_KEY_TYPE,
    "CKA_VALUE_LEN": ck.CKA_VALUE_LEN,
    "CKA_KEY_GEN_MECHANISM": 0x166,
}
NOT_SHOWN = "not shown by the module"


def describe_token(module: Module, slot: int) -> dict[str, object]:
    """Return library, token, serial number and versions."""
    facts: dict[str, object] = {**parse_library(module.library_info())}
    return facts | parse_token(module.token_info(slot))


def describe_keys(module: Module, session: int, name: str) -> list[dict[str, str]]:
    """Return the attributes of every object of this name, as the module shows them."""
    wanted: Attributes = {ck.CKA_TOKEN: True, ck.CKA_LABEL: name.encode()}
    found = []
    for handle in module.find(session, wanted):
        told = {
            name: _flag(_attribute(module, session, handle, kind)) for name, kind in FLAGS.items()
        }
        told |= {
            name: _number(_attribute(module, session, handle, kind))
            for name, kind in NUMBERS.items()
        }
        found.append(told)
    return found


def _attribute(module: Module, session: int, handle: int, kind: int) -> bytes:
    try:
        return module.attribute(session, handle, kind)
    except CryptokiError:  # many modules do not know all of them
        return b""


def _flag(raw: bytes) -> str:
    return {b"\x01": "true", b"\x00": "false"}.get(raw, NOT_SHOWN)


def _number(raw: bytes) -> str:
    if len(raw) != _LONG:
        return NOT_SHOWN
    number = int.from_bytes(raw, sys.byteorder)
    return "unavailable" if number == c_ulong(-1).value else f"0x{number:X}"


def main(path: str, label: str) -> None:
    """Print what a token says of itself; for a process of its own, without login."""
    module = Module(path)
    module.initialize()
    facts = describe_token(module, slot_of_token(module, label))
    sys.stdout.write(json.dumps(facts, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
