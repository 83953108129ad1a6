"""What a module and a token say of themselves, from CK_INFO and CK_TOKEN_INFO.  Pure.

Serial numbers and labels are left out: a result is meant to be shown to others.

Source: PKCS#11 2.40, section 3.1 and 3.2, and the header files: natural alignment.
"""

from __future__ import annotations

import struct

_INFO = struct.Struct("@2s32sL32s2s")  # version, maker, flags, description, version
_TOKEN = struct.Struct(
    "@32s32s16s16sL10L2s2s"
)  # label, maker, model, serial, …, hardware, firmware
_UNKNOWN = frozenset({0, (1 << 8 * struct.calcsize("@L")) - 1})
"""CK_EFFECTIVELY_INFINITE and CK_UNAVAILABLE_INFORMATION: no number that says anything."""


def about_of(library: bytes, token: bytes) -> dict[str, str]:
    """Return names and versions; ``library`` and ``token`` are the structures, or longer."""
    _, maker, _, description, version = _INFO.unpack_from(library)
    _, token_maker, model, _, _, sessions, *rest = _TOKEN.unpack_from(token)
    hardware, firmware = rest[-2:]
    return {
        "library": f"{_text(maker)} {_text(description)}".strip(),
        "library_version": _version(version),
        "token": f"{_text(token_maker)} {_text(model)}".strip(),
        "hardware_version": _version(hardware),
        "firmware_version": _version(firmware),
        "sessions_told": "" if sessions in _UNKNOWN else str(sessions),
    }


def _text(field: bytes) -> str:
    text = field.decode("utf-8", "replace")
    return "".join(letter for letter in text if letter.isprintable()).strip()


def _version(field: bytes) -> str:
    return f"{field[0]}.{field[1]}"
