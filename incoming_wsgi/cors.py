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
EXPOSED: Headers = (("Access-Control-Expose-Headers", "ETag, Retry-After"),)
REQUEST_HEADERS = (
    "Content-Type, Content-Range, Content-Digest, If-Match, If-None-Match, X-Requested-With"
)
VARY: Headers = (("Vary", "Origin"),)


class CORS:
    """`origins` as in the settings: "*" among them stands for any. `methods` are those that a page
    may use."""

    def __init__(self, origins: Sequence[str] | None, methods: Sequence[str]) -> None:
        self._origins = frozenset(origins or ())
        self._preflight: Headers = (
            ("Access-Control-Allow-Methods", ", ".join(methods)),
            ("Access-Control-Allow-Headers", REQUEST_HEADERS),
            ("Access-Control-Max-Age", "86400"),
        )

    def headers(self, environ: Mapping[str, Any]) -> Headers:
        """What the answer to a request of the frontend carries besides."""
        if "*" in self._origins:
            allowed: Headers = ((ALLOW_ORIGIN, "*"), *EXPOSED)
        else:
            origin = environ.get("HTTP_ORIGIN")
            if origin not in self._origins:
                return VARY
            allowed = (*VARY, (ALLOW_ORIGIN, origin), *EXPOSED)
        return allowed + self._preflight if environ["REQUEST_METHOD"] == "OPTIONS" else allowed
