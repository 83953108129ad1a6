"""A proof on a right token holds; on a wrong profile file it fails where the file is wrong."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.hsm_tokens import HAS_SOFTHSM, softhsm

from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.prove import prove
from hyok.hsm.supervise import AgentSupervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hsm-") as path:
        yield Path(path)


async def test_softhsm_holds_every_proof_and_keeps_no_key_of_it(folder: Path) -> None:
    spec = softhsm(folder)
    findings = await prove(spec, callers=4, operations=200)
    assert [finding for finding in findings if not finding.ok] == []
    rates = [finding.figure for finding in findings if finding.unit == "operations/s"]
    assert len(rates) == 3
    with AgentSupervisor([spec]) as supervisor:
        supervisor.wait_ready()
        pool = HsmPool([TokenSpec("a", spec.socket_path)])
        assert await pool.find_keks() == []
        await pool.close()


@pytest.mark.parametrize(
    "mistake",
    [
        {"kwp_mechanism": 0x2109},  # RFC 3394 in place of RFC 5649
        {"kwp_call": "crypt"},  # SoftHSM wraps only
        {"hmac_mechanism": 0x261},  # another hash
        {"gcm_mechanism": 0x1082},  # AES-CBC
    ],
    ids=str,
)
async def test_a_wrong_number_in_a_profile_file_is_found(folder: Path, mistake: dict) -> None:
    spec = softhsm(folder)
    wrong = dataclasses.replace(spec, dialect=dataclasses.replace(spec.dialect, **mistake))
    findings = await prove(dataclasses.replace(wrong, deadline_seconds=0.5), operations=8)
    assert not all(finding.ok for finding in findings)
