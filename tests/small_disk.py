"""A file system of a few megabytes that is really full when it is full: a tmpfs for one test.

Needs the right to mount. Where there is none the test is left out, in continuous integration it
fails.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tools

__all__ = ["SmallDisk", "small_disk"]

MIB = 1 << 20


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @property
    def free_bytes(self) -> int:
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def fill(self, *, but: int = 0) -> None:
        """Somebody else takes all the room but so many bytes."""
        with self._ballast.open("ab") as file:
            file.write(b"\0" * max(self.free_bytes - but, 0))

    def clear(self) -> None:
        """Somebody makes room."""
        self._ballast.unlink()

    def remount(self, how: str) -> None:
        """`ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        tools.missing(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a server that was killed may need a moment to let go of it.
        subprocess.run(["umount", "--lazy", folder], check=True)
