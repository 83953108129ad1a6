"""A Kubernetes API server in front of KMS v2: a gRPC client on the door's socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from hyok.doors.kubernetes.messages import MESSAGES, SERVICE

if TYPE_CHECKING:
    from pathlib import Path

API_SERVER_SECONDS = 3.0
"""How long an API server waits where nothing else is said."""

SEED = bytes(range(32))


def settings(path: Path, *, app: str, key: str) -> str:
    """Return the settings of the door, and make the folder of its socket."""
    path.parent.mkdir(mode=0o750)
    return (
        f'[doors.kubernetes]\nenabled = true\nsocket = "{path}"\napp = "{app}"\n'
        f'key = "{key}"\nclassification = "vertrouwelijk"\n'
    )


@dataclass
class ApiServer:
    """Whoever encrypts its seeds at the door."""

    path: Path

    def ask(self, method: str, seconds: float = API_SERVER_SECONDS, **members: Any) -> Any:
        with grpc.insecure_channel(f"unix:{self.path}") as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=lambda asked: asked.SerializeToString(),
                response_deserializer=MESSAGES[f"{method}Response"].FromString,
            )
            return call(MESSAGES[f"{method}Request"](**members), timeout=seconds)

    def encrypt(self) -> Any:
        return self.ask("Encrypt", plaintext=SEED, uid="e-1")

    def decrypt(self, sealed: Any) -> bytes:
        told = {"ciphertext": sealed.ciphertext, "key_id": sealed.key_id, "uid": "d-1"}
        opened: bytes = self.ask("Decrypt", **told).plaintext
        return opened
