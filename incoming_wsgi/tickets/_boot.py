"""Which run of the machine this is: what was not synced in an earlier one may be lost.

Containers share the run of their host, as a rule, and that is right: what their processes have
written is in the memory of the host.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["read_boot_id"]

LINUX = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id(path: Path = LINUX) -> str | None:
    """The same for all processes from one start of the machine to the next, and never again; None
    where the system does not say."""
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
