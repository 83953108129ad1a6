"""Every profile file is right, cites its vendor, and claims no more than was proven."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyok.errors import Malformed
from hyok.hsm.dialect import Dialect
from hyok.hsm.profile import Family, load_families, parse_family

FOLDER = Path(__file__).parents[3] / "hsm" / "profiles"
FAMILIES = load_families(FOLDER)
MINIMAL = """
name = "x"
title = "X"
vendor = "X Ltd"
pages = [{ title = "X manual" }]
profiles = [1]
"""


def test_the_families_we_know() -> None:
    known = {"softhsm", "nss", "luna", "nshield", "utimaco", "cloudhsm", "yubihsm", "nethsm"}
    assert known | {"primus"} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=str)
def test_what_is_not_proven_is_said(family: Family) -> None:
    assert family.pages[0].title
    assert set(family.proof.proven) <= set(family.profiles)
    assert family.proof.how if family.proof.proven else family.proof.unproven


@pytest.mark.parametrize("family", FAMILIES.values(), ids=str)
def test_a_dialect_survives_the_agents_argument(family: Family) -> None:
    dialect = family.dialect(family.profiles, directory="/somewhere")
    assert Dialect.from_json(dialect.to_json()) == dialect
    assert "{directory}" not in dialect.parameters


@pytest.mark.parametrize(
    "added",
    [
        "unknown = 1",
        "[hmac]\nmechanism = -1",
        "[aes_gcm]\niv = 'counter'",
        "[rsa_oaep]\nbits = 2048",
    ],
)
def test_a_wrong_file_is_refused(added: str) -> None:
    parse_family(MINIMAL)
    with pytest.raises(Malformed):
        parse_family(MINIMAL + added)


@pytest.mark.parametrize("number", [0, 5])
def test_there_are_four_profiles(number: int) -> None:
    with pytest.raises(Malformed):
        parse_family(MINIMAL.replace("[1]", f"[{number}]"))


def test_a_file_is_named_after_its_family(tmp_path: Path) -> None:
    (tmp_path / "y.toml").write_text(MINIMAL)
    with pytest.raises(Malformed):
        load_families(tmp_path)


def test_a_profile_that_is_not_offered_is_refused() -> None:
    with pytest.raises(Malformed):
        FAMILIES["softhsm"].dialect((4,))


def test_profile_4_is_used_only_when_it_is_named() -> None:
    assert FAMILIES["nss"].dialect().profiles == (1, 2, 3)
    assert FAMILIES["nss"].dialect((1, 4)).profiles == (1, 4)
    with pytest.raises(Malformed):
        FAMILIES["nethsm"].dialect()
    assert FAMILIES["nethsm"].dialect((4,)).profiles == (4,)
