"""Any M of N custodians open a backup, M-1 learn nothing, and a wrong share is told by its name."""

from __future__ import annotations

import itertools
import json
import secrets
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hyok.cli.main import app
from hyok.custody.custodian_shares import (
    CustodianBox,
    ShareBox,
    make_custodian,
    named_in,
    open_share,
    parse_custodian,
    parse_share,
    read_private,
    shares_of,
)
from hyok.custody.shamir import combine, invert, multiply, split
from hyok.database.sealed_copy import BY_CUSTODIANS, open_copy, read_head, seal_copy
from hyok.errors import Conflict, HyokError, Malformed, Tampered

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.custody.custodian_shares import Custodian, Share

PURPOSE, PASSPHRASE = "backup 2 aa 1 2", b"een lange wachtzin"
NAMES = ("anna", "bram", "chris", "dewi", "els")


# -- the field and the sharing ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "product"),
    # FIPS 197, sections 4.2 and 4.2.1
    [(0x57, 0x83, 0xC1), (0x57, 0x13, 0xFE), (0x57, 0x02, 0xAE), (0x57, 0x10, 0x07)],
)
def test_the_field_is_that_of_fips_197(one: int, other: int, product: int) -> None:
    assert multiply(one, other) == multiply(other, one) == product


def test_every_value_but_zero_has_an_inverse() -> None:
    assert invert(0x53) == 0xCA  # the inverse behind the S-box of 53, FIPS 197
    for value in range(1, 256):
        assert multiply(value, invert(value)) == 1
    assert invert(0) == 0


@given(
    secret=st.binary(min_size=1, max_size=32),
    numbers=st.integers(2, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n))),
    chosen=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_any_quorum_of_shares_gives_the_secret(
    secret: bytes, numbers: tuple[int, int], chosen: object
) -> None:
    count, quorum = numbers
    shares = split(secret, count, quorum, secrets.token_bytes)
    some = chosen.sample(sorted(shares), quorum)  # type: ignore[attr-defined]
    assert combine({number: shares[number] for number in some}) == secret
    assert combine(shares) == secret


@pytest.mark.parametrize(("count", "quorum"), [(3, 2), (4, 3)])
def test_fewer_shares_fit_every_secret_equally_often(count: int, quorum: int) -> None:
    """What M-1 holders can see is spread alike for each secret, so it says nothing of it."""
    seen: dict[int, Counter[tuple[bytes, ...]]] = {}
    for secret in (0, 1, 0x53, 255):
        seen[secret] = Counter()
        if quorum == 2:
            for a in range(256):
                shares = split(bytes([secret]), count, 2, lambda _n, a=a: bytes([a]))
                seen[secret][(shares[2],)] += 1
        else:
            for target in itertools.product(range(0, 256, 51), repeat=2):
                # Exactly one pair of coefficients shows holders 1 and 3 these two values.
                found = [
                    (a, b)
                    for a in range(256)
                    for b in [_second(secret, target[0], a)]
                    if _at(secret, a, b, 3) == target[1]
                ]
                assert len(found) == 1
                seen[secret][bytes([target[0]]), bytes([target[1]])] += len(found)
    assert len({frozenset(counts.items()) for counts in seen.values()}) == 1


def _at(secret: int, a: int, b: int, x: int) -> int:
    return secret ^ multiply(a, x) ^ multiply(b, multiply(x, x))


def _second(secret: int, share_of_one: int, a: int) -> int:
    return secret ^ share_of_one ^ a


def test_one_share_too_few_gives_something_else() -> None:
    secret = secrets.token_bytes(32)
    shares = split(secret, 5, 3, secrets.token_bytes)
    for pair in itertools.combinations(shares, 2):
        assert combine({number: shares[number] for number in pair}) != secret


# -- custodians ------------------------------------------------------------------------------------


class Five:
    """Five custodians with their keys."""

    def __init__(self) -> None:
        self.people: list[Custodian] = []
        self.pems: dict[str, bytes] = {}
        for name in NAMES:
            pem, made = make_custodian(name, PASSPHRASE)
            self.people.append(made)
            self.pems[name] = pem

    def share(self, sealed: bytes, name: str, purpose: str = PURPOSE) -> Share:
        return open_share(purpose, sealed, read_private(self.pems[name], PASSPHRASE))

    async def sealed(self, plain: bytes, quorum: int = 3) -> bytes:
        return await CustodianBox(self.people, quorum, secrets.token_bytes).seal(PURPOSE, plain)


@pytest.fixture(scope="module")
def five() -> Five:
    return Five()


async def test_any_three_of_five_open_and_two_do_not(five: Five) -> None:
    sealed = await five.sealed(b"sleutel")
    assert b"sleutel" not in sealed
    shares = {name: five.share(sealed, name) for name in NAMES}
    for some in itertools.combinations(NAMES, 3):
        assert await ShareBox([shares[name] for name in some]).open(PURPOSE, sealed) == b"sleutel"
    for some in itertools.combinations(NAMES, 2):
        with pytest.raises(Conflict) as said:
            await ShareBox([shares[name] for name in some]).open(PURPOSE, sealed)
        assert said.value.code == "HY-2432"
    assert named_in(sealed)[0] == 3


async def test_a_wrong_share_is_told_by_its_name(five: Five) -> None:
    sealed, other = await five.sealed(b"een"), await five.sealed(b"twee")
    good = [five.share(sealed, name) for name in ("anna", "bram")]
    chris = five.share(sealed, "chris")
    flipped = bytes([chris.value[0] ^ 1]) + chris.value[1:]
    for wrong in (
        replace(chris, value=flipped),
        replace(chris, value=five.share(other, "chris").value),
        replace(chris, purpose="backup 2 bb 1 2"),
        replace(chris, number=9),
        replace(chris, number=4),
    ):
        with pytest.raises(Tampered) as said:
            await ShareBox([*good, wrong]).open(PURPOSE, sealed)
        assert said.value.code == "HY-2431"
        assert "chris" in said.value.cause


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(quorum=2),
        lambda d: d["custodians"][4].update(name="mallory"),
        lambda d: d["custodians"][4].update(commitment="00" * 32),
        lambda d: d["custodians"][4].update(public_key="11" * 32),
        lambda d: d.update(key=d["key"][:-2] + ("00" if d["key"][-2:] != "00" else "01")),
        lambda d: d["custodians"].pop(),
    ],
)
async def test_nothing_of_the_block_can_be_changed(five: Five, change: object) -> None:
    sealed = await five.sealed(b"sleutel")
    shares = [five.share(sealed, name) for name in NAMES[:3]]
    document = json.loads(sealed)
    change(document)  # type: ignore[operator]
    with pytest.raises(Tampered):
        await ShareBox(shares).open(PURPOSE, json.dumps(document).encode())


async def test_a_key_opens_no_other_share_and_none_of_another_backup(five: Five) -> None:
    sealed = await five.sealed(b"sleutel")
    pem, _ = make_custodian("vreemd", PASSPHRASE)
    with pytest.raises(Malformed):
        open_share(PURPOSE, sealed, read_private(pem, PASSPHRASE))
    with pytest.raises(Tampered):
        five.share(sealed, "anna", "backup 2 bb 1 2")
    with pytest.raises(Malformed):
        read_private(five.pems["anna"], b"een andere wachtzin")
    document = json.loads(sealed)
    document["custodians"][0]["share"] = document["custodians"][1]["share"]
    with pytest.raises(Tampered) as said:
        five.share(json.dumps(document).encode(), "anna")
    assert "anna" in said.value.cause


def test_numbers_and_names_that_cannot_stand_are_refused(five: Five) -> None:
    for quorum in (0, 1, 6):
        with pytest.raises(Malformed):
            CustodianBox(five.people, quorum, secrets.token_bytes)
    with pytest.raises(Malformed):
        CustodianBox([five.people[0], five.people[0]], 2, secrets.token_bytes)
    for name, words in (("", PASSPHRASE), ("x" * 65, PASSPHRASE), ("anna", b"kort")):
        with pytest.raises(Malformed):
            make_custodian(name, words)
    for broken in ({}, [], {"format": "hyok-custodian/1", "name": "a", "public_key": "zz"}):
        with pytest.raises(Malformed):
            parse_custodian(broken)
        with pytest.raises(Malformed):
            parse_share(broken)


@given(raw=st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_a_block_of_any_bytes_is_refused_and_breaks_nothing(raw: bytes) -> None:
    with pytest.raises(HyokError):
        named_in(raw)


# -- the file, and the commands of custodians ------------------------------------------------------


async def test_a_backup_goes_to_custodians_and_comes_back_through_their_files(
    five: Five, tmp_path: Path
) -> None:
    plain, sealed, back = tmp_path / "plain", tmp_path / "sealed", tmp_path / "back"
    plain.write_bytes(b"BSN 123456782 " * 30_000)
    box = CustodianBox(five.people, 3, secrets.token_bytes)
    await seal_copy(plain, sealed, box, secrets.token_bytes, 1_764_331_200_000, BY_CUSTODIANS)
    assert b"123456782" not in sealed.read_bytes()
    words = tmp_path / "words"
    words.write_bytes(PASSPHRASE)
    files = {}
    for name in NAMES[:3]:
        key, share = tmp_path / f"{name}.pem", tmp_path / f"{name}.share"
        key.write_bytes(five.pems[name])
        arguments = ["custodian", "share", str(sealed), "--key", str(key), "--to", str(share)]
        done = CliRunner().invoke(app, [*arguments, "--passphrase-file", str(words)])
        assert done.exit_code == 0, done.output
        assert share.stat().st_mode & 0o777 == 0o600
        files[name] = json.loads(share.read_text())
    head = await open_copy(sealed, back, ShareBox(shares_of(files)))
    assert back.read_bytes() == plain.read_bytes()
    assert head.version == BY_CUSTODIANS
    shown = CliRunner().invoke(app, ["custodian", "show", str(sealed), "--json"])
    assert json.loads(shown.output)[0]["quorum"] == 3
    with pytest.raises(Malformed):
        shares_of(files | {"nog eens": files["anna"]})

    back.unlink()
    with pytest.raises(Tampered) as said:
        bad = dict(files["bram"], share="00" * 32)
        await open_copy(sealed, back, ShareBox(shares_of(files | {"bram": bad})))
    assert (said.value.code, "bram" in said.value.cause) == ("HY-2431", True)
    assert not back.exists()

    raw = bytearray(sealed.read_bytes())
    raw[-1] ^= 1
    sealed.write_bytes(raw)
    with pytest.raises(Tampered) as said:
        await open_copy(sealed, back, ShareBox(shares_of(files)))
    assert said.value.code == "HY-2402"
    assert read_head(sealed)[0].version == BY_CUSTODIANS


def test_a_custodian_makes_a_key_and_hands_in_its_public_half(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_bytes(PASSPHRASE)
    arguments = ["custodian", "key", "anna", str(tmp_path / "anna.pem")]
    arguments += ["--public", str(tmp_path / "anna.json"), "--passphrase-file", str(words)]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    made = parse_custodian(json.loads((tmp_path / "anna.json").read_text()))
    assert json.loads(done.output)[0]["sha256"] == made.fingerprint
    assert b"ENCRYPTED" in (tmp_path / "anna.pem").read_bytes()
    assert CliRunner().invoke(app, arguments).exit_code != 0, "nothing is overwritten"
