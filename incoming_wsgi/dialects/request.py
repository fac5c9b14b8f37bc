"""One request about uploads, as every dialect is given it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..body import Body, shown
from ..errors import BadRequest, IncompleteBody, RequestEnded
from ..in_flight import RequestInFlight
from ..storage.base import Block, Piped

__all__ = ["CANCELLED_BY_CLIENT", "Request"]

CANCELLED_BY_CLIENT = "cancelled by the user"


@dataclass(frozen=True, slots=True)
class Request:
    """`method` is what the client wants, whatever it could send; `upload_id` is None at the address
    where uploads are created."""

    environ: dict[str, Any]
    method: str
    upload_id: str | None
    body: Body
    in_flight: RequestInFlight

    def header(self, name: str) -> str | None:
        """None if it is not there; values of one that is there twice have a comma between them."""
        key = name.upper().replace("-", "_")
        value: str | None = self.environ.get(
            key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
        )
        return value

    def check_coding(self) -> None:
        """Raises BadRequest for bytes that are not those of the file: nobody would undo that."""
        coding = self.header("Content-Encoding")
        if coding not in (None, "identity"):
            raise BadRequest(
                f"Content-Encoding is {shown(coding)}; send the bytes of the file as they are"
            )

    def pass_over_body(self) -> None:
        """Read all of it, however long it is: what is answered is no refusal, and a client that
        still sends would not hear it."""
        for _ in self.body.blocks():
            pass

    def stream(self, upload_id: str, *, keep: int, piped: bool) -> Iterator[Block | Piped]:
        """The body, see `Body.blocks`, for a protocol in which the newest request has the upload:
        with its first block the others of this process end. Raises Unavailable when there are too
        many that cannot."""
        self.in_flight.join(upload_id)
        return self._stream(upload_id, keep=keep, piped=piped)

    def _stream(self, upload_id: str, *, keep: int, piped: bool) -> Iterator[Block | Piped]:
        self.in_flight.end_others(upload_id, wait_s=0)
        try:
            yield from self.body.blocks(keep=keep, piped=piped)
        except IncompleteBody as exc:
            # Clients of these protocols ask again after a 409, and never after a 400.
            if self.in_flight.ended_because is not None:
                raise RequestEnded(why=self.in_flight.ended_because, arrived=exc.arrived) from exc
            raise

    @property
    def media_type(self) -> str:
        """Of the body, without parameters, in lower case; empty if it is not said."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()
