"""What the S3 door needs of others: the exchange it answers, and who holds an access key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.vocabulary import Principal, Sink, Source, T


class Head(Protocol):
    """The parsed head of a request; names of headers in lower case, in order."""

    @property
    def method(self) -> str: ...

    @property
    def target(self) -> bytes: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    @property
    def peer(self) -> str: ...


class Wire(Protocol):
    """The connection in the hands of a pump thread.  Everything blocks."""

    @property
    def source(self) -> Source: ...

    def start(
        self, status: int, headers: Sequence[tuple[str, str]], content_length: int
    ) -> Sink: ...

    def finish(self) -> None: ...


class Pieces(Protocol):
    """An answer of unknown length; each piece is sent at once."""

    async def write(self, piece: bytes) -> None: ...

    async def end(self, piece: bytes) -> None: ...


class Exchange(Protocol):
    """One request and its one answer; `hyok.http1` has it."""

    @property
    def head(self) -> Head: ...

    @property
    def content_length(self) -> int | None:
        """None: there is no body, or its length is not told beforehand."""
        ...

    @property
    def has_body(self) -> bool: ...

    async def read_whole(self, limit: int) -> memoryview:
        """Return the whole body; the first read is what lets the client send it."""
        ...

    async def read_some(self, most: int) -> memoryview:
        """Return the next bytes of the body, at least one; none at its end.

        What is left may then be read by any of the three ways.
        """
        ...

    async def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | memoryview = b""
    ) -> None: ...

    async def respond_in_pieces(
        self, status: int, headers: Sequence[tuple[str, str]]
    ) -> Pieces | None:
        """Begin an answer of unknown length; None: this client takes none, and nothing was sent."""
        ...

    async def pump(self, work: Callable[[Wire], T]) -> T:
        """Run ``work`` in a pump thread; an answer that is left short breaks the connection."""
        ...

    def abort(self) -> None: ...


class Secret(Protocol):
    """A secret that does not print itself."""

    def get_secret_value(self) -> str: ...


class Credential(Protocol):
    """An access key with its secret, and whom it stands for."""

    @property
    def access_key(self) -> str: ...

    @property
    def secret(self) -> Secret: ...

    @property
    def principal(self) -> Principal: ...


class Credentials(Protocol):
    """Finds access keys; `hyok.identity.access_keys` does."""

    async def find(self, access_key: str) -> Credential | None:
        """Return the credential; None (or `NotAuthenticated`) when there is no such key."""
        ...

    def note_use(self, access_key: str) -> None:
        """Remember that a request was signed with this key."""
        ...


class SessionCredentials(Protocol):
    """Opens session tokens; `hyok.identity.sessions` does."""

    async def find(self, access_key: str, token: str, now_ms: int) -> Credential:
        """Return the credential of a session; `NotAuthenticated` when it is not good now."""
        ...


class Meter(Protocol):
    """Takes the numbers of each request."""

    def request(
        self, operation: str, status: int, seconds: float, bytes_in: int, bytes_out: int
    ) -> None: ...


class NoMeter:
    """A `Meter` that forgets."""

    def request(
        self, operation: str, status: int, seconds: float, bytes_in: int, bytes_out: int
    ) -> None:
        return
