"""The contract of a ticket store: the records of uploads, shared by all processes.

Every method is one transaction: it happens wholly or not at all, as if nothing else happened at
the same time, and when it returns it survives the death of any process. A store decides nothing:
what a change is, the engine says in a `Decide` function, which the store runs inside the
transaction, with the upload as it is at that moment. It must be called again with fresh values if
the store has to repeat the transaction, so it has no side effects; what it raises ends the
transaction without a change. A TicketStoreError may leave open whether it has happened, as the
death of the caller does.

Two kinds of right are kept here, neither of which anybody ever has to wait for or to give back:

* A **write claim** gives bytes that are missing to one request. A newer claim takes its bytes from
  older ones for good: a request asks before each block, stops when a part of it is not its own any
  more, and can record only what is. What became of the newer one makes no difference. Who wants
  to know how far an upload is, and that it stays so, stops all of them without taking anything.
  An upload that is made of parts takes bytes from them alone: none by a claim. When a length
  becomes known, which is never shorter than what is stored, claims end there.
* A **lease** says that a process looks after an upload that was due. It ends with its time, with
  the next lease, or with any activity of the client; what is done in its name afterwards is
  refused with LeaseLost.

What a power failure may undo: ranges that were recorded without `synced` are believed until the
machine is started anew, and forgotten then. Creations, and all events but DECLARE and STORE, are
never undone: what the web app was told, or has answered, stays true.

Errors: UploadNotFound, WrongState and whatever `Decide` raises; StorageFull when the store has no
room; Unavailable when it is busy for too long; TicketStoreError for the rest.
`testing.TicketStoreContract` holds what is said here as tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UploadNotFound
from ..ranges import Range
from ..states import Event, UploadState
from ..uploads import ChunkDigest, Upload

__all__ = [
    "Admit",
    "Decide",
    "DecideFinal",
    "Lease",
    "Then",
    "TicketStore",
    "Usage",
    "WriteClaim",
]

Decide = Callable[[Upload], Mapping[str, Any]]
"""Given the upload, the fields of it to change (never `id`, `state` or `received`)."""

DecideFinal = Callable[[Upload, Sequence["Upload | None"]], Mapping[str, Any]]
"""The same for an upload that is to be made of others, which are given too; None: not known."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What all other uploads take whose file is here or still to come."""

    total_bytes: int
    """Their lengths, or what is stored of those whose length is not known."""
    owner_bytes: int
    """The same of those that have the same owner; 0 for an upload without one."""
    promised_bytes: int
    """What is still missing of those that are on their way, as far as their length is known."""
    owner_open: int
    """How many of the owner's are on their way, or tickets that nobody has used yet."""
    part_bytes: int = 0
    """The lengths of the other parts of the same ticket that have not ended, or what is stored of
    those whose length is not known; 0 for an upload that is no part of any."""
    part_count: int = 0
    """How many these are."""
    ticket_bytes: int = 0
    """What of the totals is the ticket itself: the length of all its parts together, as far as that
    is known; 0 for an upload that is no part of any."""


Admit = Callable[[Upload, Usage], None]
"""Asked within the transaction, with the upload as it would be; what it raises undoes that. As long
as the length is unknown every request may make the upload longer: then all of them ask."""


@dataclass(frozen=True, slots=True)
class Then:
    """What follows in the same transaction once nothing is missing any more.

    `steps` are events of the state table, each with its changes, one after the other: the `Decide`
    of a step sees the upload as the one before it has left it. If a step has no way, or its
    `Decide` raises, nothing of the whole transaction has happened. With `lease` the upload is
    leased under this token afterwards, as if `lease_due` had given it; the lease ends at the
    `due_at` that the last step has set. Without, nobody has a lease.
    """

    steps: tuple[tuple[Event, Decide], ...]
    lease: str | None = None


@dataclass(frozen=True, slots=True)
class WriteClaim:
    """`gaps` are the parts of the wanted range that are not stored yet: only they may be written.
    `displaced` says that older requests might still be writing there: fence before the first block.
    `upload` is as it was then. If there are gaps, its `received` knows the `total_bytes`; its
    ranges are read when somebody asks for them, and are those of that moment.
    """

    upload: Upload
    owner: str
    gaps: tuple[Range, ...]
    displaced: bool


@dataclass(frozen=True, slots=True)
class Lease:
    upload: Upload
    token: str


class TicketStore(ABC):
    @abstractmethod
    def prepare(self) -> None:
        """Make the store ready or refuse with TicketStoreError; called at the start of every
        process. Forgets the ranges that a crash of the machine may have undone. Keeps nothing open:
        a process may fork between this and its first use."""

    @abstractmethod
    def notices_restarts(self) -> bool:
        """Whether the store can tell that the machine was started anew. If it cannot, ranges must
        be recorded as `synced`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what this process holds. The store may be used again afterwards."""

    # tickets

    @abstractmethod
    def create(self, upload: Upload, *, admit: Admit | None = None) -> None:
        """Add a new upload unless `admit` objects. TicketStoreError if the id is taken."""

    @abstractmethod
    def find(self, upload_id: str) -> Upload | None: ...

    def load(self, upload_id: str) -> Upload:
        upload = self.find(upload_id)
        if upload is None:
            raise UploadNotFound
        return upload

    @abstractmethod
    def list_uploads(
        self, *, state: UploadState | None = None, limit: int = 1000
    ) -> tuple[Upload, ...]:
        """The newest uploads first, at most `limit`."""

    @abstractmethod
    def count_by_state(self) -> dict[UploadState, int]:
        """How many uploads are in each state that occurs."""

    @abstractmethod
    def transition(
        self,
        upload_id: str,
        event: Event,
        decide: Decide,
        *,
        lease: str | None = None,
        keep_lease: bool = False,
        admit: Admit | None = None,
    ) -> Upload:
        """Apply `event` of the state table together with the changes of `decide`. If they give the
        upload a length that it did not have, or leave it without one, `admit` may object.

        With `lease` only as long as that lease holds (else LeaseLost). Every transition ends the
        lease, whoever has it, unless its holder wants to `keep_lease`. A state in which nothing can
        be missing any more ends all write claims, and a length that was not known before what is
        claimed beyond it. Returns the upload as it is now. WrongState when
        the table has no way.
        """

    @abstractmethod
    def remove(self, upload_id: str, *, lease: str) -> None:
        """Forget an upload. LeaseLost if the lease does not hold."""

    # bytes

    @abstractmethod
    def claim_range(
        self,
        upload_id: str,
        start: int,
        stop: int | None,
        decide: Decide,
        *,
        admit: Admit | None = None,
    ) -> WriteClaim:
        """Apply the event STORE with `decide` and `admit` as `transition` does, and claim what is
        missing of [start, stop), taking it from whoever has it. None: to the end of the file as
        `decide` has left it, MAX_LENGTH if that is not known.

        Where it has all of these there is no claim. Where the upload takes no bytes any more there
        is no claim and nothing changes; `decide` is asked all the same, for what it raises.
        """

    @abstractmethod
    def may_write(self, claim: WriteClaim, start: int, stop: int) -> bool:
        """Whether all of [start, stop), part of a gap of `claim`, is still this claim's to write.
        It is not when the upload takes no bytes any more, or its writers have been stopped."""

    @abstractmethod
    def find_writers(self, upload_id: str, *, appends: bool = False) -> frozenset[str]:
        """The owners of the claims under which something may still be recorded; with `appends`, of
        those that were to reach the end (`stop` None). Raises UploadNotFound."""

    @abstractmethod
    def stop_writers(
        self, upload_id: str, owners: Collection[str], *, at_once: bool
    ) -> frozenset[str]:
        """Nothing more may be written under the claims of `owners`. They may still record what they
        have written, unless `at_once`; those of them that may are returned. Newer claims displace
        theirs as ever."""

    @abstractmethod
    def record_ranges(
        self,
        claim: WriteClaim,
        ranges: Iterable[Range],
        decide: Decide,
        *,
        release: bool,
        synced: bool = False,
        digest: ChunkDigest | None = None,
        then: Then | None = None,
    ) -> Upload:
        """Record `ranges`, which this claim has written, as stored; end the claim if `release`.
        `synced`: the bytes would survive a power failure.

        What has been taken from this claim is left out: its bytes may be others by now.
        `decide` sees the upload with the ranges in it. `digest`, of bytes in `ranges`, is kept if
        nothing of its range has been taken away. If nothing of the upload is missing after that,
        and nothing has been taken from this claim, the steps of `then` follow. An upload that takes
        no bytes any more stays as it is, without any of this. Returns the upload as it is now.
        """

    @abstractmethod
    def find_digests(self, upload_id: str) -> tuple[ChunkDigest, ...]:
        """The digests of stored chunks, in order of their start."""

    @abstractmethod
    def take_unsynced(self, due_by: float, again_at: float) -> Upload | None:
        """The upload that has had ranges which are not synced for longest, if it is time to sync it
        by then; None if there is none. It is not given to anybody else before `again_at`."""

    @abstractmethod
    def forget_unsynced(self, upload_id: str) -> None:
        """What was recorded without `synced` may be lost: it is not stored any more, and nothing
        more may be written under the claims that there are, though newer ones displace them as
        ever. Nothing to do for an upload that takes no bytes any more, or is not known."""

    @abstractmethod
    def mark_synced(self, upload_id: str, ranges: Iterable[Range], again_at: float) -> None:
        """The bytes of `ranges`, recorded when `take_unsynced` returned, would survive a power
        failure by now. Nothing happens if the upload was taken again since, or synced, or what was
        not synced forgotten: so `again_at` must still be what it was taken with."""

    # uploads that are made of others

    @abstractmethod
    def find_final(self, part_ids: Sequence[str]) -> Upload | None:
        """The upload that is made of these, in this order."""

    @abstractmethod
    def find_parts(self, upload_id: str) -> tuple[Upload, ...]:
        """Those that are `part_of` the upload and have not ended, in no order."""

    @abstractmethod
    def make_final(
        self,
        upload_id: str,
        part_ids: Sequence[str],
        decide: DecideFinal,
        decide_part: Decide,
        *,
        admit: Admit | None = None,
    ) -> Upload:
        """Let the upload be the one that is made of `part_ids`, of which one may be there twice. If
        there is one already, return it and change nothing.

        Apply the event STORE to it with `decide` and `admit` as `transition` does, and write its
        `parts`; apply COMPLETE with `decide_part` to each part that takes bytes. All their write
        claims end. Returns the upload as it is now.
        """

    @abstractmethod
    def complete_final(
        self, upload_id: str, decide: Decide, decide_part: Decide, *, lease: str
    ) -> Upload:
        """All bytes of the upload, which had none, are stored and would survive a power failure:
        record them, and apply the event COMPLETE with `decide`. To all of `find_parts` apply with
        `decide_part` FINISH, or CANCEL if they take bytes still. LeaseLost if the lease does not
        hold; it is kept."""

    # work that is due

    @abstractmethod
    def lease_due(self, due_by: float, until: float, *, in_process: bool) -> Lease | None:
        """Lease the upload that has been due longest, if one was due by then, `until` a time.

        Without `in_process` those are passed over whose web app has to be called in a process that
        knows its callback. The upload is due again when the lease is over.
        """

    @abstractmethod
    def renew_lease(self, lease: Lease, until: float) -> None:
        """Keep the lease until then. LeaseLost if it does not hold."""

    @abstractmethod
    def next_due_at(self, *, in_process: bool) -> float | None:
        """When the next upload is due; None if there are no uploads."""

    @abstractmethod
    def take_turn(self, chore: str, at: float, again_at: float) -> bool:
        """Whether `chore`, which is not about one upload, is due at `at` and the caller's to do: of
        all that ask one is told so. It is due from the beginning, and from `again_at` after each
        turn."""

    @abstractmethod
    def note_orphans(self, ids: Collection[str], at: float) -> dict[str, float]:
        """Those of `ids` that are of no upload, and when this was noted for the first time."""
