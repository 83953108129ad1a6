"""The door on our own engine, over TLS with certificates on both sides, as curl signs and asks."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from tests.unit.doors.house import METADATA, PREFIX, REGION, b64, key_store

from hyok.http1.pump import PumpPool
from hyok.http1.server import serve
from hyok.http1.tls import TlsSettings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here"),
]
NAME = "cks.kms.eu-central-1.amazonaws.com"


async def curl(*arguments: str) -> tuple[int, Any]:
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-w", "\n%{http_code}", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    body, _, status = out.rpartition(b"\n")
    return int(status), json.loads(body) if body else {}


async def test_curl_signs_as_kms_does_and_is_let_in_by_its_certificate(tmp_path: Path) -> None:
    ours, amazon = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    amazon.cert_pem.write_to_path(tmp_path / "amazon.pem")
    served = ours.issue_cert("localhost")
    served.private_key_and_cert_chain_pem.write_to_path(tmp_path / "xks.pem")
    for name, common in (("kms", NAME), ("stranger", "elders.example.nl")):
        issued = amazon.issue_cert(common, common_name=common)
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    tls = TlsSettings(
        tmp_path / "xks.pem", tmp_path / "xks.pem", tmp_path / "amazon.pem", frozenset({NAME})
    )
    pump = PumpPool(2)
    async with key_store(tmp_path) as aws:
        aws.house.now[0] = time.time_ns() // 1_000_000
        server = await serve(aws.door.handle, pump=pump, tls=tls)
        base = f"https://localhost:{server.port}"

        async def ask(
            path: str, body: dict[str, Any], *more: str, certificate: str = "kms", secret: str = ""
        ) -> tuple[int, Any]:
            secret = secret or aws.issued.secret.get_secret_value()
            return await curl(
                *("--cacert", str(tmp_path / "ca.pem")),
                *("--cert", str(tmp_path / f"{certificate}.pem")),
                *("--aws-sigv4", f"aws:amz:{REGION}:kms-xks-proxy"),
                *("--user", f"{aws.issued.access_key}:{secret}"),
                *("-H", "Content-Type: application/json", "-d", json.dumps(body), *more),
                f"{base}{PREFIX}/kms/xks/v1/{path}",
            )

        body = {
            "requestMetadata": METADATA,
            "encryptionAlgorithm": "AES_GCM",
            "plaintext": b64(b"Hello World!"),
            "additionalAuthenticatedData": b64(bytes(8192)),
            "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
        }
        status, sealed = await ask("keys/kms/encrypt", body)
        assert status == 200, sealed
        names = ("ciphertext", "initializationVector", "authenticationTag", "ciphertextMetadata")
        back = {name: sealed[name] for name in names}
        back |= {name: body[name] for name in body if name.startswith(("request", "enc", "add"))}
        opened = await ask("keys/kms/decrypt", back)
        assert opened == (200, {"plaintext": b64(b"Hello World!")})
        health = {"requestMetadata": {"kmsRequestId": "1", "kmsOperation": "KmsHealthCheck"}}
        assert (await ask("health", health))[0] == 200
        assert (await ask("health", health, secret="x" * 44))[0] == 401
        assert (await ask("health", health, "-X", "GET"))[0] == 405
        assert (await ask("health", health, certificate="stranger"))[0] == 0
        ping = ("--cacert", str(tmp_path / "ca.pem"), "--cert", str(tmp_path / "kms.pem"))
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", *ping, f"{base}/ping", stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0] == b"ok\n"
        await server.close()
    pump.close()
