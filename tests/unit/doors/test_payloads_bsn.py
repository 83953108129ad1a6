"""FF1 is the standard's, and tokens of BSNs pass or fail the elfproef as they should."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.doors.payloads import payloads, problem

from hyok.custody.door_key import AES, Usage, sort_of
from hyok.custody.door_key import BSN as BSN_KEYS
from hyok.doors.payloads import bsn
from hyok.doors.payloads.ff1 import Ff1
from hyok.errors import Malformed

KEY = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94")
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
DIGITS, MIXED = "0123456789", "0123456789abcdefghi"
TEN, ELEVEN = "39383736353433323130", "3737373770717273373737"
BSN = "123456782"


@pytest.mark.parametrize(
    ("key_bytes", "radix", "tweak", "plain", "sealed"),
    [
        (16, 10, "", DIGITS, "2433477484"),
        (16, 10, TEN, DIGITS, "6124200773"),
        (16, 36, ELEVEN, MIXED, "a9tv40mll9kdu509eum"),
        (24, 10, "", DIGITS, "2830668132"),
        (24, 10, TEN, DIGITS, "2496655549"),
        (24, 36, ELEVEN, MIXED, "xbj3kv35jrawxv32ysr"),
        (32, 10, "", DIGITS, "6657667009"),
        (32, 10, TEN, DIGITS, "1001623463"),
        (32, 36, ELEVEN, MIXED, "xs8a0azh2avyalyzuwd"),
    ],
)
def test_the_samples_of_nist_come_out(
    key_bytes: int, radix: int, tweak: str, plain: str, sealed: str
) -> None:
    """Source: NIST, "FF1samples" (SP 800-38G), samples 1 to 9."""
    cipher = Ff1(KEY[:key_bytes], radix, len(plain), bytes.fromhex(tweak))
    numerals = [LETTERS.index(letter) for letter in plain]
    made = cipher.encrypt(numerals)
    assert "".join(LETTERS[one] for one in made) == sealed
    assert cipher.decrypt(made) == numerals


def test_a_domain_of_less_than_a_million_is_none() -> None:
    Ff1(KEY, 10, 6, b"")
    with pytest.raises(AssertionError):
        Ff1(KEY, 10, 5, b"")


def elfproef(text: str) -> int:
    """Return nought for what passes, as the page of the government counts it."""
    total = sum((9 - place) * int(digit) for place, digit in enumerate(text[:8]))
    return (total - int(text[8])) % 11


def with_last(eight: int) -> str:
    """Return the BSN of eight digits; without a last one of which they are none, empty."""
    last = elfproef(f"{eight:08d}0")
    return f"{eight:08d}{last}" if last < 10 else ""


bsns = st.integers(10**5, 10**8 - 1).map(with_last).filter(bool)


@settings(max_examples=60, deadline=None)
@given(text=bsns, passes=st.booleans())
def test_a_token_is_of_its_kind_and_stands_for_one_bsn(text: str, passes: bool) -> None:
    token = bsn.token_of(KEY, b"{}", text, passes=passes)
    assert len(token) == 9
    assert (elfproef(token) == 0) is passes
    assert token != "0" * 9
    bsn.check_token(token, passes=passes)
    with pytest.raises(Malformed):
        bsn.check_token(token, passes=not passes)
    assert bsn.bsn_of(KEY, b"{}", token, passes=passes) == text
    assert bsn.token_of(KEY, b"x", text, passes=passes) != token
    assert bsn.token_of(KEY[::-1], b"{}", text, passes=passes) != token


def test_different_bsns_have_different_tokens() -> None:
    found = [f"{n:09d}" for n in range(100_000_000, 100_003_300) if not elfproef(f"{n:09d}")]
    for passes in (True, False):
        made = {bsn.token_of(KEY, b"", text, passes=passes) for text in found}
        assert len(made) == len(found)
    assert len(found) == 300


def test_raising_the_last_digit_always_fails_the_proef() -> None:
    for last in range(10):
        text = next(
            t
            for n in range(10**8, 10**8 + 999)
            if not elfproef(t := f"{n:09d}") and t.endswith(str(last))
        )
        assert elfproef(text[:8] + str((last + 1) % 10))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12345678",
        "1234567890",
        "123456789",
        "000000000",
        "12345678x",
        "".join(chr(0xFF10 + int(one)) for one in BSN),
    ],
)
def test_what_is_no_bsn_is_refused_and_not_told(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        bsn.check_bsn(text)
    assert caught.value.code == "HY-2712"
    assert not text or text not in str(caught.value)


def test_a_context_has_no_order() -> None:
    assert bsn.tweak_of({"a": "1", "b": "2"}) == bsn.tweak_of({"b": "2", "a": "1"})
    assert bsn.tweak_of({"a": "1"}) != bsn.tweak_of({})


async def test_the_door_makes_and_reads_tokens_of_both_kinds(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        for key, passes in (("bsn", False), ("bsn-elf", True)):
            ask = {"key": key, "bsn": BSN, "context": {"app": "z"}}
            told = await made.done("encrypt-bsn", ask)
            assert told == await made.done("encrypt-bsn", ask)  # equal values look equal
            assert (told["key"], told["version"]) == (key, 1)
            assert (elfproef(told["token"]) == 0) is passes
            back = {"key": key, "version": 1, "token": told["token"], "context": {"app": "z"}}
            assert (await made.done("decrypt-bsn", back))["bsn"] == BSN
            await made.store.make(key, version=2)
            newer = await made.done("encrypt-bsn", ask)
            assert newer["version"] == 2
            assert newer["token"] != told["token"]
            assert (await made.done("decrypt-bsn", back))["bsn"] == BSN
            gone = await made.post("decrypt-bsn", back | {"version": 3})
            assert problem(gone) == (400, "invalid_ciphertext")
        records = made.store.house.journal.records
        assert {r.action for r in records} == {"key:encrypt", "key:decrypt"}
        assert BSN not in repr(records)


async def test_a_failing_token_of_elsewhere_stands_for_nobody_mostly(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        statuses = []
        for number in range(500_000_000, 500_000_022):
            token = f"{number:09d}"
            if elfproef(token):
                back = {"key": "bsn", "version": 1, "token": token}
                statuses.append((await made.post("decrypt-bsn", back)).status)
        assert statuses.count(400) > len(statuses) / 2


async def test_a_bsn_key_does_nothing_else_and_no_other_key_does_this(tmp_path: Any) -> None:
    async with payloads(
        tmp_path, bsn_tokens={"t/bsn": False, "t/zoek": False, "t/kms": True}
    ) as made:
        for key in ("zoek", "kms"):
            answer = await made.post("encrypt-bsn", {"key": key, "bsn": BSN})
            assert problem(answer) == (403, "wrong_usage"), key
        # Its HMAC is the key of FF1: nobody may have a text authenticated with it.
        ask = {"key": "bsn", "pointer": "/a", "value": "x"}
        assert problem(await made.post("index", ask)) == (403, "wrong_usage")
        answer = await made.post("encrypt", {"key": "bsn", "plaintext": ""})
        assert problem(answer) == (403, "wrong_usage")
        off = await made.post("encrypt-bsn", {"key": "bsn-elf", "bsn": BSN})
        assert problem(off) == (403, "switched_off")
        wrong = await made.post("encrypt-bsn", {"key": "bsn", "bsn": "123456789"})
        assert problem(wrong) == (400, "invalid_bsn")
        assert "123456789" not in wrong.answer.decode()
    assert sort_of(AES, [Usage.BSN]) is BSN_KEYS
    for other in set(Usage) - {Usage.BSN}:
        assert sort_of(AES, [Usage.BSN, other]) is None


async def test_none_is_made_where_nobody_switched_it_on(tmp_path: Any) -> None:
    async with payloads(tmp_path, bsn_tokens={}) as made:
        for path, body in (
            ("encrypt-bsn", {"key": "bsn", "bsn": BSN}),
            ("decrypt-bsn", {"key": "bsn", "version": 1, "token": "123456789"}),
        ):
            assert problem(await made.post(path, body)) == (403, "switched_off")
