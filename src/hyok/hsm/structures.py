"""The numbers and structures of PKCS#11 that we use, as ctypes has them.

Source: PKCS#11 2.40 and its header files (on Linux, structures are not packed).
"""

from __future__ import annotations

from ctypes import (
    Structure,
    addressof,
    c_char_p,
    c_ubyte,
    c_ulong,
    c_void_p,
    create_string_buffer,
    sizeof,
)
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

CKF_OS_LOCKING_OK = 0x02
CKF_TOKEN_PRESENT = 0x01
CKF_RW_SESSION = 0x02
CKF_SERIAL_SESSION = 0x04
CKU_USER = 1

CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY = 2, 3, 4

CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL = 0x000, 0x001, 0x002, 0x003
CKA_VALUE, CKA_KEY_TYPE, CKA_ID = 0x011, 0x100, 0x102
CKA_SENSITIVE, CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP = 0x103, 0x104, 0x105, 0x106
CKA_UNWRAP, CKA_SIGN, CKA_VERIFY, CKA_DERIVE = 0x107, 0x108, 0x10A, 0x10C
CKA_MODULUS, CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT = 0x120, 0x121, 0x122
CKA_VALUE_LEN, CKA_EXTRACTABLE, CKA_MODIFIABLE = 0x161, 0x162, 0x170
CKA_EC_PARAMS, CKA_EC_POINT, CKK_EC = 0x180, 0x181, 0x003
CKA_WRAP_WITH_TRUSTED = 0x210
FUNCTION_COUNT = 68


class InitializeArgs(Structure):
    # The last field is NSS's: its module takes the parameters where others have pReserved.
    _fields_ = (
        ("create_mutex", c_void_p),
        ("destroy_mutex", c_void_p),
        ("lock_mutex", c_void_p),
        ("unlock_mutex", c_void_p),
        ("flags", c_ulong),
        ("parameters", c_char_p),
        ("reserved", c_void_p),
    )


class FunctionList(Structure):
    _fields_ = (("version", c_ubyte * 2), ("functions", c_void_p * FUNCTION_COUNT))


class Attribute(Structure):
    _fields_ = (("kind", c_ulong), ("value", c_void_p), ("size", c_ulong))


class Mechanism(Structure):
    """CK_MECHANISM; whoever makes it keeps its parameter alive."""

    _fields_ = (("number", c_ulong), ("parameter", c_void_p), ("size", c_ulong))

    @classmethod
    def of(cls, number: int, parameter: Structure | None = None) -> Self:
        """Return the mechanism with this number and parameter."""
        if parameter is None:
            return cls(number, None, 0)
        mechanism = cls(number, addressof(parameter), sizeof(parameter))
        mechanism.kept = parameter
        return mechanism


class GcmParameters(Structure):
    """CK_GCM_PARAMS of PKCS#11 2.40, with its errata's ulIvBits."""

    _fields_ = (
        ("iv", c_void_p),
        ("iv_size", c_ulong),
        ("iv_bits", c_ulong),
        ("data", c_void_p),
        ("data_size", c_ulong),
        ("tag_bits", c_ulong),
    )

    @classmethod
    def of(cls, iv: bytes, associated_data: bytes, tag_bytes: int = 16) -> Self:
        """Return parameters whose IV the module may write (read it by `iv_now`)."""
        iv_room = create_string_buffer(iv, len(iv))
        data_room = create_string_buffer(associated_data, len(associated_data))
        made = cls(
            addressof(iv_room),
            len(iv),
            8 * len(iv),
            addressof(data_room),
            len(associated_data),
            8 * tag_bytes,
        )
        made.kept = (iv_room, data_room)
        return made

    def iv_now(self) -> bytes:
        """Return the IV as it stands, which the module may have chosen."""
        return bytes(self.kept[0].raw)


class OaepParameters(Structure):
    """CK_RSA_PKCS_OAEP_PARAMS."""

    _fields_ = (
        ("hash", c_ulong),
        ("mgf", c_ulong),
        ("source", c_ulong),
        ("data", c_void_p),
        ("data_size", c_ulong),
    )


class PssParameters(Structure):
    """CK_RSA_PKCS_PSS_PARAMS."""

    _fields_ = (("hash", c_ulong), ("mgf", c_ulong), ("salt_size", c_ulong))


class Template:
    """A CK_ATTRIBUTE array, and the values it points to."""

    def __init__(self, values: Mapping[int, bool | int | bytes]) -> None:
        self.count = len(values)
        self.array = (Attribute * max(1, self.count))()
        self._kept = []
        for place, (kind, value) in enumerate(values.items()):
            packed = _packed(value)
            room = create_string_buffer(packed, len(packed))
            self._kept.append(room)
            self.array[place] = Attribute(kind, addressof(room), len(packed))


def _packed(value: bool | int | bytes) -> bytes:  # noqa: FBT001 - CK_BBOOL is one of three types
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return bytes([value])
    return bytes(c_ulong(value))
