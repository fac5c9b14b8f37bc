"""The ticket store on SQLite: one file that all processes of one machine share.

What a method changes is one transaction of `_database.py`, made of the steps in `_rows.py`,
`_ranges.py`, `_synced.py`, `_parts.py` and `_chores.py`. Some look first whether there is anything
to do: a look stands in no queue. Every change is guarded: a state changes only from the state that
was read in the same transaction.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ..errors import LeaseLost, TicketStoreError
from ..ranges import Range, RangeSet
from ..states import Event, UploadState, takes_bytes
from ..tokens import new_token
from ..uploads import MAX_LENGTH, ChunkDigest, Upload, now
from ._boot import read_boot_id
from ._chores import is_chore_due, note_orphan, purge_orphans, take_turn
from ._database import Database
from ._filesystems import is_network_file_system
from ._parts import complete_final, find_final, find_parts, make_final
from ._ranges import (
    StoredRanges,
    find_claimed,
    find_missing,
    find_writers,
    is_claimed,
    record_range,
    release_claims,
    revoke_claims,
    stop_claims,
    take_over,
)
from ._rows import (
    BYTES_RECEIVED,
    KEY,
    SELECT_UPLOAD,
    SYNC_AT,
    apply,
    check_lease,
    find_row,
    insert_upload,
    load_row,
    loaded,
    may_be_written,
    state_of,
    to_upload,
)
from ._schema import migrate
from ._synced import find_unsynced, forget_unsynced, mark_all_synced, mark_synced
from ._usage import find_usage
from .base import Admit, Decide, DecideFinal, Lease, Then, TicketStore, WriteClaim

__all__ = ["SQLiteTicketStore"]

log = logging.getLogger("incoming_wsgi")

# What a power failure costs of an upload at most, give or take the time that syncing takes.
SYNC_AFTER_S = 10.0
# How long a client has at least to bring again what a power failure has undone.
ASK_AGAIN_S = 3600.0
# What a power failure may undo: clients repeat it.
REPEATABLE = (Event.DECLARE, Event.STORE)
# Who is told that nothing is missing goes away, and what is cancelled is deleted. So nobody learns
# of these before they are on the disk, also if another has made it so and waits for the disk yet.
# FINISHED and FAILED are what an app has said: what is undone of that it says again.
MUST_LAST = (UploadState.COMPLETE, UploadState.HANDING_OVER, UploadState.CANCELLED)

# What can be done for a due upload without the web app's callback; see `lease_due`.
NEEDS_NO_CALLBACK = (
    "(signal_finish_url IS NOT NULL OR notified OR state NOT IN "
    "('COMPLETE', 'HANDING_OVER', 'CANCELLED'))"
)
SELECT_DUE = (
    f"{SELECT_UPLOAD} WHERE due_at <= ? AND (? OR {NEEDS_NO_CALLBACK}) ORDER BY due_at LIMIT 1"
)
SELECT_DUE_AT = f"SELECT due_at FROM uploads WHERE ? OR {NEEDS_NO_CALLBACK} ORDER BY due_at LIMIT 1"


def must_last(then: Then | None) -> bool:
    return then is not None and any(event not in REPEATABLE for event, _ in then.steps)


class SQLiteTicketStore(TicketStore):
    """`path` must be on a local disk for speed; the folder must exist.

    With `durable` each commit reaches the disk before it is acknowledged, otherwise only those that
    the contract names. `boot_id` stands for this run of the machine; "" if that cannot be told.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durable: bool = False, boot_id: str | None = None
    ) -> None:
        self.path = Path(path).absolute()
        self._database = Database(self.path, durable=durable)
        self._boot_id = (read_boot_id() or "") if boot_id is None else boot_id

    def prepare(self) -> None:
        with self._database.once() as connection:
            migrate(connection, self.path)
        # Who cannot tell in which run this is believes nothing that was not synced.
        boot_id = self._boot_id if self.notices_restarts() else ""
        with self._database.once() as connection:
            connection.execute("BEGIN IMMEDIATE")
            keys = find_unsynced(connection, boot_id)
            for key in keys:
                forget_unsynced(connection, key, now() + ASK_AGAIN_S)
            connection.execute("COMMIT")
        if keys:
            log.warning(
                "event=machine_restarted uploads=%d; what was not on the disk yet is asked for "
                "again",
                len(keys),
            )

    def notices_restarts(self) -> bool:
        # Of a disk that several machines use, none knows when another was restarted.
        return bool(self._boot_id) and not is_network_file_system(self.path.parent)

    def close(self) -> None:
        self._database.close()

    # tickets

    def create(self, upload: Upload, *, admit: Admit | None = None) -> None:
        with self._database.writing(durable=True) as connection:
            if admit:
                admit(upload, find_usage(connection, upload.owner, upload.part_of))
            try:
                insert_upload(connection, upload)
            except sqlite3.IntegrityError as exc:
                raise TicketStoreError(
                    f"There is an upload {upload.id[:8]} already; ids are used once."
                ) from exc

    def find(self, upload_id: str) -> Upload | None:
        with self._database.using() as connection:
            row = find_row(connection, upload_id)
            upload = to_upload(connection, row) if row else None
        if upload is not None and isinstance(upload.received, StoredRanges):
            with self._database.reading() as connection:
                row = find_row(connection, upload_id)
                upload = loaded(to_upload(connection, row)) if row else None
        if upload is not None and upload.state in MUST_LAST:
            self._database.sync()
        return upload

    def list_uploads(
        self, *, state: UploadState | None = None, limit: int = 1000
    ) -> tuple[Upload, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{SELECT_UPLOAD} WHERE :state IS NULL OR state = :state "
                "ORDER BY key DESC LIMIT :limit",
                {"state": state.value if state else None, "limit": limit},
            ).fetchall()
            return tuple(loaded(to_upload(connection, row)) for row in rows)

    def count_by_state(self) -> dict[UploadState, int]:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT state, COUNT(*) FROM uploads GROUP BY state")
            return {UploadState(state): count for state, count in rows}

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
        with self._database.writing(durable=event not in REPEATABLE) as connection:
            row = load_row(connection, upload_id)
            check_lease(row, lease)
            kept = lease if keep_lease else None
            before = to_upload(connection, row)
            upload = apply(connection, row[KEY], before, event, decide, lease=kept, admit=admit)
            return loaded(upload)

    def remove(self, upload_id: str, *, lease: str) -> None:
        with self._database.writing() as connection:
            row = load_row(connection, upload_id)
            check_lease(row, lease)
            connection.execute("DELETE FROM uploads WHERE key = ?", (row[KEY],))

    # bytes

    def claim_range(
        self,
        upload_id: str,
        start: int,
        stop: int | None,
        decide: Decide,
        *,
        admit: Admit | None = None,
    ) -> WriteClaim:
        with self._database.writing() as connection:
            row = load_row(connection, upload_id)
            key = row[KEY]
            upload = to_upload(connection, row)
            if not may_be_written(row):
                decide(upload)
                connection.durable = upload.state in MUST_LAST
                return WriteClaim(loaded(upload), owner="", gaps=(), displaced=False)
            upload = apply(connection, key, upload, Event.STORE, decide, admit=admit)
            appends = stop is None
            if stop is None:
                stop = MAX_LENGTH if upload.length is None else upload.length
            is_first = not row[BYTES_RECEIVED] and start < stop
            gaps = ((start, stop),) if is_first else find_missing(connection, key, start, stop)
            if not gaps:
                return WriteClaim(loaded(upload), owner="", gaps=(), displaced=False)
            # It says where the claim stands: `may_write` is asked for each block.
            owner = f"{key}-{new_token()}"
            displaced = take_over(connection, key, gaps, owner, appends=appends)
            if isinstance(upload.received, StoredRanges):
                upload.received.read_later(lambda: self._find_ranges(upload_id))
            return WriteClaim(upload, owner, gaps, displaced)

    def _find_ranges(self, upload_id: str) -> tuple[Range, ...]:
        upload = self.find(upload_id)
        return upload.received.ranges if upload else ()

    def may_write(self, claim: WriteClaim, start: int, stop: int) -> bool:
        key, _, token = claim.owner.partition("-")
        if not token:  # it has no gaps
            return False
        with self._database.using() as connection:
            return is_claimed(connection, int(key), claim.owner, start, stop)

    def stop_writers(self, upload_id: str, *, at_once: bool, appends: bool = False) -> bool:
        with self._database.using() as connection:
            key = load_row(connection, upload_id)[KEY]
            may_record, may_write = find_writers(connection, key, appends=appends)
        if not may_write and not (may_record and at_once):
            return may_record
        with self._database.writing() as connection:
            if at_once:
                revoke_claims(connection, key, appends=appends)
            else:
                stop_claims(connection, key, appends=appends)
        return not at_once

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
        with self._database.writing() as connection:
            row = load_row(connection, claim.upload.id)
            key = row[KEY]
            if not may_be_written(row):
                connection.durable = state_of(row) in MUST_LAST
                return loaded(to_upload(connection, row))
            reach = (claim.gaps[0][0], claim.gaps[-1][1]) if claim.gaps else (0, 0)
            own = RangeSet.of(find_claimed(connection, key, claim.owner, *reach))
            kept = [part for start, stop in ranges for part in own.within(start, stop)]
            is_first = not row[BYTES_RECEIVED] and len(kept) == 1
            added = sum(
                record_range(connection, "ranges", key, *part, is_first=is_first) for part in kept
            )
            also = {}
            if synced:
                mark_synced(connection, key, kept)
            elif kept and row[SYNC_AT] is None:
                also = {"boot_id": self._boot_id, "sync_at": now() + SYNC_AFTER_S}
            if digest and own.covers(digest.start, digest.stop):
                connection.execute(
                    "INSERT OR IGNORE INTO digests (upload, start, stop, sha256) "
                    "VALUES (?, ?, ?, ?)",
                    (key, digest.start, digest.stop, digest.sha256),
                )
            upload = to_upload(connection, row, added=added)
            is_whole = all(own.covers(start, stop) for start, stop in claim.gaps)

            def follow(upload: Upload) -> Then | None:
                return then if is_whole and upload.is_complete else None

            upload = apply(connection, key, upload, Event.STORE, decide, also=also, follow=follow)
            if not takes_bytes(upload.state):
                connection.durable = must_last(then)
            elif release:
                release_claims(connection, key, claim.owner, *reach)
            return loaded(upload)

    def find_digests(self, upload_id: str) -> tuple[ChunkDigest, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT start, stop, sha256 FROM digests "
                "WHERE upload = (SELECT key FROM uploads WHERE id = ?) ORDER BY start, stop",
                (upload_id,),
            )
            return tuple(ChunkDigest(*row) for row in rows)

    def take_unsynced(self, due_by: float, again_at: float) -> Upload | None:
        # What is too far ahead was written down by a clock that was, too.
        query = (
            f"{SELECT_UPLOAD} WHERE sync_at <= :due_by OR sync_at > :again_at + :ahead_s "
            "ORDER BY sync_at LIMIT 1"
        )
        times = {"due_by": due_by, "again_at": again_at, "ahead_s": SYNC_AFTER_S}
        # Most of the time there is nothing: so look, before standing in the queue of writers.
        with self._database.using() as connection:
            if connection.execute(query, times).fetchone() is None:
                return None
        with self._database.writing() as connection:
            row = connection.execute(query, times).fetchone()
            if row is None:
                return None
            connection.execute("UPDATE uploads SET sync_at = ? WHERE key = ?", (again_at, row[KEY]))
            return loaded(to_upload(connection, row))

    def forget_unsynced(self, upload_id: str) -> None:
        with self._database.writing(durable=True) as connection:
            row = find_row(connection, upload_id)
            if row is not None and takes_bytes(state_of(row)):
                forget_unsynced(connection, row[KEY], now() + ASK_AGAIN_S)

    def mark_synced(self, upload_id: str, ranges: Iterable[Range], again_at: float) -> None:
        with self._database.writing() as connection:
            row = find_row(connection, upload_id)
            if row is not None and row[SYNC_AT] == again_at:
                mark_all_synced(connection, row[KEY], ranges)

    # uploads that are made of others

    def find_final(self, part_ids: Sequence[str]) -> Upload | None:
        with self._database.reading() as connection:
            upload = find_final(connection, part_ids)
            found = loaded(upload) if upload else None
        if found is not None:
            self._database.sync()  # who repeats a request is told what will stay true
        return found

    def find_parts(self, upload_id: str) -> tuple[Upload, ...]:
        with self._database.reading() as connection:
            return tuple(map(loaded, find_parts(connection, upload_id)))

    def make_final(
        self,
        upload_id: str,
        part_ids: Sequence[str],
        decide: DecideFinal,
        decide_part: Decide,
        *,
        admit: Admit | None = None,
    ) -> Upload:
        with self._database.writing(durable=True) as connection:
            upload = find_final(connection, part_ids)
            if upload is None:
                upload = make_final(connection, upload_id, part_ids, decide, decide_part, admit)
            return loaded(upload)

    def complete_final(
        self, upload_id: str, decide: Decide, decide_part: Decide, *, lease: str
    ) -> Upload:
        with self._database.writing(durable=True) as connection:
            return loaded(complete_final(connection, upload_id, decide, decide_part, lease))

    # work that is due

    def lease_due(self, due_by: float, until: float, *, in_process: bool) -> Lease | None:
        token = new_token()
        with self._database.writing() as connection:
            row = connection.execute(SELECT_DUE, (due_by, in_process)).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE uploads SET lease = ?, due_at = ? WHERE key = ?",
                (token, until, row[KEY]),
            )
            # Before an app is called about any other there is a transition.
            connection.durable = state_of(row) is UploadState.CANCELLED
            # The upload as it was when it was found due: its `due_at` says since when.
            return Lease(loaded(to_upload(connection, row)), token)

    def renew_lease(self, lease: Lease, until: float) -> None:
        with self._database.writing() as connection:
            renewed = connection.execute(
                "UPDATE uploads SET due_at = ? WHERE id = ? AND lease = ?",
                (until, lease.upload.id, lease.token),
            ).rowcount
            if renewed != 1:
                raise LeaseLost

    def next_due_at(self, *, in_process: bool) -> float | None:
        with self._database.reading() as connection:
            row = connection.execute(SELECT_DUE_AT, (in_process,)).fetchone()
            return row[0] if row else None

    def take_turn(self, chore: str, at: float, again_at: float) -> bool:
        with self._database.using() as connection:
            if not is_chore_due(connection, chore, at, again_at):
                return False
        with self._database.writing() as connection:
            return take_turn(connection, chore, at, again_at)

    def note_orphans(self, ids: Collection[str], at: float) -> dict[str, float]:
        with self._database.writing() as connection:
            purge_orphans(connection, at)
            return {
                upload_id: note_orphan(connection, upload_id, at)
                for upload_id in ids
                if find_row(connection, upload_id) is None
            }
