"""How an upload comes about for clients that create them: by a ticket that they bring, or by one
that the web app gives them on the spot. Creating with the same ticket again is the same upload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..agreement import Declaration
from ..body import MAX_TEXT, shown
from ..errors import BadRequest
from ..rights import Rights
from ..uploads import without_surrogates
from .request import Request

__all__ = ["TICKET", "Creation", "declare_from"]

TICKET = "ticket"  # the key in Upload-Metadata
NOTHING = ("", "null", "undefined")  # what scripts make of a value that they do not have


@dataclass(frozen=True, slots=True)
class Creation:
    rights: Rights

    def find_ticket(
        self, request: Request, metadata: Mapping[str, str], length: int | None
    ) -> tuple[str, bool]:
        """The id of the ticket, and whether it was made for this request. Raises Forbidden."""
        brought = request.upload_id or request.header("Upload-Ticket") or metadata.get(TICKET)
        if brought:
            return brought, False
        known = {key: value for key, value in metadata.items() if key != TICKET}
        return self.rights.make_ticket(request.environ, known, length), True

    def locate(self, request: Request, upload_id: str) -> str:
        """Relative to the address of the request: where this is mounted, and what proxies make of
        that, makes no difference."""
        path: str = request.environ.get("PATH_INFO", "")
        return f"uploads/{upload_id}" if path.endswith("uploads") else upload_id


def declare_from(
    metadata: Mapping[str, str], *, length: int | None, raw: str | None = None
) -> Declaration:
    """What a client says of the file under the keys that clients have in common."""
    return Declaration(
        length=length,
        filename=_first(metadata, "filename", "name"),
        content_type=_first(metadata, "filetype", "type"),
        relative_path=_first(metadata, "relativePath"),
        metadata=raw,
        expected_sha256=metadata.get("sha256") or None,
    )


def _first(metadata: Mapping[str, str], *keys: str) -> str | None:
    for key in keys:
        value = metadata.get(key, "")
        if len(value) > MAX_TEXT:
            raise BadRequest(
                f"{key} is {shown(value)}; it must be a text of at most {MAX_TEXT} characters"
            )
        if value not in NOTHING:
            return without_surrogates(value)
    return None
