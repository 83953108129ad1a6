"""Kubernetes' KMS v2: gRPC over the socket, from a client in Python; decryptions are compared."""

from __future__ import annotations

import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from benchmarks.doors.door import PLAIN, Door, Row, app_command, key_command, told_by
from typing_extensions import override

from hyok.doors.kubernetes.messages import MESSAGES, SERVICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.doors.door import Stage

APP, KEY = "cluster", "etcd"


class Kubernetes(Door):
    name = "kubernetes"

    def _socket(self, folder: Path) -> Path:
        return folder / "kms" / "kms.sock"

    @override
    def settings(self, folder: Path, port: int) -> str:
        path = self._socket(folder)
        path.parent.mkdir(mode=0o750)
        return (
            f'[doors.kubernetes]\nenabled = true\nsocket = "{path}"\napp = "{APP}"\n'
            f'key = "{KEY}"\nclassification = "vertrouwelijk"\nrequests_per_second_max = 100000\n'
        )

    @override
    def commands(self, folder: Path) -> list[list[str]]:
        return [app_command(APP)]

    @override
    def key_commands(self) -> list[list[str]]:
        return [key_command(KEY, APP, "vertrouwelijk")]

    def _ask(self, stage: Stage, method: str, **members: Any) -> Any:
        with grpc.insecure_channel(f"unix:{self._socket(stage.folder)}") as channel:
            call = channel.unary_unary(f"/{SERVICE}/{method}")
            asked = MESSAGES[f"{method}Request"](**members).SerializeToString()
            return MESSAGES[f"{method}Response"].FromString(call(asked, timeout=3))

    @override
    def is_open(self, stage: Stage) -> bool:
        try:
            return bool(self._ask(stage, "Status").healthz == "ok")
        except grpc.RpcError:
            return False

    @override
    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        if not tls:
            return []
        return [
            Row(self.name, operation, raw, count, way="socket")
            for operation, raw in (("encrypt", "seal"), ("decrypt", "open"))
            for count in connections
        ]

    @override
    def load(self, stage: Stage, row: Row, seconds: float) -> dict[str, Any]:
        method, members = "Encrypt", {"plaintext": PLAIN, "uid": "bench"}
        if row.operation == "decrypt":
            made = self._ask(stage, "Encrypt", **members)
            method = "Decrypt"
            members = {"ciphertext": made.ciphertext, "key_id": made.key_id, "uid": "bench"}
        asked = MESSAGES[f"{method}Request"](**members).SerializeToString()
        command = [sys.executable, str(Path(__file__).with_name("grpc_load.py")), method]
        command += [
            str(self._socket(stage.folder)),
            b64encode(asked).decode(),
            b64encode(PLAIN).decode(),
        ]
        return told_by([*command, str(row.connections), str(seconds)], row)
