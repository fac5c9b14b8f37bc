"""What is let in: how long a file may be, of which type, whether there is room, and for whom.

Room is promised when a length is declared: what the uploads that are on their way still lack
counts as if it were there. So whoever was let in will find room, unless somebody else fills the
disk; then a chunk is refused, and nothing of what is stored is lost. A promise ends with its
upload, at the latest when it expires.

Of a file whose length is not known each request asks for what there will be at its end; one that
does not know that either is let in until it meets a limit, as that was when it began. That is no
promise: what such requests bring counts when it is recorded, so those that come at the same time
may go beyond a limit together, by what they have under way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from .config import Settings
from .errors import FileTooLarge, StorageFull, TooManyParts, TooManyUploads, TypeNotAllowed
from .file_types import accepts
from .storage.base import Storage
from .tickets.base import Usage
from .uploads import MAX_LENGTH, Upload

__all__ = ["MAX_PARTS", "Admission", "Allowance"]

log = logging.getLogger("incoming_wsgi")

MAX_PARTS = 64  # of one file; tus clients send as many at once as their page says, mostly 2 to 10


class Admission:
    def __init__(self, *, storage: Storage, settings: Settings) -> None:
        self._storage = storage
        self._settings = settings

    def check_length(self, length: int, max_length_bytes: int | None) -> None:
        """Raises FileTooLarge for a file that no waiting makes fit; `max_length_bytes` is the
        ticket's own limit, which comes before that of the settings, wider or not."""
        limit = self.find_limit(max_length_bytes)
        if length > limit:
            raise FileTooLarge(length=length, max_length_bytes=limit)

    def find_limit(self, max_length_bytes: int | None) -> int:
        """The length of the longest file that may be declared."""
        settings = self._settings
        own = settings.max_length_bytes if max_length_bytes is None else max_length_bytes
        room = self._storage.find_room()
        limits = (
            own,
            settings.max_total_bytes,
            settings.max_owner_bytes,
            None if room is None else max(room.total, 0),
            MAX_LENGTH,
        )
        return min(limit for limit in limits if limit is not None)

    def check_type(self, upload: Upload) -> None:
        """Raises TypeNotAllowed unless what is known of the file fits the ticket."""
        accept = upload.accept
        if accept is not None and not accepts(accept, upload.filename, upload.content_type):
            raise TypeNotAllowed(
                accept=accept, filename=upload.filename, content_type=upload.content_type
            )

    def admit_ticket(self, upload: Upload, usage: Usage) -> None:
        """Raises TooManyUploads for the owner, and StorageFull if the length is known already."""
        limit = self._settings.max_owner_uploads
        if limit is not None and upload.owner is not None and usage.owner_open >= limit:
            raise TooManyUploads(open_uploads=usage.owner_open, max_owner_uploads=limit)
        self.admit_length(upload, usage)

    def admit_part(self, upload: Upload, usage: Usage) -> None:
        """The same for a part, which does not count beside the ticket that its owner has for the
        whole file: a ticket has a limited number of them."""
        if usage.part_count >= MAX_PARTS:
            raise TooManyParts(open_parts=usage.part_count, max_parts=MAX_PARTS)
        self.admit_length(upload, usage)

    def admit_length(self, upload: Upload, usage: Usage) -> None:
        """Raises StorageFull if there is no room for all of it beside what was promised before, and
        FileTooLarge for a part if all those of its ticket are longer together than that allows.

        A length that is not known needs no room yet: that is for the bytes to ask for.
        """
        if upload.length is not None:
            self.find_allowance(upload, usage).check(upload.length)

    def find_allowance(self, upload: Upload, usage: Usage) -> Allowance:
        """How many bytes there may be of an upload, as things are now."""
        settings, room = self._settings, self._storage.find_room()
        # The ticket's length, if it is known, is that of all parts together.
        total_bytes = usage.total_bytes - usage.ticket_bytes
        owner_bytes = usage.owner_bytes - usage.ticket_bytes
        rooms = [("max_total_bytes", settings.max_total_bytes, total_bytes)]
        if upload.owner is not None:
            rooms.append(("max_owner_bytes", settings.max_owner_bytes, owner_bytes))
        stored = upload.received.total_bytes
        if room is not None:
            # What is stored is not free any more.
            rooms.append(("the disk", room.free + stored, usage.promised_bytes))
        return Allowance(
            stored=stored,
            part_bytes=usage.part_bytes,
            limit=self.find_limit(upload.max_length_bytes),
            rooms=tuple(rooms),
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many bytes there may be of one upload, as things were at one moment."""

    stored: int
    part_bytes: int
    limit: int
    rooms: tuple[tuple[str, int | None, int], ...]
    """What sets a limit, the limit, and how much others have of it."""

    def check(self, extent: int) -> None:
        """Raises FileTooLarge if a file of `extent` bytes, or all parts of a ticket, are longer
        than it allows, and StorageFull if there is no room. There is for what is stored."""
        if extent <= self.stored:
            return
        length = extent + self.part_bytes
        if length > self.limit:
            raise FileTooLarge(length=length, max_length_bytes=self.limit)
        for what, limit, taken in self.rooms:
            _check_room(what, extent, limit, taken)


def _check_room(what: str, needed: int, limit: int | None, taken: int) -> None:
    if limit is not None and taken + needed > limit:
        # How much others have is for the log alone.
        log.warning(
            "event=no_room limit=%r bytes=%d taken=%d needed=%d", what, limit, taken, needed
        )
        raise StorageFull(
            f"There is no room for these {needed} bytes at the moment ({what}). Try again later."
        )
