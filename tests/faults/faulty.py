"""The server's parts, with fault points around every step of the order of trust.

Each step has a point before and one after it; a step that is a transaction also one within, when
all has been decided and nothing is committed. A transition has its event's name; one that follows
in the transaction of another has only the point within:

    create claim record lease remove          of the ticket store, with its transitions
    declare store complete hand_over delay wait finish confirm give_up retry cancel expire tell
    write (also "half", of a block) seal delete leave     of the storage
    call                                      of the web app, by URL or by function

`points` does the killing. The real parts do the work: what they are called with and what they
answer goes through unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from points import Points

from incoming_wsgi.states import Event
from incoming_wsgi.storage.base import Block, Piped, Writer
from incoming_wsgi.storage.file import FileStorage
from incoming_wsgi.tickets.base import Decide, Lease, Then, WriteClaim
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore
from incoming_wsgi.uploads import Upload

__all__ = ["FaultyStorage", "FaultyTickets", "faulty_call", "faulty_function"]


class FaultyTickets(SQLiteTicketStore):
    def __init__(self, *args: Any, points: Points, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._points = points

    def create(self, upload: Upload, *args: Any, **kwargs: Any) -> Any:
        self._points.reach("create.before", upload.id)
        result = super().create(upload, *args, **kwargs)
        self._points.reach("create.after", upload.id)
        return result

    def transition(
        self, upload_id: str, event: Event, decide: Decide, *args: Any, **kwargs: Any
    ) -> Upload:
        return self._around(
            event.value, upload_id, decide, super().transition, upload_id, event, *args, **kwargs
        )

    def claim_range(
        self, upload_id: str, start: int, stop: int, decide: Decide, *args: Any, **kwargs: Any
    ) -> WriteClaim:
        return self._around(
            "claim", upload_id, decide, super().claim_range, upload_id, start, stop, *args, **kwargs
        )

    def record_ranges(
        self,
        claim: WriteClaim,
        ranges: Any,
        decide: Decide,
        *args: Any,
        then: Then | None = None,
        **kwargs: Any,
    ) -> Upload:
        upload_id, record = claim.upload.id, super().record_ranges
        if then is not None:
            steps = (
                (event, self._and_reach(f"{event.value}.within", decide))
                for event, decide in then.steps
            )
            then = dataclasses.replace(then, steps=tuple(steps))
        return self._around(
            "record", upload_id, decide, record, claim, ranges, *args, then=then, **kwargs
        )

    def lease_due(self, *args: Any, **kwargs: Any) -> Lease | None:
        lease = super().lease_due(*args, **kwargs)
        if lease is not None:
            self._points.reach("lease.after", lease.upload.id)
        return lease

    def remove(self, upload_id: str, *args: Any, **kwargs: Any) -> None:
        self._points.reach("remove.before", upload_id)
        super().remove(upload_id, *args, **kwargs)
        self._points.reach("remove.after", upload_id)

    def _around(
        self,
        name: str,
        upload_id: str,
        decide: Decide,
        step: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        self._points.reach(f"{name}.before", upload_id)
        # `decide` is the last of the positional arguments in all of them.
        result = step(*args, self._and_reach(f"{name}.within", decide), **kwargs)
        self._points.reach(f"{name}.after", upload_id)
        return result

    def _and_reach(self, name: str, decide: Decide) -> Decide:
        def decide_and_reach(upload: Upload) -> Any:
            changes = decide(upload)
            self._points.reach(name, upload.id)
            return changes

        return decide_and_reach


class FaultyStorage(FileStorage):
    def __init__(self, *args: Any, points: Points, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._points = points

    def open_writer(self, upload_id: str, *args: Any, **kwargs: Any) -> Writer:
        writer = super().open_writer(upload_id, *args, **kwargs)
        self._points.reach("open.after", upload_id)
        return _FaultyWriter(writer, upload_id, self._points)  # type: ignore[return-value]

    def seal(self, upload_id: str, *args: Any, **kwargs: Any) -> Any:
        self._points.reach("seal.before", upload_id)
        result = super().seal(upload_id, *args, **kwargs)
        self._points.reach("seal.after", upload_id)
        return result

    def delete(self, upload_id: str, *args: Any, **kwargs: Any) -> Any:
        self._points.reach("delete.before", upload_id)
        result = super().delete(upload_id, *args, **kwargs)
        self._points.reach("delete.after", upload_id)
        return result

    def leave(self, upload_id: str, *args: Any, **kwargs: Any) -> Any:
        self._points.reach("leave.before", upload_id)
        result = super().leave(upload_id, *args, **kwargs)
        self._points.reach("leave.after", upload_id)
        return result


class _FaultyWriter:
    def __init__(self, writer: Writer, upload_id: str, points: Points) -> None:
        self._writer = writer
        self._upload_id = upload_id
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def __enter__(self) -> _FaultyWriter:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._writer.__exit__(*exc)

    def write(self, position: int, block: Block | Piped, permit: Callable[[], bool]) -> bool:
        self._points.reach("write.before", self._upload_id)
        first, second = _halves(block)
        if not self._writer.write(position, first, permit):
            return False
        self._points.reach("write.half", self._upload_id)
        written = self._writer.write(position + len(first), second, permit)
        self._points.reach("write.after", self._upload_id)
        return written


def faulty_call(call_url: Callable[..., Any], points: Points) -> Callable[..., Any]:
    """`handover.call_url` with a point before the app is called, and one when its answer is there
    and nobody has heard it yet."""

    def call(url: str, fields: dict[str, str], *args: Any, **kwargs: Any) -> Any:
        points.reach("call.before", fields["id"])
        outcome = call_url(url, fields, *args, **kwargs)
        points.reach("call.after", fields["id"])
        return outcome

    return call


def faulty_function(function: Callable[..., Any], points: Points) -> Callable[..., Any]:
    """The same for `on_finished` and `on_cancelled`."""

    def call(upload: Any) -> Any:
        points.reach("call.before", upload.id)
        answer = function(upload)
        points.reach("call.after", upload.id)
        return answer

    return call


def _halves(block: Block | Piped) -> tuple[Block | Piped, Block | Piped]:
    half = len(block) // 2
    if isinstance(block, Piped):
        return Piped(block.descriptor, half), Piped(block.descriptor, len(block) - half)
    return memoryview(block)[:half], memoryview(block)[half:]
