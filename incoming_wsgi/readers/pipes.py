"""Pipes through which a body goes from its connection to a file without coming to us.

`splice(2)` moves pages of the kernel: what is received is copied once, into the cache of the disk,
instead of twice. A pipe holds a block until it may be stored; it is used again and again, for its
memory is the kernel's, of which a user may have 64 MiB in pipes.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections import deque
from contextlib import suppress

from ..storage.base import Piped

__all__ = ["CAN_SPLICE", "Pipe", "Pipes"]

CAN_SPLICE = hasattr(os, "splice")
PIPE_BYTES = 1024 * 1024  # what any user may have
MIN_PIPE_BYTES = 256 * 1024  # below that a block is too small to be worth it
MAX_IDLE = 8  # for each process; the rest of those 64 MiB is for others


class Pipe:
    """Raises OSError if there is none, or none that is large enough."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        try:
            with suppress(PermissionError):  # the user has too many already
                fcntl.fcntl(self._write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            if fcntl.fcntl(self._write_end, fcntl.F_GETPIPE_SZ) < MIN_PIPE_BYTES:
                raise OSError("the kernel gives no larger pipes to this user")
        except BaseException:
            self.close()
            raise

    def fill(self, source: int, size: int) -> int:
        """Move what comes from the descriptor `source`, a TCP connection, waiting for it, `size` at
        most; how much. Raises BlockingIOError if the pipe is full. (From a Unix socket also if
        nothing has come yet: there the kernel does not tell the two apart.)"""
        return os.splice(
            source, self._write_end, size, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
        )

    def block(self, size: int) -> Piped:
        return Piped(self._read_end, size)

    def is_empty(self) -> bool:
        count = fcntl.ioctl(self._read_end, termios.FIONREAD, bytes(4))
        return struct.unpack("i", count) == (0,)

    def close(self) -> None:
        os.close(self._read_end)
        os.close(self._write_end)


class Pipes:
    """The free ones of this process."""

    def __init__(self) -> None:
        self._free: deque[Pipe] = deque()
        os.register_at_fork(after_in_child=self._close_all)

    def _close_all(self) -> None:
        """A child's copies: what one process puts into a pipe the other would take out."""
        while self._free:
            self._free.pop().close()

    def take(self) -> Pipe | None:
        """None if the system gives no more."""
        try:
            return self._free.pop()
        except IndexError:
            with suppress(OSError):
                return Pipe()
        return None

    def give_back(self, pipe: Pipe) -> None:
        """One in which a request has left bytes is of no use to another."""
        if len(self._free) < MAX_IDLE and pipe.is_empty():
            self._free.append(pipe)
        else:
            pipe.close()
