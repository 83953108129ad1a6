"""What processes and the machine used, from /proc."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")

ROLES = (
    ("serve worker", "worker"),
    ("serve door-worker", "door"),
    ("serve gateway", "supervisor"),
    ("audit_writer", "audit writer"),
    ("hsm.agent", "hsm agent"),
)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name; empty: the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def family(parent: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, open_ = [], [parent]
    while open_:
        pid = open_.pop()
        found.append(pid)
        open_ += children.get(pid, [])
    return found


def role_of(pid: int) -> str:
    """Return what a process of hyok is; of any other, its program's name."""
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "gone"
    for part, role in ROLES:
        if part in command:
            return role
    return Path(command.split(" ")[0].rstrip(":")).name or "other"


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return what processes used so far, in user and system mode."""
    used = 0
    for pid in pids:
        if fields := _stat(pid):
            used += int(fields[11]) + int(fields[12])
    return used / TICKS


def memory(pid: int, field: str) -> int:
    """Return a line of /proc/PID/status in bytes (``VmRSS``, ``VmHWM``); 0: gone."""
    try:
        text = (PROC / str(pid) / "status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


def forget_peak(pid: int) -> None:
    """Let the peak of a process begin anew, where the kernel lets us."""
    try:
        (PROC / str(pid) / "clear_refs").write_text("5")
    except OSError:
        return


@dataclass(frozen=True, slots=True)
class Watched:
    """Processes under test, by role."""

    roles: Mapping[str, tuple[int, ...]]

    @classmethod
    def below(cls, parent: int) -> Watched:
        roles: dict[str, tuple[int, ...]] = {}
        for pid in family(parent):
            role = role_of(pid)
            roles[role] = (*roles.get(role, ()), pid)
        return cls(roles)

    def cpu(self) -> dict[str, float]:
        return {role: cpu_seconds(pids) for role, pids in self.roles.items()}

    def resident(self) -> int:
        return sum(memory(pid, "VmRSS") for pids in self.roles.values() for pid in pids)

    def peaks(self) -> dict[str, int]:
        return {
            role: sum(memory(pid, "VmHWM") for pid in pids) for role, pids in self.roles.items()
        }


def machine_busy_seconds() -> float:
    """Return the seconds that all processors were busy since the machine started."""
    fields = [int(text) for text in (PROC / "stat").read_text().split("\n")[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / TICKS


def own_busy_seconds() -> float:
    """Return what this process, its ended children and all that run below it used."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_seconds(family(os.getpid())) + ended.ru_utime + ended.ru_stime


def cpu_model() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
