"""The writer of a host whose log others write as well: in rows first, then in every host's file.

What workers see of it is `hyok.audit.writer`: the same socket, the same answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.audit.file import LogFile
from hyok.audit.ordering import OrderThread
from hyok.audit.row_log import RowLog, host_id
from hyok.audit.sealing import CheckpointThread
from hyok.audit.tiles import MEMORY, folder_of
from hyok.audit.writer import LOCK_SECONDS_MAX, AuditWriter, listen, now_ms
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hyok.audit.port import CheckpointSigner
    from hyok.audit.sealing import CheckpointRules
    from hyok.audit.shared import SharedLog


@dataclass(frozen=True, slots=True)
class Named:
    """Names that go into what is signed."""

    installation: str
    host: str


class Checkpoints:
    """Fills `SharedCheckpoints`."""

    def __init__(self, shared: SharedLog, mine: RowLog) -> None:
        self._shared, self._mine = shared, mine
        self.order: OrderThread | None = None

    def is_my_turn(self) -> bool:
        return self.order is not None and self.order.leading

    def notes(self, after: int) -> Sequence[str]:
        # Before this host's run began the tables may not be there.
        return self._shared.notes(after) if self._mine.run is not None else ()

    def publish(self, note: str, size: int) -> None:
        self._shared.publish(note, size)


async def serve_shared(
    socket_path: Path,
    file_path: Path,
    rules: CheckpointRules,
    signer: Callable[[], CheckpointSigner],
    shared: SharedLog,
    named: Named,
) -> None:
    """Hand in records until SIGTERM or SIGINT, and keep this host's file and its tree.

    Raises:
        Conflict: another process writes this file, or has this host's place in the log.
        Tampered: the file's end is none that this program writes, or rows were changed.
        OSError: the disk failed.
    """
    log = LogFile(file_path, LOCK_SECONDS_MAX)
    log.sync()
    wake = threading.Event()
    mine = RowLog(
        shared,
        folder_of(file_path) / MEMORY,
        host_id(named.host, file_path),
        named.host,
        wake.set,
    )
    checkpoints = Checkpoints(shared, mine)
    tree = CheckpointThread(file_path, lambda: log.durable_bytes, rules, signer, checkpoints)
    order = OrderThread(
        file_path, log, shared, mine, signer, named.installation, lambda: tree.covered, wake
    )
    checkpoints.order = order
    writer = AuditWriter(mine, ThreadPoolExecutor(1, thread_name_prefix="audit-rows"))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, writer.stop)
    order.start()
    tree.start()
    server: asyncio.Server | None = None
    try:
        with contextlib.suppress(Unavailable):  # then the first record tries again
            await writer.before(mine.begin)
        server = await loop.create_unix_server(writer.connect, sock=listen(socket_path))
        await writer.run()
        with contextlib.suppress(Unavailable):  # the next run says that this one did not end well
            mine.end(now_ms())
    finally:
        if server is not None:
            server.close()
        writer.close()
        await asyncio.to_thread(order.stop)
        await asyncio.to_thread(tree.stop)
        # Before the file is let go: the next writer makes a socket of its own there.
        socket_path.unlink(missing_ok=True)  # noqa: ASYNC240 - the process ends here
        shared.close()
        log.close()
