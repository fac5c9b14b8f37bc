"""Looking at the processes of a server, by what /proc says."""

from __future__ import annotations

from pathlib import Path

__all__ = ["resident_bytes", "workers"]


def workers(master: int) -> list[int]:
    """The living children of the process `master`."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    # A zombie has an empty command line.
    return [pid for pid in map(int, children.split()) if _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or meanwhile
        return b""


def resident_bytes(pid: int, *, peak: bool = False) -> int:
    """Resident memory now, or at its peak; 0 for a process that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or meanwhile
        return 0
    name = "VmHWM:" if peak else "VmRSS:"
    lines = [line for line in status.splitlines() if line.startswith(name)]
    return int(lines[0].split()[1]) * 1024 if lines else 0
