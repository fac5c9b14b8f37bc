"""Which run of the machine this is: what was not synced in an earlier one may be lost.

Processes in containers share the run of their host, and that is right: what they have written is in
the memory of the host.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["read_boot_id"]

LINUX = Path("/proc/sys/kernel/random/boot_id")
SYSCTL = ("sysctl", "-n", "kern.bootsessionuuid")  # macOS


def read_boot_id(path: Path = LINUX) -> str | None:
    """The same for all processes from one start of the machine to the next, and never again; None
    where the system does not say."""
    try:
        return path.read_text().strip() or None
    except OSError:
        pass
    try:
        said = subprocess.run(SYSCTL, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.strip() or None
