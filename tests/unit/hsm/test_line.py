"""A question on a line gets its own answer in its own time, or an error that says which it was."""

from __future__ import annotations

import asyncio
import tempfile
from typing import TYPE_CHECKING

import pytest

from hyok.hsm.line import AgentLines, LineBroken, LineSlow, LineUnreachable
from hyok.hsm.wire import Answer, Outcome, Verb, decode_question, encode_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEVER = 600.0


class Slowly:
    """An agent in this process: a question's field says after how many seconds it is answered."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.connections = 0
        self.cut = 1 << 20
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                question = decode_question(await reader.readexactly(length))
                await asyncio.sleep(float(question.fields[0]))
                frame = encode_answer(Answer(question.number, Outcome.DONE, 1, question.fields))
                for at in range(0, len(frame), self.cut):
                    writer.write(frame[at : at + self.cut])
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@pytest.fixture
async def agent() -> AsyncIterator[Slowly]:
    with tempfile.TemporaryDirectory(prefix="hsm-") as folder:
        made = Slowly(f"{folder}/a.sock")
        server = await asyncio.start_unix_server(made.serve, made.path)
        yield made
        server.close()
        made.hang_up()


@pytest.fixture
async def lines(agent: Slowly) -> AsyncIterator[AgentLines]:
    made = AgentLines(agent.path, 4)
    yield made
    made.close()


async def ask(lines: AgentLines, after: float, seconds: float) -> float:
    """Return how long it took."""
    began = asyncio.get_running_loop().time()
    answer = await lines.ask(Verb.HMAC, (str(after).encode(),), seconds)
    assert answer.fields == (str(after).encode(),)
    return asyncio.get_running_loop().time() - began


async def slow(lines: AgentLines, seconds: float) -> float:
    began = asyncio.get_running_loop().time()
    with pytest.raises(LineSlow):
        await ask(lines, NEVER, seconds)
    return asyncio.get_running_loop().time() - began


async def test_each_question_has_its_own_time(lines: AgentLines) -> None:
    # The second has less time than the first, the third more, and the fourth is answered.
    took = await asyncio.gather(
        slow(lines, 0.3), slow(lines, 0.1), slow(lines, 0.5), ask(lines, 0.2, 5)
    )
    for seconds, wanted in zip(took, (0.3, 0.1, 0.5, 0.2), strict=True):
        assert wanted <= seconds + 0.01
        assert seconds < wanted + 0.15


async def test_time_that_was_left_over_is_not_taken_from_the_next(lines: AgentLines) -> None:
    for _ in range(4):
        assert await ask(lines, 0.15, 0.25) < 0.25


async def test_a_line_without_its_answer_is_not_used_again(
    lines: AgentLines, agent: Slowly
) -> None:
    await ask(lines, 0, 5)
    assert agent.connections == 1
    await slow(lines, 0.05)
    await ask(lines, 0, 5)
    assert agent.connections == 2
    given_up = asyncio.create_task(ask(lines, 0.05, 5))
    await asyncio.sleep(0.01)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await ask(lines, 0.1, 5)
    assert agent.connections == 3


async def test_an_answer_may_come_in_pieces(lines: AgentLines, agent: Slowly) -> None:
    agent.cut = 3
    await asyncio.gather(*(ask(lines, 0, 5) for _ in range(20)))


async def test_who_waits_is_told_at_once_that_the_agent_ended(
    lines: AgentLines, agent: Slowly
) -> None:
    waiting = [asyncio.create_task(ask(lines, NEVER, 5)) for _ in range(3)]
    await asyncio.sleep(0.05)
    agent.hang_up()
    async with asyncio.timeout(1):
        for task in waiting:
            with pytest.raises(LineBroken):
                await task


async def test_where_nobody_listens_nothing_was_asked() -> None:
    with pytest.raises(LineUnreachable):
        await AgentLines("/nowhere/a.sock", 1).ask(Verb.HMAC, (), 1)
