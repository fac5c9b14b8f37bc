"""The SHA-256 of a whole file that is complete, read from where the web app will find it.

It takes about as long as sending the file over a fast line, so it is done in the background, by who
holds the lease; see `completion.py`. Memory is one block. Other threads run meanwhile: reading and
`hashlib` let them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["compute_sha256"]

BLOCK_BYTES = 1024 * 1024


def compute_sha256(path: Path, *, may_go_on: Callable[[], bool]) -> str | None:
    """Lower-case hex; None as soon as it may not go on, which is asked before each block.

    Raises OSError: FileNotFoundError also when the file is removed while it is read.
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        while may_go_on():
            size = file.readinto(block)
            if not size:
                return digest.hexdigest()
            digest.update(block[:size])
            if not os.fstat(file.fileno()).st_nlink:  # nobody needs it any more
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            time.sleep(0)  # the others' turn, where threads are greenlets
    return None
