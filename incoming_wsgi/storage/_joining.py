"""One file made of others, one after the other.

It is made beside the place where it belongs and gets there with one rename, when all of it is on
the disk: so at no moment there is a half of it, and whatever was there is gone. Its name tells how
many bytes of it are on the disk by now, `<upload id>+<bytes>`: when a process is killed, or the
machine crashes, the next one goes on from there.

The kernel copies, and shares the extents of the files where the file system can do that (XFS,
btrfs) and a part begins at a whole block; else the bytes are there twice until the parts are
removed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ..errors import BytesLost
from . import _descriptors
from ._writer import free_bytes, open_file, sync_file

__all__ = ["Joining"]

BLOCK_BYTES = 16 << 20  # between two looks whether to go on: 0.2 s on a disk of 80 MB/s
SYNC_EVERY_BYTES = 256 << 20  # what is copied again at most, and how much waits for the disk
COPY_BYTES = 1 << 20  # at once, through memory
# What copy_file_range says of file systems, and containers, that cannot do it.
CANNOT = (
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.EPERM,
)


class Joining:
    """A file of `length` bytes that is being made in `folder`, for one upload, by one process and
    thread at a time. A context manager: unless it is finished, nothing of it stays."""

    def __init__(
        self,
        folder: Path,
        name: str,
        length: int,
        *,
        min_free_bytes: int,
        proceed: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._name = name
        self._length = length
        self._min_free_bytes = min_free_bytes
        self._proceed = proceed
        self._path, self._synced = self._find_begun()
        self._position = 0  # where the next part begins
        self._descriptor = open_file(self._path, os.O_CREAT)
        # What was stored after the last sync is a guess after a crash of the machine.
        os.ftruncate(self._descriptor, self._synced)

    def _find_begun(self) -> tuple[Path, int]:
        for other in os.listdir(self._folder):
            name, _, synced = other.rpartition("+")
            if name == self._name and synced.isdecimal() and int(synced) <= self._length:
                return self._folder / other, int(synced)
        return self._path_for(0), 0

    def _path_for(self, synced: int) -> Path:
        return self._folder / f"{self._name}+{synced}"

    def __enter__(self) -> Joining:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._path.unlink(missing_ok=True)
        finally:
            _descriptors.close(self._descriptor)

    def add(self, source: int, length: int, name: str) -> None:
        """All of the open file `source`, which has `length` bytes. Raises BytesLost if it has
        others, with its `name`."""
        size = os.fstat(source).st_size
        if size != length:
            raise BytesLost(f"The file of part {name} has {size} bytes instead of {length}.")
        begin, end = self._position, self._position + length
        position = max(begin, self._synced)
        while position < end:
            self._proceed()
            self._check_room(position)
            size = min(BLOCK_BYTES, end - position)
            if not _copy(source, position - begin, self._descriptor, position, size):
                raise BytesLost(f"The file of part {name} has become shorter.")
            position += size
            if position - self._synced >= SYNC_EVERY_BYTES:
                self._sync(position)
        self._position = end

    def _check_room(self, position: int) -> None:
        """For all that is to come: a half of it is of no use, and would take the room of others."""
        free = free_bytes(os.fstatvfs(self._descriptor))
        if free is not None and free - (self._length - position) < self._min_free_bytes:
            raise OSError(errno.ENOSPC, "not enough room beside the parts")

    def _sync(self, position: int) -> None:
        sync_file(self._descriptor)
        path = self._path_for(position)
        self._path.rename(path)
        self._path, self._synced = path, position

    def finish(self, path: Path) -> None:
        """All parts have been added: this is the file at `path` from now on."""
        assert self._position == self._length
        self._proceed()
        sync_file(self._descriptor)
        self._path.rename(path)


def _copy(source: int, offset: int, target: int, position: int, size: int) -> bool:
    """False if the source ends before that."""
    while size:
        copied = _copy_in_kernel(source, offset, target, position, size)
        if not copied:  # it cannot do it, says so, or does not: or there is the end
            copied = _copy_through_memory(source, offset, target, position, min(size, COPY_BYTES))
        if not copied:
            return False
        offset += copied
        position += copied
        size -= copied
    return True


def _copy_in_kernel(source: int, offset: int, target: int, position: int, size: int) -> int:
    if not hasattr(os, "copy_file_range"):  # not Linux
        return 0
    try:
        return os.copy_file_range(source, target, size, offset, position)
    except OSError as exc:
        if exc.errno not in CANNOT:
            raise
        return 0


def _copy_through_memory(source: int, offset: int, target: int, position: int, size: int) -> int:
    return os.pwrite(target, os.pread(source, size, offset), position)
