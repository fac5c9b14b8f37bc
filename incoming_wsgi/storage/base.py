"""The contract of a storage back end.

The engine has checked the upload, its state and its lengths before it calls; a back end looks
after bytes alone. It is called from many threads and processes at once and keeps no state of its
own that matters: whatever one process has written, any other can seal, read or delete.

Errors: StorageFull when there is no room (disk, quota), FileTooLarge where no file can be that
long, BytesLost when what was stored is gone, StorageError for everything else, which may pass;
nothing of the outside library that a back end uses may leak through. `testing.StorageContract`
holds what is said here as tests.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["Block", "Piped", "Room", "Storage", "Writer", "in_memory"]

Block = bytes | bytearray | memoryview


class Piped:
    """A block that stands in a pipe: its next `len()` bytes, to be taken out at once or never."""

    __slots__ = ("_size", "descriptor")

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self._size = size

    def __len__(self) -> int:
        return self._size


def in_memory(block: Block | Piped) -> Block:
    """What was in a pipe is not there any more."""
    if not isinstance(block, Piped):
        return block
    parts = []
    left = len(block)
    while left:
        part = os.read(block.descriptor, left)
        if not part:
            raise EOFError(f"the pipe ended {left} bytes too early")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Room:
    """What uploads may take, in bytes; what is kept in reserve does not count."""

    total: int
    """If nothing else were there: what is longer never fits."""
    free: int
    """At this moment; less than 0 if the reserve has been touched."""


class Writer(ABC):
    """One request's access to the bytes of one upload. A context manager; closed exactly once."""

    @abstractmethod
    def write(self, position: int, block: Block | Piped, permit: Callable[[], bool]) -> bool:
        """Store the whole of `block` at byte `position`, if `permit()` says so. A Piped one comes
        only if the storage `takes_pipes`.

        Asking and storing are one step for `fence()`. Returns what `permit` said; when it was
        False nothing has changed. Positions may come in any order and leave holes. The bytes
        survive the death of this process when `write` returns, and that of the machine after
        `flush()`. On an error some of the bytes may be stored.
        """

    @abstractmethod
    def fence(self) -> None:
        """Wait until every `write` to this upload, of any process, that has asked for its permit
        before has come to its end. It never waits for anybody's client: a `write` has all of its
        block, in memory or in a pipe. With dozens of writers that never pause it may take seconds.
        Raises Unavailable when a process stands still in the middle of a `write`."""

    @abstractmethod
    def take_back(self) -> None:
        """The upload takes no bytes any more: should its bytes have begun to exist only by this
        writer, and be none still, they exist no more."""

    @abstractmethod
    def flush(self) -> None:
        """Return when all bytes that this writer has stored would survive a power failure. Raises
        NotSynced."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Storage(ABC):
    takes_pipes = False
    """Whether it can store a Piped block without taking it out."""

    can_join = False
    """Whether it has `join`."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the place ready and try that it can do what is needed; called once at the start of
        every process. Raises StorageError saying what is wrong with the place and what to do."""

    @abstractmethod
    def open_writer(self, upload_id: str, *, create: bool) -> Writer:
        """A new writer. With `create` the upload's bytes begin to exist if they did not; without
        it, BytesLost if they do not exist. Never empties or shortens anything."""

    @abstractmethod
    def seal(self, upload_id: str, length: int) -> None:
        """Make all `length` bytes durable; the upload is about to be handed over.

        Waits like `fence()`, and raises what that raises. An upload of length 0 that nobody has
        written to begins to exist. What is beyond, written before the length was known, is cut
        off. Sealing twice is harmless. Raises NotSynced, BytesLost if there are fewer bytes.
        """

    def join(
        self, upload_id: str, parts: Sequence[tuple[str, int]], proceed: Callable[[], None]
    ) -> None:
        """Put the bytes of other uploads together to those of this one, in this order: `parts` are
        their ids and lengths, and one may be there twice.

        For who holds the upload, of sealed parts that nobody changes. Until it returns the upload
        has what it had before; then it has all of them, and nothing else, durable. `proceed` is
        called all the time: what it raises ends the work. After that, or an error, everything is as
        before; what the death of the process leaves behind is of use for the next one. Memory and
        parts stay as they are. Raises StorageFull, FileTooLarge, NotSynced, and BytesLost if a part
        is not there as it should be.
        """
        raise NotImplementedError

    @abstractmethod
    def sync(self, upload_id: str) -> None:
        """Return when all that has been written to the upload by now, by whomever, would survive a
        power failure. Raises NotSynced, BytesLost if it does not exist."""

    @abstractmethod
    def find_room(self) -> Room | None:
        """None if nobody can say."""

    @abstractmethod
    def hold(self, upload_id: str) -> AbstractContextManager[bool]:
        """While one process has this open, and True by it, everybody else is given False, in this
        process too. It ends with its process, however that ends, and never waits."""

    @abstractmethod
    def exists(self, upload_id: str, length: int) -> bool:
        """Whether the upload's bytes, `length` of them, are (still) in their place. False after the
        web app has taken them away, also if there is something without any byte where there were
        some. Raises StorageError if the place itself is away, so that nobody can say."""

    @abstractmethod
    def locate(self, upload_id: str) -> Path:
        """The absolute path that the web app is told, whether or not anything is there."""

    @abstractmethod
    def delete(self, upload_id: str) -> None:
        """Remove the upload's bytes. Nothing there: nothing to do."""

    @abstractmethod
    def leave(self, upload_id: str) -> None:
        """The bytes are the web app's from now on, where they are: `list_ids` passes them over, for
        as long as they are there. May be repeated."""

    @abstractmethod
    def list_ids(self) -> Iterator[str]:
        """Of what there are bytes here, except what was left to the web app; in no order."""
