"""How an upload comes about for clients that create them: by a ticket that they bring, or by one
that the web app gives them on the spot. Creating with the same ticket again is the same upload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ..engine import Engine
from ..errors import UploadNotFound, WrongState
from ..rights import Rights
from .metadata import TICKET, as_text
from .request import Request

__all__ = ["Creation", "Ticket", "locate"]

NOT_CREATED = "it could not be created"


@dataclass(frozen=True, slots=True)
class Ticket:
    """`is_new`: made for this request, which is the only one that knows it so far."""

    id: str
    is_new: bool
    engine: Engine

    def drop(self) -> None:
        """Nobody will use it. One that was brought stays, and so does one with bytes: a web app may
        have given it before."""
        with suppress(UploadNotFound, WrongState):
            if self.is_new and not self.engine.load(self.id).received.total_bytes:
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
        texts = {key: as_text(value) for key, value in metadata.items()}
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


def locate(request: Request, upload_id: str) -> str:
    """Relative to the address of the request: where this is mounted, and what proxies make of that,
    makes no difference."""
    path: str = request.environ.get("PATH_INFO", "")
    return f"uploads/{upload_id}" if path.endswith("uploads") else upload_id
