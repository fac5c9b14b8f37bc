"""What a HEAD of an upload says, to the clients of every protocol at once: they read their own
headers and pass over the others."""

from __future__ import annotations

from email.utils import formatdate
from urllib.parse import quote

from ..errors import IncomingError
from ..header_fields import MAX_INTEGER
from ..responses import Headers
from ..states import takes_bytes
from ..uploads import Upload, now

__all__ = [
    "TUS_VERSION",
    "expiry_headers",
    "offset_headers",
    "progress_headers",
    "reason_headers",
    "upload_limit",
]

TUS_VERSION = "1.0.0"
LONGEST_REASON = 500  # characters


def progress_headers(upload: Upload, *, draft: bool, max_length: int) -> Headers:
    headers: Headers = (("Tus-Resumable", TUS_VERSION), *offset_headers(upload))
    if upload.length is not None:
        headers += (("Upload-Length", str(upload.length)),)
    elif upload.parts is None:
        headers += (("Upload-Defer-Length", "1"),)
    if upload.metadata:
        headers += (("Upload-Metadata", upload.metadata),)
    if upload.concat:
        headers += (("Upload-Concat", upload.concat),)
    headers += expiry_headers(upload)
    if draft:
        is_over = not takes_bytes(upload.state)
        headers += (
            ("Upload-Complete", "?1" if is_over else "?0"),
            ("Upload-Limit", upload_limit(max_length, upload.expires_at)),
        )
    return headers


def offset_headers(upload: Upload) -> Headers:
    """And the state, which says more than the offset. An upload that is still to be made of others
    has no offset."""
    state = ("Upload-State", upload.state.value)
    if upload.parts is not None and takes_bytes(upload.state):
        return (state,)
    return (("Upload-Offset", str(upload.received.prefix_bytes)), state)


def expiry_headers(upload: Upload) -> Headers:
    if upload.expires_at is None:
        return ()
    return (("Upload-Expires", formatdate(upload.expires_at, usegmt=True)),)


def upload_limit(max_length: int, expires_at: float | None = None) -> str:
    """As the field of the draft has it, which cannot be empty."""
    limits = {}
    if max_length <= MAX_INTEGER:
        limits["max-size"] = max_length
    if expires_at is not None:
        limits["max-age"] = max(int(expires_at - now()), 0)
    return ", ".join(f"{key}={value}" for key, value in limits.items()) or "min-size=0"


def reason_headers(error: IncomingError) -> Headers:
    """The reason of an error, for answers that have no body; percent-encoded."""
    reason = error.evidence().get("reason")
    if not isinstance(reason, str) or not reason:
        return ()
    return (("Upload-Reason", quote(reason[:LONGEST_REASON], safe=" ,;:'()!?.-")),)
