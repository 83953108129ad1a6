"""Azure Managed HSM: TLS 1.3 and a pool's certificate; every answer to an unwrap is compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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
from tests.e2e import managed_hsm
from tests.e2e.managed_hsm import CONTEXT, Azure, b64
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.doors.door import Stage

APP = "azure-nl"
ASKED = {
    "wrapkey-A256KW": ("kek", "wrap"),
    "unwrapkey-A256KWP": ("kek", "unwrap"),
    "wrapkey-RSA-OAEP-256": ("rsa", ""),
    "unwrapkey-RSA-OAEP-256": ("rsa", "pair-3072"),
}
"""Operation and algorithm: the key, and what the HSM does."""


class Ekm(Door):
    name = "ekm"
    too_late = 408
    certificate = "pool.pem"

    @override
    def settings(self, folder: Path, port: int) -> str:
        managed_hsm.pools(folder)
        return managed_hsm.settings_of(folder, port, 100_000).replace("/ekm.", "/door.")

    @override
    def commands(self, folder: Path) -> list[list[str]]:
        return [app_command(APP), app_command("azure-be")]

    @override
    def key_commands(self) -> list[list[str]]:
        kinds = {"kek": [], "rsa": ["--kind", "rsa-3072"]}
        return [
            key_command(name, APP, "vertrouwelijk", "--usage", "wrap", *kind)
            for name, kind in kinds.items()
        ]

    def _azure(self, stage: Stage) -> Azure:
        return Azure(stage.made, stage.ports["ekm"], stage.folder)

    @override
    def is_open(self, stage: Stage) -> bool:
        azure = self._azure(stage)
        try:
            return azure.use("wrapkey", "A256KW", PLAIN)[0] == 200
        except OSError:
            return False
        finally:
            azure.hang_up()

    @override
    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        if not tls:
            return []
        return [
            Row(self.name, operation, raw, count)
            for operation, (_, raw) in ASKED.items()
            for count in connections
        ]

    @override
    def requests(self, stage: Stage, row: Row) -> list[Request]:
        operation, _, algorithm = row.operation.partition("-")
        key, _ = ASKED[row.operation]
        azure = self._azure(stage)
        wrapped = azure.wrap(algorithm, PLAIN, key)
        assert azure.use("unwrapkey", algorithm, wrapped, key) == (200, {"value": b64(PLAIN)})
        azure.hang_up()
        value, answer = PLAIN, b""
        if operation == "unwrapkey":
            value = wrapped
            answer = json.dumps({"value": b64(PLAIN)}, separators=(",", ":")).encode()
        target, found = f"/nl/{key}/{operation}?api-version=0.1-preview", []
        for number in range(REQUESTS):
            context = CONTEXT | {"request_id": f"{number:032d}"}
            body = {"request_context": context, "alg": algorithm, "value": b64(value)}
            raw = post(f"localhost:{azure.port}", target, {}, json.dumps(body).encode())
            found.append(Request(raw, answer))
        return found
