"""The officers' door does what its OpenAPI document says, for requests that nobody thought of.

Examples are few here and many behind HYOK_LONG=1; every operation of the document is asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
import requests
import schemathesis
from granian.constants import Interfaces
from granian.server.embed import Server
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.peers.ports import free_port
from tests.unit.officer.door import opened

from hyok.database.engine import Database
from hyok.officer.api.app import build_app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = 300 if os.environ.get("HYOK_LONG") else 5
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_schema_conformance, response_headers_conformance),
    *(negative_data_rejection, unsupported_method),
]

SCHEMA = schemathesis.openapi.from_dict(build_app(None).openapi())


class Served:
    """The door on a port of loopback, by the server that serves it in earnest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self.port = free_port()
        self._thread.start()
        assert self._ready.wait(30)
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    return self
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        database = Database(f"sqlite:///{self._folder}/hyok.db")
        database.migrate()
        door = await opened(database)
        self.token = door.provider.token("anna", exp=door.desk.now[0] // 1000 + 86_400)
        self._server = Server(
            door.app,
            address="127.0.0.1",
            port=self.port,
            interface=Interfaces.ASGINL,
            websockets=False,
            log_enabled=False,
        )
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        await self._server.serve()
        database.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("door")) as made:
        yield made


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_the_door_does_what_its_document_says(case: schemathesis.Case, served: Served) -> None:
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{served.port}",
        headers={"authorization": f"Bearer {served.token}"},
        checks=CHECKS,
        timeout=20,
    )


def test_the_document_in_the_tree_is_the_one_that_is_served(served: Served) -> None:
    stored = json.loads((ROOT / "docs" / "openapi.json").read_text())
    answer = requests.get(f"http://127.0.0.1:{served.port}/v1/openapi.json", timeout=20)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == stored, "run docs/generate_openapi.py"
    assert stored["openapi"].startswith("3.1")


def test_the_document_keeps_the_design_rules(served: Served) -> None:
    del served
    document = SCHEMA.raw_schema
    assert not any(path.endswith("/") for path in document["paths"])
    for path, item in document["paths"].items():
        assert re.fullmatch(r"(/[a-z0-9-]+|/\{[a-z]+\})+", path), path
        for method, operation in item.items():
            responses = operation["responses"]
            assert "422" not in responses
            assert operation["summary"]
            assert operation["description"]
            for status, named in responses.items():
                response = named
                if "$ref" in named:
                    name = named["$ref"].removeprefix("#/components/responses/")
                    response = document["components"]["responses"][name]
                kinds = set(response["content"])
                assert kinds == {
                    "application/problem+json" if int(status) >= 400 else "application/json"
                }, (method, path)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", parameter["name"])
    for schema in document["components"]["schemas"].values():
        for name in schema.get("properties", ()):
            assert re.fullmatch(r"[a-z]+([A-Z0-9][a-z0-9]*)*|sha256", name), name
