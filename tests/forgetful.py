"""A machine that crashes: storage that loses what was not synced, and tickets that do or do not.

    storage, tickets = ForgetfulStorage(folder), ForgetfulTickets(path, boot_id="first")
    …
    storage.crash(); tickets.crash()    # close everything first; then begin with another boot id

A power failure keeps an arbitrary part of what was not synced. The two ends of that are here: of
the files nothing is kept; of the database all (`forgetful=False`) or nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from incoming_wsgi.storage.base import Block, Writer
from incoming_wsgi.storage.file import FileStorage
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore

__all__ = ["ForgetfulStorage", "ForgetfulTickets"]


class ForgetfulStorage(FileStorage):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.unsynced: dict[str, list[tuple[int, bytes, int]]] = {}  # position, before, size before
        self.nameless: set[str] = set()  # files of which the folder on the disk does not know

    def open_writer(self, upload_id: str, *, create: bool) -> Writer:
        if not self.locate(upload_id).exists():
            self.nameless.add(upload_id)
        return _Watched(super().open_writer(upload_id, create=create), self, upload_id)

    def seal(self, upload_id: str, length: int) -> None:
        super().seal(upload_id, length)
        self.unsynced.pop(upload_id, None)

    def _sync_folder(self) -> None:
        super()._sync_folder()
        self.nameless.clear()

    def crash(self) -> None:
        for upload_id, writes in self.unsynced.items():
            if self.locate(upload_id).exists():
                with self.locate(upload_id).open("r+b") as file:
                    for position, before, size in reversed(writes):
                        file.seek(position)
                        file.write(before)
                        file.truncate(size)
        for upload_id in self.nameless:
            self.locate(upload_id).unlink(missing_ok=True)
        self.unsynced.clear()
        self.nameless.clear()


class _Watched(Writer):
    def __init__(self, writer: Writer, storage: ForgetfulStorage, upload_id: str) -> None:
        self._writer = writer
        self._storage = storage
        self._id = upload_id

    def write(self, position: int, block: Block, permit: Callable[[], bool]) -> bool:
        path = self._storage.locate(self._id)
        with path.open("rb") as file:
            file.seek(position)
            before = file.read(len(block))
            size = os.fstat(file.fileno()).st_size
        if not self._writer.write(position, block, permit):
            return False
        self._storage.unsynced.setdefault(self._id, []).append((position, before, size))
        return True

    def fence(self) -> None:
        self._writer.fence()

    def flush(self) -> None:
        self._writer.flush()
        self._storage.unsynced.pop(self._id, None)

    def take_back(self) -> None:
        self._writer.take_back()

    def close(self) -> None:
        self._writer.close()


class ForgetfulTickets(SQLiteTicketStore):
    """For one process and one thread. `crash` undoes what was committed since the last commit that
    was meant to last."""

    def __init__(self, path: Path, *, boot_id: str, durable: bool, forgetful: bool) -> None:
        super().__init__(path, boot_id=boot_id, durable=durable)
        self._forgetful = forgetful
        self._on_disk = path.with_name("on-disk")
        sync, writing = self._database._sync, self._database.writing

        def watched_sync(connection):
            sync(connection)
            if connection.log is not None:
                self._remember()

        @contextmanager
        def watched_writing(**options: bool):
            with writing(**options) as connection:
                yield connection
            if connection.log is None:  # SQLite syncs each commit
                self._remember()

        self._database._sync = watched_sync
        self._database.writing = watched_writing

    def prepare(self) -> None:
        super().prepare()
        self._remember()

    def _files(self, folder: Path) -> list[Path]:
        return [folder / (self.path.name + suffix) for suffix in ("", "-wal")]

    def _remember(self) -> None:
        shutil.rmtree(self._on_disk, ignore_errors=True)
        self._on_disk.mkdir()
        for path in self._files(self.path.parent):
            if path.exists():
                shutil.copy(path, self._on_disk)

    def crash(self) -> None:
        if not self._forgetful:
            return
        self.path.with_name(self.path.name + "-shm").unlink(missing_ok=True)
        for path in self._files(self.path.parent):
            path.unlink(missing_ok=True)
        for path in self._files(self._on_disk):
            if path.exists():
                shutil.copy(path, self.path.parent)
