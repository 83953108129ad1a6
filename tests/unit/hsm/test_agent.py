"""The edges of the agent: the PIN, the socket, malformed questions."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hyok.errors import Malformed
from hyok.hsm import agent_socket
from hyok.hsm.agent import Agent, read_pin
from hyok.hsm.agent_socket import listen
from hyok.hsm.dialect import Dialect
from hyok.hsm.door_questions import OF_DOORS
from hyok.hsm.gate import PinGate
from hyok.hsm.questions import of_keys
from hyok.hsm.wire import Answer, Outcome, Question, Verb, decode_answer, encode_question

if TYPE_CHECKING:
    from collections.abc import Iterator


def _file(tmp_path: Path, content: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "pin"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("content", [b"1234", b"1234\n", b"1234\r\n"])
def test_a_pin_ends_before_the_line_does(tmp_path: Path, content: bytes) -> None:
    assert read_pin(_file(tmp_path, content), None) == b"1234"


def test_a_pin_may_have_spaces() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b" my pin ")
    os.close(write_end)
    assert read_pin(None, read_end) == b" my pin "


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 1025])
def test_an_empty_or_endless_pin_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Malformed):
        read_pin(_file(tmp_path, content), None)


def test_a_pin_that_everyone_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        read_pin(_file(tmp_path, b"1234", 0o644), None)


class IdleToken:
    dialect = Dialect("soft")
    signing = None

    def hmac_check(self, *_asked: object, **_how: object) -> bytes:
        raise AssertionError("the question should have been refused before")

    open = create = hmac_check

    class sessions:  # noqa: N801 - an attribute of the real one
        generation = 1

        @staticmethod
        def start() -> None:
            return


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    made = Agent(IdleToken(), PinGate(tmp_path / "gate"), "t")
    made.start()
    return made


@pytest.mark.parametrize(
    "question",
    [
        Question(1, Verb.HMAC, ()),
        Question(1, Verb.HMAC, (b"k", b"s", b"t", b"more")),
        Question(1, Verb.OPEN, (b"\x09", b"k", b"s", b"t")),
        Question(1, Verb.OPEN, (b"", b"k", b"s", b"t")),
        Question(1, Verb.HMAC_CHECK, (b"\xff",)),
        Question(1, Verb.CREATE, (b"\x01",)),
        Question(1, Verb.SIGN_CHECKPOINT, (b"hyok-audit/a/1", b"any text")),
    ],
)
def test_a_question_with_other_fields_than_its_verbs_is_malformed(agent, question) -> None:
    assert agent.answer(question).outcome is Outcome.MALFORMED


def test_every_verb_is_answered_and_each_in_one_place() -> None:
    of_keks = set(of_keys(str))
    assert not of_keks & set(OF_DOORS)
    assert of_keks | set(OF_DOORS) | {Verb.STATUS, Verb.RESET} == set(Verb)


@pytest.mark.parametrize("verb", sorted({Verb.DOOR_SEAL_MANY, Verb.PAIR_OPEN, Verb.PRIVATE_SIGN}))
def test_a_door_verb_with_too_few_or_too_many_fields_is_malformed(agent: Agent, verb: Verb) -> None:
    assert agent.answer(Question(1, verb, ())).outcome is Outcome.MALFORMED
    if not OF_DOORS[verb].more:
        assert agent.answer(Question(1, verb, (b"x",) * 9)).outcome is Outcome.MALFORMED


def test_no_verb_takes_ready_made_hmac_input() -> None:
    signing = {verb.name for verb in Verb if "SIGN" in verb.name or "RAW" in verb.name}
    # These are about key pairs that sign checkpoints, put together by the agent itself.
    checkpoints = {"CREATE_SIGNING", "SIGNING_KEY", "SIGN_CHECKPOINT"}
    # And these about keys of doors alone, as DOOR_MAC is: no KEK and no audit key has such a name.
    assert signing == checkpoints | {
        *("DOOR_SIGN", "DOOR_SIGN_CREATE", "RSA_SIGN", "RSA_SIGN_CREATE"),
        "PRIVATE_SIGN",
    }


def test_two_agents_never_have_the_same_generation(tmp_path: Path) -> None:
    made = {Agent(IdleToken(), PinGate(tmp_path / "gate"), "t").generation for _ in range(20)}
    assert len(made) == 20


@pytest.fixture
def connected(agent: Agent) -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory(prefix="hsm-") as folder:
        path = f"{folder}/a.sock"
        listener = listen(path)
        assert Path(path).stat().st_mode & 0o777 == 0o600
        threading.Thread(target=_serve_one, args=(agent, listener), daemon=True).start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(path)
            yield connection
        listener.close()


def _serve_one(agent: Agent, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    assert agent_socket._is_same_user(connection)
    room = threading.BoundedSemaphore(1)
    room.acquire()
    agent_socket._converse(agent, connection, room)


def _read(connection: socket.socket, count: int) -> list[Answer]:
    """Return so many answers."""
    held, answers = b"", []
    while len(answers) < count:
        held += connection.recv(1 << 16)
        while len(held) >= 4 and len(held) >= (stop := 4 + int.from_bytes(held[:4], "big")):
            answers.append(decode_answer(held[4:stop]))
            held = held[stop:]
    return answers


def test_a_question_may_come_in_pieces(connected) -> None:
    for byte in encode_question(Question(7, Verb.STATUS, ())):
        connected.sendall(bytes([byte]))
        time.sleep(0.001)
    (answer,) = _read(connected, 1)
    assert (answer.number, answer.fields[0]) == (7, b"ready")


def test_several_questions_in_one_piece_are_answered_in_turn(connected) -> None:
    connected.sendall(
        b"".join(encode_question(Question(number, Verb.STATUS, ())) for number in range(5))
    )
    assert [answer.number for answer in _read(connected, 5)] == list(range(5))


@pytest.mark.parametrize(
    "raw", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x05\0\0\0\x01\xff", b"GET / HTTP/1.1\r\n"]
)
def test_nonsense_ends_the_connection_and_nothing_else(connected, raw) -> None:
    connected.sendall(raw)
    with contextlib.suppress(ConnectionResetError):
        assert connected.recv(100) == b""
