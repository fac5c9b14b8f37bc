"""Which types of file a ticket takes, in the words of HTML's `accept`: ".pdf, image/*, text/csv".

What is compared is the client's word, its file name and its type, never the content: this spares
people mistakes, and liars nothing.
"""

from __future__ import annotations

import re

__all__ = ["accepts", "is_accept"]

EXTENSION = re.compile(r"\.[^\s,/\\]+")
MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/(\*|[a-z0-9!#$&^_.+-]+)")


def is_accept(text: str) -> bool:
    """Whether `text` is a list of extensions and media types, not empty."""
    return all(EXTENSION.fullmatch(part) or MEDIA_TYPE.fullmatch(part) for part in _parts(text))


def accepts(accept: str, filename: str | None, content_type: str | None) -> bool:
    """Whether one part of `accept` fits: an extension the name, a media type the type; "image/*"
    fits every type of image. Case and parameters of a type make no difference."""
    name = (filename or "").lower()
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return any(_fits(part, name, media_type) for part in _parts(accept))


def _fits(part: str, name: str, media_type: str) -> bool:
    if part.startswith("."):
        return name.endswith(part)
    if part.endswith("/*"):
        return media_type.startswith(part.removesuffix("*"))
    return media_type == part


def _parts(text: str) -> list[str]:
    return [part.strip().lower() for part in text.split(",")]
