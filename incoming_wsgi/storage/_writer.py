"""One request's access to the file of an upload, and what the file system says to it."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ..errors import FileTooLarge, NotSynced, StorageError, StorageFull, Unavailable
from . import _descriptors
from .base import Block, Piped, Writer, in_memory

__all__ = [
    "FileWriter",
    "create_file",
    "free_bytes",
    "locked_alone",
    "open_file",
    "storage_errors",
    "sync_file",
]

LONGEST_BLOCK_S = 10.0  # it is here, in memory or a pipe; what takes longer does not go on at all
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class FileWriter(Writer):
    def __init__(
        self,
        descriptor: int,
        *,
        min_free_bytes: int,
        sync_folder: Callable[[], None] | None = None,
        created: Path | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._min_free_bytes = min_free_bytes
        self._sync_folder = sync_folder
        self._created = created

    def write(self, position: int, block: Block | Piped, permit: Callable[[], bool]) -> bool:
        with storage_errors("A block cannot be stored", position, position + len(block)):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            try:
                if not permit():
                    return False
                self._check_room(len(block))
                if isinstance(block, Piped):
                    _splice(block, self._descriptor, position)
                else:
                    _write(block, self._descriptor, position)
                return True
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _check_room(self, size: int) -> None:
        free = free_bytes(os.fstatvfs(self._descriptor))
        if free is not None and free - size < self._min_free_bytes:
            raise OSError(errno.ENOSPC, "no more than min_free_bytes are left on the disk")

    def fence(self) -> None:
        with storage_errors("The file cannot be locked"), locked_alone(self._descriptor):
            pass

    def take_back(self) -> None:
        if self._created is not None and os.fstat(self._descriptor).st_size == 0:
            with storage_errors("The file cannot be removed"):
                self._created.unlink(missing_ok=True)

    def flush(self) -> None:
        with storage_errors("The file cannot be written to the disk"):
            sync_file(self._descriptor)
            if self._sync_folder is not None:
                self._sync_folder()

    def close(self) -> None:
        _descriptors.close(self._descriptor)


def _write(block: Block, descriptor: int, position: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, position)
        position += written
        view = view[written:]


def _splice(block: Piped, descriptor: int, position: int) -> None:
    left = len(block)
    while left:
        try:
            moved = os.splice(block.descriptor, descriptor, left, offset_dst=position)
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise
            # A file system that cannot do it.
            _write(in_memory(Piped(block.descriptor, left)), descriptor, position)
            return
        position += moved
        left -= moved


def open_file(path: Path, more: int = 0) -> int:
    return _descriptors.open_file(path, os.O_RDWR | os.O_NOFOLLOW | more)


def create_file(path: Path) -> tuple[int, bool]:
    """The descriptor, and whether the file was not there; somebody else may be as fast."""
    try:
        return open_file(path, os.O_CREAT | os.O_EXCL), True
    except FileExistsError:
        return open_file(path), False


def free_bytes(status: os.statvfs_result) -> int | None:
    """For this user; None for a file system that has no size."""
    return status.f_bavail * status.f_frsize if status.f_blocks else None


def sync_file(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    except OSError as exc:
        raise NotSynced(
            f"The disk has not taken what was stored: {exc.strerror}. It is asked for again."
        ) from exc


@contextmanager
def locked_alone(descriptor: int) -> Iterator[None]:
    """Wait for those who write a block; nobody waits for a process that stands still meanwhile."""
    deadline = time.monotonic() + LONGEST_BLOCK_S
    pause_s = 0.0005
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Another process has been writing a block of this upload for "
                    f"{LONGEST_BLOCK_S:g} s. Try again."
                ) from None
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.02)
        else:
            break
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class storage_errors:  # noqa: N801 - it is used as a function; as a class it costs less
    """What the file system says becomes a StorageError, StorageFull or FileTooLarge; `what` begins
    the message."""

    __slots__ = ("_length", "_position", "_what")

    def __init__(self, what: str, position: int = 0, length: int = 0) -> None:
        self._what = what
        self._position = position
        self._length = length

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(exc, OSError):
            return
        if exc.errno in NO_ROOM:
            raise StorageFull(
                f"{self._what}: {exc.strerror}. What was acknowledged is kept; try again later."
            ) from exc
        if exc.errno == errno.EFBIG:  # the file system's limit, or ulimit's
            raise FileTooLarge(length=self._length, max_length_bytes=self._position) from exc
        raise StorageError(f"{self._what}: {exc.strerror}") from exc
