"""What a tus client says of its file besides: the header Upload-Metadata, read for the web app.

Pairs of a key and its value in Base64, with commas between the pairs; a key alone has an empty
value (tus 1.0.0, "Creation"). Whoever has to refuse a header that cannot be read does so when it
comes. Here, later, all that can be read is.
"""

from __future__ import annotations

import base64
import binascii

__all__ = ["decode_metadata"]


def decode_metadata(header: str) -> dict[str, str]:
    """Values are UTF-8, with U+FFFD in place of bytes that are not. Pairs that cannot be decoded
    are left out; of a key that is there twice the first counts."""
    decoded: dict[str, str] = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):  # ValueError: not even ASCII
            continue
        if key:
            decoded.setdefault(key, text)
    return decoded
