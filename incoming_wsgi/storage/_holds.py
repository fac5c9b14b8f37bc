"""Who has an upload to himself: an empty file each, and the `flock` on it.

The kernel drops the lock when its process dies, however that happens, so neither clocks nor process
ids are asked. The file goes when the lock is given back; what a killed process leaves behind
hinders nobody, and is removed when it is old.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

from . import _descriptors

__all__ = ["Holds"]

OLD_S = 86400.0


class Holds:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, name: str) -> int | None:
        """What to give back; None if another has it, in this process or another. Never waits."""
        path = self.folder / name
        while True:
            descriptor = _descriptors.open_file(path, os.O_RDWR | os.O_CREAT)
            try:
                if not _lock(descriptor):
                    _descriptors.close(descriptor)
                    return None
                # It counts if it is on the file that the next one would open.
                if _is_at(descriptor, path):
                    return descriptor
            except BaseException:
                _descriptors.close(descriptor)
                raise
            _descriptors.close(descriptor)

    def give_back(self, name: str, descriptor: int) -> None:
        if not _descriptors.is_open(descriptor):
            return  # in a child that the app has forked: it is the parent's to give back
        # The file goes first: who opens it in between finds out, see `take`.
        try:
            self.folder.joinpath(name).unlink(missing_ok=True)
        finally:
            _descriptors.close(descriptor)

    def remove_leftovers(self) -> None:
        """Files that nobody holds and that have been there for a day."""
        for name in os.listdir(self.folder):
            path = self.folder / name
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < OLD_S:
                continue
            descriptor = self.take(name)
            if descriptor is not None:
                self.give_back(name, descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
