"""What a client calls its file, made fit for the file system of the server.

A name that came from outside is metadata, never a path: nothing that this room returns can leave
the folder to which it is joined.
"""

from __future__ import annotations

import os
import unicodedata

__all__ = ["numbered", "safe_filename"]

FALLBACK_FILENAME = "upload"
MAX_FILENAME_BYTES = 255  # the limit of ext4, XFS, APFS and NTFS for one name
BIDI_MARKS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def safe_filename(name: str | None) -> str:
    """`name` made fit to be joined to a folder.

    Only what stands after the last slash or backslash is kept, without control characters, line
    separators, surrogates and the marks that turn the direction of writing (with one of them
    "exe.txt" reads "txt.exe"); at most 255 bytes of UTF-8, a short suffix is spared when cutting.
    Never empty, never only dots and spaces.
    """
    base = (name or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join(
        char
        for char in base
        if unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and char not in BIDI_MARKS
    )
    if not kept.strip(". "):
        return FALLBACK_FILENAME
    stem, dot, suffix = kept.rpartition(".")
    tail = (dot + suffix).encode()
    if stem and len(tail) <= 32:
        name = _cut(stem, MAX_FILENAME_BYTES - len(tail)) + dot + suffix
    else:
        name = _cut(kept, MAX_FILENAME_BYTES)
    return name if name.strip(". ") else FALLBACK_FILENAME


def numbered(name: str, number: int) -> str:
    """`name` for 1, else "stem (number).suffix", at most 255 bytes of UTF-8."""
    if number == 1:
        return name
    stem, suffix = os.path.splitext(name)
    tail = f" ({number}){_cut(suffix, 64)}"
    return _cut(stem, MAX_FILENAME_BYTES - len(tail.encode())) + tail


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode(errors="ignore")
