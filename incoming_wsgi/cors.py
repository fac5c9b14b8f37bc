"""Which pages of other origins may read the answers of the frontend.

A ticket is the right to upload, and no cookie is ever wanted: so by default any page may. A list of
origins, or none, narrows it; then a cache has to keep the answers to different origins apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .responses import Headers

__all__ = ["CORS"]

ALLOW_ORIGIN = "Access-Control-Allow-Origin"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# What the clients of each protocol read, and what they send.
ANSWER_HEADERS = (
    ("ETag", "Location", "Retry-After", "Upload-State", "Upload-Reason"),
    ("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat"),
    ("Upload-Expires", "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size"),
    ("Tus-Checksum-Algorithm", "Upload-Complete", "Upload-Incomplete", "Upload-Limit"),
    ("Repr-Digest",),
)
REQUEST_HEADERS = (
    ("Content-Type", "Content-Range", "Content-Digest", "If-Match", "If-None-Match"),
    ("Authorization", "X-Requested-With", "X-Request-ID", "X-HTTP-Method-Override"),
    ("Upload-Ticket", "Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Defer-Length"),
    ("Upload-Metadata", "Upload-Concat", "Upload-Checksum"),
    ("Upload-Complete", "Upload-Incomplete", "Upload-Draft-Interop-Version"),
    ("Repr-Digest", "Want-Repr-Digest", "Content-Disposition"),
)


def _listed(groups: Sequence[Sequence[str]]) -> str:
    return ", ".join(name for group in groups for name in group)


EXPOSED: Headers = (("Access-Control-Expose-Headers", _listed(ANSWER_HEADERS)),)
PREFLIGHT: Headers = (
    ("Access-Control-Allow-Methods", ", ".join(METHODS)),
    ("Access-Control-Allow-Headers", _listed(REQUEST_HEADERS)),
    ("Access-Control-Max-Age", "86400"),
)
VARY: Headers = (("Vary", "Origin"),)


class CORS:
    """`origins` as in the settings: "*" among them stands for any."""

    def __init__(self, origins: Sequence[str] | None) -> None:
        self._origins = frozenset(origins or ())

    def headers(self, environ: Mapping[str, Any]) -> Headers:
        """What the answer to a request of the frontend carries besides."""
        if "*" in self._origins:
            allowed: Headers = ((ALLOW_ORIGIN, "*"), *EXPOSED)
        else:
            origin = environ.get("HTTP_ORIGIN")
            if origin not in self._origins:
                return VARY
            allowed = (*VARY, (ALLOW_ORIGIN, origin), *EXPOSED)
        return allowed + PREFLIGHT if environ["REQUEST_METHOD"] == "OPTIONS" else allowed
