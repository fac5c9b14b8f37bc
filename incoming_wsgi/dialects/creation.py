"""How an upload comes about for clients that create them: by a ticket that they bring, or by one
that the web app gives them on the spot. Creating with the same ticket again is the same upload."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ..agreement import Declaration
from ..body import MAX_TEXT, shown
from ..engine import Engine
from ..errors import BadRequest, UploadNotFound, WrongState
from ..rights import Rights
from .request import Request

__all__ = ["TICKET", "Creation", "Ticket", "declare_from", "parse_metadata", "without_ticket"]

TICKET = "ticket"  # the key in Upload-Metadata
NOT_CREATED = "it could not be created"
METADATA_KEY = re.compile(r"[!-+\--~]+", re.ASCII)  # visible characters but the comma
SHA256_BYTES = 32
NOTHING = ("", "null", "undefined")  # what scripts make of a value that they do not have


@dataclass(frozen=True, slots=True)
class Ticket:
    """`is_new`: made for this request, which is the only one that knows it so far."""

    id: str
    is_new: bool
    engine: Engine

    def drop(self) -> None:
        """Nobody will use it. One that was brought stays."""
        if self.is_new:
            with suppress(UploadNotFound, WrongState):
                self.engine.cancel(self.id, reason=NOT_CREATED, tell_app=False)


@dataclass(frozen=True, slots=True)
class Creation:
    engine: Engine
    rights: Rights

    @contextmanager
    def ticket(
        self,
        request: Request,
        metadata: Mapping[str, bytes],
        length: int | None,
        *,
        named: str | None = None,
    ) -> Iterator[Ticket]:
        """The ticket that was brought, `named` before all, or else one that the web app makes for
        this request; it is dropped when what is done with it raises. Raises Forbidden."""
        texts = {key: _text(value) for key, value in metadata.items()}
        brought = named or request.upload_id or request.header("Upload-Ticket")
        brought = brought or texts.get(TICKET)
        if brought:
            yield Ticket(brought, is_new=False, engine=self.engine)
            return
        texts.pop(TICKET, None)
        made = self.rights.make_ticket(request.environ, texts, length)
        ticket = Ticket(made, is_new=True, engine=self.engine)
        try:
            yield ticket
        except BaseException:
            ticket.drop()
            raise

    def locate(self, request: Request, upload_id: str) -> str:
        """Relative to the address of the request: where this is mounted, and what proxies make of
        that, makes no difference."""
        path: str = request.environ.get("PATH_INFO", "")
        return f"uploads/{upload_id}" if path.endswith("uploads") else upload_id


def without_ticket(header: str | None) -> str | None:
    """An Upload-Metadata field without the pair that names the ticket."""
    pairs = [pair.strip(" ") for pair in (header or "").split(",")]
    return ",".join(pair for pair in pairs if pair.partition(" ")[0] != TICKET) or None


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
