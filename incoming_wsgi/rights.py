"""What the web app allows besides: its own right for every action, creation without a ticket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .errors import Forbidden
from .uploads import Upload

__all__ = ["Authorize", "AuthorizeCreation", "Rights"]

Authorize = Callable[[dict[str, Any], Upload, str], bool]
"""(environ, upload, action) → whether this client may; actions: query, declare, store, cancel. And
once more before each handover, which no client asks for: hand_over, with an empty environ."""

AuthorizeCreation = Callable[[dict[str, Any], Mapping[str, str], "int | None"], "str | None"]
"""(environ, metadata, length) → the ticket for a client that has none, as `Incoming.new_upload` has
returned it; None if it gets none. `metadata` is what the client says of the file (`filename`,
`filetype`, …), `length` how many bytes it has, None if that is not known yet."""

HOW_TO_BRING_A_TICKET = (
    "Uploads are created with a ticket here, which the web app gives out. Use the ticket's own URL "
    "as the endpoint, or bring its id in the header Upload-Ticket, or in Upload-Metadata as ticket."
)


@dataclass(frozen=True, slots=True)
class Rights:
    engine: Engine
    authorize: Authorize | None
    authorize_creation: AuthorizeCreation | None

    def have(self, environ: dict[str, Any], upload_id: str, action: str) -> bool:
        """Raises UploadNotFound if there is anybody to ask."""
        if self.authorize is None:
            return True
        return bool(self.authorize(environ, self.engine.load(upload_id), action))

    def check(self, environ: dict[str, Any], upload_id: str, action: str) -> None:
        """Raises Forbidden, and UploadNotFound if there is anybody to ask."""
        if not self.have(environ, upload_id, action):
            raise Forbidden("you may not do this with this upload; sign in again and go on")

    def make_ticket(
        self, environ: dict[str, Any], metadata: Mapping[str, str], length: int | None
    ) -> str:
        """Raises Forbidden."""
        if self.authorize_creation is None:
            raise Forbidden(HOW_TO_BRING_A_TICKET)
        made = self.authorize_creation(environ, metadata, length)
        if not made:
            raise Forbidden("you may not upload this; sign in again, or ask the web app")
        if not isinstance(made, str):
            raise TypeError(f"authorize_creation must return a ticket's id or None, not {made!r}")
        return made
