"""PayloadDoor: whoever sends something to a SaaS has it encrypted here first.

In this order, which is what a caller sees refused: load, path and method, token, rate, kind and
length of the body, members, key, state, policy, purpose, context.

Source: docs/keyservices/payloads.md.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hyok.doors.bearers import token_in
from hyok.doors.payloads import wire
from hyok.doors.payloads.calls import DOOR, Call
from hyok.doors.payloads.faults import (
    AWAY,
    INTERNAL,
    NOTHING,
    PROBLEM_JSON,
    TOO_MANY,
    Fault,
    fault_of,
    not_allowed,
    render_problem,
)
from hyok.doors.payloads.files import Job, of_body
from hyok.doors.payloads.refusals import THROTTLED, too_large
from hyok.doors.payloads.wire import OF_DOCUMENTS, OF_FILES, Operation
from hyok.doors.shedding import Rate
from hyok.doors.turns import Turns, Unserved
from hyok.errors import HyokError, NotAuthenticated, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.doors.bearers import Bearers, Holder
    from hyok.doors.payloads.files import Files
    from hyok.doors.payloads.operations import Operations
    from hyok.doors.port import Meter, StreamExchange
    from hyok.identity.guesses import FailureLimit

log = structlog.get_logger("hyok.doors.payloads")

ANSWER_SECONDS = 0.05
"""What is kept of the time we have for everything but the HSM."""

LARGE_AT_ONCE = 2
"""Documents longer than 1 MiB that one process holds at once: each costs several times its size."""

LARGE_BYTES = 1 << 20
OPENAPI = "/v1/openapi.json"
PUBLIC_KEY = "public-key"
_OF_ALL = (("cache-control", "no-store"), ("api-version", wire.API_VERSION))
_FILE_PATHS = frozenset(f"/v1/{operation}" for operation in OF_FILES)
_UNSERVED = {Unserved.TOO_MANY: TOO_MANY, Unserved.LATE: AWAY}


@dataclass(slots=True)
class Request:
    """One request on its way, and what has become known of it."""

    exchange: StreamExchange
    request_id: str
    ends: float  # of the loop's clock
    operation: str = ""  # for our figures: a word of ours, never the caller's
    app: str = ""
    file: Job | None = None

    @property
    def begun(self) -> bool:
        """Is the answer's head out?"""
        return self.file is not None and self.file.begun

    @property
    def path(self) -> str:
        return self.exchange.head.target.partition(b"?")[0].decode("latin-1")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes | bytearray
    error: str = ""
    headers: Mapping[str, str] | None = None


class PayloadDoor:
    """Answers exchanges of the HTTP engine; `handle` is what the engine calls.

    Args:
        operations: what is done with values and documents.
        files: what is done with files.
        bearers: who is behind a token.
        failures: how often one client may show a wrong token.
        reachable: does the HSM answer at all, as of a moment ago?
        openapi: the door's own description.
        deadline_seconds: for a whole request.
        in_flight_max: more than these at once are told to come back.
        files_in_flight_max: the same of files, each of which takes a thread while it streams;
            half of them for one app.
        per_second: how many values one app may have encrypted or decrypted in this process.
        document_bytes_max: of a request with a document.
        clock_ms: unix time in milliseconds.
        monotonic: seconds.
        meter: takes the numbers of each request.
    """

    def __init__(
        self,
        *,
        operations: Operations,
        files: Files,
        bearers: Bearers,
        failures: FailureLimit,
        reachable: Callable[[], bool],
        openapi: bytes,
        deadline_seconds: float,
        in_flight_max: int,
        files_in_flight_max: int,
        per_second: float,
        document_bytes_max: int,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        meter: Meter,
    ) -> None:
        self._bearers = bearers
        self._failures = failures
        self._files = files
        self._turns = Turns(
            in_flight_max=in_flight_max, answer_seconds=ANSWER_SECONDS, reachable=reachable
        )
        self._file_turns = Turns(
            in_flight_max=files_in_flight_max, answer_seconds=ANSWER_SECONDS, reachable=reachable
        )
        self._openapi = openapi
        self._deadline_seconds = deadline_seconds
        self._per_second = per_second
        self._document_bytes_max = document_bytes_max
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._meter = meter
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._rates: dict[str, Rate] = {}
        self._files_of: Counter[str] = Counter()  # of each app, on their way now
        self._files_of_app_max = max(1, files_in_flight_max // 2)
        self._operations = operations
        self._performs: Mapping[Operation, Callable[[Call], Awaitable[bytes]]] = {
            Operation.ENCRYPT: operations.encrypt,
            Operation.DECRYPT: operations.decrypt,
            Operation.ENCRYPT_JSON: operations.encrypt_json,
            Operation.DECRYPT_JSON: operations.decrypt_json,
            Operation.REWRAP: operations.rewrap,
            Operation.INDEX: operations.index,
            Operation.ENCRYPT_BSN: operations.encrypt_bsn,
            Operation.DECRYPT_BSN: operations.decrypt_bsn,
        }

    async def handle(self, exchange: StreamExchange) -> None:
        """Answer one request, whatever happens."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        request = Request(exchange, str(uuid.uuid4()), began + self._deadline_seconds)
        of_file = request.path in _FILE_PATHS
        answer = await (self._file_turns if of_file else self._turns).take(
            None if of_file else request.ends,
            lambda: self._serve(request),
            lambda why: _refused(why, request),
        )
        if not request.begun:
            await _send(exchange, answer)
        elif answer.error:
            exchange.abort()  # a cut answer is the only honest signal left
        self._note(request, loop.time() - began, answer)

    async def _serve(self, request: Request) -> Answer:
        path, method = request.path, request.exchange.head.method
        if path == OPENAPI:
            request.operation = "openapi"
            # Whoever wants to build a client may read it, from any page.
            shown = {"access-control-allow-origin": "*"}
            return self._only("GET", method, request) or Answer(200, self._openapi, "", shown)
        name = wire.public_key_named(path)
        asked = path.removeprefix("/v1/")
        if not name and (asked == path or asked not in set(Operation)):
            return _problem(NOTHING, request)
        request.operation = PUBLIC_KEY if name else asked
        if (refused := self._only("GET" if name else "POST", method, request)) is not None:
            return refused
        holder = await self._admit(request)
        if name:
            self._turns.check_reachable()
            call = self._call(request, holder, b"")
            return Answer(200, await self._operations.public_key(call, name))
        operation = Operation(asked)
        if operation in OF_FILES:
            return await self._file(request, holder, operation)
        wire.check_type(request.exchange.head.headers)
        return await self._perform(request, holder, operation)

    async def _file(self, request: Request, holder: Holder, operation: Operation) -> Answer:
        self._file_turns.check_reachable()
        if self._files_of[request.app] >= self._files_of_app_max:
            raise _throttled()
        self._files_of[request.app] += 1
        try:
            return await self._file_of(request, holder, operation)
        finally:
            self._files_of[request.app] -= 1

    async def _file_of(self, request: Request, holder: Holder, operation: Operation) -> Answer:
        job = Job(request.exchange, holder, operation, request.request_id, [*_OF_ALL])
        request.file = job
        made = await self._files.answer(job)
        if made is None:
            return Answer(200, b"")
        return Answer(200, made.body, headers=dict(of_body(made.content_type)))

    async def _perform(self, request: Request, holder: Holder, operation: Operation) -> Answer:
        length = request.exchange.content_length
        of_document = operation in OF_DOCUMENTS
        limit = self._document_bytes_max if of_document else wire.BODY_BYTES_MAX
        if (length or 0) > limit:
            raise too_large(f"A request to {operation} has at most {limit:,} bytes.")
        large = of_document and (length is None or length > LARGE_BYTES)
        async with self._large if large else nullcontext():
            body = bytes(await request.exchange.read_whole(limit))
            self._turns.check_reachable()
            call = self._call(request, holder, body)
            return Answer(200, await self._performs[operation](call))

    def _call(self, request: Request, holder: Holder, body: bytes) -> Call:
        rate = self._rates[request.app]
        return Call(
            holder.principal,
            holder.via,
            request.operation,
            body,
            request.request_id,
            request.exchange.head.peer,
            self._clock_ms(),
            lambda: self._turns.seconds(request.ends),
            lambda values: rate.owe(max(0, values - 1)),
        )

    def _only(self, wanted: str, method: str, request: Request) -> Answer | None:
        return None if method == wanted else _problem(not_allowed(wanted), request)

    async def _admit(self, request: Request) -> Holder:
        head = request.exchange.head
        failing = self._failures.is_over(head.peer)
        try:
            holder = await self._bearers.find(token_in(head.headers), self._clock_ms())
        except NotAuthenticated as error:
            # Whoever shows a good token is served, whatever a neighbour at that address shows.
            if failing:
                raise _throttled() from error
            self._failures.note(head.peer)
            raise
        request.app = holder.principal.id
        now = self._monotonic()
        rate = self._rates.setdefault(request.app, Rate(self._per_second, now))
        if not rate.take(now):
            raise _throttled()
        return holder

    def _note(self, request: Request, seconds: float, answer: Answer) -> None:
        operation = request.operation or "other"
        self._meter.door_request(DOOR, operation, answer.error, seconds)
        if operation == "openapi":
            return
        fields = {"app": request.app, "error": answer.error}
        log.info(
            "payloads.request",
            operation=operation,
            request_id=request.request_id,
            status=answer.status,
            **{name: value for name, value in fields.items() if value},
            duration_ms=round(seconds * 1000, 2),
        )


def _throttled() -> Unavailable:
    return Unavailable("The app asks more often than was agreed.", reason=THROTTLED, code="HY-2710")


def _problem(fault: Fault, request: Request) -> Answer:
    body = render_problem(fault, request.request_id)
    return Answer(fault.status, body, fault.code, fault.headers)


def _refused(why: Exception | Unserved, request: Request) -> Answer:
    """Return what the caller is told, and tell our own log what it is not."""
    if isinstance(why, Unserved):
        return _problem(_UNSERVED[why], request)
    if not isinstance(why, HyokError):
        log.error("payloads.bug", request_id=request.request_id, exc_info=why)
        return _problem(INTERNAL, request)
    fault = fault_of(why)
    if isinstance(why, Tampered) and fault is INTERNAL:
        log.critical("payloads.tampered", request_id=request.request_id, error=why.explain())
    elif fault is INTERNAL or fault is AWAY:
        log.warning("payloads.failed", request_id=request.request_id, error=why.explain())
    return _problem(fault, request)


async def _send(exchange: StreamExchange, answer: Answer) -> None:
    kind = PROBLEM_JSON if answer.error else "application/json"
    own = dict(answer.headers or {})
    headers = [("content-type", own.pop("content-type", kind)), *_OF_ALL, *own.items()]
    if exchange.head.method == "HEAD":
        headers.append(("content-length", str(len(answer.body))))
        await exchange.respond(answer.status, headers)
        return
    await exchange.respond(answer.status, headers, memoryview(answer.body))
