"""What clients of tus say of a file: the field Upload-Metadata, pairs of a key and its value in
Base64, and the keys that clients have in common."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from contextlib import suppress

from ..agreement import Declaration
from ..body import MAX_TEXT, shown
from ..errors import BadRequest
from ..uploads import parse_sha256

__all__ = ["TICKET", "as_text", "declare_from", "parse_metadata", "without_ticket"]

TICKET = "ticket"  # the key that names one
METADATA_KEY = re.compile(r"[!-+\--~]+", re.ASCII)  # visible characters but the comma
SHA256_BYTES = 32
# What scripts make of a value that they do not have. A file may be called so.
NOTHING = ("null", "undefined")


def parse_metadata(header: str | None) -> dict[str, bytes]:
    """The pairs of the field; none without it. Raises BadRequest for what is none."""
    metadata: dict[str, bytes] = {}
    if header is None or not header.strip(" "):
        return metadata
    for pair in header.split(","):
        key, _, value = pair.strip(" ").partition(" ")
        if not METADATA_KEY.fullmatch(key):
            raise BadRequest(f"Upload-Metadata has a key {shown(key)}; it must be visible ASCII")
        if key in metadata:
            raise BadRequest(f"Upload-Metadata has {shown(key)} twice; once is enough")
        try:
            metadata[key] = base64.b64decode(value, validate=True)
        except ValueError as exc:
            raise BadRequest(
                f"Upload-Metadata: the value of {shown(key)} is {shown(value)}; it must be Base64"
            ) from exc
    return metadata


def without_ticket(header: str | None) -> str | None:
    """The field without the pair that names the ticket."""
    pairs = [pair.strip(" ") for pair in (header or "").split(",")]
    return ",".join(pair for pair in pairs if pair.partition(" ")[0] != TICKET) or None


def as_text(value: bytes) -> str:
    """With U+FFFD in place of what is not UTF-8."""
    return value.decode("utf-8", "replace")


def declare_from(
    metadata: Mapping[str, bytes], *, length: int | None, raw: str | None = None
) -> Declaration:
    """What is said under the keys that clients have in common. `raw` is the field as it came."""
    sha256 = metadata.get("sha256")
    content_type = _first(metadata, "filetype", "type")
    relative_path = _first(metadata, "relativePath")
    return Declaration(
        length=length,
        filename=_first(metadata, "filename", "name"),
        content_type=None if content_type in NOTHING else content_type,
        relative_path=None if relative_path in NOTHING else relative_path,
        metadata=raw,
        expected_sha256=None if not sha256 else _parse_sha256(sha256),
    )


def _first(metadata: Mapping[str, bytes], *keys: str) -> str | None:
    for key in keys:
        value = as_text(metadata.get(key, b""))
        if len(value) > MAX_TEXT:
            raise BadRequest(
                f"{key} is {shown(value)}; it must be a text of at most {MAX_TEXT} characters"
            )
        if value:
            return value
    return None


def _parse_sha256(value: bytes) -> str:
    """Clients send the digest itself, or as a text."""
    known = value.hex() if len(value) == SHA256_BYTES else parse_sha256(as_text(value))
    if known is None:
        with suppress(ValueError):
            known = parse_sha256(base64.b64decode(value, validate=True).hex())
    if known is None:
        raise BadRequest(
            f"Upload-Metadata: sha256 is {shown(value)}; it must be the SHA-256 of the whole file, "
            "hexadecimal"
        )
    return known
