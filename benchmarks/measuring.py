"""What a run costs the server and how quiet its neighbours were, by what /proc says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "Meter", "resident_mib"]

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    """User and system time of all processes of the server."""
    rss_peak_mib: float
    """The sum over the processes; what they share counts more than once."""
    others: float
    """Cores that were busy with anything but client and server; what the host took away too."""


class Meter:
    """From its making to `stop` it measures the trees of processes below `pids`."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = tuple(pids)
        tree = _process_tree(self._roots)
        for pid in tree:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        self._cpu_s = sum(map(_cpu_s, tree))
        self._own_s = time.process_time()
        self._busy_s = _busy_s()
        self._began = time.monotonic()

    def stop(self, *, client_cpu_s: float) -> Cost:
        took_s = time.monotonic() - self._began
        busy_s = _busy_s() - self._busy_s
        own_s = time.process_time() - self._own_s
        tree = _process_tree(self._roots)
        cpu_s = sum(map(_cpu_s, tree)) - self._cpu_s
        peak = sum(_status_mib(pid, "VmHWM:") for pid in tree)
        others = max(0.0, busy_s - cpu_s - client_cpu_s - own_s) / took_s
        return Cost(cpu_s, peak, others)


def resident_mib(pids: Iterable[int]) -> float:
    """Of the trees of processes below `pids`, now."""
    return sum(_status_mib(pid, "VmRSS:") for pid in _process_tree(pids))


def _process_tree(roots: Iterable[int]) -> list[int]:
    found = []
    for pid in roots:
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
                found += _process_tree(map(int, (task / "children").read_text().split()))
    return found


def _cpu_s(pid: int) -> float:
    # The name, in parentheses, may hold anything; utime and stime are the 14th and 15th field.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _status_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / MIB
    return 0.0


def _busy_s() -> float:
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS
