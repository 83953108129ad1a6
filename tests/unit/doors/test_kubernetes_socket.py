"""The socket: whose it may be, who may open it, and that a real gRPC client is served over it."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import grpc
import pytest
from grpc import aio

from hyok.doors.kubernetes.faults import AWAY, Fault
from hyok.doors.kubernetes.place import Place
from hyok.doors.kubernetes.server import SocketServer
from hyok.doors.kubernetes.wire import REQUEST_BYTES_MAX, Operation
from hyok.errors import Conflict, HyokError, Malformed, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "kms"
    folder.mkdir(mode=0o750)
    return folder / "kms.sock"


async def echo(operation: Operation, raw: bytes, seconds: float | None) -> bytes | Fault:
    if raw == b"away":
        return AWAY
    if raw == b"slow":
        await asyncio.sleep(0.3)
    return f"{operation} {seconds is not None} ".encode() + raw


@asynccontextmanager
async def served(path: Path, **more: Any) -> AsyncIterator[SocketServer]:
    server = SocketServer(Place(path, **more), echo, 4)
    await server.start()
    try:
        yield server
    finally:
        if not server.draining:
            await server.drain(1)


async def ask(path: Path, method: str, raw: bytes = b"x", seconds: float = 5.0) -> bytes:
    async with aio.insecure_channel(f"unix:{path}") as channel:
        call = channel.unary_unary(f"/v2.KeyManagementService/{method}")
        answer: bytes = await call(raw, timeout=seconds)
        return answer


async def test_a_client_of_grpc_is_answered_over_it(path: Path) -> None:
    async with served(path) as server:
        assert server.address == str(path)
        for method in ("Status", "Encrypt", "Decrypt"):
            assert await ask(path, method) == f"{method.lower()} True x".encode()
        for raw, method, wanted in (
            (b"away", "Encrypt", grpc.StatusCode.UNAVAILABLE),
            (b"x", "Elders", grpc.StatusCode.UNIMPLEMENTED),
            (bytes(REQUEST_BYTES_MAX + 1), "Encrypt", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(aio.AioRpcError) as caught:
                await ask(path, method, raw)
            assert caught.value.code() is wanted


async def test_only_owner_and_group_may_open_it_and_it_goes_with_the_server(path: Path) -> None:
    async with served(path):
        found = path.lstat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
    assert not path.exists()
    with pytest.raises(Malformed, match="there is no group"):
        Place(path, "no-such-group-here")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_the_group_of_the_settings_is_let_in_and_no_other(path: Path) -> None:
    daemon = grp.getgrnam("daemon").gr_gid
    async with served(path, group="daemon"):
        found = path.lstat()
        assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (daemon, 0o660)
    os.chown(path.parent, -1, daemon)
    path.parent.chmod(0o2750)  # what is made in it has its group
    async with served(path):
        found = path.lstat()
        assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (daemon, 0o600), "nobody named it"
    with patch("os.chown", side_effect=AssertionError("the unit's sandbox forbids it")):
        async with served(path, group="daemon"):
            assert stat.S_IMODE(path.lstat().st_mode) == 0o660
    path.parent.chmod(0o750)
    with patch("os.chown", side_effect=PermissionError), pytest.raises(Refused, match="given to"):
        await SocketServer(Place(path, "bin"), echo, 4).start()


async def test_until_the_group_is_set_it_is_ours_alone(path: Path) -> None:
    place = Place(path)
    modes, real = [], place.admit

    def admit() -> None:
        modes.append(stat.S_IMODE(path.lstat().st_mode))
        real()

    place.admit = admit  # type: ignore[method-assign]
    server = SocketServer(place, echo, 4)
    before = os.umask(0)
    try:
        await server.start()
    finally:
        os.umask(before)
    await server.drain(1)
    assert modes == [0o600]


async def test_what_runs_ends_before_the_socket_goes(path: Path) -> None:
    async with served(path) as server:
        running = asyncio.create_task(ask(path, "Encrypt", b"slow"))
        await asyncio.sleep(0.1)
        await server.drain(5)
        assert (await running).endswith(b"slow")
        assert not path.exists()


async def test_a_socket_of_a_killed_process_makes_room(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.exists()
    async with served(path):
        assert await ask(path, "Status")


async def test_a_place_that_is_taken_is_left_alone(path: Path) -> None:
    first = Place(path)
    with pytest.raises(Conflict):  # also before there is a socket
        Place(path)
    first.leave()
    async with served(path):
        with pytest.raises(Conflict, match="taken by another process"):
            Place(path)
        assert await ask(path, "Status")
    with socket.socket(socket.AF_UNIX) as other:  # somebody else's plugin
        other.bind(str(path))
        other.listen()
        with pytest.raises(Conflict):
            Place(path)
        assert path.exists()
    path.unlink()
    path.write_text("a file")
    with pytest.raises(Conflict):
        Place(path)
    assert path.read_text() == "a file"


async def test_the_socket_of_whoever_came_after_is_left_alone(path: Path) -> None:
    place = Place(path)
    with socket.socket(socket.AF_UNIX) as mine:
        mine.bind(str(path))
        place.admit()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        place.leave()
        assert path.exists()


@pytest.mark.parametrize(("which", "mode"), [("kms", 0o770), ("kms", 0o757), ("above", 0o777)])
def test_a_folder_that_others_may_write_to_is_refused(
    tmp_path: Path, which: str, mode: int
) -> None:
    folder = tmp_path / "above" / "kms"
    folder.mkdir(parents=True, mode=0o750)
    (folder if which == "kms" else folder.parent).chmod(mode)
    with pytest.raises(HyokError) as caught:
        Place(folder / "kms.sock")
    assert caught.value.code == "HY-2742"


def test_a_sticky_folder_above_is_fine_and_one_of_somebody_else_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "above" / "kms"
    folder.mkdir(parents=True, mode=0o750)
    folder.parent.chmod(0o1777)
    Place(folder / "kms.sock").leave()
    folder.chmod(0o1777)  # in its own folder a socket could still be put beside a missing one
    with pytest.raises(HyokError) as caught:
        Place(folder / "kms.sock")
    assert caught.value.code == "HY-2742"
    folder.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(folder, 1, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(HyokError) as caught:
        Place(folder / "kms.sock")
    assert caught.value.code == "HY-2742"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HyokError) as caught:
        Place(tmp_path / "no" / "kms.sock")
    assert caught.value.code == "HY-2741"


def test_a_link_to_a_folder_is_looked_through(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    with pytest.raises(HyokError) as caught:
        Place(tmp_path / "link" / "kms.sock")
    assert caught.value.code == "HY-2742"
