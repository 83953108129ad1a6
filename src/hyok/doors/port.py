"""What a door needs of others: the exchange it answers, and who holds an access key."""

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

    @property
    def client_name(self) -> str:
        """The common name in the certificate that the client showed; empty: it showed none."""
        ...


class Exchange(Protocol):
    """One request and its one answer; `hyok.http1` has it."""

    @property
    def head(self) -> Head: ...

    @property
    def content_length(self) -> int | None: ...

    async def read_whole(self, limit: int) -> memoryview:
        """Return the whole body; `Malformed` when it is longer."""
        ...

    async def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | memoryview = b""
    ) -> None: ...

    def abort(self) -> None: ...


class Wire(Protocol):
    """The connection in the hands of a pump thread.  Everything blocks."""

    @property
    def source(self) -> Source: ...

    def start(
        self, status: int, headers: Sequence[tuple[str, str]], content_length: int
    ) -> Sink: ...

    def finish(self) -> None: ...


class StreamExchange(Exchange, Protocol):
    """An `Exchange` whose bodies may be longer than memory."""

    async def read_some(self, most: int) -> memoryview:
        """Return the next bytes of the body, at least one; none at its end."""
        ...

    async def pump(self, work: Callable[[Wire], T]) -> T:
        """Run ``work`` in a pump thread; an answer that is left short breaks the connection."""
        ...


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


class Meter(Protocol):
    """Takes the numbers of each request of a door."""

    def door_request(self, door: str, operation: str, error: str, seconds: float) -> None: ...


class App(Protocol):
    """An app, as it was registered."""

    @property
    def state(self) -> str: ...

    @property
    def grants(self) -> frozenset[str]: ...

    @property
    def principal(self) -> Principal: ...


class Apps(Protocol):
    """Finds apps; `hyok.identity.access_keys` does."""

    async def serving_app(self, app_id: str) -> App | None:
        """Return the app of this id, active or not, from memory: a change is seen within 5 s."""
        ...
