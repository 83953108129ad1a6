"""The payloads door does what its OpenAPI document says, for requests that nobody thought of.

Examples are few here and many behind HYOK_LONG=1; every operation of the document is asked, over
the HTTP engine that serves it in earnest.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests
import schemathesis
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
from tests.unit.doors.payloads import payloads

from hyok.custody.door_key import Usage
from hyok.doors.payloads.description import describe
from hyok.http1.pump import PumpPool
from hyok.http1.server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = 300 if os.environ.get("HYOK_LONG") else 10
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_schema_conformance, response_headers_conformance),
    *(negative_data_rejection, unsupported_method),
]
SCHEMA = schemathesis.openapi.from_dict(describe())


class Served:
    """The door on a port of loopback, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        async with payloads(self._folder) as made:
            await made.store.make("bus", Usage.DECRYPT, kind="rsa-2048")
            self.token = made.token
            pump = PumpPool(4)
            server = await serve(made.door.handle, pump=pump)
            self._port, self._stop = server.port, asyncio.Event()
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._stop.wait()
            await server.close()
            pump.close()

    def ask(self, path: str, body: Any) -> Any:
        bearer = {"authorization": f"Bearer {self.token}"}
        answer = requests.post(f"{self.url}/v1/{path}", json=body, headers=bearer, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()


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
        base_url=served.url,
        headers={"authorization": f"Bearer {served.token}"},
        checks=CHECKS,
        timeout=20,
    )


def test_what_it_says_of_good_answers_is_so(served: Served) -> None:
    validate = SCHEMA.raw_schema["components"]["schemas"]
    plain = b64encode(b"geheim").decode()
    made = served.ask("encrypt", {"key": "kms", "plaintext": plain, "context": {"a": "b"}})
    opened = served.ask("decrypt", {"token": made["token"], "context": {"a": "b"}})
    again = served.ask("rewrap", {"token": made["token"]})
    fields = ["/*/x", {"pointer": "/0/y", "index": {"key": "zoek", "member": "z"}}]
    document = served.ask(
        "encrypt-json", {"key": "kms", "document": [{"x": 1, "y": "q"}], "fields": fields}
    )
    back = served.ask("decrypt-json", {"document": document["document"]})
    found = served.ask("index", {"key": "zoek", "pointer": "/*/y", "value": "q"})
    nine = served.ask("encrypt-bsn", {"key": "bsn", "bsn": "123456782"})
    named = {"key": "bsn", "version": nine["version"], "token": nine["token"]}
    bearer = {"authorization": f"Bearer {served.token}"}
    public = requests.get(f"{served.url}/v1/public-keys/bus", headers=bearer, timeout=20).json()
    for name, told in (
        *(("Encrypted", made), ("Decrypted", opened), ("Encrypted", again)),
        *(("EncryptedJson", document), ("DecryptedJson", back), ("Indexed", found)),
        *(("EncryptedBsn", nine), ("DecryptedBsn", served.ask("decrypt-bsn", named))),
        ("PublicKey", public),
    ):
        assert set(validate[name]["properties"]) == set(told), name
    assert opened["plaintext"] == plain
    assert back["decrypted"] == 2
    assert document["document"][0]["z"] == found["index"]


def test_the_document_is_for_everybody_and_keeps_the_design_rules(served: Served) -> None:
    answer = requests.get(f"{served.url}/v1/openapi.json", timeout=20)
    assert answer.json() == describe()
    assert answer.headers["access-control-allow-origin"] == "*"
    document = SCHEMA.raw_schema
    assert document["openapi"].startswith("3.1")
    assert not any(path.endswith("/") for path in document["paths"])
    for path, item in document["paths"].items():
        assert re.fullmatch(r"(/[a-z0-9-]+|/\{[a-z]+\})+", path), path
        for operation in item.values():
            assert operation["summary"]
            assert operation["description"]
            assert "200" in operation["responses"]
    for status, response in document["components"]["responses"].items():
        assert int(status) >= 400
        assert set(response["content"]) == {"application/problem+json"}
    for schema in document["components"]["schemas"].values():
        for name in schema.get("properties", ()):
            assert re.fullmatch(r"[a-z]+([A-Z0-9][a-z0-9]*)*", name), name
