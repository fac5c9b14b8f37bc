"""What is uploaded: one file of random bytes on a tmpfs, and what was stored compared with it."""

from __future__ import annotations

import base64
import hashlib
import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

__all__ = ["Source", "WrongContent"]

BLOCK_BYTES = 16 * 1024 * 1024


class WrongContent(Exception):
    pass


class Source:
    """A context manager; of `size` bytes and one more."""

    def __init__(self, size: int) -> None:
        # Without a name: it is gone with this process, however that ends.
        self._file = tempfile.TemporaryFile(dir="/dev/shm")  # noqa: SIM115 - closed by __exit__
        for start in range(0, size + 1, BLOCK_BYTES):
            self._file.write(os.urandom(min(BLOCK_BYTES, size + 1 - start)))
        self._file.flush()
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")
        self._bytes = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._digests: dict[tuple[int, int], bytes] = {}

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bytes.close()
        self._file.close()

    def part(self, offset: int, length: int) -> bytes:
        return self._bytes[offset : offset + length]

    def sha256(self, offset: int, length: int) -> bytes:
        if (offset, length) not in self._digests:
            with memoryview(self._bytes) as view, view[offset : offset + length] as part:
                self._digests[offset, length] = hashlib.sha256(part).digest()
        return self._digests[offset, length]

    def content_digest(self, offset: int, length: int) -> str:
        return f"sha-256=:{base64.b64encode(self.sha256(offset, length)).decode()}:"

    def compare(self, files: Iterable[Path], parts: Iterable[tuple[int, int]]) -> None:
        """Raises WrongContent unless `files` hold exactly the parts (offset, length)."""
        expected = Counter(self.sha256(*part) for part in parts)
        found = Counter(_sha256(path) for path in files)
        if found != expected:
            raise WrongContent(
                f"{found.total()} files were stored, {expected.total()} sent; "
                f"{(expected - found).total()} of them are not there as they were sent"
            )


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
