"""A worker of the doors: it opens, says how it is, and ends when it is told to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

from hyok import settings as settings_file
from hyok.door_serving import run_doors

if TYPE_CHECKING:
    from hyok.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


async def get(port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    whole = await reader.read()
    writer.close()
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def opened(port: int, worker: asyncio.Task[None]) -> None:
    for _ in range(400):
        if worker.done():
            worker.result()
        try:
            await get(port, "/ping")
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the door does not open")


def settings_of(tmp_path: Path, management: int, doors: str) -> Settings:
    text = f"""
[installation]
mode = "development"
run_directory = "{tmp_path}"
[management]
port = {management}
[gateway]
workers = 2
[database]
url = "sqlite:///{tmp_path}/hyok.db"
[audit]
file = "{tmp_path}/audit.jsonl"
[policies]
directory = "{ROOT}/policies"
[hsm]
kind = "software"
software_file = "{tmp_path}/keys.json"
{doors}
[[stores]]
kind = "files"
name = "local"
path = "{tmp_path}/store"
"""
    return settings_file.parse(text, "test")


XKS = """
[doors.xks]
enabled = true
port = {port}
[[doors.xks.stores]]
prefix = "/gemeente"
app = "aws-kms"
regions = ["eu-central-1"]
"""
DKE = """
[doors.dke]
enabled = true
port = {port}
public_url = "https://dke.gemeente.example"
app = "office"
[[doors.dke.tenants]]
id = "11111111-2222-4333-8444-555555555555"
[[doors.dke.keys]]
name = "geheim"
label = "Geheim"
classification = "geheim"
people = ["@gemeente.example"]
"""


async def test_a_worker_opens_says_how_it_is_and_ends(tmp_path: Path, free_ports: Any) -> None:
    door, management = free_ports
    stop = asyncio.Event()
    settings = settings_of(tmp_path, management - 2, XKS.format(port=door))
    worker = asyncio.create_task(run_doors(settings, 0, stop, "xks"))
    await opened(door, worker)
    assert await get(door, "/ping") == (200, b"ok\n")
    status, body = await get(door, "/gemeente/kms/xks/v1/health")
    assert (status, body) == (405, b"")
    status, body = await get(door, "/anders")
    assert (status, json.loads(body)["errorName"]) == (404, "InvalidUriPathException")
    status, body = await get(management, "/readyz")
    assert (status, json.loads(body)["doors"]) == (200, "ok")
    status, body = await get(management, "/metrics")
    assert b"hyok_door_tokens_failing 0.0" in body
    stop.set()
    await asyncio.wait_for(worker, 20)


async def test_office_has_a_worker_of_its_own(tmp_path: Path, free_ports: Any) -> None:
    door, management = free_ports
    doors = DKE.format(port=door) + XKS.format(port=0)
    settings = settings_of(tmp_path, management - 3, doors)  # after those of the other door
    stop = asyncio.Event()
    worker = asyncio.create_task(run_doors(settings, 0, stop, "dke"))
    await opened(door, worker)
    assert (await get(door, "/geheim"))[0] == 403  # its app was not made yet
    assert (await get(door, "/anders"))[0] == 404
    status, body = await get(management, "/readyz")
    assert (status, json.loads(body)["doors"]) == (200, "ok")
    status, body = await get(management, "/metrics")
    wanted = 'hyok_door_requests_total{door="dke",error="Denied",operation="key"} 1.0'
    assert wanted in body.decode()
    stop.set()
    await asyncio.wait_for(worker, 20)


KUBERNETES = """
[doors.kubernetes]
enabled = true
socket = "{folder}/kms.sock"
app = "cluster"
key = "etcd"
classification = "vertrouwelijk"
"""


async def test_an_api_server_has_a_worker_on_a_socket_of_its_own(
    tmp_path: Path, free_ports: Any
) -> None:
    _, management = free_ports
    settings = settings_of(tmp_path, management - 2, KUBERNETES.format(folder=tmp_path))
    stop = asyncio.Event()
    worker = asyncio.create_task(run_doors(settings, 0, stop, "kubernetes"))
    path = tmp_path / "kms.sock"
    for _ in range(400):
        if worker.done():
            worker.result()
        if path.exists():
            break
        await asyncio.sleep(0.05)
    async with aio.insecure_channel(f"unix:{path}") as channel:
        status = channel.unary_unary("/v2.KeyManagementService/Status")
        with pytest.raises(aio.AioRpcError) as caught:
            await status(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED  # its app was not made yet
    status, body = await get(management, "/readyz")
    assert (status, json.loads(body)["doors"]) == (200, "ok")
    status, body = await get(management, "/metrics")
    wanted = 'hyok_door_requests_total{door="kubernetes",error="Denied",operation="status"} 1.0'
    assert wanted in body.decode()
    stop.set()
    await asyncio.wait_for(worker, 20)
    assert not path.exists()
