"""An installation as an operator makes it: settings by hand, everything else by the CLI."""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import shutil
import tempfile
import threading
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import ClientError
from tests.e2e import forked, running
from tests.peers.ports import free_port
from typer.testing import CliRunner

from hyok.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.faults.shim import Shim

ROOT = Path(__file__).parents[2]
TENANT = "gemeente"
CLASSES = ("intern", "vertrouwelijk", "geheim")


def cli(config: Path, commands: Sequence[Sequence[str]], ok: Sequence[int] = (0,)) -> list[str]:
    """Run commands of `hyok`, one after the other in one process; return what each printed."""
    environment = {**os.environ, "HOME": "/nonexistent", "HYOK_CONFIG": str(config)}
    done = forked.several(commands, environment)
    assert done.returncode in ok, done.stdout + done.stderr
    return done.stdout.split("\x1e")


def init_token(folder: Path, *options: str) -> dict[str, Any]:
    """Make a token with `hyok hsm init`; return the [hsm] table that it tells to write."""
    done = CliRunner().invoke(app, ["hsm", "init", str(folder), *options])
    assert done.exit_code == 0, done.output
    table: dict[str, Any] = tomllib.loads(done.output.partition("settings:\n")[2])["hsm"]
    return table


def app_command(tenant: str) -> list[str]:
    """Return the command that makes an app which may do everything, and prints its key."""
    create = ("apps", "create", f"{tenant}-zaaksysteem", "--tenant", tenant, "--json")
    return [*create, "--clearance", "geheim", "--purpose", "zaakafhandeling"]


@dataclass
class Operated:
    """The folder of one installation, and what may be done with it."""

    home: Path
    run_directory: Path
    config: Path
    port: int
    management: int
    hsm: Mapping[str, Any] = field(default_factory=dict)
    gateways: list[running.Gateway] = field(default_factory=list)

    def cli(self, *commands: Sequence[str], ok: Sequence[int] = (0,)) -> list[str]:
        return cli(self.config, commands, ok)

    def furnish(self, profile: int = 1, tenant: str = TENANT, prefix: str = "") -> None:
        """Make keys of this profile, a bucket for each class, and an app that may do everything."""
        keys = [("system", "secrets"), (tenant, "tenant"), *((tenant, name) for name in CLASSES)]
        create = ("keys", "create", "--profile", str(profile))
        make = ("buckets", "create", "--tenant", tenant)
        *_, shown, _ = self.cli(
            *([*create, "--tenant", owner, "--classification", name] for owner, name in keys),
            *([*make, prefix + name, "--classification", name] for name in CLASSES),
            app_command(tenant),
        )
        self.act_as(shown)

    def act_as(self, shown: str) -> None:
        """Let clients made from now on be those of the app whose creation printed this."""
        (self.home / "demo.json").write_text(json.dumps(json.loads(shown)[0]))

    def alone(self, *command: str, ok: int = 0) -> str:
        """Run one command in a process of its own, for its exit code; return what it said."""
        done = forked.hyok(*command, "--config", str(self.config))
        assert done.returncode == ok, done.stdout + done.stderr
        return done.stdout or done.stderr  # an error is told there, what was found here

    def serve(self, *, ready: bool = True) -> running.Gateway:
        """Start `hyok serve gateway`; wait until it is ready, or only until it lives."""
        made = running.serve(self.config, until="readyz" if ready else "livez")
        self.gateways.append(made)
        return made

    def close(self) -> None:
        """End what runs, and expect that each ends well."""
        codes = [made.stop() for made in self.gateways if made.process.poll() is None]
        shutil.rmtree(self.run_directory, ignore_errors=True)
        assert not any(codes), codes

    def readyz(self) -> tuple[int, dict[str, str]]:
        """Return status and document of /readyz."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.management}/readyz", timeout=10
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def wait_ready(self, seconds: float = 30.0) -> float:
        """Return how long it took until /readyz is well."""
        began = time.monotonic()
        while self.readyz()[0] != 200:
            assert time.monotonic() - began < seconds, self.readyz()
            time.sleep(0.05)
        return time.monotonic() - began

    def agents(self, token: str = "") -> list[int]:
        """Return the pids of the agents, or of the one of a token."""
        return list(processes_of("hyok.hsm.agent", f"{self.run_directory}/hsm-{token}"))


def processes_of(*parts: str) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if all(part in command for part in parts):
            yield int(folder.name)


def install(
    home: Path,
    hsm: Mapping[str, Any],
    *,
    deadline_seconds: float = 5.0,
    workers: int = 1,
    limits: str = "",
    database: str = "",
    gateway: str = "",
    name: str = "hyok",
    audit: str = "",
) -> Operated:
    """Write the settings of an installation with this [hsm] table; ``name`` tells hosts apart."""
    home.mkdir(mode=0o700, exist_ok=True)
    for folder in ("log", "audit"):
        (home / folder).mkdir(exist_ok=True)
    run_directory = Path(tempfile.mkdtemp(prefix="hyok-op-"))  # a socket's path must be short
    port, management = free_port(), free_port()
    tokens = ["[[hsm.tokens]]\n" + _table(token) for token in hsm["tokens"]]
    config = home / f"{name}.toml"
    config.write_text(
        f'[installation]\nrun_directory = "{run_directory}"\n'
        f"[gateway]\nport = {port}\nworkers = {workers}\n{gateway}"
        f"[limits]\n{limits}"
        f"[management]\nport = {management}\n"
        f'[database]\nurl = "{database or f"sqlite:///{home}/hyok.db"}"\n'
        f'[audit]\nfile = "{home / "audit" / (name.replace("hyok", "audit") + ".jsonl")}"\n{audit}'
        f'[policies]\ndirectory = "{ROOT / "policies"}"\n'
        f'[log]\nfile = "{home / "log" / "gateway.jsonl"}"\n'
        f'[hsm]\nprofile = "{hsm["profile"]}"\ndeadline_seconds = {deadline_seconds}\n'
        f'profiles_directory = "{ROOT / "hsm" / "profiles"}"\n'
        f"profiles = {list(hsm.get('profiles', ()))}\n" + "".join(tokens) + "[[stores]]\n"
        f'kind = "files"\nname = "local"\npath = "{home / "store"}"\n'
    )
    return Operated(home, run_directory, config, port, management, hsm)


def reinstalled(made: Operated, *, beside: bool = False, **more: Any) -> Operated:
    """Return it with other settings; with ``beside``, a second host of the same installation."""
    if beside:
        more |= {"name": "hyok-beside"}
        more |= {"database": tomllib.loads(made.config.read_text())["database"]["url"]}
    return install(made.home, made.hsm, **more)


def _table(token: Mapping[str, Any]) -> str:
    lines = []
    for name, value in token.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{key} = {json.dumps(text)}" for key, text in value.items())
            lines.append(f"{name} = {{ {inner} }}")
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


# ── one installation on SoftHSM, made once and copied ───────────────────────────────────────────


@functools.cache
def _template() -> Path:
    """Return a folder with `home` and `token-a`: made by the CLI, nothing of it runs."""
    folder = Path(tempfile.mkdtemp(prefix="hyok-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = install(folder / "home", init_token(folder / "token-a", "--name", "a"))
    made.furnish()
    made.cli(
        [*("buckets", "create", "koud", "--tenant", TENANT), *("--classification", "intern")],
        ["audit", "key", "--create"],
    )
    made.close()
    return folder


def copied(
    folder: Path, *, tokens: str = "a", shim: Shim | None = None, limits: str = "", **more: Any
) -> Operated:
    """Return an installation of its own on copies of the template's token.

    Args:
        tokens: a letter for each token of the group; all hold the same keys.
        shim: the module between the agents and SoftHSM.
    """
    template = _template()
    shutil.copytree(template / "home", folder / "home")
    table: dict[str, Any] = {"profile": "softhsm", "tokens": []}
    for name in tokens:
        place = folder / f"token-{name}"
        shutil.copytree(template / "token-a", place)
        config = place / "softhsm2.conf"
        config.write_text(config.read_text().replace(str(template / "token-a"), str(place)))
        token: dict[str, Any] = {
            "name": name,
            "label": "hyok-test",
            "pin_file": str(place / "hsm.pin"),
            "environment": {"SOFTHSM2_CONF": str(config)},
        }
        if shim is not None:
            token["module"] = shim.library
            token["environment"] |= shim.environment
        table["tokens"].append(token)
    return install(folder / "home", table, limits=limits, **more)


def status_of(error: ClientError) -> int:
    """Return the HTTP status of a client's error."""
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


@dataclass
class Load:
    """Clients that write and read without retries, each in a thread of its own, until told."""

    gateway: running.Gateway
    buckets: Sequence[str]
    clients: int = 4
    done: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    held: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        s3 = self.gateway.client()
        for turn in itertools.count():
            if self._stop.is_set():
                return
            bucket = self.buckets[(number + turn) % len(self.buckets)]
            began = time.monotonic()
            try:
                self._once(s3, bucket, f"{number}/{turn % 7}", f"{number}-{turn} ".encode() * 300)
            except ClientError as error:
                self.failed.append(status_of(error))
            except Exception as error:  # noqa: BLE001 - whatever a client meets is told
                self.wrong.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - began)

    def _once(self, s3: Any, bucket: str, key: str, body: bytes) -> None:
        known = self.held.pop((bucket, key), None)
        if known is not None and s3.get_object(Bucket=bucket, Key=key)["Body"].read() != known:
            self.wrong.append(f"{bucket}/{key}: another body than was written")
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        self.held[bucket, key] = body  # only what was acknowledged is expected again
        if s3.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
            self.wrong.append(f"{bucket}/{key}: another body than was just written")
        self.done += 3
