"""What a client calls its file, made fit for the file system of the server.

A name that came from outside is metadata, never a path: nothing that this room returns can leave
the folder to which it is joined.
"""

from __future__ import annotations

import os
import re
import unicodedata

__all__ = ["numbered", "safe_filename", "safe_relative_path"]

FALLBACK_FILENAME = "upload"
MAX_FILENAME_BYTES = 255  # the limit of ext4, XFS, APFS and NTFS for one name
MAX_PATH_BYTES = 3072  # Linux opens paths of 4095; a quarter is for the folder that comes before
MAX_SEGMENTS = 32
DRIVE = re.compile(r"\A(?:[A-Za-z]:)+")
BIDI_MARKS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def safe_filename(name: str | None) -> str:
    """`name` made fit to be joined to a folder.

    Only what stands after the last slash or backslash is kept, without control characters, line
    separators, surrogates and the marks that turn the direction of writing (with one of them
    "exe.txt" reads "txt.exe"); at most 255 bytes of UTF-8, a short suffix is spared when cutting.
    Never empty, never only dots and spaces.
    """
    return _fit(_visible(_segments(name)[-1])) or FALLBACK_FILENAME


def safe_relative_path(path: str | None, filename: str | None) -> str:
    """Where a file was in a folder that was chosen, made fit to be joined to a folder.

    Segments with slashes in between, never absolute, none of them leads upwards.

    The last segment is `safe_filename(filename)`, whatever `path` has there. Each segment before it
    is made safe by the same rule, loses a drive letter, and is left out if nothing but dots and
    spaces remains. At most 32 segments and 3072 bytes of UTF-8: the outermost folders go first.
    """
    kept = (_fit(DRIVE.sub("", _visible(segment))) for segment in _segments(path)[:-1])
    segments = [segment for segment in kept if segment][-(MAX_SEGMENTS - 1) :]
    segments.append(safe_filename(filename))
    while len("/".join(segments).encode()) > MAX_PATH_BYTES:
        del segments[0]
    return "/".join(segments)


def numbered(name: str, number: int) -> str:
    """`name` for 1, else "stem (number).suffix", at most 255 bytes of UTF-8."""
    if number == 1:
        return name
    stem, suffix = os.path.splitext(name)
    tail = f" ({number}){_cut(suffix, 64)}"
    return _cut(stem, MAX_FILENAME_BYTES - len(tail.encode())) + tail


def _segments(path: str | None) -> list[str]:
    """Never empty; the last is the name."""
    return (path or "").replace("\\", "/").split("/")


def _visible(name: str) -> str:
    return "".join(
        char
        for char in name
        if unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and char not in BIDI_MARKS
    )


def _fit(name: str) -> str:
    """At most 255 bytes of it; empty if that has nothing but dots and spaces."""
    stem, dot, suffix = name.rpartition(".")
    tail = (dot + suffix).encode()
    if stem and len(tail) <= 32:
        name = _cut(stem, MAX_FILENAME_BYTES - len(tail)) + dot + suffix
    else:
        name = _cut(name, MAX_FILENAME_BYTES)
    return name if name.strip(". ") else ""


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode(errors="ignore")
