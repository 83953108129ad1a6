"""A module that hangs, crashes, fails or refuses the PIN harms nobody but its own process.

The shim stands before SoftHSM and misbehaves when told to (tests/faults/shim).
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.hsm_tokens import HAS_SOFTHSM, copy_softhsm, softhsm
from tests.faults.shim import Shim

from hyok.errors import Tampered, Unavailable
from hyok.hsm.gate import gate_path
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.supervise import AgentSupervisor, reset_pin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from hyok.hsm.port import KekSpec
    from hyok.hsm.supervise import AgentSpec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (HAS_SOFTHSM and shutil.which("gcc")), reason="no SoftHSM or no compiler here"
    ),
]
SCOPE = "bucket:personeel"
DEADLINE_SECONDS = 1.0
GENERAL_ERROR, DEVICE_ERROR, SESSION_HANDLE_INVALID, USER_NOT_LOGGED_IN = 0x5, 0x30, 0xB3, 0x101


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hsm-") as path:
        yield Path(path)


@pytest.fixture
def shim(folder: Path) -> Shim:
    return Shim(folder)


@asynccontextmanager
async def running(*specs: AgentSpec, **pool_settings: float) -> AsyncIterator[HsmPool]:
    """Agents under a supervisor, and a pool over them."""
    with AgentSupervisor(specs, pause_seconds_max=0.5) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready)
        pool = HsmPool([TokenSpec(spec.name, spec.socket_path) for spec in specs], **pool_settings)
        pool.supervisor = supervisor
        try:
            yield pool
        finally:
            await pool.close()


async def healthy(pool: HsmPool) -> None:
    """Return once the first token is well again; no call of ours helps it."""
    for _ in range(600):
        if (await pool.health())[0].healthy:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the token did not come back in 30 s")


def shimmed(folder: Path, shim: Shim, **settings: object) -> AgentSpec:
    return softhsm(
        folder,
        module=shim.library,
        environment=shim.environment,
        deadline_seconds=DEADLINE_SECONDS,
        **settings,
    )


async def test_a_wrong_pin_is_tried_exactly_once_until_an_operator_acts(folder, shim) -> None:
    spec = shimmed(folder, shim, pin="wrong-pin")
    async with running(spec, grace_seconds=1.0) as pool:
        for _ in range(3):
            with pytest.raises(Unavailable) as caught:
                await pool.find_keks()
            assert caught.value.code == "HY-2102"
        # not even by a new process
        os.kill(pool.supervisor.states()[0].pid, signal.SIGKILL)
        await asyncio.sleep(1.0)
        with pytest.raises(Unavailable) as caught:
            await pool.find_keks()
        assert caught.value.code == "HY-2102"
        (state,) = pool.supervisor.states()
        assert state.starts >= 2
        assert state.pin_refused == "PIN_INCORRECT"
        assert shim.calls("C_Login") == 1
        # an operator resets without a new PIN: one more attempt, no more
        await asyncio.to_thread(reset_pin, spec.socket_path)
        await asyncio.sleep(1.5)
        assert shim.calls("C_Login") == 2
        assert gate_path(spec.socket_path).exists()


async def test_after_reset_the_right_pin_file_is_read_anew(folder, shim) -> None:
    pin_file = folder / "pin"
    pin_file.write_text("wrong-pin\n")
    pin_file.chmod(0o600)
    spec = dataclasses.replace(shimmed(folder, shim), pin="", pin_file=str(pin_file))
    async with running(spec) as pool:
        with pytest.raises(Unavailable):
            await pool.find_keks()
        pin_file.write_text("test-pin-1\n")
        await asyncio.to_thread(reset_pin, spec.socket_path)
        for _ in range(50):
            try:
                kek = await pool.create_kek("t1/a", 1)
                break
            except Unavailable:
                await asyncio.sleep(0.1)
        await pool.check(kek)
        assert not gate_path(spec.socket_path).exists()


@pytest.mark.parametrize("order", ["hang", "spin"])
async def test_an_agent_that_hangs_is_replaced_and_the_call_is_repeated(
    folder, shim, order
) -> None:
    async with running(shimmed(folder, shim), attempt_seconds=3.0) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        first = pool.supervisor.states()[0].pid
        shim.order(f"C_Sign {order} 0 once")
        began = time.monotonic()
        assert await pool.secret(kek, SCOPE, token) == secret
        took = time.monotonic() - began
        assert DEADLINE_SECONDS * 0.9 < took < DEADLINE_SECONDS + 2.0
        assert pool.supervisor.states()[0].pid != first
        assert pool.supervisor.states()[0].last_exit == 70


async def test_while_one_call_hangs_other_clients_are_served(folder, shim) -> None:
    async with running(shimmed(folder, shim), attempt_seconds=3.0) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        shim.order("C_Sign hang 0 once")
        hung = asyncio.create_task(pool.secret(kek, SCOPE, token))
        await asyncio.sleep(0.1)
        served = 0
        until = time.monotonic() + DEADLINE_SECONDS / 2
        while time.monotonic() < until:
            assert await pool.secret(kek, SCOPE, token) == secret
            served += 1
        assert served > 50
        assert not hung.done()
        assert await hung == secret


async def test_a_crash_is_repeated_and_no_caller_notices(folder, shim) -> None:
    async with running(shimmed(folder, shim)) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        for _ in range(3):
            shim.order("C_Sign abort 0 once")
            answers = await asyncio.gather(*(pool.secret(kek, SCOPE, token) for _ in range(20)))
            assert set(answers) == {secret}
        assert pool.supervisor.states()[0].starts == 4


@pytest.mark.parametrize("code", [SESSION_HANDLE_INVALID, USER_NOT_LOGGED_IN, 0x82, 0x60, 0x90])
async def test_a_lost_session_is_renewed_in_the_same_process(folder, shim, code) -> None:
    async with running(shimmed(folder, shim)) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        shim.order(f"C_SignInit fail {code} once")
        assert await pool.secret(kek, SCOPE, token) == secret
        assert pool.supervisor.states()[0].starts == 1
        assert (await pool.health())[0].failures == 0


@pytest.mark.parametrize("code", [DEVICE_ERROR, GENERAL_ERROR, 0x32, 0xE0, 0x6, 0x190, 0x80000001])
async def test_a_lost_device_replaces_the_process_and_the_call_is_repeated(
    folder, shim, code
) -> None:
    async with running(shimmed(folder, shim)) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        shim.order(f"C_Sign fail {code} once")
        assert await pool.secret(kek, SCOPE, token) == secret
        (state,) = pool.supervisor.states()
        assert (state.starts, state.last_exit) == (2, 71)


async def test_too_few_sessions_are_shared(folder, shim) -> None:
    async with running(shimmed(folder, shim)) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        shim.order(f"C_OpenSession fail {0xB1}")
        answers = await asyncio.gather(*(pool.secret(kek, SCOPE, token) for _ in range(50)))
        assert set(answers) == {secret}
        assert pool.supervisor.states()[0].starts == 1


@pytest.mark.parametrize("code", [GENERAL_ERROR, DEVICE_ERROR, 0x40, 0x6])
async def test_bytes_that_do_not_open_never_replace_an_agent(folder, shim, code) -> None:
    async with running(shimmed(folder, shim)) as pool:
        kek = await pool.create_kek("t1/g", 2)
        good, secret = await pool.new_token(kek, SCOPE)
        bad = good[:-1] + bytes([good[-1] ^ 1])
        for _ in range(10):
            with pytest.raises(Tampered):
                await pool.secret(kek, SCOPE, bad)
        shim.order(f"C_Decrypt fail {code} once")
        # One odd code while a good token is opened: the check value is asked, then it is repeated.
        if code != 0x40:
            assert await pool.secret(kek, SCOPE, good) == secret
        else:
            with pytest.raises(Tampered):
                await pool.secret(kek, SCOPE, good)
        shim.order()
        assert await pool.secret(kek, SCOPE, good) == secret
        assert pool.supervisor.states()[0].starts == 1
        assert (await pool.health())[0].failures == 0


async def test_a_failing_open_with_a_failing_check_value_is_the_device(folder, shim) -> None:
    async with running(shimmed(folder, shim), deadline_seconds=3.0) as pool:
        kek = await pool.create_kek("t1/g", 2)
        token, secret = await pool.new_token(kek, SCOPE)
        shim.order(f"C_Decrypt fail {DEVICE_ERROR}")
        with pytest.raises(Unavailable):
            await pool.secret(kek, SCOPE, token)
        shim.order()
        await healthy(pool)
        assert await pool.secret(kek, SCOPE, token) == secret
        assert pool.supervisor.states()[0].starts > 1


async def test_the_token_goes_away_and_comes_back_without_a_restart_of_ours(folder) -> None:
    spec = softhsm(folder)
    async with running(spec, deadline_seconds=2.0, grace_seconds=1.0) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        home = folder / "softhsm-a" / "tokens"
        away = folder / "away"
        home.rename(away)
        home.mkdir()
        os.kill(pool.supervisor.states()[0].pid, signal.SIGKILL)
        with pytest.raises(Unavailable):
            await pool.secret(kek, SCOPE, token)
        assert not (await pool.health())[0].healthy
        home.rmdir()
        away.rename(home)
        await healthy(pool)
        assert await pool.secret(kek, SCOPE, token) == secret


async def test_a_token_emptied_under_a_running_agent_is_unavailable_not_empty(folder) -> None:
    spec = softhsm(folder)
    async with running(spec, deadline_seconds=2.0, grace_seconds=1.0) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        home = folder / "softhsm-a" / "tokens"
        (inner,) = home.iterdir()
        inner.rename(folder / "away")
        outcomes = set()
        for _ in range(3):
            try:
                outcomes.add(await pool.secret(kek, SCOPE, token) == secret)
            except Unavailable:
                outcomes.add("unavailable")
        assert outcomes <= {True, "unavailable"}
        (folder / "away").rename(inner)
        await healthy(pool)
        assert await pool.secret(kek, SCOPE, token) == secret


async def test_one_of_two_tokens_dies_under_load_and_no_request_fails(folder) -> None:
    spec = softhsm(folder, "a")
    async with running(spec) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
    twin = copy_softhsm(folder, "a", "b")
    async with running(spec, twin) as pool:
        done: list[float] = []
        stop = asyncio.Event()

        async def caller(kek: KekSpec) -> None:
            while not stop.is_set():
                began = time.monotonic()
                assert await pool.secret(kek, SCOPE, token) == secret
                done.append(time.monotonic() - began)

        callers = [asyncio.create_task(caller(kek)) for _ in range(8)]
        await asyncio.sleep(0.5)
        home, away = folder / "softhsm-a" / "tokens", folder / "away"
        home.rename(away)
        home.mkdir()
        os.kill(pool.supervisor.states()[0].pid, signal.SIGKILL)
        await asyncio.sleep(1.5)
        first, second = await pool.health()
        assert (first.healthy, second.healthy) == (False, True)
        served_by_second = second.calls
        home.rmdir()
        away.rename(home)
        await healthy(pool)
        back = (await pool.health())[0].calls
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(*callers)  # raises what any caller met
        assert served_by_second > 100
        assert (await pool.health())[0].calls > back + 100, "the first token is preferred again"
        assert max(done) < 2.0


async def test_the_agent_hides_its_pin_and_is_its_users_alone(folder) -> None:
    spec = softhsm(folder)
    async with running(spec) as pool:
        pid = pool.supervisor.states()[0].pid
        process = f"/proc/{pid}"
        assert mode_of(spec.socket_path) & 0o777 == 0o600
        if os.geteuid() != 0:
            # It is not dumpable, so its own user may not even look.
            with pytest.raises(PermissionError):
                read(f"{process}/environ")
            return
        shown = read(f"{process}/cmdline") + read(f"{process}/environ")
        assert b"test-pin-1" not in shown
        limits = read(f"{process}/limits").decode()
        (core,) = [line.split() for line in limits.splitlines() if "core file" in line]
        assert core[4:6] == ["0", "0"]


STRANGER = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
line = socket.socket(socket.AF_UNIX); line.settimeout(5); line.connect(sys.argv[1])
try:
    line.sendall(bytes.fromhex("000000050000000108"))
    print(len(line.recv(100)))
except (BrokenPipeError, ConnectionResetError):
    print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_gets_no_answer_even_if_the_socket_were_open_to_all(folder) -> None:
    spec = softhsm(folder)
    async with running(spec):
        open_to_all(folder, spec.socket_path)
        asked = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STRANGER, spec.socket_path, stdout=subprocess.PIPE
        )
        out, _ = await asked.communicate()
        assert out == b"0\n"


async def test_a_second_agent_for_the_same_socket_ends_at_once(folder) -> None:
    spec = softhsm(folder)
    async with running(spec), running_beside(spec) as second:
        await asyncio.sleep(1.0)
        assert second.states()[0].last_exit == 73


@asynccontextmanager
async def running_beside(spec: AgentSpec) -> AsyncIterator[AgentSupervisor]:
    with AgentSupervisor([spec], pause_seconds_max=5.0) as supervisor:
        yield supervisor


async def test_the_agent_ends_when_its_supervisor_is_gone(folder) -> None:
    spec = softhsm(folder)
    async with running(spec) as pool:
        pid = pool.supervisor.states()[0].pid
    with pytest.raises(FileNotFoundError):
        read(f"/proc/{pid}/cmdline")


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def open_to_all(folder: Path, path: str) -> None:
    folder.chmod(0o711)
    Path(path).chmod(0o666)


def mode_of(path: str) -> int:
    return Path(path).stat().st_mode


async def test_an_agent_that_is_stopped_whole_is_killed_and_replaced(folder) -> None:
    spec = dataclasses.replace(softhsm(folder), deadline_seconds=0.5)
    async with running(spec, attempt_seconds=3.0) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        os.kill(pool.supervisor.states()[0].pid, signal.SIGSTOP)
        await asyncio.sleep(0.1)  # a stop takes hold of one thread after the other
        assert await pool.secret(kek, SCOPE, token) == secret
        (state,) = pool.supervisor.states()
        assert (state.starts, state.kills) == (2, 1)


async def test_a_module_that_cannot_lock_is_called_by_one_thread_at_a_time(
    folder, shim, capfd
) -> None:
    shim.order(f"C_Initialize fail {0xA} once", "C_Sign delay 2")
    async with running(shimmed(folder, shim)) as pool:
        kek = await pool.create_kek("t1/a", 1)
        token, secret = await pool.new_token(kek, SCOPE)
        began = time.monotonic()
        answers = await asyncio.gather(*(pool.secret(kek, SCOPE, token) for _ in range(100)))
        assert set(answers) == {secret}
        assert time.monotonic() - began > 100 * 0.002, "two calls were in the module at once"
        assert pool.supervisor.states()[0].starts == 1
    assert '"threads": "one"' in capfd.readouterr().err
