"""PKCS#11 by ctypes: the few functions we call, and how the module is initialised.

Why not a library: python-pkcs11 0.10 initialises every module for single-threaded use and cannot
be told otherwise, knows no vendor's mechanism or key type, asks for the length of each HMAC with a
call of its own, and closes a user's session by logging the whole process out.  hsm/README.md has
the measurements.  Every call releases the interpreter lock, so one that hangs holds up its thread
only.

Source: PKCS#11 2.40, sections 4 and 5, and its header files.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    byref,
    c_char_p,
    c_ubyte,
    c_ulong,
    c_void_p,
    cast,
    create_string_buffer,
)
from typing import TYPE_CHECKING

from hyok.hsm.recovery import CKR_OK, name_of
from hyok.hsm.structures import (
    CKF_OS_LOCKING_OK,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKU_USER,
    Attribute,
    FunctionList,
    InitializeArgs,
    Mechanism,
    Template,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIZE_UNAVAILABLE = c_ulong(-1).value
_LABEL_BYTES = 32
_FOUND_MAX = 1000

# Places in CK_FUNCTION_LIST, counted from C_Initialize.
_PLACES = {
    "C_Initialize": 0,
    "C_Finalize": 1,
    "C_GetInfo": 2,
    "C_GetSlotList": 4,
    "C_GetTokenInfo": 6,
    "C_GetMechanismList": 7,
    "C_InitToken": 9,
    "C_OpenSession": 12,
    "C_CloseSession": 13,
    "C_Login": 18,
    "C_CreateObject": 20,
    "C_DestroyObject": 22,
    "C_GetAttributeValue": 24,
    "C_FindObjectsInit": 26,
    "C_FindObjects": 27,
    "C_FindObjectsFinal": 28,
    "C_EncryptInit": 29,
    "C_Encrypt": 30,
    "C_DecryptInit": 33,
    "C_Decrypt": 34,
    "C_SignInit": 42,
    "C_Sign": 43,
    "C_GenerateKey": 58,
    "C_GenerateKeyPair": 59,
    "C_WrapKey": 60,
    "C_UnwrapKey": 61,
    "C_GenerateRandom": 64,
}


# What the calls of every request take: told once, numbers need not be wrapped for each call.
_ONE_SHOT = {
    "Init": (c_ulong, c_void_p, c_ulong),
    "": (c_ulong, c_char_p, c_ulong, c_void_p, c_void_p),
}


class CryptokiError(Exception):
    """A PKCS#11 function answered something other than CKR_OK."""

    def __init__(self, function: str, rv: int) -> None:
        super().__init__(f"{function}: {name_of(rv)}")
        self.function = function
        self.rv = rv


class Module:
    """One PKCS#11 library, loaded and initialised.

    ``threads`` says whether several threads may call it: where the module cannot lock
    (CKR_CANT_LOCK) it is initialised for one, and the caller must keep to that.

    Raises, from every method:
        CryptokiError: the module answered an error.
    """

    def __init__(self, path: str) -> None:
        # ctypes.CDLL, not PyDLL: the interpreter lock is released for the length of each call.
        library = CDLL(path)
        listed = POINTER(FunctionList)()
        rv = int(library.C_GetFunctionList(byref(listed)))
        if rv != CKR_OK:
            raise CryptokiError("C_GetFunctionList", rv)
        self._library = library
        self._calls = {
            name: CFUNCTYPE(c_ulong)(listed.contents.functions[place])
            for name, place in _PLACES.items()
        }
        self._one_shots = {
            verb: tuple(
                CFUNCTYPE(c_ulong, *arguments)(listed.contents.functions[_PLACES[f"C_{verb}{end}"]])
                for end, arguments in _ONE_SHOT.items()
            )
            for verb in ("Sign", "Encrypt", "Decrypt")
        }
        self.threads = False

    def _call(self, name: str, *arguments: object) -> None:
        rv = self._calls[name](*arguments)
        if rv != CKR_OK:
            raise CryptokiError(name, rv)

    def initialize(self, parameters: str = "") -> None:
        """Initialise for calls from several threads.

        ``parameters`` is a text that some modules (NSS) want in place of pReserved.  A module that
        was initialised by something else in this process is refused: nobody knows how.
        """
        text = parameters.encode() or None
        try:
            self._call(
                "C_Initialize",
                byref(InitializeArgs(None, None, None, None, CKF_OS_LOCKING_OK, text, None)),
            )
            self.threads = True
        except CryptokiError as error:
            if name_of(error.rv) != "CANT_LOCK":
                raise
            self._call("C_Initialize", byref(InitializeArgs(None, None, None, None, 0, text, None)))

    def finalize(self) -> None:
        self._call("C_Finalize", None)

    def slots(self, *, with_token: bool = True) -> list[int]:
        """Return the slot numbers, as many as the module names in one answer."""
        count = c_ulong()
        self._call("C_GetSlotList", c_ubyte(with_token), None, byref(count))
        # Slots can appear between the two calls; a module then says BUFFER_TOO_SMALL.
        room = (c_ulong * (count.value + 8))()
        count = c_ulong(len(room))
        self._call("C_GetSlotList", c_ubyte(with_token), room, byref(count))
        return [int(slot) for slot in room[: count.value]]

    def token_label(self, slot: int) -> str:
        """Return the label of the token in a slot, without its padding."""
        info = create_string_buffer(1024)  # CK_TOKEN_INFO, of which the label comes first
        self._call("C_GetTokenInfo", c_ulong(slot), info)
        return info.raw[:_LABEL_BYTES].decode("utf-8", "replace").rstrip(" \0")

    def library_info(self) -> bytes:
        """Return CK_INFO as the module wrote it."""
        info = create_string_buffer(1024)
        self._call("C_GetInfo", info)
        return info.raw

    def token_info(self, slot: int) -> bytes:
        """Return CK_TOKEN_INFO as the module wrote it."""
        info = create_string_buffer(1024)
        self._call("C_GetTokenInfo", c_ulong(slot), info)
        return info.raw

    def mechanisms(self, slot: int) -> frozenset[int]:
        count = c_ulong()
        self._call("C_GetMechanismList", c_ulong(slot), None, byref(count))
        room = (c_ulong * max(1, count.value))()
        self._call("C_GetMechanismList", c_ulong(slot), room, byref(count))
        return frozenset(int(number) for number in room[: count.value])

    def open_session(self, slot: int, *, writable: bool = False) -> int:
        handle = c_ulong()
        flags = CKF_SERIAL_SESSION | (CKF_RW_SESSION if writable else 0)
        self._call("C_OpenSession", c_ulong(slot), c_ulong(flags), None, None, byref(handle))
        return handle.value

    def close_session(self, session: int) -> None:
        self._call("C_CloseSession", c_ulong(session))

    def login(self, session: int, pin: bytes) -> None:
        self._call("C_Login", c_ulong(session), c_ulong(CKU_USER), pin, c_ulong(len(pin)))

    def find(self, session: int, wanted: Mapping[int, bool | int | bytes]) -> list[int]:
        """Return the handles of at most 1000 objects with these attributes."""
        template = Template(wanted)
        self._call("C_FindObjectsInit", c_ulong(session), template.array, c_ulong(template.count))
        found: list[int] = []
        room, count = (c_ulong * 64)(), c_ulong()
        while len(found) < _FOUND_MAX:
            self._call("C_FindObjects", c_ulong(session), room, c_ulong(len(room)), byref(count))
            if not count.value:
                break
            found += room[: count.value]
        self._call("C_FindObjectsFinal", c_ulong(session))
        return found

    def attribute(self, session: int, handle: int, kind: int) -> bytes:
        """Return one attribute's bytes; empty where the module has no value to show."""
        asked = Attribute(kind, None, 0)
        self._call(
            "C_GetAttributeValue", c_ulong(session), c_ulong(handle), byref(asked), c_ulong(1)
        )
        if asked.size in {0, _SIZE_UNAVAILABLE}:
            return b""
        room = create_string_buffer(asked.size)
        asked.value = cast(room, c_void_p)
        self._call(
            "C_GetAttributeValue", c_ulong(session), c_ulong(handle), byref(asked), c_ulong(1)
        )
        return room.raw[: asked.size]

    def create(self, session: int, attributes: Mapping[int, bool | int | bytes]) -> int:
        template, handle = Template(attributes), c_ulong()
        self._call(
            "C_CreateObject",
            c_ulong(session),
            template.array,
            c_ulong(template.count),
            byref(handle),
        )
        return handle.value

    def destroy(self, session: int, handle: int) -> None:
        self._call("C_DestroyObject", c_ulong(session), c_ulong(handle))

    def generate_key(
        self, session: int, number: int, attributes: Mapping[int, bool | int | bytes]
    ) -> int:
        template, handle = Template(attributes), c_ulong()
        self._call(
            "C_GenerateKey",
            c_ulong(session),
            byref(Mechanism.of(number)),
            template.array,
            c_ulong(template.count),
            byref(handle),
        )
        return handle.value

    def generate_pair(
        self,
        session: int,
        number: int,
        public: Mapping[int, bool | int | bytes],
        private: Mapping[int, bool | int | bytes],
    ) -> tuple[int, int]:
        """Return the handles of a new ``(public, private)`` pair."""
        outer, inner = Template(public), Template(private)
        first, second = c_ulong(), c_ulong()
        self._call(
            "C_GenerateKeyPair",
            c_ulong(session),
            byref(Mechanism.of(number)),
            outer.array,
            c_ulong(outer.count),
            inner.array,
            c_ulong(inner.count),
            byref(first),
            byref(second),
        )
        return first.value, second.value

    def random(self, session: int, size: int) -> bytes:
        """Return bytes of the module's own generator."""
        room = create_string_buffer(size)
        self._call("C_GenerateRandom", c_ulong(session), room, c_ulong(size))
        return room.raw

    def sign(self, session: int, mechanism: Mechanism, key: int, data: bytes, room: int) -> bytes:
        return self._one_shot("Sign", session, mechanism, key, data, room)

    def encrypt(
        self, session: int, mechanism: Mechanism, key: int, data: bytes, room: int
    ) -> bytes:
        return self._one_shot("Encrypt", session, mechanism, key, data, room)

    def decrypt(
        self, session: int, mechanism: Mechanism, key: int, data: bytes, room: int
    ) -> bytes:
        return self._one_shot("Decrypt", session, mechanism, key, data, room)

    def _one_shot(
        self, verb: str, session: int, mechanism: Mechanism, key: int, data: bytes, room_bytes: int
    ) -> bytes:
        # The room is big enough, so the length is never asked for first: one call less, which on
        # a module over the network can be one round trip less.
        room, size = create_string_buffer(room_bytes), c_ulong(room_bytes)
        begin, finish = self._one_shots[verb]
        if (rv := begin(session, byref(mechanism), key)) != CKR_OK:
            raise CryptokiError(f"C_{verb}Init", rv)
        if (rv := finish(session, data, len(data), room, byref(size))) != CKR_OK:
            raise CryptokiError(f"C_{verb}", rv)
        answer = room.raw[: size.value]
        ctypes.memset(room, 0, room_bytes)
        return answer

    def wrap(self, session: int, mechanism: Mechanism, key: int, inner: int, room: int) -> bytes:
        out, size = create_string_buffer(room), c_ulong(room)
        self._call(
            "C_WrapKey",
            c_ulong(session),
            byref(mechanism),
            c_ulong(key),
            c_ulong(inner),
            out,
            byref(size),
        )
        return out.raw[: size.value]

    def unwrap(
        self,
        session: int,
        mechanism: Mechanism,
        key: int,
        wrapped: bytes,
        attributes: Mapping[int, bool | int | bytes],
    ) -> int:
        template, handle = Template(attributes), c_ulong()
        self._call(
            "C_UnwrapKey",
            c_ulong(session),
            byref(mechanism),
            c_ulong(key),
            wrapped,
            c_ulong(len(wrapped)),
            template.array,
            c_ulong(template.count),
            byref(handle),
        )
        return handle.value


def slot_of_token(module: Module, label: str) -> int:
    """Return the slot of the one token with this label.

    Raises:
        CryptokiError: none, or more than one, carries it (TOKEN_NOT_PRESENT).
    """
    found: Sequence[int] = [slot for slot in module.slots() if module.token_label(slot) == label]
    if len(found) != 1:
        raise CryptokiError("C_GetSlotList", 0x0E0)
    return found[0]
