"""AWS KMS: requests signed beforehand; every answer to a decryption is compared."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
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
from tests.e2e import key_store
from typing_extensions import override

from hyok.sigv4.sign import Signer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.doors.door import Stage

APP = "aws-kms"
DATA = b64encode(key_store.METADATA["kmsKeyArn"].encode()).decode()


class Xks(Door):
    name = "xks"
    in_clear = True

    @override
    def settings(self, folder: Path, port: int) -> str:
        return (
            f"[doors.xks]\nenabled = true\nport = {port}\n{tls_lines(folder)}"
            f'[[doors.xks.stores]]\nprefix = "/gemeente"\napp = "{APP}"\n'
            f'regions = ["{key_store.REGION}"]\nrequests_per_second_max = 100000\n'
        )

    @override
    def commands(self, folder: Path) -> list[list[str]]:
        output = str(folder / "console.json")
        return [app_command(APP), ["doors", "xks-file", "/gemeente", "--output", output]]

    @override
    def key_commands(self) -> list[list[str]]:
        return [key_command(name, APP, level) for name, level in KEYS.items()]

    def _aws(self, stage: Stage, way: str) -> key_store.Aws:
        told = json.loads((stage.folder / "console.json").read_text())
        credential = told["XksProxyAuthenticationCredential"]
        port, scheme = stage.ports["xks"], "https" if way == "tls" else "http"
        return key_store.Aws(stage.made, port, stage.folder, credential, [], scheme=scheme)

    @override
    def is_open(self, stage: Stage) -> bool:
        ways = (self._encrypt(stage, way, "durable", PLAIN)[0] for way in ("tls", "clear"))
        return 200 in ways

    def _encrypt(self, stage: Stage, way: str, key: str, plain: bytes) -> tuple[int, Any]:
        aws = self._aws(stage, way)
        body = {"requestMetadata": key_store.METADATA, "encryptionAlgorithm": "AES_GCM"}
        body |= {"plaintext": b64encode(plain).decode(), "additionalAuthenticatedData": DATA}
        return aws.ask(f"keys/{key}/encrypt", body, certificate="")

    @override
    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        way, most = "tls" if tls else "clear", max(connections)
        found = [
            Row(self.name, operation, raw, count, way=way)
            for operation, raw in (("encrypt", "seal"), ("decrypt", "open"))
            for count in connections
        ]
        found.append(Row(self.name, "encrypt", "seal", most, "grouped", way=way))
        found.append(Row(self.name, "encrypt", "seal", most, size=4096, way=way))
        return found

    @override
    def requests(self, stage: Stage, row: Row) -> list[Request]:
        credential = self._aws(stage, row.way).credential
        access, secret = credential["AccessKeyId"], credential["RawSecretAccessKey"]
        signer = Signer(access, secret, key_store.REGION, service="kms-xks-proxy")
        plain = (PLAIN * (row.size // 32 + 1))[: row.size]
        body: dict[str, Any] = {"encryptionAlgorithm": "AES_GCM"}
        body["additionalAuthenticatedData"] = DATA
        answer = b""
        if row.operation == "encrypt":
            body["plaintext"] = b64encode(plain).decode()
        else:
            status, sealed = self._encrypt(stage, row.way, row.key, plain)
            assert status == 200, sealed
            body |= sealed
            told = {"plaintext": b64encode(plain).decode()}
            answer = json.dumps(told, separators=(",", ":")).encode()
        host = f"localhost:{stage.ports['xks']}"
        target = f"/gemeente/kms/xks/v1/keys/{row.key}/{row.operation}"
        found = []
        for number in range(REQUESTS):
            metadata = key_store.METADATA | {"kmsRequestId": f"{number:032d}"}
            raw = json.dumps(body | {"requestMetadata": metadata}).encode()
            now, digest = datetime.now(UTC), sha256(raw).hexdigest()  # noqa: TID251
            shown = {"content-type": "application/json"}
            signed = signer.sign("POST", host, target, [], shown, digest, now)
            found.append(Request(post(host, target, signed, raw), answer))
        return found
