"""A worker of the doors: it opens, says how it is, and ends when it is told to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from hyok import settings as settings_file
from hyok.door_serving import run_doors

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


async def test_a_worker_opens_says_how_it_is_and_ends(tmp_path: Path, free_ports: Any) -> None:
    door, management = free_ports
    text = f"""
[installation]
mode = "development"
run_directory = "{tmp_path}"
[management]
port = {management - 2}
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
[doors.xks]
enabled = true
port = {door}
[[doors.xks.stores]]
prefix = "/gemeente"
app = "aws-kms"
regions = ["eu-central-1"]
[[stores]]
kind = "files"
name = "local"
path = "{tmp_path}/store"
"""
    stop = asyncio.Event()
    worker = asyncio.create_task(run_doors(settings_file.parse(text, "test"), 0, stop))
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
