"""Payloads for any SaaS: values and documents; of what is sealed the length is compared."""

from __future__ import annotations

import json
import ssl
import urllib.request
from base64 import b64encode
from hashlib import shake_256
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

APP = "zaaksysteem"
CONTEXT = {"app": APP, "id": "123"}
VALUES = 100
"""In a document; `seal-100` is what the HSM does for one."""

SCANS, BUCKET = "scanstraat", "scans"
FILE_BYTES = 1 << 20
PLACE = f"?bucket={BUCKET}&name=scan.pdf"


class Payloads(Door):
    name = "payloads"

    @override
    def settings(self, folder: Path, port: int) -> str:
        told = f"[doors.payloads]\nenabled = true\nport = {port}\n{tls_lines(folder)}"
        return f"{told}values_per_second_max = 1000000\nfiles_in_flight_max = 64\n"

    @override
    def commands(self, folder: Path) -> list[list[str]]:
        token = ["doors", "transit-token", "create", APP, "--expires", "1d", "--json"]
        bucket = ["buckets", "create", BUCKET, "--tenant", "gemeente"]
        app = ["apps", "create", SCANS, "--tenant", "gemeente", "--grant", "use-keys"]
        app += ["--bucket", BUCKET, "--clearance", "vertrouwelijk", "--purpose", "scannen"]
        return [
            app_command(APP),
            token,
            [*bucket, "--classification", "vertrouwelijk"],
            app,
            [*token[:3], SCANS, *token[4:]],
        ]

    @override
    def key_commands(self) -> list[list[str]]:
        return [key_command(f"p-{name}", APP, level) for name, level in KEYS.items()]

    def _shown(self, stage: Stage, *, files: bool = False) -> dict[str, str]:
        (row,) = json.loads(stage.shown["payloads"][4 if files else 1])
        return {"authorization": f"Bearer {row['token']}"}

    def _ask(self, stage: Stage, operation: str, body: object) -> Any:
        url = f"https://localhost:{stage.ports['payloads']}/v1/{operation}"
        headers = self._shown(stage) | {"content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        trust = ssl.create_default_context(cafile=stage.folder / "ca.pem")
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return answer.read()

    def _file(self, stage: Stage, operation: str, body: bytes) -> bytes:
        url = f"https://localhost:{stage.ports['payloads']}/v1/{operation}{PLACE}"
        request = urllib.request.Request(url, body, self._shown(stage, files=True))
        trust = ssl.create_default_context(cafile=stage.folder / "ca.pem")
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            made: bytes = answer.read()
            return made

    @override
    def is_open(self, stage: Stage) -> bool:
        try:
            self._ask(stage, "encrypt", {"key": "p-durable", "plaintext": ""})
        except OSError:
            return False
        return True

    @override
    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        if not tls:
            return []
        most = max(connections)
        found = [
            Row(self.name, operation, raw, count)
            for operation, raw in (("encrypt", "seal"), ("decrypt", "open"))
            for count in connections
        ]
        found.append(Row(self.name, "encrypt", "seal", most, "grouped"))
        found += [
            Row(self.name, "encrypt-json", "seal-100", count, size=VALUES)
            for count in sorted({min(connections), most})
        ]
        found += [
            Row(self.name, operation, "", count, size=FILE_BYTES)
            for operation in ("seal", "open")
            for count in sorted({min(connections), most})
        ]
        return found

    @override
    def requests(self, stage: Stage, row: Row) -> list[Request]:
        if row.operation in {"seal", "open"}:
            return self._of_files(stage, row)
        key, text = f"p-{row.key}", b64encode(PLAIN).decode()
        if row.operation == "encrypt-json":
            document = {"rows": [{"v": number} for number in range(VALUES)]}
            body = {"key": key, "document": document, "fields": ["/rows/*/v"]}
            sealed = self._ask(stage, "encrypt-json", body)
            told = {"document": json.loads(sealed)["document"]}
            assert told["document"] != document
            opened = self._ask(stage, "decrypt-json", told)
            assert json.loads(opened)["document"] == document
            return self._same(stage, row, body, Request(b"", length=len(sealed)))
        body = {"key": key, "plaintext": text, "context": CONTEXT}
        sealed = self._ask(stage, "encrypt", body)
        shown = {"token": json.loads(sealed)["token"], "context": CONTEXT}
        opened = self._ask(stage, "decrypt", shown)
        assert json.loads(opened)["plaintext"] == text
        if row.operation == "decrypt":
            return self._same(stage, row, shown, Request(b"", opened))
        return self._same(stage, row, body, Request(b"", length=len(sealed)))

    def _of_files(self, stage: Stage, row: Row) -> list[Request]:
        plain = shake_256(b"scan").digest(FILE_BYTES)
        file = self._file(stage, "seal", plain)
        assert self._file(stage, "open", file) == plain
        host, shown = f"localhost:{stage.ports['payloads']}", self._shown(stage, files=True)
        sent = plain if row.operation == "seal" else file
        whole = post(host, f"/v1/{row.operation}{PLACE}", shown, sent)
        wanted = Request(whole, length=len(file)) if sent is plain else Request(whole, plain)
        return [wanted] * 8

    def _same(self, stage: Stage, row: Row, body: object, wanted: Request) -> list[Request]:
        host = f"localhost:{stage.ports['payloads']}"
        target, raw = f"/v1/{row.operation}", json.dumps(body).encode()
        whole = post(host, target, self._shown(stage), raw)
        return [Request(whole, wanted.body, wanted.length)] * REQUESTS
