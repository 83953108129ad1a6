"""SeaweedFS behind a way that fails: what is safe comes right, the rest is not repeated."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from tests.conformance.object_stores import envelope
from tests.peers import seaweedfs
from tests.peers.faulty import Fault, Faulty

from hyok.backends.port import Condition, StoredFacts
from hyok.backends.resilient import ResilientStore
from hyok.backends.retries import Retries, RetryRules
from hyok.backends.s3 import S3Store
from hyok.backends.s3_credentials import CredentialChain
from hyok.errors import NotFound, Unavailable
from hyok.http1.client import Pool
from hyok.http1.pump import PumpPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.peers.seaweedfs import SeaweedFS

    from hyok.backends.port import StoreSource

pytestmark = pytest.mark.integration
BUCKET = "faulty"
FACTS = StoredFacts(envelope(1))
ABSENT = Condition(absent=True)
HASTY_SECONDS = 3.0
BODY = os.urandom(300_000)

FAULTS = {
    "reset": Fault("reset"),
    "lost": Fault("lost"),
    "cut": Fault("cut", 10),
    "busy": Fault("busy"),
    "broken": Fault("broken"),
}


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    made = seaweedfs.start(tmp_path_factory.mktemp("weed"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def way(weed: SeaweedFS) -> Iterator[Faulty]:
    made = Faulty(weed.endpoint)
    yield made
    made.close()


def s3_store(weed: SeaweedFS, way: Faulty, pool: Pool | None = None) -> S3Store:
    """One that waits long: a busy machine is none of the faults that are tried here."""
    return S3Store(
        pool=pool or Pool(way.endpoint),
        host=way.endpoint.removeprefix("http://"),
        credentials=CredentialChain("us-east-1", weed.credentials_file()),
    )


async def with_an_object(inner: S3Store, way: Faulty) -> AsyncIterator[ResilientStore]:
    way.fail()
    rules = RetryRules(attempts_max=3, wait_seconds=0.01, slow_down_seconds=0.01)
    made = ResilientStore(inner, Retries(rules))
    await made.create_bucket(BUCKET)
    # What the store can do is tried here, so that a test's faults meet its own requests.
    await made.put_whole(BUCKET, "o", BODY, FACTS)
    yield made
    await made.close()


@pytest.fixture
async def store(weed: SeaweedFS, way: Faulty) -> AsyncIterator[ResilientStore]:
    async for made in with_an_object(s3_store(weed, way), way):
        yield made


@pytest.fixture
async def hasty(weed: SeaweedFS, way: Faulty) -> AsyncIterator[ResilientStore]:
    pool = Pool(way.endpoint)
    async for made in with_an_object(s3_store(weed, way, pool), way):
        pool.seconds_max = HASTY_SECONDS
        yield made


Call = Callable[[ResilientStore], Awaitable[object]]


async def _read_whole(store: ResilientStore) -> None:
    assert (await store.read_whole(BUCKET, "o"))[1] == BODY


async def _list(store: ResilientStore) -> None:
    assert [found.name for found in (await store.list(BUCKET, "o")).objects] == ["o"]


async def _put(store: ResilientStore) -> None:
    await store.put_whole(BUCKET, "n", BODY, FACTS)
    assert (await store.read_whole(BUCKET, "n"))[1] == BODY


async def _delete(store: ResilientStore) -> None:
    await store.delete(BUCKET, "n")
    with pytest.raises(NotFound):
        await store.head(BUCKET, "n")


CALLS: dict[str, Call] = {
    "read_whole": _read_whole,
    "list": _list,
    "put_whole": _put,
    "delete": _delete,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_call_that_is_safe_survives_a_fault(
    store: ResilientStore, way: Faulty, fault: str, call: str
) -> None:
    way.fail(FAULTS[fault])
    await CALLS[call](store)
    assert len(way.asked) >= 2 or (fault, call) == ("cut", "delete")  # its answer has no body


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_is_safe_survives_a_slow_answer(
    hasty: ResilientStore, way: Faulty, call: str
) -> None:
    way.fail(Fault("slow", HASTY_SECONDS + 1))
    await CALLS[call](hasty)
    assert len(way.asked) >= 2


async def test_faults_in_a_row_are_told_in_the_end(store: ResilientStore, way: Faulty) -> None:
    way.fail(*[Fault("broken")] * 3)
    with pytest.raises(Unavailable):
        await store.head(BUCKET, "o")
    assert len(way.asked) == 3


async def test_a_write_with_a_condition_whose_answer_is_lost_is_not_sent_again(
    store: ResilientStore, way: Faulty
) -> None:
    await store.features_of(BUCKET)
    name = f"voorwaarde-{os.urandom(4).hex()}"
    way.fail(Fault("lost"))
    with pytest.raises(Unavailable):
        await store.put_whole(BUCKET, name, b"1", FACTS, ABSENT)
    assert len(way.asked) == 1
    assert (await store.read_whole(BUCKET, name))[1] == b"1"
    way.fail(Fault("busy"))
    await store.put_whole(BUCKET, name + "-2", b"1", FACTS, ABSENT)
    assert len(way.asked) == 2


async def test_a_complete_whose_answer_is_lost_is_not_sent_again(
    store: ResilientStore, way: Faulty
) -> None:
    upload = await store.begin_upload(BUCKET, "delen", FACTS)
    part = await store.put_part_whole(BUCKET, "delen", upload, 1, b"deel")
    way.fail(Fault("busy"), Fault("lost"))
    with pytest.raises(Unavailable):
        await store.complete_upload(BUCKET, "delen", upload, [part])
    assert len(way.asked) == 2
    assert (await store.read_whole(BUCKET, "delen"))[1] == b"deel"


async def test_retry_after_of_the_store_is_waited_for(store: ResilientStore, way: Faulty) -> None:
    way.fail(Fault("busy", 1))
    began = time.monotonic()
    await store.head(BUCKET, "o")
    assert time.monotonic() - began >= 1.0


async def test_a_streamed_body_is_sent_once(store: ResilientStore, way: Faulty) -> None:
    way.fail(Fault("broken"))
    sink = await store.put(BUCKET, "stroom", len(BODY), FACTS)
    pump = PumpPool(1)

    def send() -> None:
        sink.write(memoryview(BODY))
        sink.commit()

    with pytest.raises(Unavailable):
        await pump.run(send)
    pump.close()
    assert len(way.asked) == 1
    with pytest.raises(NotFound):
        await store.head(BUCKET, "stroom")


async def _read(store: ResilientStore) -> bytes:
    source: StoreSource = await store.read(BUCKET, "o")
    pump = PumpPool(1)

    def receive() -> bytes:
        room = memoryview(bytearray(64 << 10))
        whole = bytearray()
        try:
            while count := source.read_into(room):
                whole += room[:count]
        finally:
            source.close()
        return bytes(whole)

    try:
        return await pump.run(receive)
    finally:
        pump.close()


async def test_a_read_cut_before_its_first_byte_is_opened_again(
    store: ResilientStore, way: Faulty
) -> None:
    way.fail(Fault("cut", 0))
    assert await _read(store) == BODY
    assert len(way.asked) == 2


async def test_a_read_cut_later_is_an_error_and_no_short_body(
    store: ResilientStore, way: Faulty
) -> None:
    way.fail(Fault("cut", 100_000))
    with pytest.raises(Unavailable):
        await _read(store)
    assert len(way.asked) == 1


async def test_a_trial_that_a_fault_spoils_says_nothing_of_the_store(
    weed: SeaweedFS, way: Faulty
) -> None:
    """A busy store is not taken for one that cannot hold names, or decide conditions."""
    inner = s3_store(weed, way)
    way.fail(*[Fault("busy")] * 2)
    with pytest.raises(Unavailable):
        await inner.features_of(BUCKET)
    way.fail()
    found = await inner.features_of(BUCKET)
    assert found.trailing_checksum
    assert found.conditional_put
    assert found.conditional_delete
    await inner.close()
