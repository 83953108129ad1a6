"""What a module and a token say of themselves, from CK_INFO and CK_TOKEN_INFO.  Pure.

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


def parse_library(library: bytes) -> dict[str, str]:
    """Return what CK_INFO says; ``library`` is the structure, or longer."""
    cryptoki, maker, _, description, version = _INFO.unpack_from(library)
    return {
        "library": _text(description),
        "library_manufacturer": _text(maker),
        "library_version": _version(version),
        "cryptoki_version": _version(cryptoki),
    }


def parse_token(token: bytes) -> dict[str, str]:
    """Return what CK_TOKEN_INFO says; ``token`` is the structure, or longer.

    ``sessions``: how many it takes; empty where it does not say.
    """
    label, maker, model, serial, _, sessions, *rest = _TOKEN.unpack_from(token)
    hardware, firmware = rest[-2:]
    return {
        "label": _text(label),
        "manufacturer": _text(maker),
        "model": _text(model),
        "serial": _text(serial),
        "hardware_version": _version(hardware),
        "firmware_version": _version(firmware),
        "sessions": "" if sessions in _UNKNOWN else str(sessions),
    }


def about_of(library: bytes, token: bytes) -> dict[str, str]:
    """Return names and versions that others may see: no serial number, no label."""
    module, held = parse_library(library), parse_token(token)
    return {
        "library": f"{module['library_manufacturer']} {module['library']}".strip(),
        "library_version": module["library_version"],
        "token": f"{held['manufacturer']} {held['model']}".strip(),
        "hardware_version": held["hardware_version"],
        "firmware_version": held["firmware_version"],
        "sessions_told": held["sessions"],
    }


def _text(field: bytes) -> str:
    text = field.decode("utf-8", "replace")
    return "".join(letter for letter in text if letter.isprintable()).strip()


def _version(field: bytes) -> str:
    return f"{field[0]}.{field[1]}"
