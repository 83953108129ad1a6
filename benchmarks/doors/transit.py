"""Vault's Transit: one token; an answer bears an id of its own, so its length alone is compared."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from benchmarks.doors.door import (
    KEYS,
    PLAIN,
    REQUESTS,
    Door,
    Request,
    Row,
    app_command,
    key_command,
    post,
    tls_lines,
)
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.doors.door import Stage

APP = "kluis"
RAW = {"encrypt": "seal", "decrypt": "open", "hmac": "mac", "sign": "sign"}
KEY_OF = {"hmac": "zegel", "sign": "teken"}


class Transit(Door):
    name = "transit"

    @override
    def settings(self, folder: Path, port: int) -> str:
        told = f"[doors.transit]\nenabled = true\nport = {port}\n{tls_lines(folder)}"
        return f"{told}requests_per_second_max = 100000\n"

    @override
    def commands(self, folder: Path) -> list[list[str]]:
        token = ["doors", "transit-token", "create", APP, "--expires", "1d", "--json"]
        return [app_command(APP), token]

    @override
    def key_commands(self) -> list[list[str]]:
        made = [key_command(f"t-{name}", APP, level) for name, level in KEYS.items()]
        made.append(key_command("zegel", APP, KEYS["durable"], "--usage", "hmac"))
        made.append(key_command("teken", APP, KEYS["durable"], "--usage", "sign"))
        return made

    def _shown(self, stage: Stage) -> dict[str, str]:
        (row,) = json.loads(stage.shown["transit"][1])
        return {"x-vault-token": row["token"]}

    def _ask(self, stage: Stage, target: str, body: bytes) -> Any:
        url = f"https://localhost:{stage.ports['transit']}{target}"
        request = urllib.request.Request(url, body, self._shown(stage))
        trust = ssl.create_default_context(cafile=stage.folder / "ca.pem")
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return answer.read()

    @override
    def is_open(self, stage: Stage) -> bool:
        try:
            self._ask(stage, "/v1/transit/encrypt/t-durable", b'{"plaintext": ""}')
        except (OSError, urllib.error.HTTPError):
            return False
        return True

    @override
    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        if not tls:
            return []
        found = [
            Row(self.name, operation, raw, count)
            for operation, raw in RAW.items()
            for count in connections
        ]
        return [*found, Row(self.name, "encrypt", "seal", max(connections), "grouped")]

    @override
    def requests(self, stage: Stage, row: Row) -> list[Request]:
        key = KEY_OF.get(row.operation, f"t-{row.key}")
        target = f"/v1/transit/{row.operation}/{key}"
        text = b64encode(PLAIN).decode()
        members = {"input" if key in KEY_OF.values() else "plaintext": text}
        if row.operation == "decrypt":
            sealing = f"/v1/transit/encrypt/{key}"
            sealed = json.loads(self._ask(stage, sealing, json.dumps(members).encode()))
            members = {"ciphertext": sealed["data"]["ciphertext"]}
        body = json.dumps(members).encode()
        answer = self._ask(stage, target, body)
        if row.operation == "decrypt":
            assert json.loads(answer)["data"]["plaintext"] == text
        # The DER of a signature is a byte or two shorter now and then.
        length = 0 if row.operation == "sign" else len(answer)
        raw = post(f"localhost:{stage.ports['transit']}", target, self._shown(stage), body)
        return [Request(raw, length=length)] * REQUESTS
