"""`hyok dev` with the officers' door beside it, and npm's oidc-provider as identity provider."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e import running
from tests.e2e.four_eyes import together
from tests.peers.oidc_provider import CLI_CLIENT, CLIENT, OidcProvider
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEOPLE = {"anna": "demo-anna", "bram": "demo-bram"}  # login at the provider -> officer


@dataclass
class Place:
    """What runs."""

    home: Path
    config: Path
    provider: OidcProvider
    origin: str
    dev_origin: str  # of the door that `hyok dev` serves itself
    door: subprocess.Popen[bytes]


@contextmanager
def place(folder: Path, *, seconds: int = 300) -> Iterator[Place]:
    """Have everything run; ``seconds``: how long an ID token lasts."""
    home = folder / "home"
    port = free_port()
    origin = f"https://localhost:{port}"
    dev_port = free_port()
    started = running.start(home, "--officer-port", str(dev_port))
    try:
        with OidcProvider(folder, f"{origin}/sign-in/callback", seconds) as provider:
            config = _configure(home, origin, port, provider)
            together(
                config,
                *(
                    (
                        "officers",
                        "add-identity",
                        officer,
                        "--login",
                        f"oidc:{provider.issuer}#{who}",
                    )
                    for who, officer in PEOPLE.items()
                ),
            )
            door = _serve(config, port)
            try:
                dev_origin = f"https://localhost:{dev_port}"
                yield Place(home, config, provider, origin, dev_origin, door)
            finally:
                door.send_signal(signal.SIGTERM)
                assert door.wait(60) == 0
    finally:
        started.stop()


def _configure(home: Path, origin: str, port: int, provider: OidcProvider) -> Path:
    text = re.sub(
        r"(?s)\[officers\.api\]\n.*?(?=\n\[)", "", (home / "hyok.toml").read_text(), count=1
    )
    text += f"""
[officers.oidc]
issuer = "{provider.issuer}"
client_id = "{CLIENT}"
cli_client_id = "{CLI_CLIENT}"
scopes = ["openid", "offline_access"]
ca_file = "{provider.ca_file}"
clock_skew_seconds = 0
[officers.api]
enabled = true
port = {port}
public_url = "{origin}"
tls_certificate = "{home / "gateway.pem"}"
tls_key = "{home / "gateway.key"}"
"""
    config = home / "officers.toml"
    config.write_text(text)
    return config


def _serve(config: Path, port: int) -> subprocess.Popen[bytes]:
    with (config.parent / "door.out").open("wb") as out:
        door = subprocess.Popen(
            [sys.executable, "-m", "hyok", "serve", "officer", "--config", str(config)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + running.READY_SECONDS_MAX
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return door
        if door.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((config.parent / "door.out").read_text()[-3000:])
        time.sleep(0.1)
