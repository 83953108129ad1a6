"""`hyok dev --pull-hsm`: takes the token away for half a minute and shows that the door closes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING, Literal

from hyok.cli.screen import mark, say
from hyok.cli.session import is_running
from hyok.errors import Conflict, Malformed, Unavailable
from hyok.sockets import agent_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hyok.settings import Settings

BUCKET, KEY = "vertrouwelijk", "pull-hsm.txt"
NEW_KEY = "pull-hsm-meanwhile.txt"
BACK_SECONDS_MAX = 90.0
PAUSE_SECONDS = 1.0
CLOSED = ("503", "503")


def put_back(home: Path) -> None:
    """Put the token's folder back where it was; quiet when it is there."""
    away, tokens = home / "softhsm" / "pulled", home / "softhsm" / "tokens"
    if away.exists() and not tokens.exists():
        away.rename(tokens)


def pull_hsm(settings: Settings, home: Path, seconds: float) -> None:
    """Show what happens to requests without the HSM, and when it is back.

    Raises:
        Conflict: no `hyok dev` with a token runs here.
        Unavailable: the gateway did not close, or does not come back.
    """
    if settings.hsm.kind == "software":
        raise Conflict("software keys are in use, so there is no token to take away")
    if not is_running(settings):
        raise Conflict(
            "no gateway runs on this folder",
            effect="Nothing was changed.",
            next_step="start `hyok dev` in another terminal first",
        )
    demo = _Demo(home)
    written, read = demo.write(KEY), demo.read()
    if (written, read) != ("200", "200"):
        raise Unavailable(
            f"the gateway answers {written} and {read} with its HSM",
            effect="Nothing was taken away.",
            next_step="hyok doctor",
        )
    mark("ok", f"before: s3://{BUCKET}/{KEY} is written and reads back: 200")
    with _pulled(settings, home):
        say(f"The token is taken away for {seconds:.0f} s, and its process killed.")
        grown = _watch(demo, home, seconds)
    mark("FAIL" if grown else "ok", f"while it was closed the store got {len(grown)} new files")
    say("The token is back.  Nothing is restarted by hand.")
    began = time.monotonic()
    while (status := demo.read()) != "200":
        if time.monotonic() - began > BACK_SECONDS_MAX:
            raise Unavailable(f"the door still answers {status}", next_step="hyok doctor")
        time.sleep(PAUSE_SECONDS)
    mark("ok", f"after {time.monotonic() - began:.0f} s it reads back as 200")
    if grown:
        raise Unavailable("something was stored without the HSM: please report this")


def _watch(demo: _Demo, home: Path, seconds: float) -> set[str]:
    """Try to read and write until the time is over; return what was stored after it closed.

    Keys in memory serve until the absence is noticed, which takes seconds.

    Raises:
        Unavailable: it did not close, or opened again.
    """
    until = time.monotonic() + seconds
    seen = ("", "")
    at_closing: set[str] | None = None
    while time.monotonic() < until:
        now = (demo.read(), demo.write(NEW_KEY))
        if now != seen:
            left = max(0.0, until - time.monotonic())
            word: Literal["ok", "warn"] = "ok" if now == CLOSED else "warn"
            mark(word, f"read {now[0]}, write {now[1]}  ({left:.0f} s to go)")
            seen = now
        if now == CLOSED and at_closing is None:
            at_closing = _stored(home)
        time.sleep(PAUSE_SECONDS)
    if seen != CLOSED or at_closing is None:
        raise Unavailable("the door did not close without its HSM: please report this")
    return _stored(home) - at_closing


@contextlib.contextmanager
def _pulled(settings: Settings, home: Path) -> Iterator[None]:
    """Have the token's folder elsewhere, whatever ends this."""
    tokens, away = home / "softhsm" / "tokens", home / "softhsm" / "pulled"
    if away.exists():
        raise Conflict(f"{away} is there: the token is away already")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    tokens.rename(away)
    try:
        for token in settings.hsm.tokens:
            os.kill(_peer(agent_socket(settings, token.name)), signal.SIGKILL)
        yield
    finally:
        away.rename(tokens)
        signal.signal(signal.SIGTERM, before)


def _peer(path: Path) -> int:
    """Return the process that listens there; ours, since only our own user may connect."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        raw = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", raw)[0]
    return pid


class _Demo:
    """The demo application's S3 client, and the status that it gets."""

    def __init__(self, home: Path) -> None:
        # A second of imports that no other command needs.
        import botocore.session  # noqa: PLC0415
        from botocore import exceptions  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        try:
            demo = json.loads((home / "demo.json").read_text())
        except (OSError, ValueError) as error:
            raise Malformed(f"{home} was not made by hyok dev") from error
        self._exceptions = exceptions
        self._client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=demo["endpoint"],
            aws_access_key_id=demo["access_key"],
            aws_secret_access_key=demo["secret"],
            region_name="us-east-1",
            verify=str(home / "ca.pem"),
            config=Config(retries={"max_attempts": 0}, connect_timeout=3, read_timeout=10),
        )

    def write(self, key: str) -> str:
        """Write an object; return the status of the answer."""
        return self._status(lambda: self._client.put_object(Bucket=BUCKET, Key=key, Body=b"hyok"))

    def read(self) -> str:
        """Read the object that was there before; return the status of the answer."""

        def act() -> None:
            self._client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()

        return self._status(act)

    def _status(self, act: Callable[[], object]) -> str:
        try:
            act()
        except self._exceptions.ClientError as error:
            return str(error.response["ResponseMetadata"]["HTTPStatusCode"])
        except self._exceptions.BotoCoreError as error:
            return type(error).__name__
        return "200"


def _stored(home: Path) -> set[str]:
    return {str(path) for path in (home / "store").rglob("*data*") if path.is_file()}
