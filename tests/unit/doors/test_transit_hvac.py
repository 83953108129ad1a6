"""hvac, the Python client of Vault, and SOPS against the door over HTTP, with keys in memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hvac
import pytest
from tests.unit.doors.vault import vault

from hyok.custody.key_states import KeyState
from hyok.http1.pump import PumpPool
from hyok.http1.server import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


@asynccontextmanager
async def client_of(folder: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Yield a client, and what runs its calls beside the loop that answers them."""
    pump = PumpPool(1)
    async with vault(folder) as made:
        server = await serve(made.door.handle, pump=pump)
        client = hvac.Client(f"http://127.0.0.1:{server.port}", token=made.token)
        try:
            yield made, client
        finally:
            client.adapter.close()
            await server.close()
            pump.close()


async def call(ask: Callable[..., Any], *given: Any, **more: Any) -> Any:
    return await asyncio.to_thread(lambda: ask(*given, **more))


async def test_what_hvac_asks_of_the_system_and_of_its_token(tmp_path: Path) -> None:
    async with client_of(tmp_path) as (_, client):
        assert await call(client.is_authenticated)
        assert await call(client.sys.is_initialized)
        assert not await call(client.sys.is_sealed)
        assert (await call(client.sys.read_health_status)).status_code == 200
        told = await call(client.sys.read_health_status, method="GET")
        assert told["sealed"] is False
        assert (await call(client.auth.token.renew_self))["auth"]["lease_duration"] > 0
        mounts = await call(client.sys.list_mounted_secrets_engines)
        assert mounts["data"]["transit/"]["type"] == "transit"


async def test_what_hvac_asks_of_keys(tmp_path: Path) -> None:
    async with client_of(tmp_path) as (made, client):
        transit = client.secrets.transit
        assert (await call(transit.list_keys))["data"]["keys"] == ["kms", "macs", "teken"]
        shown = (await call(transit.read_key, "kms"))["data"]
        assert shown["type"] == "aes256-gcm96"
        beside = {"associated_data": b64(b"zaak"), "context": b64(b"c")}
        sealed = (await call(transit.encrypt_data, "kms", b64(b"x"), **beside))["data"]
        opened = await call(transit.decrypt_data, "kms", sealed["ciphertext"], **beside)
        assert b64decode(opened["data"]["plaintext"]) == b"x"
        with pytest.raises(hvac.exceptions.InvalidRequest, match="message authentication failed"):
            await call(transit.decrypt_data, "kms", sealed["ciphertext"])
        old = (await call(transit.encrypt_data, "kms", b64(b"oud")))["data"]["ciphertext"]
        await made.store.make("kms", version=2)
        new = (await call(transit.rewrap_data, "kms", old))["data"]["ciphertext"]
        assert new.startswith("vault:v2:")
        for kind in ("plaintext", "wrapped"):
            for bits in (128, 256, 512):
                told = (await call(transit.generate_data_key, "kms", kind, bits=bits))["data"]
                opened = (await call(transit.decrypt_data, "kms", told["ciphertext"]))["data"]
                assert len(b64decode(opened["plaintext"])) == bits // 8
                assert told.get("plaintext", opened["plaintext"]) == opened["plaintext"]
        random = (await call(transit.generate_random_bytes, n_bytes=24))["data"]["random_bytes"]
        assert len(b64decode(random)) == 24
        mac = await call(transit.generate_hmac, "macs", b64(b"m"), algorithm="sha2-256")
        for text, valid in ((b"m", True), (b"n", False)):
            said = await call(
                transit.verify_signed_data, "macs", b64(text), hmac=mac["data"]["hmac"]
            )
            assert said["data"]["valid"] is valid
        signed = await call(transit.sign_data, "teken", b64(b"m"), hash_algorithm="sha2-256")
        for text, valid in ((b"m", True), (b"n", False)):
            said = await call(
                transit.verify_signed_data,
                "teken",
                b64(text),
                signature=signed["data"]["signature"],
                hash_algorithm="sha2-256",
            )
            assert said["data"]["valid"] is valid
        batch = [{"plaintext": b64(b"1")}, {"plaintext": "%"}]
        with pytest.raises(hvac.exceptions.InvalidRequest):
            await call(transit.encrypt_data, "kms", batch_input=batch)


async def test_what_hvac_is_refused(tmp_path: Path) -> None:
    async with client_of(tmp_path) as (_, client):
        transit, forbidden = client.secrets.transit, hvac.exceptions.Forbidden
        assert (await call(transit.create_key, "kms")).status_code == 204
        for ask, given in (
            (transit.create_key, ("nieuw",)),
            (transit.rotate_key, ("kms",)),
            (transit.delete_key, ("kms",)),
            (transit.export_key, ("kms", "encryption-key")),
            (transit.backup_key, ("kms",)),
        ):
            with pytest.raises(forbidden):
                await call(ask, *given)
        with pytest.raises(hvac.exceptions.InvalidPath):
            await call(transit.read_key, "anders")
        client.token = "hyv.onbekend"
        with pytest.raises(forbidden):
            await call(transit.read_key, "kms")


async def test_sops_keeps_a_file_under_a_key_of_the_door(tmp_path: Path) -> None:
    file = tmp_path / "geheimen.yaml"
    file.write_text("wachtwoord: paard-batterij\n")
    async with client_of(tmp_path) as (made, client):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "VAULT_ADDR": client.url,
            "VAULT_TOKEN": made.token,
        }
        sops = str(Path(sys.executable).with_name("sops"))

        async def run(*words: str) -> tuple[int, str]:
            done = await asyncio.to_thread(
                subprocess.run,
                [sops, *words],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            return done.returncode, done.stdout + done.stderr

        place = f"{client.url}/v1/transit/keys/kms"
        code, said = await run("encrypt", "--hc-vault-transit", place, "--in-place", str(file))
        assert code == 0, said
        assert "paard" not in file.read_text()
        assert "vault:v1:" in file.read_text()
        await made.store.make("kms", version=2)
        assert await run("decrypt", str(file)) == (0, "wachtwoord: paard-batterij\n")
        code, said = await run("rotate", "--in-place", str(file))
        assert code == 0, said
        assert "vault:v2:" in file.read_text()
        await made.store.catalog.change_state("t", "kms", KeyState.SUSPENDED)
        code, said = await run("decrypt", str(file))
        assert code
        assert "paard" not in said
