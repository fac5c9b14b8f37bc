"""Who has an upload to himself: a lock on a byte of one file for all.

The byte is chosen by the upload's name, from so many that two uploads never have the same one. A
lock of an open file description (Linux) is asked for without waiting, excludes other threads as it
does other processes, and is dropped by the kernel when its process dies, however that happens, so
neither clocks nor process ids are asked. Nothing is made and removed for it: on ext4 a new file may
cost a millisecond after many have been removed.

Where there are no such locks each has an empty file of its own in `held`, and the `flock` on it.
The file goes when the lock is given back; what a killed process leaves behind hinders nobody, and
is removed when it is old.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import struct
import time
from pathlib import Path

from . import _descriptors

__all__ = ["ByteHolds", "FileHolds", "Holds", "can_lock_bytes"]

OLD_S = 86400.0
LAST_BYTE = 2**63 - 2  # of those that can be locked
FLOCK = "hhqqi"  # fcntl(2): struct flock
NO_SUCH_LOCKS = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class FileHolds:
    """In `folder`, which everywhere is a place for what is made and goes at once, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, name: str) -> int | None:
        """What to give back; None if another has it, in this process or another. Never waits."""
        path = self._find_path(name)
        while True:
            descriptor = _descriptors.open_file(path, os.O_RDWR | os.O_CREAT)
            try:
                if not self._lock(descriptor, name):
                    _descriptors.close(descriptor)
                    return None
                # It counts if it is on the file that the next one would open.
                if _is_at(descriptor, path):
                    return descriptor
            except BaseException:
                _descriptors.close(descriptor)
                raise
            _descriptors.close(descriptor)

    def _find_path(self, name: str) -> Path:
        return self.folder / name

    def _lock(self, descriptor: int, _: str) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

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
        files = FileHolds(self.folder)
        for name in os.listdir(self.folder):
            path = self.folder / name
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < OLD_S:
                continue
            descriptor = files.take(name)
            if descriptor is not None:
                files.give_back(name, descriptor)


class ByteHolds(FileHolds):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._locks = folder.with_name("locks")

    def _find_path(self, _: str) -> Path:
        return self._locks

    def _lock(self, descriptor: int, name: str) -> bool:
        return _lock_byte(descriptor, name)

    def give_back(self, _: str, descriptor: int) -> None:
        _descriptors.close(descriptor)


Holds = ByteHolds if hasattr(fcntl, "F_OFD_SETLK") else FileHolds


def can_lock_bytes(first: int, second: int) -> bool:
    """Whether the file system of these two open descriptors of one file has locks of bytes. For all
    processes the answer must be the same: it depends on nothing else."""
    try:
        return _lock_byte(first, "") and not _lock_byte(second, "")
    except OSError as exc:
        if exc.errno not in NO_SUCH_LOCKS:
            raise
        return False


def _lock_byte(descriptor: int, name: str) -> bool:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    start = int.from_bytes(digest, "big") % (LAST_BYTE + 1)
    wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):  # fcntl(2): either
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
