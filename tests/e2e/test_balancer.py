"""Behind HAProxy, which ends TLS or leaves it alone: the log knows the client, not the balancer."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.e2e import running
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin")
CLIENT = "127.0.0.2"  # any address of 127.0.0.0/8 is ours on Linux

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.skipif(HAPROXY is None, reason="no haproxy here"),
]

BALANCER = """
global
 nbthread 1
defaults
 mode tcp
 timeout connect 5s
 timeout client 30s
 timeout server 30s
listen door
 bind 127.0.0.1:{port}{tls}
 server hyok {hyok} send-proxy-v2
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("balancer") / "home"
    running.prepare(made)
    (made / "balancer.pem").write_text(
        (made / "gateway.pem").read_text() + (made / "gateway.key").read_text()
    )
    return made


@pytest.fixture(params=["ends-tls", "leaves-tls"])
def door(home: Path, request: pytest.FixtureRequest) -> Iterator[tuple[running.Gateway, str]]:
    """A gateway that only the balancer may speak to, and the balancer's address."""
    ends = request.param == "ends-tls"
    config = running.configure(home, request.param, "", https=not ends)
    trust = '[gateway]\nproxy_protocol_from = ["127.0.0.1"]\n'
    config.write_text(config.read_text().replace("[gateway]\n", trust, 1))
    port = free_port()
    with ExitStack() as over:
        gateway = running.serve(config)
        over.callback(gateway.stop)
        file = home / f"{request.param}.cfg"
        tls = f" ssl crt {home / 'balancer.pem'}" if ends else ""
        hyok = urlsplit(gateway.endpoint).netloc
        file.write_text(BALANCER.format(port=port, tls=tls, hyok=hyok))
        assert HAPROXY is not None
        balancer = subprocess.Popen([HAPROXY, "-db", "-f", str(file)])
        over.callback(balancer.wait, 10)
        over.callback(balancer.terminate)
        _wait(port)
        yield gateway, f"https://127.0.0.1:{port}"


def _wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the balancer does not come up"
            time.sleep(0.05)
        else:
            return


def origins(home: Path, name: str) -> set[str]:
    lines = (home / "audit" / f"{name}.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {record["origin"] for record in records if record["action"] == "object:get"}


def test_the_log_names_the_client_and_nobody_comes_past_the_balancer(
    home: Path, door: tuple[running.Gateway, str]
) -> None:
    gateway, address = door
    context = ssl.create_default_context(cafile=str(home / "ca.pem"))
    with closing(running.client_of(home, address, signature_version="s3v4")) as s3:
        s3.put_object(Bucket="intern", Key="brief", Body=b"inhoud")
        link = s3.generate_presigned_url("get_object", Params={"Bucket": "intern", "Key": "brief"})
    asked = urlsplit(link)
    client = http.client.HTTPSConnection(
        asked.netloc, context=context, source_address=(CLIENT, 0), timeout=20
    )
    with closing(client):
        client.request("GET", f"{asked.path}?{asked.query}")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"inhoud")
    straight = http.client.HTTPConnection(urlsplit(gateway.endpoint).netloc, timeout=20)
    with closing(straight), pytest.raises((OSError, http.client.HTTPException)):
        straight.request("GET", "/")
        straight.getresponse()
    name = gateway.run_directory.name.removeprefix("hyok-").rpartition("-")[0]
    assert gateway.stop() == 0
    assert origins(home, name) == {CLIENT}
