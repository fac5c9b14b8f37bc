"""Memory to read into, used again and again: what is fresh costs as much as the reading.

So there is a buffer for each body that is being read at the moment, and none for an upload.
"""

from __future__ import annotations

from collections import deque

__all__ = ["BUFFER_BYTES", "Buffers"]

# A disk cache likes large blocks, and this is as much as a core's own cache holds.
BUFFER_BYTES = 1024 * 1024
MAX_IDLE = 32  # threads of a process, as a rule; what more were needed at once go when they are not


class Buffers:
    """The free ones of this process, on top the one that was used last."""

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque()

    def take(self) -> bytearray:
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(BUFFER_BYTES)

    def give_back(self, buffer: bytearray) -> None:
        if len(self._free) < MAX_IDLE:
            self._free.append(buffer)
