"""SocketServer: gRPC over a Unix socket, until it is drained.

Messages pass as bytes; what they mean is the door's affair.

Source: gRPC, "gRPC AsyncIO API"; Kubernetes, "Using a KMS provider for data encryption".
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from hyok.doors.kubernetes.messages import SERVICE
from hyok.doors.kubernetes.place import taken
from hyok.doors.kubernetes.wire import REQUEST_BYTES_MAX, Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.doors.kubernetes.faults import Fault
    from hyok.doors.kubernetes.place import Place

    Answer = Callable[[Operation, bytes, float | None], Awaitable[bytes | Fault]]

METHODS = {
    "Status": Operation.STATUS,
    "Encrypt": Operation.ENCRYPT,
    "Decrypt": Operation.DECRYPT,
}
_OPTIONS = (
    ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
    ("grpc.max_metadata_size", 8192),
    ("grpc.max_concurrent_streams", 128),
)


class SocketServer:
    """Serves `answer` at a place; `start` it once, then `drain` it."""

    def __init__(self, place: Place, answer: Answer, in_flight_max: int) -> None:
        self._place = place
        self._answer = answer
        self._server = aio.server(options=_OPTIONS, maximum_concurrent_rpcs=in_flight_max)
        self.draining = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self._place.path)

    async def start(self) -> None:
        """Serve from now on.

        Raises:
            Conflict: no socket can be made there (code HY-2749).
        """
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(partial(self._handle, operation))
            for name, operation in METHODS.items()
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        before = os.umask(0o177)  # nobody but us until the group is set
        try:
            self._server.add_insecure_port(f"unix:{self._place.path}")
        except RuntimeError as error:
            raise taken(self._place.path) from error
        finally:
            os.umask(before)
        try:
            self._place.admit()
            await self._server.start()
        except BaseException:
            await self._server.stop(None)
            raise

    async def _handle(self, operation: Operation, request: bytes, context: Any) -> bytes:
        told = await self._answer(operation, request, context.time_remaining())
        if isinstance(told, bytes):
            return told
        await context.abort(grpc.StatusCode[told.status], told.message)
        raise AssertionError("abort raises")

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let what runs end within ``seconds``, and remove the socket."""
        self.draining = True
        try:
            await self._server.stop(seconds)
        finally:
            self._place.leave()
