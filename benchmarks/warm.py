"""A pool of memory that has been touched, given back just before somebody needs it.

A virtual machine that reports free pages to its host gets each of them back with a fault that
costs more than copying it: a cold page cache takes 0.5 GB/s where a warm one takes 6. A page is
reported two seconds after it became free, or at once if more than 1 GiB waits for it: a run has
less. So this process keeps what the next run will fill and lets go of it when the run begins; the
next takes it again as soon as the files of that run have been cut to nothing. Some runs are cold
all the same: running.py makes those again.
"""

from __future__ import annotations

import mmap
from contextlib import suppress

__all__ = ["Pool"]

SLACK = 1.25


class Pool:
    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None

    def hold(self, file_bytes: int) -> None:
        """Keep what files of that size will need, and some for the processes."""
        self.release()
        pages = int(file_bytes * SLACK) // mmap.PAGESIZE + 1
        self._memory = mmap.mmap(
            -1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        with suppress(OSError):  # a kernel without large pages
            self._memory.madvise(mmap.MADV_HUGEPAGE)  # in large pieces the kernel finds it first
        self._memory[:: mmap.PAGESIZE] = bytes(pages)

    def release(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
