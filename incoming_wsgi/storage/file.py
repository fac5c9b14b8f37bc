"""Uploads as files: one server-named file an upload, written in place.

    <storage folder>/files/<upload id>
                     locks               empty, of which `hold` locks a byte for each upload
                     held/               what is made and goes at once; see _holds.py
                     left/<upload id>    empty, says that the file is the web app's

Nothing is copied at the end, except what comes in parts (`_joining.py`): a chunk goes to its own
offset of the final file, which is sparse until it is complete. A write is guarded by a shared
`flock` on the file itself, `fence()` takes it exclusively: the kernel drops both when a process
dies, and nobody holds one while waiting for a client.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import BytesLost, StorageError
from ..folders import sync_folder
from ..uploads import UPLOAD_ID_PATTERN
from . import _descriptors
from ._holds import FileHolds, Holds, can_lock_bytes
from ._joining import Joining
from ._writer import (
    FileWriter,
    create_file,
    free_bytes,
    locked_alone,
    open_file,
    storage_errors,
    sync_file,
)
from .base import Room, Storage, Writer

__all__ = ["FileStorage"]

FOLDER_MODE = 0o700
UPLOAD_ID = re.compile(UPLOAD_ID_PATTERN)


class FileStorage(Storage):
    """Keeps files in `folder`, which is made if it does not exist.

    `folder` should lie on the file system to which the web app moves finished files: then moving
    is a rename. It must be on a file system with `flock` and files with holes (any local one); with
    locks of bytes, too, (OFD locks) no file need be made to hold an upload. `min_free_bytes` of it
    are never filled: the ticket database, and others, need room too.
    """

    takes_pipes = hasattr(os, "splice")
    can_join = True

    def __init__(self, folder: str | os.PathLike[str], *, min_free_bytes: int = 0) -> None:
        # Resolved at once: a later chdir must not move the storage.
        self.folder = Path(folder).absolute()
        self.files = self.folder / "files"
        self._held = self.folder / "held"
        self._holds: FileHolds = Holds(self._held)
        self._left = self.folder / "left"
        self._min_free_bytes = min_free_bytes
        self._identity: tuple[int, int] | None = None  # of `files`, as it was at the start

    def prepare(self) -> None:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder, self.files, self._held):
                folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
            self._make_left()
        except (FileExistsError, NotADirectoryError) as exc:
            raise StorageError(
                f"The storage folder {self.folder} cannot be used: {exc.filename} is not a folder."
            ) from exc
        except OSError as exc:
            raise StorageError(
                f"The storage folder {self.folder} cannot be made: {exc.strerror}. "
                "Give one that this user may write to."
            ) from exc
        self._try_file_system()
        self._identity = _identity(self.files)

    def _make_left(self) -> None:
        """Of a folder from before there were marks nobody knows what was left: so all of it."""
        if self._left.exists():
            return
        made = self._held / f"left-{secrets.token_hex(8)}"
        made.mkdir(mode=FOLDER_MODE)
        for name in os.listdir(self.files):
            (made / name).touch(mode=0o600)
        try:
            made.rename(self._left)
        except OSError:  # another process was faster
            shutil.rmtree(made)

    def _try_file_system(self) -> None:
        """Do once what uploads will do. Better refused at the start than with a user's file."""
        probe = self._held / f"probe-{secrets.token_hex(8)}"
        position = 1 << 20
        try:
            first = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                second = os.open(probe, os.O_RDWR | os.O_CLOEXEC)
                try:
                    if os.pwrite(first, b"probe", position) != 5:
                        raise OSError(errno.EIO, "a short write")
                    if os.pread(second, 5, position) != b"probe":
                        raise OSError(errno.EIO, "what was written could not be read")
                    fcntl.flock(first, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    try:
                        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        pass
                    else:
                        raise OSError(errno.ENOLCK, "flock does not exclude")
                    os.fdatasync(first)
                    if Holds is not FileHolds and not can_lock_bytes(first, second):
                        self._holds = FileHolds(self._held)
                finally:
                    os.close(second)
            finally:
                os.close(first)
                probe.unlink(missing_ok=True)
        except OSError as exc:
            raise StorageError(
                f"The storage folder {self.folder} cannot be used: {exc.strerror}. Uploads need a "
                "folder that this user may write to, on a local file system with flock, files with "
                "holes and fdatasync."
            ) from exc

    def open_writer(self, upload_id: str, *, create: bool) -> Writer:
        path = self.locate(upload_id)
        created = False
        with storage_errors(f"The file of upload {upload_id[:8]} cannot be opened"):
            if create:
                self._check_place()
                descriptor, created = create_file(path)
            else:
                descriptor = self._open(path)
        return FileWriter(
            descriptor,
            min_free_bytes=self._min_free_bytes,
            # Who was first to record something has synced the folder, if that was to be synced.
            sync_folder=self._sync_folder if create else None,
            created=path if created else None,
        )

    def _open(self, path: Path, more: int = 0) -> int:
        try:
            return open_file(path, more)
        except FileNotFoundError as exc:
            self._check_place()
            raise BytesLost(f"The file of upload {path.name[:8]} has been removed.") from exc

    def seal(self, upload_id: str, length: int) -> None:
        with storage_errors(f"The file of upload {upload_id[:8]} cannot be sealed"):
            descriptor = self._open(self.locate(upload_id), 0 if length else os.O_CREAT)
            try:
                with locked_alone(descriptor):
                    size = os.fstat(descriptor).st_size
                    if size > length:  # of a request that was not recorded, nor answered
                        os.ftruncate(descriptor, length)
                    sync_file(descriptor)
            finally:
                _descriptors.close(descriptor)
            if size < length:
                raise BytesLost(
                    f"The file of upload {upload_id[:8]} has {size} bytes instead of {length}; "
                    "somebody else has changed it."
                )
            self._sync_folder()

    def join(
        self, upload_id: str, parts: Sequence[tuple[str, int]], proceed: Callable[[], None]
    ) -> None:
        path = self.locate(upload_id)
        length = sum(part_length for _, part_length in parts)
        with storage_errors(f"The parts of upload {upload_id[:8]} cannot be joined", 0, length):
            self._check_place()
            with Joining(
                self._held,
                path.name,
                length,
                min_free_bytes=self._min_free_bytes,
                proceed=proceed,
            ) as joining:
                for part_id, part_length in parts:
                    descriptor = self._open(self.locate(part_id))
                    try:
                        joining.add(descriptor, part_length, part_id[:8])
                    finally:
                        _descriptors.close(descriptor)
                joining.finish(path)
            self._sync_folder()

    def sync(self, upload_id: str) -> None:
        with self.open_writer(upload_id, create=False) as writer:
            writer.flush()
        self._sync_folder()

    def find_room(self) -> Room | None:
        with storage_errors(f"The storage folder {self.folder} cannot be looked at"):
            status = os.statvfs(self.files)
        free = free_bytes(status)
        if free is None:
            return None
        total = status.f_blocks * status.f_frsize
        return Room(total - self._min_free_bytes, free - self._min_free_bytes)

    @contextmanager
    def hold(self, upload_id: str) -> Iterator[bool]:
        name = self.locate(upload_id).name
        with storage_errors(f"The upload {upload_id[:8]} cannot be held"):
            descriptor = self._holds.take(name)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                self._holds.give_back(name, descriptor)

    def _sync_folder(self) -> None:
        sync_folder(self.files)

    def exists(self, upload_id: str, length: int) -> bool:
        with storage_errors(f"The file of upload {upload_id[:8]} cannot be looked at"):
            try:
                status = os.lstat(self.locate(upload_id))
            except FileNotFoundError:
                self._check_place()
                return False
        return stat.S_ISREG(status.st_mode) and (status.st_size > 0 or length == 0)

    def _check_place(self) -> None:
        """A file that is not there was taken or lost, unless the whole folder is away."""
        try:
            same = self._identity in (None, _identity(self.files))
        except OSError:
            same = False
        if not same:
            raise StorageError(
                f"The folder {self.files} is not the one that was there at the start. Mount it "
                "again, or restart if it was replaced on purpose."
            )

    def locate(self, upload_id: str) -> Path:
        # The one place where an id becomes a path.
        if not UPLOAD_ID.fullmatch(upload_id):
            raise ValueError(f"not an upload id: {upload_id!r}")
        return self.files / upload_id

    def delete(self, upload_id: str) -> None:
        with storage_errors(f"The file of upload {upload_id[:8]} cannot be deleted"):
            self.locate(upload_id).unlink(missing_ok=True)

    def leave(self, upload_id: str) -> None:
        path = self._left / self.locate(upload_id).name
        with storage_errors(f"The file of upload {upload_id[:8]} cannot be left"):
            _descriptors.close(open_file(path, os.O_CREAT))
            sync_folder(self._left)

    def list_ids(self) -> Iterator[str]:
        """On the way, what killed processes have left in `held` is removed, and the marks of files
        that the web app has taken away by now."""
        with storage_errors(f"The folder {self.folder} cannot be read"):
            self._holds.remove_leftovers()
            gone = [name for name in os.listdir(self._left) if not self._is_there(name)]
            self._check_place()  # if the folder is away, nothing is gone
            for name in gone:
                if not self._is_there(name):
                    self._left.joinpath(name).unlink(missing_ok=True)
            with os.scandir(self.files) as entries:
                for entry in entries:
                    is_file = entry.is_file(follow_symlinks=False)
                    is_left = self._left.joinpath(entry.name).exists()
                    if is_file and UPLOAD_ID.fullmatch(entry.name) and not is_left:
                        yield entry.name

    def _is_there(self, name: str) -> bool:
        return os.path.lexists(self.files / name)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
