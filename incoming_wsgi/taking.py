"""What an `on_finished` callback is given, and the ways in which it can take the file, or not.

A file that was there before is never replaced unless the app says so, and a move that was killed
half way can be repeated: a handover is at least once.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .folders import sync_folder
from .names import numbered
from .uploads import Upload

__all__ = ["CompleteUpload", "Refused"]

# File systems without hard links say one of these, and link(2) for too many links to a file.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Refused(Exception):
    """Raised by an `on_finished` callback that will never take this file: `Refused("it has a
    virus")`. The text is the upload's `reason`, shown to the person at the page.

    The upload is FAILED at once. Its file is kept as that of every failed one, and
    `retry_handover` offers it again.
    """


class CompleteUpload:
    """What an `on_finished` callback is given: the record, and the file to take.

    Every field of the record (`id`, `length`, `owner`, `content_type`, …) can be read here too.
    """

    def __init__(self, record: Upload, path: Path) -> None:
        self.record = record
        self.path = path
        """Where the file is now, absolute. It may be moved away, or read and left."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("_") or name == "record":  # while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(self.record, name)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def length(self) -> int:
        assert self.record.length is not None
        return self.record.length

    @property
    def sha256(self) -> str | None:
        """Of the whole file, lower-case hexadecimal: computed by the server. None unless somebody
        asked for it (`new_upload`), or the file came in one chunk with its digest."""
        return self.record.sha256

    @property
    def client_metadata(self) -> dict[str, str]:
        """What a tus client says of the file in words of its own, by key; not to be trusted. Empty
        for all other clients."""
        return self.record.client_metadata

    @property
    def safe_filename(self) -> str:
        """The browser's name for the file, fit to be joined to a folder; never empty."""
        return self.record.safe_filename

    @property
    def safe_relative_path(self) -> str:
        """Where the file was in a folder that the user chose, fit to be joined to a folder: slashes
        between segments, the last of which is `safe_filename`. Only that if the client said no
        more. See `move_into`."""
        return self.record.safe_relative_path

    def move_to(self, target: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Move the file to the path `target` and return it.

        A rename where that is possible, else a copy that appears under its name when it is whole.
        Raises FileExistsError if there is something already, unless `overwrite`; OSError as the
        file systems have it. Killed in the middle and called again on the same file system, it
        finds out how far it was, if that has hard links. On the disk under its new name when this
        returns: the server may remove what it has.
        """
        destination = Path(target)
        publish = os.replace if overwrite else _rename_without_replacing
        try:
            publish(self.path, destination)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            self._copy_to(destination, publish)
        else:
            sync_folder(destination.parent)
        return destination

    def _copy_to(self, destination: Path, publish: Callable[[Path, Path], None]) -> None:
        partial = destination.with_name(f".{self.id}.partial")
        try:
            with self.path.open("rb") as source, partial.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            publish(partial, destination)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(destination.parent)
        self.path.unlink()

    def move_into(self, folder: str | os.PathLike[str], *, keep_folders: bool = False) -> Path:
        """Move the file into `folder`, which must exist, under its safe name, or "name (2).suffix"
        and so on if that is taken; return its path.

        With `keep_folders`, into the folders of `safe_relative_path` in `folder`; they are made
        where they are missing, as "name (2)" and so on where something else has the name. A
        symbolic link to a folder, which the app must have put there, is followed.
        """
        target = Path(folder)
        if keep_folders:
            for name in self.safe_relative_path.split("/")[:-1]:
                target = _make_folder(target, name)
        number = 1
        while True:
            try:
                return self.move_to(target / numbered(self.safe_filename, number))
            except FileExistsError:
                number += 1


def _make_folder(parent: Path, name: str) -> Path:
    """The folder of this name in `parent`, there or made; under the next number if it is none."""
    number = 1
    while True:
        folder = parent / numbered(name, number)
        try:
            folder.mkdir()
        except FileExistsError:
            if not folder.is_dir():
                number += 1
                continue
        return folder


def _rename_without_replacing(source: Path, destination: Path) -> None:
    """A hard link and an unlink: a link never replaces anything, not even in a race."""
    try:
        os.link(source, destination)
    except FileExistsError:
        if not destination.samefile(source):  # else: killed between the link and the unlink
            raise
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
        # Take the name first. Killed in between it stays behind, as an empty file.
        os.close(os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            os.replace(source, destination)
        except BaseException:
            destination.unlink()
            raise
        return
    source.unlink()
