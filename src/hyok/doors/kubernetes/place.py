"""Place: where the socket stands, that nobody else can put one there, and that one process has it.

Whoever could swap the socket would be handed the API server's keys in clear, so no folder above it
may be written to by anybody but its owner, who is root or we ourselves.
"""

from __future__ import annotations

import fcntl
import grp
import os
import socket
import stat
from typing import TYPE_CHECKING

from hyok.errors import Conflict, Malformed, NotFound, Refused

if TYPE_CHECKING:
    from pathlib import Path

SOCKET_MODE, OWN_MODE = 0o660, 0o600
ANSWER_SECONDS = 1.0
_PAGE = "docs/keyservices/kubernetes.md"


def check_folder(path: Path, owner: int | None = None) -> Path:
    """Return the socket's path, its folder resolved, if the folder is safe.

    ``owner``: whose the folders may be beside root; None: ours.

    Raises:
        NotFound: there is no such folder (code HY-2741).
        Refused: others than root and we may change it, or a folder above it (code HY-2742).
    """
    owner = os.geteuid() if owner is None else owner
    try:
        folder = path.parent.resolve(strict=True)
    except OSError as error:
        raise NotFound(
            f"The folder {path.parent} of doors.kubernetes.socket is not there.",
            code="HY-2741",
            effect="The door does not open.",
            next_step=f"make it, as {_PAGE} says",
        ) from error
    for one in (folder, *folder.parents):
        found = one.stat()
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        sticky = found.st_mode & stat.S_ISVTX and one != folder
        if found.st_uid not in {0, owner} or (shared and not sticky):
            raise Refused(
                f"Others may put a socket of their own into {one}.",
                code="HY-2742",
                effect="The door does not open.",
                next_step=f"chown and chmod 0750, as {_PAGE} says",
            )
    return folder / path.name


class Place:
    """One socket's place, held by this process until `leave`.

    Args:
        path: of the socket, whole.
        group: whose members may open it beside its owner; empty: our own.
    """

    def __init__(self, path: Path, group: str = "") -> None:
        self._group = _group_id(group)
        self.path = check_folder(path)
        self._mine: tuple[int, int, int] | None = None
        # In a file that only we may open: whoever may look into the folder could keep a lock on it.
        # It stays, since one that was removed would be locked by two.
        lock = self.path.with_name(f"{self.path.name}.lock")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._lock = os.open(lock, flags, OWN_MODE)
        except OSError as error:
            raise taken(self.path) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear()
        except OSError as error:
            os.close(self._lock)
            raise taken(self.path) from error
        except BaseException:
            os.close(self._lock)
            raise

    def _clear(self) -> None:
        """Remove a socket that a process left which was killed."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise taken(self.path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(ANSWER_SECONDS)
            try:
                probe.connect(str(self.path))
            except ConnectionRefusedError:
                self.path.unlink()
            except OSError as error:
                raise taken(self.path) from error
            else:
                raise taken(self.path)

    def admit(self) -> None:
        """Let owner and group open the socket that was made here a moment ago, nobody else.

        Raises:
            Refused: we may not give it to the group (code HY-2748).
        """
        self._mine = _identity(self.path)
        if self._group is not None and self.path.lstat().st_gid != self._group:
            try:  # not where the folder gives its group to what is made in it
                os.chown(self.path, -1, self._group, follow_symlinks=False)
            except PermissionError as error:
                raise Refused(
                    f"{self.path} cannot be given to the group of doors.kubernetes.group.",
                    code="HY-2748",
                    effect="The door does not open.",
                    next_step=f"a folder of mode 2750 and that group, as {_PAGE} says",
                ) from error
        wanted = os.getegid() if self._group is None else self._group
        ours = self.path.lstat().st_gid == wanted
        self.path.chmod(SOCKET_MODE if ours else OWN_MODE)

    def leave(self) -> None:
        """Remove the socket, if it is still ours, and let others have the place."""
        try:
            if _identity(self.path) == self._mine:
                self.path.unlink()
        except FileNotFoundError:
            pass
        finally:
            os.close(self._lock)


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_mtime_ns  # a number alone is soon used again


def _group_id(name: str) -> int | None:
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise Malformed(
            f"doors.kubernetes.group: there is no group {name}.",
            code="HY-2748",
            effect="The door does not open.",
        ) from error


def taken(path: Path) -> Conflict:
    """Return the error of a place where no socket can be made."""
    return Conflict(
        f"{path} is taken by another process or a file, or we may not write into its folder.",
        code="HY-2749",
        effect="The door does not open.",
        next_step=f"end what serves there, or give us the folder, as {_PAGE} says",
    )
