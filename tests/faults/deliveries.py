"""What a web app remembers of handovers, on disk, so that it survives the app being killed.

A good app: it does its side effect once for each delivery id, as docs/http.md asks, and answers a
repeat without doing it again. It is a witness too: of every call it writes down what it was told,
the SHA-256 of the file it found, and whether another call for the same upload was running.

Several processes and threads may take at once; the kernel's locks and links keep them apart.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Deliveries", "Delivery"]


@dataclass(frozen=True)
class Delivery:
    """One call. `sha256`: None if there was no file. `alone`: no other call for this upload ran at
    its beginning. `at`: when it began, seconds since the epoch."""

    upload_id: str
    delivery_id: str
    attempt: int
    cancelled: bool
    sha256: str | None
    alone: bool
    at: float


class Deliveries:
    """`folder` is made if it does not exist; all processes of an app are told the same one."""

    def __init__(self, folder: Path) -> None:
        self._journal = folder / "journal"
        self._locks = folder / "locks"
        self._effects = folder / "effects"
        self._archive = folder / "archive"
        for each in (self._locks, self._effects, self._archive):
            each.mkdir(parents=True, exist_ok=True)

    # the app's side

    @contextmanager
    def taking(
        self, upload_id: str, delivery_id: str, attempt: int, path: Path | None
    ) -> Iterator[Delivery]:
        """One call, as long as it runs; `path` None says that the upload was cancelled. When this
        is entered the side effect has been made, or had been before."""
        at = time.time()
        lock = os.open(self._locks / upload_id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            alone = _lock(lock)
            sha256 = None if path is None else _sha256(path)
            if sha256 is not None:
                self._make_effect(upload_id, delivery_id, sha256)
            delivery = Delivery(
                upload_id, delivery_id, attempt, path is None, sha256, alone=alone, at=at
            )
            self._append(delivery)
            yield delivery
        finally:
            os.close(lock)

    def move_away(self, upload_id: str, path: Path) -> None:
        """What many apps do with the file, before they answer. Harmless the second time."""
        with suppress(FileNotFoundError):
            path.rename(self._archive / upload_id)

    def _make_effect(self, upload_id: str, delivery_id: str, sha256: str) -> None:
        draft = self._effects / f".{secrets.token_hex(8)}"
        draft.write_text(sha256)
        # A link never replaces anything: of two at once one makes the effect.
        with suppress(FileExistsError):
            os.link(draft, self._effects / f"{upload_id}@{delivery_id}")
        draft.unlink()

    def _append(self, delivery: Delivery) -> None:
        line = json.dumps(asdict(delivery)) + "\n"
        journal = os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(journal, line.encode())
        finally:
            os.close(journal)

    # the test's side

    def all(self) -> list[Delivery]:
        """In the order in which they were written down."""
        if not self._journal.exists():
            return []
        lines = self._journal.read_text().splitlines()
        return [Delivery(**json.loads(line)) for line in lines]

    def of(self, upload_id: str, *, cancelled: bool = False) -> list[Delivery]:
        return [
            delivery
            for delivery in self.all()
            if (delivery.upload_id, delivery.cancelled) == (upload_id, cancelled)
        ]

    def effects(self) -> dict[str, list[str]]:
        """The SHA-256 of the file in each side effect, by upload; one each is as it should be."""
        found: dict[str, list[str]] = {}
        for path in self._effects.glob("*@*"):
            found.setdefault(path.name.partition("@")[0], []).append(path.read_text())
        return found

    def archived(self, upload_id: str) -> str | None:
        """The SHA-256 of the file that was moved away."""
        return _sha256(self._archive / upload_id)


def _lock(descriptor: int) -> bool:
    """Whether nobody else had it. The kernel drops it when the process dies."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read()).hexdigest()  # some MiB at most
    except FileNotFoundError:
        return None
