"""Builds shim.c, and speaks with it: a PKCS#11 module that misbehaves when told to."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

from hyok.hsm.setup import softhsm_module

_SOURCE = Path(__file__).with_name("shim.c")
_FUNCTIONS = re.findall(
    r'"(C_\w+)"', _SOURCE.read_text().split("NAMES[COUNT] = {")[1].split("};")[0]
)


def build(directory: Path) -> Path:
    """Return the shim's library, compiled into ``directory``."""
    library = directory / "shim.so"
    if not library.exists():
        subprocess.run(
            ["gcc", "-O2", "-w", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True
        )
    return library


class Shim:
    """One shim before SoftHSM: its orders, and its counts over all processes."""

    def __init__(self, directory: Path, name: str = "shim") -> None:
        self.library = str(build(directory))
        self._orders = directory / f"{name}.orders"
        self._counts = directory / f"{name}.counts"
        self._messages = directory / f"{name}.messages"
        self.environment = {
            "SHIM_MODULE": softhsm_module(),
            "SHIM_ORDERS": str(self._orders),
            "SHIM_COUNTS": str(self._counts),
            "SHIM_MESSAGES": str(self._messages),
        }

    def order(self, *lines: str) -> None:
        """Replace all orders, at once: the file is put in place whole."""
        Path(f"{self._orders}.taken").unlink(missing_ok=True)
        beside = self._orders.with_suffix(".new")
        beside.write_text("".join(line + "\n" for line in lines))
        beside.replace(self._orders)

    def was_taken(self) -> bool:
        """Return whether some call has obeyed the "once" order that stands now."""
        return Path(f"{self._orders}.taken").exists()

    def calls(self, function: str) -> int:
        """Return how often ``function`` was called, by every process so far."""
        if not self._counts.exists():
            return 0
        raw = self._counts.read_bytes()
        place = _FUNCTIONS.index(function) * 8
        return int(struct.unpack_from("=Q", raw, place)[0])

    def signed(self) -> list[bytes]:
        """Return every message that was given to C_Sign, by every process so far, in order."""
        raw = self._messages.read_bytes() if self._messages.exists() else b""
        found = []
        while raw:
            (size,) = struct.unpack_from("=I", raw)
            found.append(raw[4 : 4 + size])
            raw = raw[4 + size :]
        return found
