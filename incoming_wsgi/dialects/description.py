"""What an answer in JSON says of an upload; docs/protocol.md explains the members."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from ..config import Settings
from ..states import UploadState
from ..uploads import Upload

__all__ = ["describe"]


def describe(upload: Upload, settings: Settings) -> dict[str, Any]:
    """All but its id."""
    return {
        "state": upload.state.value,
        "filename": upload.filename,
        "relative_path": upload.relative_path,
        "length": upload.length,
        "file_tag": upload.file_tag,
        "received": upload.received.ranges,
        "bytes_received": upload.received.total_bytes,
        "chunk_bytes": settings.chunk_bytes,
        "max_chunk_bytes": settings.max_chunk_bytes,
        "send_ahead": settings.send_ahead,
        "expires_at": None if upload.expires_at is None else _timestamp(int(upload.expires_at)),
        "sha256": upload.sha256,
        "reason": upload.reason,
        # Whether the app knows that it was cancelled. Tried once counts: a page must not wait
        # for an app that is down.
        "notified": upload.state is UploadState.CANCELLED
        and (upload.notified or upload.attempt > 0),
    }


@lru_cache(maxsize=64)  # all that moved within a second expires within another
def _timestamp(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
