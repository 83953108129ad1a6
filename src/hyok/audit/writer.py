"""The one process of a host that writes the audit log, for all its workers.

It listens on a Unix socket of mode 0600 and takes records only from processes of its own user.
Group commit: while one batch goes to disk the next one gathers in the sockets, so a thousand
waiting records cost one sync.  Batched records are written at once and synced within half a second.

Beside it a thread keeps the Merkle tree and makes checkpoints.  `hyok.cli.audit_writer` runs it;
SIGTERM ends it in order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol, cast

from typing_extensions import override

from hyok.audit.file import LINE_BYTES_MAX, LogFile, parse_line
from hyok.audit.sealing import CheckpointThread
from hyok.audit.wire import BATCHED, DURABLE
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from hyok.audit.port import CheckpointSigner
    from hyok.audit.sealing import CheckpointRules

SYNC_SECONDS_MAX = 0.5
"""Batched records are on disk this soon; a crash may lose one second, and we keep a margin."""

WAITING_MAX = 20_000
"""Records taken and not yet written; beyond it clients wait in their sockets."""

BATCH_RECORDS_MAX = 4_096
LOCK_SECONDS_MAX = 10.0
"""How long a writer before us may take for its last checkpoint."""


class Log(Protocol):
    """What batches are committed to: `LogFile`, or `hyok.audit.row_log.RowLog`."""

    def append(self, records: Sequence[Mapping[str, object]], *, sync: bool) -> None: ...

    def sync(self) -> None: ...


class AuditWriter:
    """Gathers records of all connections and commits them in batches.

    Args:
        log: what they are committed to.
        thread: commits batches, where that may take long: in a database.  A file's take as long as
            its disk, and until then there is nothing else to do; handing each to a thread took
            eleven more wakes of a thread and a third of this process's time (docs/adr/0043).
    """

    def __init__(self, log: Log, thread: Executor | None = None) -> None:
        self._log = log
        self._waiting: list[tuple[_Peer, bool, dict[str, object]]] = []
        self._work = asyncio.Event()
        self._thread = thread
        self._peers: set[_Peer] = set()
        self._stopping = False
        self._unsynced_since: float | None = None

    def connect(self) -> _Peer:
        """Return the protocol of a new connection."""
        return _Peer(self)

    def opened(self, peer: _Peer) -> None:
        self._peers.add(peer)

    def closed(self, peer: _Peer) -> None:
        self._peers.discard(peer)

    def take(self, peer: _Peer, record: dict[str, object], *, durable: bool) -> None:
        """Take one record; its answer follows when it is written."""
        self._waiting.append((peer, durable, record))
        self._work.set()
        if len(self._waiting) >= WAITING_MAX:
            for other in self._peers:
                other.pause()

    def stop(self) -> None:
        """Ask `run` to write what is waiting and to return."""
        self._stopping = True
        self._work.set()

    async def run(self) -> None:
        """Commit batches until `stop`.

        Raises:
            OSError: the disk failed; the process must end.
        """
        loop = asyncio.get_running_loop()
        while not (self._stopping and not self._waiting):
            await self._wait()
            batch, self._waiting = (
                self._waiting[:BATCH_RECORDS_MAX],
                self._waiting[BATCH_RECORDS_MAX:],
            )
            if self._thread is None:
                kept = self._commit(batch)
            else:
                kept = await loop.run_in_executor(self._thread, self._commit, batch)
            for peer, count in Counter(peer for peer, _, _ in batch).items():
                peer.answer(count, kept=kept)
            if len(self._waiting) < WAITING_MAX // 2:
                for other in self._peers:
                    other.resume()

    async def _wait(self) -> None:
        """Return when there are records, when a sync is due, or when all is to end."""
        if self._waiting or self._stopping:
            return
        self._work.clear()
        timeout = None
        if self._unsynced_since is not None:
            timeout = max(0.0, self._unsynced_since + SYNC_SECONDS_MAX - time.monotonic())
        try:
            async with asyncio.timeout(timeout):
                await self._work.wait()
        except TimeoutError:
            return

    def _commit(self, batch: Sequence[tuple[_Peer, bool, dict[str, object]]]) -> bool:
        """Write one batch; return whether it was kept."""
        now = time.monotonic()
        since = self._unsynced_since
        due = since is not None and now - since >= SYNC_SECONDS_MAX
        durable = due or any(is_durable for _, is_durable, _ in batch)
        kept = True
        try:
            self._log.append([record for _, _, record in batch], sync=durable)
        except Unavailable:
            kept = False
        if kept and durable:
            self._unsynced_since = None
        elif kept and batch and since is None:
            self._unsynced_since = now
        elif not kept and due:
            self._log.sync()
            self._unsynced_since = None
        return kept

    async def before(self, act: Callable[[], None]) -> None:
        """Have this done before the next batch, where those are; raises what it raises."""
        if self._thread is None:
            act()
        else:
            await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def close(self) -> None:
        """Close every connection and end the thread."""
        for peer in list(self._peers):
            peer.close()
        if self._thread is not None:
            self._thread.shutdown(wait=True)


class _Peer(asyncio.Protocol):
    """One worker's connection."""

    def __init__(self, writer: AuditWriter) -> None:
        self._writer = writer
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._paused = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not `isinstance`: uvloop's transports are no subclasses of asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        if _peer_uid(transport.get_extra_info("socket")) != os.getuid():
            self._transport.abort()
            return
        self._writer.opened(self)

    @override
    def data_received(self, data: bytes) -> None:
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            kind, raw = line[:1], line[1:] + b"\n"
            record = parse_line(raw) if len(raw) <= LINE_BYTES_MAX else None
            if kind not in (DURABLE, BATCHED) or record is None or "seq" in record:
                self.abort()  # no client of ours
                return
            self._writer.take(self, record, durable=kind == DURABLE)
        if len(self._held) > LINE_BYTES_MAX:
            self.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._writer.closed(self)

    def answer(self, count: int, *, kept: bool) -> None:
        """Tell the client what became of its oldest unanswered records."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write((b"+" if kept else b"-") * count)

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """End the connection once the answers given are sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()


def _peer_uid(sock: socket.socket) -> int:
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", raw)[1]
    return uid


def listen(path: Path) -> socket.socket:
    """Return the socket at ``path``; one left by a dead writer is replaced (the file is locked)."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    sock.listen(256)
    return sock


async def serve(
    socket_path: Path,
    file_path: Path,
    rules: CheckpointRules,
    signer: Callable[[], CheckpointSigner] | None,
) -> None:
    """Write the log until SIGTERM or SIGINT, and keep its tree.

    ``signer`` is called once, later, in another thread.

    Raises:
        Conflict: another process writes this file.
        Tampered: the file's end is none that this program writes.
        OSError: the disk failed.
    """
    log = LogFile(file_path, LOCK_SECONDS_MAX)
    log.begin(now_ms())
    writer = AuditWriter(log)
    tree = CheckpointThread(file_path, lambda: log.durable_bytes, rules, signer)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, writer.stop)
    server = await loop.create_unix_server(writer.connect, sock=listen(socket_path))
    tree.start()
    try:
        await writer.run()
        log.end(now_ms())
    finally:
        server.close()
        writer.close()
        await asyncio.to_thread(tree.stop)
        # Before the file is let go: the next writer makes a socket of its own there.
        socket_path.unlink(missing_ok=True)  # noqa: ASYNC240 - the process ends here
        log.close()


def now_ms() -> int:
    """Return unix time in milliseconds."""
    return time.time_ns() // 1_000_000
