"""What to do after a PKCS#11 error: one table, no I/O.

Source: docs/format.md, section 13, rules 4 and 5; PKCS#11 2.40, section 5.1 (return values).
"""

from __future__ import annotations

from enum import Enum

CKR_OK = 0x000

NAMES: dict[int, str] = {
    0x000: "OK",
    0x001: "CANCEL",
    0x002: "HOST_MEMORY",
    0x003: "SLOT_ID_INVALID",
    0x005: "GENERAL_ERROR",
    0x006: "FUNCTION_FAILED",
    0x007: "ARGUMENTS_BAD",
    0x00A: "CANT_LOCK",
    0x010: "ATTRIBUTE_READ_ONLY",
    0x011: "ATTRIBUTE_SENSITIVE",
    0x012: "ATTRIBUTE_TYPE_INVALID",
    0x013: "ATTRIBUTE_VALUE_INVALID",
    0x01B: "ACTION_PROHIBITED",
    0x020: "DATA_INVALID",
    0x021: "DATA_LEN_RANGE",
    0x030: "DEVICE_ERROR",
    0x031: "DEVICE_MEMORY",
    0x032: "DEVICE_REMOVED",
    0x040: "ENCRYPTED_DATA_INVALID",
    0x041: "ENCRYPTED_DATA_LEN_RANGE",
    0x042: "AEAD_DECRYPT_FAILED",
    0x050: "FUNCTION_CANCELED",
    0x054: "FUNCTION_NOT_SUPPORTED",
    0x060: "KEY_HANDLE_INVALID",
    0x062: "KEY_SIZE_RANGE",
    0x063: "KEY_TYPE_INCONSISTENT",
    0x068: "KEY_FUNCTION_NOT_PERMITTED",
    0x069: "KEY_NOT_WRAPPABLE",
    0x06A: "KEY_UNEXTRACTABLE",
    0x070: "MECHANISM_INVALID",
    0x071: "MECHANISM_PARAM_INVALID",
    0x082: "OBJECT_HANDLE_INVALID",
    0x090: "OPERATION_ACTIVE",
    0x091: "OPERATION_NOT_INITIALIZED",
    0x0A0: "PIN_INCORRECT",
    0x0A1: "PIN_INVALID",
    0x0A2: "PIN_LEN_RANGE",
    0x0A3: "PIN_EXPIRED",
    0x0A4: "PIN_LOCKED",
    0x0B0: "SESSION_CLOSED",
    0x0B1: "SESSION_COUNT",
    0x0B3: "SESSION_HANDLE_INVALID",
    0x0B5: "SESSION_READ_ONLY",
    0x0C0: "SIGNATURE_INVALID",
    0x0C1: "SIGNATURE_LEN_RANGE",
    0x0D0: "TEMPLATE_INCOMPLETE",
    0x0D1: "TEMPLATE_INCONSISTENT",
    0x0E0: "TOKEN_NOT_PRESENT",
    0x0E1: "TOKEN_NOT_RECOGNIZED",
    0x0E2: "TOKEN_WRITE_PROTECTED",
    0x100: "USER_ALREADY_LOGGED_IN",
    0x101: "USER_NOT_LOGGED_IN",
    0x102: "USER_PIN_NOT_INITIALIZED",
    0x103: "USER_TYPE_INVALID",
    0x104: "USER_ANOTHER_ALREADY_LOGGED_IN",
    0x105: "USER_TOO_MANY_TYPES",
    0x110: "WRAPPED_KEY_INVALID",
    0x112: "WRAPPED_KEY_LEN_RANGE",
    0x150: "BUFFER_TOO_SMALL",
    0x190: "CRYPTOKI_NOT_INITIALIZED",
    0x191: "CRYPTOKI_ALREADY_INITIALIZED",
}


class Step(Enum):
    """What helps after an error."""

    NEW_SESSION = "open a session anew, log in, find the key, repeat once"
    REPLACE = "end this process; another takes its place"
    FEWER_SESSIONS = "give a session back and use those that are open"
    OPERATOR = "log in no more until an operator acts"
    DATA = "the token's bytes do not open; nothing is wrong with the device"
    REFUSE = "the module cannot do this; repeating does not help"


_STEPS: dict[str, Step] = {
    "SESSION_HANDLE_INVALID": Step.NEW_SESSION,
    "SESSION_CLOSED": Step.NEW_SESSION,
    "OBJECT_HANDLE_INVALID": Step.NEW_SESSION,
    "KEY_HANDLE_INVALID": Step.NEW_SESSION,
    "USER_NOT_LOGGED_IN": Step.NEW_SESSION,
    # A session that an earlier call left in the midst of something: ours to throw away.
    "OPERATION_ACTIVE": Step.NEW_SESSION,
    "OPERATION_NOT_INITIALIZED": Step.NEW_SESSION,
    "FUNCTION_CANCELED": Step.NEW_SESSION,
    "CANCEL": Step.NEW_SESSION,
    "DEVICE_ERROR": Step.REPLACE,
    "DEVICE_REMOVED": Step.REPLACE,
    "DEVICE_MEMORY": Step.REPLACE,
    "TOKEN_NOT_PRESENT": Step.REPLACE,
    "TOKEN_NOT_RECOGNIZED": Step.REPLACE,
    "SLOT_ID_INVALID": Step.REPLACE,
    "GENERAL_ERROR": Step.REPLACE,
    "FUNCTION_FAILED": Step.REPLACE,
    "CRYPTOKI_NOT_INITIALIZED": Step.REPLACE,
    "HOST_MEMORY": Step.FEWER_SESSIONS,
    "SESSION_COUNT": Step.FEWER_SESSIONS,
    "PIN_INCORRECT": Step.OPERATOR,
    "PIN_INVALID": Step.OPERATOR,
    "PIN_LEN_RANGE": Step.OPERATOR,
    "PIN_EXPIRED": Step.OPERATOR,
    "PIN_LOCKED": Step.OPERATOR,
    "USER_PIN_NOT_INITIALIZED": Step.OPERATOR,
    "MECHANISM_INVALID": Step.REFUSE,
    "MECHANISM_PARAM_INVALID": Step.REFUSE,
    "FUNCTION_NOT_SUPPORTED": Step.REFUSE,
    "KEY_SIZE_RANGE": Step.REFUSE,
    "KEY_TYPE_INCONSISTENT": Step.REFUSE,
    "KEY_FUNCTION_NOT_PERMITTED": Step.REFUSE,
    "KEY_UNEXTRACTABLE": Step.REFUSE,
    "ATTRIBUTE_SENSITIVE": Step.REFUSE,
    "ATTRIBUTE_READ_ONLY": Step.REFUSE,
    "ATTRIBUTE_TYPE_INVALID": Step.REFUSE,
    "ATTRIBUTE_VALUE_INVALID": Step.REFUSE,
    "TEMPLATE_INCOMPLETE": Step.REFUSE,
    "TEMPLATE_INCONSISTENT": Step.REFUSE,
    "ACTION_PROHIBITED": Step.REFUSE,
    "TOKEN_WRITE_PROTECTED": Step.REFUSE,
    "SESSION_READ_ONLY": Step.REFUSE,
    "ARGUMENTS_BAD": Step.REFUSE,
}

# Said by a module while it opens a token, these blame the bytes and nothing else.
_BAD_BYTES = frozenset(
    {
        "AEAD_DECRYPT_FAILED",
        "DATA_INVALID",
        "DATA_LEN_RANGE",
        "ENCRYPTED_DATA_INVALID",
        "ENCRYPTED_DATA_LEN_RANGE",
        "SIGNATURE_INVALID",
        "SIGNATURE_LEN_RANGE",
        "WRAPPED_KEY_INVALID",
        "WRAPPED_KEY_LEN_RANGE",
        # A wrapped key of another length or content, as C_UnwrapKey sees it.
        "BUFFER_TOO_SMALL",
    }
)

# Never held against the bytes: the session or the login is gone, whatever was asked.
_NOT_THE_BYTES = frozenset({Step.NEW_SESSION, Step.FEWER_SESSIONS, Step.OPERATOR})


def name_of(rv: int) -> str:
    """Return PKCS#11's name of a return value, or its number for a vendor's own."""
    return NAMES.get(rv, f"0x{rv:08X}")


def is_bad_bytes(name: str) -> bool:
    """Return whether this code, while a token is opened, blames its bytes and nothing else."""
    return name in _BAD_BYTES


def step_after(rv: int) -> Step:
    """Return what helps after ``rv``; an unknown code is the device's fault."""
    return _STEPS.get(name_of(rv), Step.REPLACE)


def step_after_open(rv: int) -> Step:
    """Return what helps after ``rv`` from opening bytes that the store gave us.

    Modules answer a bad tag with all sorts of codes, and a hostile store can send bad tokens at
    will.  So nothing said here may replace a worker: what does not clearly concern the session is
    taken for a fault of the bytes, until the check value shows otherwise.
    """
    if name_of(rv) in _BAD_BYTES:
        return Step.DATA
    step = step_after(rv)
    return step if step in _NOT_THE_BYTES else Step.DATA


def never_again(rv: int) -> Step:
    """Return what helps after ``rv`` from key generation, which is never repeated."""
    step = step_after(rv)
    return Step.REPLACE if step is Step.NEW_SESSION else step
