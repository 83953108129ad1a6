"""Software keys: damaged files are refused, never started over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hyok.errors import Malformed, NotFound
from hyok.hsm.port import KekSpec
from hyok.hsm.software import SoftwareHsm

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text", ["", "{}", '{"keks": {"a": [9, ""]}}', '{"keks": {"a": [1, "?"]}}']
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(Malformed):
        SoftwareHsm(path)
    assert path.read_text() == text


async def test_a_kek_is_not_used_under_another_profile(tmp_path: Path) -> None:
    hsm = SoftwareHsm()
    kek = await hsm.create_kek("t1/a", 2)
    with pytest.raises(NotFound):
        await hsm.check(KekSpec(kek.kek_id, 3, kek.check_value, kek.check_token))


async def test_health_says_that_it_is_not_for_production() -> None:
    (health,) = await SoftwareHsm().health()
    assert "NOT for production" in health.token
