"""The pool against agents that answer as a test tells them to."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hyok.envelope.profiles import check_value_hmac, software_secret
from hyok.errors import Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.port import KekSpec
from hyok.hsm.wire import Answer, Outcome, Question, Verb, decode_question, encode_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEY = bytes(range(32))
KEK = KekSpec("t1/a", 1, check_value_hmac(KEY, "t1/a"))
TOKEN = bytes(32)
SCOPE = "bucket:b"
SECRET = software_secret(1, KEY, KEK.kek_id, SCOPE, TOKEN)


class FakeAgent:
    """One agent in this process: ``mood`` says how it answers an HMAC."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.key = KEY
        self.mood = "well"
        self.generation = 7
        self.asked: list[Verb] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        _unlink(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                (length,) = struct.unpack(">I", await reader.readexactly(4))
                question = decode_question(await reader.readexactly(length))
                self.asked.append(question.verb)
                answer = await self._answer(question)
                if answer is None:
                    break
                writer.write(encode_answer(answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, question: Question) -> Answer | None:
        outcome, fields = Outcome.DONE, ()
        match question.verb, self.mood:
            case Verb.STATUS, mood:
                fields = (b"pin-refused X" if mood == "pin" else b"ready",)
            case _, "dies":
                return None
            case _, "hangs":
                await asyncio.sleep(60)
            case _, "pin":
                outcome, fields = Outcome.PIN_REFUSED, (b"the HSM refused the PIN", b"PinRefused")
            case _, "ill":
                outcome, fields = Outcome.UNAVAILABLE, (b"DEVICE_ERROR", b"WorkerLost")
            case _, "empty":
                outcome, fields = Outcome.NOT_FOUND, (b"no key", b"")
            case _, "unable":
                outcome, fields = Outcome.REFUSED, (b"C_Sign: MECHANISM_INVALID", b"")
            case Verb.HMAC, _:
                kek_id, scope, token = question.fields
                fields = (software_secret(1, self.key, kek_id.decode(), scope.decode(), token),)
            case Verb.HMAC_CHECK, _:
                fields = (check_value_hmac(self.key, question.fields[0].decode()),)
        number = question.number + (self.mood == "confused")
        return Answer(number, outcome, self.generation, fields)


def _unlink(path: str) -> None:
    Path(path).unlink(missing_ok=True)


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="hsm-") as path:
        yield path


@pytest.fixture
async def agents(folder: str) -> AsyncIterator[list[FakeAgent]]:
    made = [FakeAgent(f"{folder}/{name}.sock") for name in "ab"]
    for agent in made:
        await agent.start()
    yield made
    for agent in made:
        await agent.stop()


@pytest.fixture
async def pool(agents: list[FakeAgent]) -> AsyncIterator[HsmPool]:
    pool = HsmPool(
        [TokenSpec(agent.path[-6], agent.path) for agent in agents],
        attempt_seconds=0.3,
        deadline_seconds=2.0,
        grace_seconds=0.5,
    )
    yield pool
    await pool.close()


async def ask(pool: HsmPool) -> bytes:
    return await pool.secret(KEK, SCOPE, TOKEN)


async def test_the_first_token_is_preferred(pool, agents) -> None:
    for _ in range(5):
        assert await ask(pool) == SECRET
    assert agents[0].asked == [Verb.HMAC_CHECK] + [Verb.HMAC] * 5
    assert agents[1].asked == []


@pytest.mark.parametrize("mood", ["dies", "hangs", "ill", "pin", "empty", "confused"])
async def test_a_failing_token_is_left_for_the_next_and_the_caller_does_not_notice(
    pool, agents, mood
) -> None:
    await ask(pool)
    agents[0].mood = mood
    assert await ask(pool) == SECRET
    assert Verb.HMAC in agents[1].asked


async def test_a_token_that_is_not_there_is_left_for_the_next(pool, agents) -> None:
    await agents[0].stop()
    assert await ask(pool) == SECRET


async def test_a_token_that_is_well_again_is_preferred_again(pool, agents) -> None:
    agents[0].mood = "ill"
    await ask(pool)
    assert [health.healthy for health in await pool.health()] == [False, True]
    agents[0].mood = "well"
    for _ in range(100):
        if (await pool.health())[0].healthy:
            break
        await asyncio.sleep(0.02)
    before = len(agents[1].asked)
    assert await ask(pool) == SECRET
    assert len(agents[1].asked) == before


async def test_a_call_that_kills_each_agent_it_meets_gets_no_third(pool, agents) -> None:
    await ask(pool)
    for agent in agents:
        agent.mood = "dies"
        agent.asked.clear()
    with pytest.raises(Unavailable) as caught:
        await ask(pool)
    assert caught.value.code == "HY-2101"
    asked = [verb for agent in agents for verb in agent.asked if verb is not Verb.STATUS]
    # one HMAC of the first token, one check value of the second, and trials of the mending tasks
    assert asked.count(Verb.HMAC) == 1
    assert asked[0] is Verb.HMAC


async def test_with_every_token_gone_calls_wait_a_little_and_then_fail_at_once(
    pool, agents
) -> None:
    await ask(pool)
    for agent in agents:
        await agent.stop()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(Unavailable):
        await ask(pool)
    assert 0.2 < loop.time() - began < 1.5
    began = loop.time()
    for _ in range(20):
        with pytest.raises(Unavailable):
            await ask(pool)
    assert loop.time() - began < 0.2, "requests must not pile up behind a dead HSM"


async def test_a_token_that_comes_back_in_time_saves_the_call(pool, agents) -> None:
    await ask(pool)
    for agent in agents:
        await agent.stop()
    waiting = asyncio.create_task(ask(pool))
    await asyncio.sleep(0.15)
    await agents[1].start()
    assert await waiting == SECRET


async def test_a_refused_pin_is_said_as_such_and_at_once(pool, agents) -> None:
    for agent in agents:
        agent.mood = "pin"
    with pytest.raises(Unavailable) as caught:
        await ask(pool)
    assert caught.value.code == "HY-2102"


async def test_a_key_that_no_token_has_is_not_found(pool, agents) -> None:
    for agent in agents:
        agent.mood = "empty"
    with pytest.raises(NotFound) as caught:
        await ask(pool)
    assert caught.value.code == "HY-2103"
    assert all(health.healthy for health in await pool.health())


async def test_a_token_with_another_key_of_the_name_is_never_used(pool, agents) -> None:
    agents[0].key = bytes(32)
    assert await ask(pool) == SECRET
    assert Verb.HMAC not in agents[0].asked
    agents[1].key = bytes(32)
    agents[1].generation += 1
    with pytest.raises(Tampered) as caught:
        await ask(pool)
    assert caught.value.code == "HY-2106"


async def test_after_a_new_login_the_check_value_is_asked_before_an_answer_is_believed(
    pool, agents
) -> None:
    await ask(pool)
    # The token was exchanged for one with another key; the connection lived on.
    agents[0].key = bytes(32)
    agents[0].generation += 1
    assert await ask(pool) == SECRET
    assert agents[0].asked[-2:] == [Verb.HMAC, Verb.HMAC_CHECK]


async def test_what_the_module_cannot_do_is_refused_and_not_the_devices_fault(pool, agents) -> None:
    agents[0].mood = "unable"
    with pytest.raises(Refused):
        await ask(pool)
    assert (await pool.health())[0].healthy


async def test_many_calls_share_few_lines(agents) -> None:
    pool = HsmPool([TokenSpec("a", agents[0].path)], lines_max=2)
    answers = await asyncio.gather(*(ask(pool) for _ in range(100)))
    assert set(answers) == {SECRET}
    assert len(agents[0]._writers) == 2
    await pool.close()


async def test_calls_about_one_key_leave_room_for_those_about_others(agents) -> None:
    pool = HsmPool([TokenSpec("a", agents[0].path)], lines_max=8, attempt_seconds=3)
    await ask(pool)
    agents[0].mood = "hangs"
    hung = [asyncio.create_task(ask(pool)) for _ in range(20)]
    await asyncio.sleep(0.05)
    agents[0].mood = "well"
    other = KekSpec("t1/b", 1, check_value_hmac(KEY, "t1/b"))
    async with asyncio.timeout(1):
        assert await pool.secret(other, SCOPE, TOKEN) == software_secret(
            1, KEY, other.kek_id, SCOPE, TOKEN
        )
    assert not any(task.done() for task in hung)
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)
    await pool.close()


async def test_our_own_crowding_is_not_held_against_the_token(agents) -> None:
    pool = HsmPool(
        [TokenSpec("a", agents[0].path)], lines_max=1, attempt_seconds=0.2, deadline_seconds=0.3
    )
    await ask(pool)
    line = pool._members[0]._lines
    await line._room.acquire(1)
    with pytest.raises(Unavailable):
        await ask(pool)
    assert (await pool.health())[0].healthy
    line._room.release()
    assert await ask(pool) == SECRET
    await pool.close()


async def test_a_cancelled_call_leaves_no_answer_for_the_next(pool, agents) -> None:
    await ask(pool)
    agents[0].mood = "hangs"
    hung = asyncio.create_task(ask(pool))
    await asyncio.sleep(0.05)
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    agents[0].mood = "well"
    assert await pool.secret(KEK, "bucket:other", TOKEN) == software_secret(
        1, KEY, KEK.kek_id, "bucket:other", TOKEN
    )
    assert all(health.healthy for health in await pool.health())


def test_a_group_has_a_token() -> None:
    with pytest.raises(Malformed):
        HsmPool([])
