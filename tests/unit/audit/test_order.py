"""The order of several hosts' records: each host's own is kept, and what rows suffered is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.audit.test_keeper import KEY, Signer

from hyok.audit.file import canonical
from hyok.audit.order import put_in_order
from hyok.audit.rows import (
    Batch,
    Run,
    check_chunk,
    sign_batch,
    sign_chunk,
    state_of,
    vouch,
    vouched,
)
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.audit.rows import Spot

KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode() * 32) for name in "abz"}


def run(name: str, number: int = 1, host: str = "", after: Spot = (0, 0)) -> Run:
    public = KEYS[name].public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Run(f"{name}{number}", host or name, f"host-{name}", number, public, after)


def batch(of: Run, number: int, at_ms: int, *said: str) -> Batch:
    lines = [canonical({"action": one}) for one in said or (f"{of.run}.{number}",)]
    return sign_batch(KEYS[of.run[0]], of.run, number, at_ms, lines)


def ordered(
    batches: Sequence[Batch],
    *runs: Run,
    state: Mapping[str, Spot] | None = None,
    unvouched: Mapping[str, int] | None = None,
) -> tuple[list[str], list[tuple[str, int]], list[tuple[str, int]]]:
    """Return actions (and reasons of gaps), what is done, what was refused."""
    made = put_in_order(
        state or {}, 7, batches, {one.run: one for one in runs}, unvouched or {}, 99
    )
    rows = [json.loads(line) for line in made.lines]
    assert [row["seq"] for row in rows] == list(range(7, made.next_seq))
    told = [row["reasons"][0] if row["action"] == "audit:gap" else row["action"] for row in rows]
    return told, made.done, made.refused


def test_between_hosts_the_time_decides_and_in_a_host_its_own_order() -> None:
    a, b = run("a"), run("b")
    batches = [batch(a, 1, 50), batch(a, 2, 10), batch(b, 1, 20), batch(b, 2, 60, "x", "y")]
    for given in (batches, batches[::-1]):
        told, done, refused = ordered(given, a, b)
        assert told == ["b1.1", "a1.1", "a1.2", "x", "y"]  # a's clock was set back after 50
        assert sorted(done) == [("a1", 1), ("a1", 2), ("b1", 1), ("b1", 2)]
        assert not refused


def test_what_is_handed_in_again_after_it_was_put_in_order_adds_nothing() -> None:
    a = run("a")
    told, done, _ = ordered([batch(a, 1, 1), batch(a, 2, 2)], a, state={"a": (1, 1)})
    assert told == ["a1.2"]
    assert done == [("a1", 1), ("a1", 2)]


@pytest.mark.parametrize(
    ("batches", "state", "said"),
    [
        ([(1, 1), (1, 4)], {}, "batches 2 to 3 of run 1 are missing"),
        ([(1, 3)], {"a": (1, 1)}, "batches 2 to 2 of run 1 are missing"),
        ([(2, 2)], {"a": (1, 5)}, "batches 1 to 1 of run 2 are missing"),
        ([(2, 1)], {"a": (1, 4)}, "batches up to 5 of run 1 are missing"),
        ([(2, 1)], {}, "batches up to 5 of run 1 are missing"),
    ],
)
def test_a_batch_that_was_taken_out_is_missed(
    batches: list[tuple[int, int]], state: dict[str, Spot], said: str
) -> None:
    runs = {1: run("a"), 2: run("a", 2, after=(1, 5))}
    told, done, _ = ordered(
        [batch(runs[of], number, 1) for of, number in batches], *runs.values(), state=state
    )
    assert said in told
    assert len(told) == len(batches) + 1
    assert len(done) == len(batches)


def test_runs_that_follow_each_other_without_a_loss_have_no_gap() -> None:
    one, two = run("a"), run("a", 2, after=(1, 2))
    told, _, _ = ordered([batch(one, 1, 5), batch(one, 2, 6), batch(two, 1, 1)], one, two)
    assert told == ["a1.1", "a1.2", "a2.1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, lines=one.lines.replace(b"a1.1", b"z1.1")),
        lambda one: replace(one, lines=one.lines + one.lines),
        lambda one: replace(one, at_ms=2),
        lambda one: replace(one, signature=bytes(64)),
        lambda one: replace(one, lines=b""),
    ],
)
def test_a_batch_that_was_changed_is_refused_and_the_log_says_so(change: object) -> None:
    a, b = run("a"), run("b")
    told, done, refused = ordered(
        [change(batch(a, 1, 1)), batch(a, 2, 3), batch(b, 1, 2)],  # type: ignore[operator]
        *(a, b),
    )
    assert told == ["batch 1 of run 1 is not what was handed in", "b1.1", "a1.2"]
    assert refused == [("a1", 1)]
    assert sorted(done) == [("a1", 2), ("b1", 1)]


def test_a_batch_under_another_runs_name_is_refused() -> None:
    a = run("a")
    forged = replace(batch(run("z"), 1, 1), run="a1")
    told, _, refused = ordered([forged], a)
    assert told == ["batch 1 of run 1 is not what was handed in"]
    assert refused == [("a1", 1)]


def test_a_run_that_nobody_vouched_for_waits_and_so_do_later_ones_of_its_host_alone() -> None:
    one, two, b = run("a"), run("a", 2), run("b")
    batches = [batch(one, 1, 1), batch(two, 1, 2), batch(b, 1, 3)]
    told, done, _ = ordered(batches, two, b, unvouched={"a": 1})
    assert told == ["b1.1"]
    assert done == [("b1", 1)]


def test_a_run_is_known_only_by_a_document_that_the_logs_key_signed() -> None:
    a = run("a", 3, after=(2, 9))
    text = vouch(a, Signer(), "hyok", 5)
    assert vouched(text, [KEY]) == a
    forged = json.loads(text)
    forged["document"]["key"] = run("z").public_key.hex()
    for wrong in (json.dumps(forged), "{}", "", text.replace('"number": 3', '"number": 4')):
        with pytest.raises(Tampered, match="vouches"):
            vouched(wrong, [KEY])


@pytest.mark.parametrize(
    "changed",
    [
        {"lines": b'{"a":2}\n'},
        {"first": 8},
        {"previous": "00"},
        {"state": '{"a":[1,3]}'},
        {"records": 2},
        {"run": "b1"},
    ],
)
def test_a_chunk_is_what_its_sequencer_signed(changed: dict[str, object]) -> None:
    a = run("a")
    chunk = sign_chunk(KEYS["a"], "a1", 7, [b'{"a":1}\n'], "ff", {"a": (1, 2)})
    assert check_chunk(chunk, a) == [b'{"a":1}\n']
    assert state_of(chunk) == {"a": (1, 2)}
    with pytest.raises(Tampered, match="put in order"):
        check_chunk(replace(chunk, **changed), a)  # type: ignore[arg-type]
