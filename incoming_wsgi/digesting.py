"""Compute the digest of a body beside its reading.

A digest takes about as long as receiving and storing the same bytes. `hashlib` lets other threads
run meanwhile, so with a second core a thread of its own makes it cost little: while one block is
digested, the same is written and the next one read. Small bodies are not worth a thread.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from .storage.base import Block

__all__ = ["ALGORITHMS", "Digester", "ExpectedDigest"]

WORTH_A_THREAD_BYTES = 128 * 1024  # starting one takes as long as digesting that


@dataclass(frozen=True, slots=True)
class ExpectedDigest:
    """`algorithm` is one of ALGORITHMS, `value` the raw digest of the whole body. `all_or_nothing`:
    what came of a body that was cut off does not count either."""

    algorithm: str
    value: bytes
    all_or_nothing: bool = False


class Digester:
    """A context manager, so that its thread ends with the request. It needs each block until the
    next one has been given, or the digest been asked for."""

    def __init__(self, algorithm: str) -> None:
        self._hash = _new_hash(algorithm)
        self._blocks: queue.SimpleQueue[Block | None] | None = None
        # Named at use: gevent may have replaced it, and threads with it, since this was imported.
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_busy = False

    def update(self, block: Block) -> None:
        self._wait()
        if self._blocks is None and (len(block) < WORTH_A_THREAD_BYTES or not self._start()):
            self._hash.update(block)
            return
        assert self._blocks is not None
        self._is_busy = True
        self._blocks.put(block)

    def digest(self) -> bytes:
        """Of all blocks so far."""
        self._wait()
        return self._hash.digest()

    def __enter__(self) -> Digester:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wait()
        if self._blocks is not None:
            self._blocks.put(None)

    def _wait(self) -> None:
        if self._is_busy:
            self._done.get()
            self._is_busy = False

    def _start(self) -> bool:
        if _count_cores() < 2:
            return False
        blocks: queue.SimpleQueue[Block | None] = queue.SimpleQueue()
        thread = threading.Thread(
            target=self._run, args=(blocks,), name="incoming-digest", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the process is ending
            return False
        self._blocks = blocks
        return True

    def _run(self, blocks: queue.SimpleQueue[Block | None]) -> None:
        while (block := blocks.get()) is not None:
            self._hash.update(block)
            del block  # a view of the server's memory, which the server may want to close
            self._done.put(None)


class _Hash(Protocol):
    def update(self, data: Block, /) -> None: ...

    def digest(self) -> bytes: ...


class _CRC32:
    """Big-endian, as it is sent in network protocols."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Block, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _new_hash(algorithm: str) -> _Hash:
    # Some systems allow SHA-1 and MD5 for nothing that has to be secure: this finds damage.
    return _CRC32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)


def _find_sizes() -> Mapping[str, int]:
    sizes = {}
    for algorithm in ("sha1", "sha256", "sha512", "md5", "crc32"):
        try:
            sizes[algorithm] = len(_new_hash(algorithm).digest())
        except ValueError:  # not on this system
            continue
    return sizes


ALGORITHMS = _find_sizes()
"""Those that can be checked here, the best known first, and how many bytes a digest has."""


def _count_cores() -> int:
    """Those that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
