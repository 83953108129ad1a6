"""Office: one person's token, and what was sealed to the public key; every answer is compared."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.doors.door import (
    PLAIN,
    REQUESTS,
    Door,
    Request,
    Row,
    app_command,
    key_command,
    post,
)
from tests.e2e import office
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.doors.door import Stage


class Dke(Door):
    name = "dke"

    @override
    def settings(self, folder: Path, port: int) -> str:
        told = office.settings(folder, port).replace("/xks.", "/door.")
        return told.replace(
            "enabled = true\n", "enabled = true\nrequests_per_second_max = 100000\n"
        )

    @override
    def commands(self, folder: Path) -> list[list[str]]:
        return [app_command("office")]

    @override
    def key_commands(self) -> list[list[str]]:
        return [key_command(office.KEY, "office", "vertrouwelijk", "--kind", "rsa-2048")]

    def _office(self, stage: Stage) -> office.Office:
        return office.Office(stage.ports["dke"], stage.folder)

    @override
    def is_open(self, stage: Stage) -> bool:
        try:
            return self._office(stage).ask(f"{self._office(stage).url}/{office.KEY}")[0] == 200
        except OSError:
            return False

    @override
    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        return [Row(self.name, "decrypt", "pair", count) for count in connections] if tls else []

    @override
    def requests(self, stage: Stage, row: Row) -> list[Request]:
        desk = self._office(stage)
        where, sealed = desk.sealed(PLAIN)
        assert desk.open(where, sealed) == (200, PLAIN)
        shown = {"authorization": f"Bearer {desk.token()}"}
        target, body = urlsplit(where).path, json.dumps(sealed).encode()
        raw = post(f"localhost:{stage.ports['dke']}", target, shown, body)
        told = {"value": b64encode(PLAIN).decode()}
        return [Request(raw, json.dumps(told, separators=(",", ":")).encode())] * REQUESTS
