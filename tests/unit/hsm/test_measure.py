"""Measuring a real token: figures come out, and nothing of it stays in the token."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.hsm_tokens import HAS_NSS, HAS_SOFTHSM, copy_softhsm, nss, softhsm

from hyok.envelope.profiles import Profile
from hyok.errors import Unavailable
from hyok.hsm import measure as measuring
from hyok.hsm.dialect import Dialect
from hyok.hsm.gate import gate_path
from hyok.hsm.measure import Plan, failover, measure
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.supervise import AgentSpec, AgentSupervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_softhsm = pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here")


@pytest.fixture
def plan() -> Iterator[Plan]:
    with tempfile.TemporaryDirectory() as folder:
        yield Plan(sessions=(1,), callers=(1, 4), seconds=0.05, folder=Path(folder), failovers=2)


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the objects of SoftHSM tokens; of the token itself a login changes the flags."""
    return {
        str(path): path.read_bytes()
        for path in directory.rglob("*.object")
        if path.name != "token.object"
    }


@needs_softhsm
async def test_softhsm_shows_all_and_keeps_not_a_byte(tmp_path: Path, plan: Plan) -> None:
    spec = softhsm(tmp_path)
    told: list[int] = []
    found = await measure(spec, plan, lambda: told.append(1))
    assert files_of(tmp_path) == {}
    assert list(tmp_path.glob("a.sock*")) == []  # where the gateway's own agents are
    assert len(told) == plan.steps([spec])
    assert found.usable() == [1, 2, 3]
    assert set(found.keys.values()) == {"session"}
    assert all(row.offered for row in found.mechanisms)
    assert "SoftHSM" in found.about["token"]
    assert {cell.sessions for cell in found.cells} == {1, spec.dialect.sessions_max}
    assert all(cell.rate > 20 and not cell.failures for cell in found.cells)


@pytest.mark.skipif(not HAS_NSS, reason="no NSS here")
async def test_nss_works_in_all_four_profiles(tmp_path: Path, plan: Plan) -> None:
    plan = dataclasses.replace(plan, sessions=(), callers=(2,))
    found = await measure(nss(tmp_path), plan, lambda: None)
    assert found.usable() == [1, 2, 3, 4]
    assert set(found.keys.values()) == {"session"}


@needs_softhsm
async def test_where_no_session_key_can_be_the_token_key_is_destroyed(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = softhsm(tmp_path)
    # A name over 64 bytes is refused, as a module would refuse the key.
    monkeypatch.setattr(measuring, "BENCH_PREFIX", "x" * 64)
    plan = dataclasses.replace(plan, sessions=(), callers=(1,))
    found = await measure(spec, plan, lambda: None)
    assert set(found.keys.values()) == {"token"}
    assert files_of(tmp_path) == {}


@needs_softhsm
async def test_a_mechanism_that_does_not_work_is_seen(tmp_path: Path, plan: Plan) -> None:
    spec = softhsm(tmp_path)
    wrong = dataclasses.replace(spec, dialect=dataclasses.replace(spec.dialect, kwp_call="crypt"))
    plan = dataclasses.replace(plan, sessions=(), callers=(1,))
    found = await measure(dataclasses.replace(wrong, deadline_seconds=1.0), plan, lambda: None)
    assert 3 not in found.usable()
    assert 1 in found.usable()


async def _two(directory: Path) -> list[AgentSpec]:
    first = softhsm(directory)
    with AgentSupervisor([first]) as supervisor:
        supervisor.wait_ready()
        pool = HsmPool([TokenSpec(first.name, first.socket_path)])
        await pool.create_kek("kek-of-both", Profile.HMAC_SHA256)
        await pool.close()
    return [first, copy_softhsm(directory, "a", "b")]


@needs_softhsm
async def test_the_second_token_answers_when_the_first_ones_agent_dies(
    tmp_path: Path, plan: Plan
) -> None:
    specs = await _two(tmp_path)
    before = files_of(tmp_path)
    assert before
    found = await failover(specs, plan, lambda: None)
    assert found.not_measured == ""
    assert len(found.gap_ms) == len(found.first_back_ms) == 2
    assert all(0 < gap < 5000 for gap in found.gap_ms)
    assert all(back >= gap for gap, back in zip(found.gap_ms, found.first_back_ms, strict=True))
    assert files_of(tmp_path) == before


@needs_softhsm
async def test_tokens_without_a_common_key_show_no_fail_over(tmp_path: Path, plan: Plan) -> None:
    found = await failover([softhsm(tmp_path), softhsm(tmp_path, "b")], plan, lambda: None)
    assert "every token" in found.not_measured
    assert (await failover([softhsm(tmp_path)], plan, lambda: None)).not_measured


@needs_softhsm
async def test_a_wrong_pin_is_tried_once(tmp_path: Path, plan: Plan) -> None:
    spec = dataclasses.replace(softhsm(tmp_path), pin="another")
    with pytest.raises(Unavailable, match="refused the PIN") as refused:
        await measure(spec, plan, lambda: None)
    assert refused.value.code == "HY-2102"
    # The gateway's own mark is another one: nothing keeps its agent from trying the right PIN.
    assert list(tmp_path.glob("a.sock*")) == []


async def test_a_pin_that_the_gateway_saw_refused_is_not_tried(tmp_path: Path, plan: Plan) -> None:
    spec = AgentSpec("a", str(tmp_path / "a.sock"), "none", "none", Dialect("softhsm"), pin="x")
    gate_path(spec.socket_path).write_text("PIN_INCORRECT")
    with pytest.raises(Unavailable, match="refused the PIN"):
        await measure(spec, plan, lambda: None)
