"""An independent library opens our parts, and we open its: Google Tink's streaming AEAD.

Tink lives in an environment of its own, built once from a hash-pinned list.  The test fails when
that cannot be built: a promise that nobody checks is none.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.peers.environments import python_of
from tests.unit.envelope.vectors import SUITES, load, unhex
from tests.unit.envelope.whole import plaintext, seal_part

from hyok.envelope.keys import DataKey, part_associated_data
from hyok.envelope.layout import HYOK1, HYOK1_TEST, Suite
from hyok.envelope.parts import PartOpener, part_header

if TYPE_CHECKING:
    from collections.abc import Callable

    Tink = Callable[[list[dict[str, Any]]], list[str | None]]

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "requirements-tink.lock"
PEER = Path(__file__).with_name("tink_peer.py")
ANSWER_SECONDS = 60

DEK = DataKey(bytes(range(32)))
HEADER = part_header(bytes(range(32)), b"nonce--")
SIZES = [
    *((HYOK1, size) for size in (0, 1, 262_087, 262_088, 262_089, 524_216, 524_217, 900_000)),
    *((HYOK1_TEST, size) for size in (0, 1, 199, 200, 201, 440, 441, 5_000)),
]


@pytest.fixture(scope="module")
def tink() -> Tink:
    python = python_of("tink", LOCK)

    def ask(questions: list[dict[str, Any]]) -> list[str | None]:
        done = subprocess.run(
            [python, PEER],
            input=json.dumps(questions),
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout)
        assert len(answers) == len(questions)
        return list(answers)

    return ask


def question(
    act: str, given: bytes, suite: Suite, number: int = 1, key: DataKey = DEK
) -> dict[str, Any]:
    return {
        "act": act,
        "key": key.content_key.hex(),
        "aad": part_associated_data(suite.id, number).hex(),
        "segment_bytes": suite.segment_bytes,
        "input": given.hex(),
    }


def open_part(part: bytes, suite: Suite, size: int) -> bytes:
    opener = PartOpener(DEK, suite, 1, part[:40], size)
    room = memoryview(bytearray(suite.segment_bytes))
    out = b""
    for index in range(opener.segment_count):
        start, stop = opener.sealed_span(index)
        out += room[: opener.open_into(index, memoryview(part)[start:stop], room)]
    return out


def test_tink_opens_what_we_seal(tink: Tink) -> None:
    answers = tink(
        [
            question("open", seal_part(DEK, suite, 1, HEADER, plaintext(size)), suite)
            for suite, size in SIZES
        ]
    )
    for (_, size), opened in zip(SIZES, answers, strict=True):
        assert opened == plaintext(size).hex()


def test_we_open_what_tink_seals(tink: Tink) -> None:
    answers = tink([question("seal", plaintext(size), suite) for suite, size in SIZES])
    for (suite, size), sealed in zip(SIZES, answers, strict=True):
        assert sealed is not None
        assert open_part(bytes.fromhex(sealed), suite, size) == plaintext(size)


def test_tink_opens_the_parts_of_the_vectors(tink: Tink) -> None:
    vectors = [v for v in load("parts.json") if "ciphertext" in v]
    answers = tink(
        [
            question(
                "open",
                unhex(v["ciphertext"]),
                SUITES[v["suite"]],
                v["part_number"],
                DataKey(unhex(v["dek"])),
            )
            for v in vectors
        ]
    )
    assert answers == [v["plaintext"] for v in vectors]


def test_tink_refuses_what_we_would_refuse(tink: Tink) -> None:
    part = seal_part(DEK, HYOK1_TEST, 1, HEADER, plaintext(700))
    places = (1, 39, 40, 300, len(part) - 1)
    flipped = [part[:at] + bytes([part[at] ^ 1]) + part[at + 1 :] for at in places]
    questions = [question("open", wrong, HYOK1_TEST) for wrong in (*flipped, part[:256], part[:-1])]
    questions.append(question("open", part, HYOK1_TEST, number=2))
    assert tink(questions) == [None] * len(questions)
