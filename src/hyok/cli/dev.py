"""`hyok dev`: a whole installation on this computer, for a first look and for development."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import shutil
import signal
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hyok
from hyok import settings as settings_file
from hyok.audit_signing import build_audit_key
from hyok.cli.apps import create_app
from hyok.cli.buckets import create_bucket
from hyok.cli.certificates import make_development_certificates
from hyok.cli.keys import create_kek
from hyok.cli.officers import found_officer
from hyok.cli.pull import pull_hsm, put_back
from hyok.cli.screen import mark, say
from hyok.cli.supervisor import Supervisor, forbid_core_dumps
from hyok.custody.custodian import TENANT_CLASSIFICATION
from hyok.custody.quorum import Role
from hyok.custody.secret_box import CLASSIFICATION as SECRETS
from hyok.custody.secret_box import TENANT as SYSTEM
from hyok.custody.signing import DEVELOPMENT
from hyok.errors import Conflict, Unavailable
from hyok.hsm.setup import init_softhsm, softhsm_module
from hyok.identity.apps import App
from hyok.objects.registry import NewBucket
from hyok.vocabulary import ClassificationName
from hyok.wiring import open_core

if TYPE_CHECKING:
    from hyok.custody.proposal import Effect
    from hyok.settings import Settings
    from hyok.wiring import Core

HOME = Path(".hyok")
ROOT = Path(hyok.__file__).resolve().parents[2]
TENANT = "gemeente"
TOKEN_LABEL = "hyok-dev"  # noqa: S105 - the label of a token, no secret
PORT = 8443
MANAGEMENT_PORT = 9443
OFFICER_PORT = 8444
SOCKET_PATH_BYTES_MAX = 90  # the kernel takes 107 with the file's name
READY_SECONDS_MAX = 120.0
"""A machine under load takes long to start Python; who waits sees the processes start."""
DEMO_OFFICERS = {
    "demo-anna": (Role.SECURITY, Role.OWNER),
    "demo-bram": (Role.SECURITY, Role.PRIVACY),
}
BUCKETS = ("openbaar", "intern", "vertrouwelijk", "zeer-vertrouwelijk", "geheim", "onbekend")

DEMO = '''"""Seals a file, reads it back and shows its length; run it while `hyok dev` runs."""

import json
from pathlib import Path

import botocore.session

home = Path(__file__).resolve().parent
demo = json.loads((home / "demo.json").read_text())
s3 = botocore.session.get_session().create_client(
    "s3",
    endpoint_url=demo["endpoint"],
    aws_access_key_id=demo["access_key"],
    aws_secret_access_key=demo["secret"],
    region_name="us-east-1",
    verify=str(home / "ca.pem"),
)
s3.put_object(
    Bucket="vertrouwelijk",
    Key="brief.txt",
    Body=b"Geachte heer, mevrouw",
    Metadata={"zaak": "Z-1"},
)
answer = s3.get_object(Bucket="vertrouwelijk", Key="brief.txt")
print("read back:", answer["Body"].read().decode())
print("request:", answer["ResponseMetadata"]["RequestId"])
'''


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(dev)


def dev(
    reset: Annotated[bool, typer.Option("--reset", help="Wipe ./.hyok first.")] = False,
    soft_keys: Annotated[
        bool, typer.Option("--soft-keys", help="Keys in a file instead of SoftHSM: a look only.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the S3 door.")] = PORT,
    management_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of /livez, /readyz and /metrics.")
    ] = MANAGEMENT_PORT,
    officer_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the officers' door; 0: none.")
    ] = OFFICER_PORT,
    home: Annotated[Path, typer.Option(help="Where everything is kept.")] = HOME,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 1,
    pull: Annotated[
        bool,
        typer.Option(
            "--pull-hsm",
            help="Take the HSM away from the one that runs, show what happens, and put it back.",
        ),
    ] = False,
    seconds: Annotated[
        int, typer.Option("--pull-seconds", min=5, max=600, help="For how long.")
    ] = 30,
) -> None:
    """Set up what is missing, start everything, and say what to try."""
    forbid_core_dumps()
    home = home.absolute()
    if pull:
        pull_hsm(settings_file.load(home / "hyok.toml"), home, seconds)
        return
    put_back(home)
    if reset:
        _check_ours(home)
        shutil.rmtree(home, ignore_errors=True)
    fresh = not (home / "hyok.toml").exists()
    if fresh:
        _lay_out(home, soft_keys=soft_keys)
    settings = _write_settings(home, port, management_port, officer_port, workers)
    supervisor = Supervisor(settings, home / "hyok.toml")
    signal.signal(signal.SIGTERM, supervisor.stop)
    try:
        supervisor.start_services()
        asyncio.run(_furnish(settings, home))
    except BaseException:
        supervisor.close()
        raise
    supervisor.run(lambda: _tell(settings, home))


def _check_ours(home: Path) -> None:
    """Refuse to wipe a folder that `hyok dev` did not make.

    Raises:
        Conflict: it holds something else.
    """
    if home.exists() and any(home.iterdir()) and not (home / "hyok.toml").exists():
        raise Conflict(f"{home} was not made by hyok dev, so it is not wiped")


def _lay_out(home: Path, *, soft_keys: bool) -> None:
    """Make what never changes: certificates, token, PIN."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_development_certificates(home)
    (home / "demo.py").write_text(DEMO)
    if soft_keys:
        (home / "soft-keys").touch(mode=0o600)
        return
    pin = secrets.token_hex(8)
    (home / "hsm.pin").touch(mode=0o600)
    (home / "hsm.pin").write_text(pin)
    init_softhsm(home / "softhsm", TOKEN_LABEL, pin, secrets.token_hex(8))


def _run_directory(home: Path) -> Path:
    """Return a folder for sockets whose path is short enough for the kernel."""
    wanted = home / "run"
    if len(str(wanted)) <= SOCKET_PATH_BYTES_MAX:
        return wanted
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"hyok-{digest}"


def _write_settings(
    home: Path, port: int, management_port: int, officer_port: int, workers: int
) -> Settings:
    if (home / "soft-keys").exists():
        hsm = ["[hsm]", 'kind = "software"', f"software_file = {_quoted(home / 'soft.json')}"]
    else:
        config = home / "softhsm" / "softhsm2.conf"
        hsm = [
            "[hsm]",
            'profile = "softhsm"',
            f"profiles_directory = {_quoted(ROOT / 'hsm' / 'profiles')}",
            "[[hsm.tokens]]",
            'name = "primary"',
            f"label = {_quoted(TOKEN_LABEL)}",
            f"module = {_quoted(softhsm_module())}",
            f"pin_file = {_quoted(home / 'hsm.pin')}",
            f"environment = {{ SOFTHSM2_CONF = {_quoted(config)} }}",
        ]
    lines = [
        "# Written anew by every `hyok dev`.",
        "[installation]",
        'name = "hyok-dev"',
        'mode = "development"',
        f"run_directory = {_quoted(_run_directory(home))}",
        "[gateway]",
        f"port = {port}",
        f"workers = {workers}",
        f"tls_certificate = {_quoted(home / 'gateway.pem')}",
        f"tls_key = {_quoted(home / 'gateway.key')}",
        'base_domains = ["localhost"]',
        "[management]",
        f"port = {management_port}",
        "[database]",
        f'url = "sqlite:///{home / "hyok.db"}"',
        "[audit]",
        f"file = {_quoted(home / 'audit' / 'audit.jsonl')}",
        "[officers.api]",
        f"enabled = {'true' if officer_port else 'false'}",
        f"port = {officer_port}",
        f'public_url = "https://localhost:{officer_port}"',
        f"tls_certificate = {_quoted(home / 'gateway.pem')}",
        f"tls_key = {_quoted(home / 'gateway.key')}",
        "[policies]",
        f"directory = {_quoted(ROOT / 'policies')}",
        "[log]",
        f"file = {_quoted(home / 'log' / 'gateway.jsonl')}",
        *hsm,
        "[[stores]]",
        'kind = "files"',
        'name = "local"',
        f"path = {_quoted(home / 'store')}",
    ]
    text = "\n".join(lines) + "\n"
    (home / "hyok.toml").write_text(text)
    return settings_file.parse(text, str(home / "hyok.toml"))


def _quoted(value: Path | str) -> str:
    return json.dumps(str(value))


async def _furnish(settings: Settings, home: Path) -> None:
    """Make keys, buckets and apps where they are missing."""
    if (home / "demo.json").exists():
        return
    core = open_core(settings)
    try:
        await _make_keys(core)
        with suppress(Conflict):  # made by an earlier start that did not get so far
            build_audit_key(settings).create()
        for name in BUCKETS:
            classification = ClassificationName(name.replace("-", "_"))
            wanted = NewBucket(name, TENANT, settings.default_store, classification)
            try:
                await create_bucket(core, wanted)
            except Conflict:
                continue
        await _make_apps(core, settings, home)
        await _make_officers(core)
    finally:
        await core.close()


async def _make_keys(core: Core) -> None:
    wanted = [(SYSTEM, SECRETS), (TENANT, TENANT_CLASSIFICATION)]
    wanted += [(TENANT, name) for name in core.classifications.names() if name != "gerubriceerd"]
    known = {(kek.tenant, kek.classification) for kek in await core.keks.all()}
    for tenant, classification in wanted:
        if (tenant, classification) not in known:
            await create_kek(core, tenant, classification)


async def _make_officers(core: Core) -> None:
    """Make two demo officers, so that what takes two persons can be tried; and no more."""
    known = (await core.register.read()).officers
    for person, roles in DEMO_OFFICERS.items():
        if person not in known:
            effect: Effect = {
                "person": person,
                "name": f"{person} (demo)",
                "roles": sorted(roles),
                "identities": [f"{DEVELOPMENT}:{person}"],
            }
            await found_officer(core, effect)


async def _make_apps(core: Core, settings: Settings, home: Path) -> None:
    every = frozenset(
        {"read", "write", "delete", "list", "create-bucket", "lock", "bypass-governance"}
    )
    top = core.classifications.level("geheim")
    known = {app.app_id for app in await core.access_keys.list_apps()}
    if "zaaksysteem" in known:
        await core.access_keys.revoke_app("zaaksysteem")
    name = "zaaksysteem" if "zaaksysteem" not in known else f"zaaksysteem-{secrets.token_hex(3)}"
    demo = await create_app(core, App(name, TENANT, top, every, purpose="zaakafhandeling"))
    if "publicatie" not in known:
        low = core.classifications.level("openbaar")
        reader = frozenset({"read", "list"})
        await create_app(core, App("publicatie", TENANT, low, reader, purpose="publicatie"))
    file = home / "demo.json"
    file.touch(mode=0o600)
    file.write_text(
        json.dumps(
            {
                "endpoint": f"https://127.0.0.1:{settings.gateway.port}",
                "access_key": demo.access_key,
                "secret": demo.secret.get_secret_value(),
            }
        )
    )


def _tell(settings: Settings, home: Path) -> None:
    """Print the screen to copy from, once the door is open."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", settings.gateway.port)) == 0:
                break
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the gateway does not open port {settings.gateway.port}",
                code="HY-1004",
                next_step=f"its messages stand above and in {settings.log.file}",
            )
        time.sleep(0.05)
    demo = json.loads((home / "demo.json").read_text())
    demo["endpoint"] = f"https://127.0.0.1:{settings.gateway.port}"
    (home / "demo.json").write_text(json.dumps(demo))
    at = home.name if home == Path.cwd() / home.name else str(home)
    own = "" if at == HOME.name else f" HYOK_CONFIG={at}/hyok.toml"
    where = "" if at == HOME.name else f" --home {at}"
    hyok_command = "./hyok" if Path.cwd() == ROOT else "hyok"
    soft = settings.hsm.kind == "software"
    say(
        f"hyok {hyok.__version__}  DEV MODE: demo keys, loopback only, data in {at} "
        f"({hyok_command} dev --reset wipes it)"
    )
    if soft:
        mark(
            "warn", "SOFTWARE KEYS in a file: for a look only, nothing here is protected by an HSM"
        )
    else:
        mark("ok", f"SoftHSM token '{TOKEN_LABEL}', keys made in it (non-extractable)")
    mark(
        "ok",
        f'embedded object store  (what "the cloud" sees: {hyok_command} peek s3://intern/brief.pdf)',
    )
    mark(
        "ok",
        "5 classifications (and onbekend, gerubriceerd), 2 apps, 2 demo officers, "
        "audit log started",
    )
    officers = settings.officers.api
    also = f"     Officers  {officers.public_url}" if officers.enabled else ""
    say(f"Gateway  {demo['endpoint']}{also}")
    say("Try it:")
    say(f"  export AWS_ACCESS_KEY_ID={demo['access_key']} AWS_SECRET_ACCESS_KEY={demo['secret']}")
    say(f"  export AWS_CA_BUNDLE={at}/ca.pem AWS_DEFAULT_REGION=us-east-1{own}")
    say(f"  aws --endpoint-url {demo['endpoint']} s3 cp README.md s3://vertrouwelijk/")
    say(f"  .venv/bin/python {at}/demo.py            # the same from Python")
    say(
        f"Then: {hyok_command} peek s3://vertrouwelijk/README.md   "
        f"{hyok_command} explain <request-id>   {hyok_command} doctor"
    )
    say(
        f"And:  {hyok_command} buckets publish openbaar --as demo-anna --reason look   "
        "(then approve it --as demo-bram)"
    )
    if not soft:
        say(
            f"And:  {hyok_command} dev --pull-hsm{where}    # the HSM goes away for 30 s: it closes"
        )
