"""How an upload comes about for clients that create them: by a ticket that they bring, or by one
that the web app gives them on the spot. Creating with the same ticket again is the same upload."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..agreement import Declaration
from ..body import MAX_TEXT, shown
from ..errors import BadRequest
from ..rights import Rights
from .request import Request

__all__ = ["TICKET", "Creation", "declare_from", "parse_metadata"]

TICKET = "ticket"  # the key in Upload-Metadata
METADATA_KEY = re.compile(r"[!-+\--~]+", re.ASCII)  # visible characters but the comma
SHA256_BYTES = 32
NOTHING = ("", "null", "undefined")  # what scripts make of a value that they do not have


@dataclass(frozen=True, slots=True)
class Creation:
    rights: Rights

    def find_ticket(
        self, request: Request, metadata: Mapping[str, bytes], length: int | None
    ) -> tuple[str, bool]:
        """The id of the ticket, and whether it was made for this request. Raises Forbidden."""
        texts = {key: _text(value) for key, value in metadata.items()}
        named = texts.pop(TICKET, "")
        brought = request.upload_id or request.header("Upload-Ticket") or named
        if brought:
            return brought, False
        return self.rights.make_ticket(request.environ, texts, length), True

    def locate(self, request: Request, upload_id: str) -> str:
        """Relative to the address of the request: where this is mounted, and what proxies make of
        that, makes no difference."""
        path: str = request.environ.get("PATH_INFO", "")
        return f"uploads/{upload_id}" if path.endswith("uploads") else upload_id


def parse_metadata(header: str | None) -> dict[str, bytes]:
    """The pairs of an Upload-Metadata field. Raises BadRequest for what is none."""
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


def declare_from(
    metadata: Mapping[str, bytes], *, length: int | None, raw: str | None = None
) -> Declaration:
    """What a client says of the file under the keys that clients have in common. `raw` is the field
    as it came."""
    sha256 = metadata.get("sha256")
    return Declaration(
        length=length,
        filename=_first(metadata, "filename", "name"),
        content_type=_first(metadata, "filetype", "type"),
        relative_path=_first(metadata, "relativePath"),
        metadata=raw,
        expected_sha256=None if not sha256 else _parse_sha256(sha256),
    )


def _first(metadata: Mapping[str, bytes], *keys: str) -> str | None:
    for key in keys:
        value = _text(metadata.get(key, b""))
        if len(value) > MAX_TEXT:
            raise BadRequest(
                f"{key} is {shown(value)}; it must be a text of at most {MAX_TEXT} characters"
            )
        if value not in NOTHING:
            return value
    return None


def _text(value: bytes) -> str:
    """With U+FFFD in place of what is not UTF-8."""
    return value.decode("utf-8", "replace")


def _parse_sha256(value: bytes) -> str:
    """Clients send the digest itself, or as a text."""
    digest: bytes | None = value
    if len(value) != SHA256_BYTES:
        try:
            is_hex = len(value) == 2 * SHA256_BYTES
            digest = (
                bytes.fromhex(value.decode()) if is_hex else base64.b64decode(value, validate=True)
            )
        except ValueError:
            digest = None
    if digest is None or len(digest) != SHA256_BYTES:
        raise BadRequest(
            f"Upload-Metadata: sha256 is {shown(value)}; it must be the SHA-256 of the whole file, "
            "hexadecimal"
        )
    return digest.hex()
