"""The S3 door: request → operation → admission → handler → answer; nothing else."""

from __future__ import annotations

import time
from binascii import b2a_base64
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from hyok.errors import HyokError, Malformed, NotAuthenticated, Tampered
from hyok.gateway.call import Call, frame
from hyok.gateway.faults import INTERNAL, Fault, fault_of
from hyok.gateway.handlers import NO_BODY, TABLE
from hyok.gateway.handlers.bucket_settings import cors_rules
from hyok.gateway.port import NoMeter
from hyok.gateway.responses import OVERRIDES, error_document
from hyok.gateway.trace import trace_of
from hyok.s3.cors import answer_actual
from hyok.s3.names import check_key
from hyok.s3.operations import check_served, identify
from hyok.s3.request import S3Request
from hyok.telemetry.logs import tell
from hyok.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.gateway.call import Services
    from hyok.gateway.handlers import Handling
    from hyok.gateway.port import Exchange, Meter

log = structlog.get_logger("hyok.gateway")


class Gateway:
    """Answers exchanges of the HTTP engine; `handle` is what the engine calls.

    Args:
        services: what the handlers work with.
        base_domains: hosts under which a bucket may stand as a label.
        clock_ms: unix time in milliseconds.
        entropy: random bytes, for request ids.
        meter: takes the numbers of each request.
    """

    def __init__(
        self,
        services: Services,
        *,
        base_domains: Sequence[str],
        clock_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
        meter: Meter | None = None,
    ) -> None:
        self._services = services
        self._base_domains = tuple(domain.lower() for domain in base_domains)
        self._clock_ms = clock_ms
        self._entropy = entropy
        self._meter: Meter = meter or NoMeter()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        begun = time.monotonic()
        random = self._entropy(48)
        request_id = random[:8].hex().upper()
        host_id = b2a_base64(random[8:32], newline=False).decode("ascii")
        head = exchange.head
        call: Call | None = None
        try:
            request = S3Request.of_target(
                head.method, head.target, head.headers, self._base_domains
            )
            trace = trace_of(request.header("traceparent"), random[32:])
            call = Call(exchange, request, request_id, host_id, self._clock_ms(), trace)
            await self._serve(call)
        except HyokError as error:
            if isinstance(error, Tampered):
                log.critical("s3.tampered", request_id=request_id, error=error.explain())
            await self._fail(exchange, call, fault_of(error), request_id, host_id)
            self._finish(call, begun, request_id, type(error).__name__, error.reason, error.code)
            return
        except ConnectionError:  # the client's: what breaks elsewhere is an error of ours by now
            exchange.abort()
            self._finish(call, begun, request_id, "client-gone")
            return
        except Exception:
            log.exception("s3.bug", request_id=request_id)
            await self._fail(exchange, call, INTERNAL, request_id, host_id)
            self._finish(call, begun, request_id, "bug")
            return
        self._finish(call, begun, request_id)

    async def _serve(self, call: Call) -> None:
        services, request = self._services, call.request
        if request.header("origin") is not None:
            await self._mind_origin(call)
        signed = await services.admission.authenticate(request, call.at_ms)
        if signed is None:
            await self._serve_unsigned(call)
            return
        call.principal, call.verified = signed
        call.operation = identify(request)
        check_served(call.operation)
        handling = TABLE[call.operation]
        call.action = handling.action
        if request.key:
            check_key(request.key)
        _check_body(call, handling)
        if handling.in_bucket:
            call.bucket = await services.admission.bucket(call.principal, request.bucket)
        await handling.handler(services, call)

    async def _serve_unsigned(self, call: Call) -> None:
        """Answer who brings no credentials: a browser's preflight, a reader of a public bucket.

        Raises:
            NotAuthenticated: nothing else is served without them (reason ``AccessDenied``).
        """
        request = call.request
        call.operation = identify(request)
        handling = TABLE.get(call.operation)
        if handling is None or handling.signed:
            raise NotAuthenticated("Access Denied", reason="AccessDenied")
        call.action = handling.action
        if request.key:
            check_key(request.key)
        _check_body(call, handling)
        call.bucket = await self._services.buckets.get(request.bucket)
        if call.action:
            call.principal = _reader(call)
        await handling.handler(self._services, call)

    async def _mind_origin(self, call: Call) -> None:
        """Note what a browser is told of this bucket, for the answer or the error that follows."""
        request = call.request
        origin = request.header("origin")
        if origin is None or not request.bucket or request.method == "OPTIONS":
            return
        with suppress(HyokError):  # the request itself will say what is wrong
            bucket = await self._services.buckets.get(request.bucket)
            call.cross_origin = answer_actual(cors_rules(bucket), request.method, origin)

    async def _fail(
        self, exchange: Exchange, call: Call | None, fault: Fault, request_id: str, host_id: str
    ) -> None:
        """Tell the client; or, when the answer has begun, break the connection."""
        if call is not None and call.waiting is not None:
            call.status = fault.status  # for our log; the client's answer began with 200
            await call.end_waiting(self._document(exchange, fault, request_id, host_id))
            return
        if call is not None and call.started:
            exchange.abort()
            return
        headers = [*frame(request_id, host_id, self._clock_ms()), *fault.headers]
        if call is not None:
            call.status = fault.status
            headers += call.cross_origin
        body = b""
        if exchange.head.method != "HEAD" and fault.status != 304:
            headers.append(("content-type", "application/xml"))
            body = self._document(exchange, fault, request_id, host_id)
        try:
            await exchange.respond(fault.status, headers, body)
        except ConnectionError:  # nobody is left to be told
            exchange.abort()

    def _document(self, exchange: Exchange, fault: Fault, request_id: str, host_id: str) -> bytes:
        return error_document(
            fault,
            resource=_resource(exchange),
            request_id=request_id,
            host_id=host_id,
            region=self._services.region,
        )

    def _finish(
        self,
        call: Call | None,
        begun: float,
        request_id: str,
        error: str = "",
        reason: str = "",
        code: str = "",
    ) -> None:
        """Note the request.  Never its key: names of objects may be personal data."""
        seconds = time.monotonic() - begun
        operation = call.operation.value if call and call.operation else "unknown"
        status = call.status if call else 400
        size_in, size_out = (call.bytes_in, call.bytes_out) if call else (0, 0)
        self._meter.request(operation, status, seconds, size_in, size_out)
        fields: dict[str, object] = {
            "request_id": request_id,
            "operation": operation,
            "status": status,
            "app": call.principal.id if call and call.principal else "",
            "bucket": call.bucket.bucket_id if call and call.bucket else "",
            "classification": call.classification if call else "",
            "unsealed": bool(call and call.unsealed),
            "bytes_in": size_in,
            "bytes_out": size_out,
            "error": error,
            "reason": reason,
            "code": code,
        }
        told = {name: value for name, value in fields.items() if value}
        told["duration_ms"] = int(seconds * 100_000) / 100  # `round` takes ten times as long
        tell("s3.request", told)


def _reader(call: Call) -> Principal:
    """Return whoever asks without credentials, of a bucket that is open to them.

    Raises:
        NotAuthenticated: it is not (reason ``AccessDenied``).
        Malformed: they ask for headers of their choice, which S3 gives nobody unsigned.
    """
    assert call.bucket is not None
    if not call.bucket.public:
        raise NotAuthenticated("Access Denied", reason="AccessDenied")
    if any(name in OVERRIDES for name in call.request.query):
        raise Malformed(
            "Request specific response headers cannot be used for anonymous GET requests.",
            reason="InvalidRequest",
        )
    return Principal(id="anonymous", tenant=call.bucket.tenant, kind="anonymous")


def _check_body(call: Call, handling: Handling) -> None:
    """Refuse a body that this operation does not take, before any of it is read."""
    most = handling.body_bytes_max
    if most is None or not call.exchange.has_body:
        return
    length = call.exchange.content_length
    if most == NO_BODY and (length is None or length > 0):
        raise Malformed("This request does not support content", reason="UnexpectedContent")


def _resource(exchange: Exchange) -> str:
    """Return the path as the client sent it, for the error document."""
    return exchange.head.target.partition(b"?")[0].decode("latin-1")[:2048]
