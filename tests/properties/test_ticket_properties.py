"""The ticket store on SQLite against a model of dictionaries and sets, step by step.

Two stores on one file stand for two processes. A step may die: the transaction is left by an
exception that nobody catches, or its process is killed at one of the statements. Then a fresh store
must say that the step has not happened, and one that has returned that it has.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from effort import effort, patience
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from incoming_wsgi.errors import LeaseLost, TicketStoreError, UploadNotFound, WrongState
from incoming_wsgi.ranges import Range
from incoming_wsgi.states import TRANSITIONS, Event, UploadState
from incoming_wsgi.testing.tickets import new_upload
from incoming_wsgi.tickets._connections import Connections
from incoming_wsgi.tickets.base import Lease, Then, Usage, WriteClaim
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore
from incoming_wsgi.uploads import ChunkDigest, Upload

LENGTH = 40
TAKES_BYTES = (UploadState.CREATED, UploadState.UPLOADING)
NEEDS_THE_APP = (UploadState.COMPLETE, UploadState.HANDING_OVER, UploadState.CANCELLED)

FOLLOWING = (*[Event.COMPLETE] * 3, Event.HAND_OVER, Event.STORE, Event.FINISH)
GONE = (UploadState.FINISHED, UploadState.CANCELLED)
OWNERS = (None, "ann", "")

positions = st.integers(0, LENGTH)
ranges = st.tuples(positions, positions).map(lambda pair: (min(pair), max(pair)))
times = st.integers(0, 60).map(float)
which = st.integers(0, 5)
changes = st.fixed_dictionaries(
    {},
    optional={
        "due_at": times,
        "reason": st.sampled_from([None, "enough", "Grüße"]),
        "attempt": st.integers(0, 9),
        "notified": st.booleans(),
        # Never shorter than what may be stored: the engine sees to that.
        "length": st.sampled_from([None, LENGTH, 2**63 - 1]),
    },
)


class Killed(BaseException):
    """The end of a process, as far as one that goes on can play it."""


def bytes_of(pairs: Iterable[Range]) -> set[int]:
    return {byte for start, stop in pairs for byte in range(start, stop)}


@dataclass
class Known:
    """What must be so of one upload."""

    facts: Upload  # without the ranges
    received: set[int] = field(default_factory=set)
    owners: dict[int, str] = field(default_factory=dict)  # of claimed bytes
    digests: set[tuple[int, int, str]] = field(default_factory=set)
    lease: str | None = None

    @property
    def counted(self) -> int:
        """What it takes as long as it is here."""
        return len(self.received) if self.facts.length is None else self.facts.length

    def apply(self, event: Event, changed: dict[str, Any], keep: str | None = None) -> None:
        state = TRANSITIONS[self.facts.state][event]
        assert state is not None
        self.facts = replace(self.facts, state=state, **changed)
        self.lease = keep
        if state not in TAKES_BYTES:
            self.owners.clear()

    def can(self, events: Iterable[Event]) -> bool:
        state: UploadState | None = self.facts.state
        for event in events:
            state = state and TRANSITIONS[state][event]
        return state is not None

    def is_for(self, *, in_process: bool) -> bool:
        """Whether a process can look after it, that has or has not the app's callback."""
        facts = self.facts
        return (
            in_process
            or facts.signal_finish_url is not None
            or facts.notified
            or facts.state not in NEEDS_THE_APP
        )


class Tickets(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "incoming.db"
        self.known: dict[str, Known] = {}
        self.forgotten: list[str] = []
        self.claims: list[WriteClaim] = []
        self.leases: list[Lease] = []

    @initialize()
    def start(self) -> None:
        self.stores = [SQLiteTicketStore(self.path), SQLiteTicketStore(self.path, durable=True)]
        for store in self.stores:
            store.prepare()
        self.create(0, 0.0, None, None, LENGTH)

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def pick(self, number: int) -> str:
        ids = list(self.known)
        return ids[number % len(ids)]

    def some_claim(self, number: int) -> WriteClaim:
        return self.claims[number % len(self.claims)]

    # tickets

    @precondition(lambda self: len(self.known) < 4)
    @rule(
        process=st.integers(0, 1),
        due_at=times,
        url=st.sampled_from([None, "http://app.example/"]),
        owner=st.sampled_from(OWNERS),
        length=st.sampled_from([LENGTH, None]),
    )
    def create(
        self, process: int, due_at: float, url: str | None, owner: str | None, length: int | None
    ) -> None:
        upload = new_upload(due_at=due_at, signal_finish_url=url, length=length, owner=owner)
        self.stores[process].create(upload)
        self.known[upload.id] = Known(upload)
        with pytest.raises(TicketStoreError):
            self.stores[process].create(replace(upload, length=7))

    @precondition(lambda self: self.known)
    @rule(
        process=st.integers(0, 1),
        upload=which,
        event=st.sampled_from([*Event, *[Event.STORE] * 10]),
        changed=changes,
        lease=st.sampled_from([None, "its own"]) | which,
        keep=st.booleans(),
    )
    def transition(self, process, upload, event, changed, lease, keep) -> None:
        upload_id = self.pick(upload)
        known = self.known[upload_id]
        token = None
        if lease == "its own":
            token = known.lease
        elif lease is not None:
            token = self.leases[lease % len(self.leases)].token if self.leases else "never given"
        seen = []

        def decide(upload: Upload) -> dict[str, Any]:
            seen.append(upload)
            return changed

        told: list[Usage] = []

        def change() -> Upload:
            return self.stores[process].transition(
                upload_id,
                event,
                decide,
                lease=token,
                keep_lease=keep,
                admit=lambda _, usage: told.append(usage),
            )

        if token is not None and token != known.lease:
            with pytest.raises(LeaseLost):
                change()
        elif TRANSITIONS[known.facts.state][event] is None:
            with pytest.raises(WrongState):
                change()
        else:
            before = known.facts
            length = changed.get("length", before.length)
            is_asked = length is None or length != before.length
            usage = [self.usage_beside(upload_id)] if is_asked else []
            known.apply(event, changed, token if keep else None)
            self.check(change(), known)
            assert told == usage
            assert replace(seen[-1], received=before.received) == before
            if token is not None and not keep:
                with pytest.raises(LeaseLost):
                    self.stores[process].renew_lease(Lease(before, token), 0.0)

    @precondition(lambda self: self.known)
    @rule(process=st.integers(0, 1), upload=which, event=st.sampled_from(Event))
    def transition_that_decides_against_it(self, process, upload, event) -> None:
        def decide(_: Upload) -> dict[str, Any]:
            raise ZeroDivisionError

        with pytest.raises((ZeroDivisionError, WrongState)):
            self.stores[process].transition(self.pick(upload), event, decide)

    # bytes

    @precondition(lambda self: self.known)
    @rule(process=st.integers(0, 1), upload=which, wanted=ranges, changed=changes)
    def claim(self, process, upload, wanted, changed) -> None:
        upload_id = self.pick(upload)
        known = self.known[upload_id]
        claim = self.stores[process].claim_range(upload_id, *wanted, lambda _: changed)
        missing = bytes_of([wanted]) - known.received
        if known.facts.state not in TAKES_BYTES:
            assert claim.gaps == ()
            return
        known.apply(Event.STORE, changed)
        self.check(claim.upload, known)
        assert bytes_of(claim.gaps) == missing
        assert claim.displaced == bool(missing & known.owners.keys())
        known.owners |= dict.fromkeys(missing, claim.owner)
        if claim.gaps:
            self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(process=st.integers(0, 1), claim=which, inner=ranges)
    def may_write(self, process, claim, inner) -> None:
        chosen = self.some_claim(claim)
        start, stop = chosen.gaps[inner[0] % len(chosen.gaps)]
        start, stop = max(start, inner[0]), min(stop, inner[1])
        if start < stop:
            owners = self.owners_of(chosen)
            own = all(owners.get(byte) == chosen.owner for byte in range(start, stop))
            assert self.stores[process].may_write(chosen, start, stop) == own

    def owners_of(self, claim: WriteClaim) -> dict[int, str]:
        known = self.known.get(claim.upload.id)
        return known.owners if known else {}

    @precondition(lambda self: self.claims)
    @rule(
        process=st.integers(0, 1),
        claim=which,
        wanted=st.just([(0, LENGTH)]) | st.lists(ranges, max_size=3),
        changed=changes,
        release=st.booleans(),
        sha256=st.none() | st.sampled_from(["aa", "bb"]),
        follows=st.none() | st.lists(st.tuples(st.sampled_from(FOLLOWING), changes), max_size=3),
        synced=st.booleans(),
    )
    def record(self, process, claim, wanted, changed, release, sha256, follows, synced) -> None:
        chosen = self.some_claim(claim)
        written = [
            (max(start, first), min(stop, last))
            for start, stop in wanted
            for first, last in chosen.gaps
            if max(start, first) < min(stop, last)
        ]
        digest = ChunkDigest(*written[0], sha256) if sha256 and written else None

        steps = tuple((event, lambda _, more=more: more) for event, more in follows or ())
        then = Then(steps, lease="a token") if steps else None

        def record() -> Upload:
            return self.stores[process].record_ranges(
                chosen,
                written,
                lambda _: changed,
                release=release,
                synced=synced,
                digest=digest,
                then=then,
            )

        known = self.known.get(chosen.upload.id)
        if known is None:
            with pytest.raises(UploadNotFound):
                record()
            return
        own = {byte for byte, owner in known.owners.items() if owner == chosen.owner}
        before = set(known.received), set(known.digests)
        if known.facts.state in TAKES_BYTES:
            known.received |= bytes_of(written) & own
            if digest and bytes_of(written[:1]) <= own:
                place = (digest.start, digest.stop)
                if not any(kept[:2] == place for kept in known.digests):
                    known.digests.add((*place, digest.sha256))
            length = changed.get("length", known.facts.length)
            # No bytes are claimed beyond a length: a number tells whether any are missing.
            if then and len(known.received) == length and bytes_of(chosen.gaps) <= own:
                if not known.can([Event.STORE, *(event for event, _ in follows)]):
                    known.received, known.digests = before
                    with pytest.raises(WrongState):
                        record()
                    return
                known.apply(Event.STORE, changed)
                for event, more in follows:
                    known.apply(event, more, "a token")
            else:
                known.apply(Event.STORE, changed)
        if release:
            for byte in own:
                known.owners.pop(byte, None)
            self.claims.remove(chosen)
        self.check(record(), known)

    # work that is due

    @rule(process=st.integers(0, 1), due_by=times, lasts=times, in_process=st.booleans())
    def lease(self, process, due_by, lasts, in_process) -> None:
        lease = self.stores[process].lease_due(due_by, due_by + lasts, in_process=in_process)
        due = [
            known.facts.due_at
            for known in self.known.values()
            if known.is_for(in_process=in_process) and known.facts.due_at <= due_by
        ]
        if not due:
            assert lease is None
            return
        assert lease is not None
        known = self.known[lease.upload.id]
        assert lease.upload.due_at == min(due) == known.facts.due_at
        assert known.is_for(in_process=in_process)
        assert lease.token not in [other.token for other in self.leases]
        known.lease = lease.token
        known.facts = replace(known.facts, due_at=due_by + lasts)
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(process=st.integers(0, 1), lease=which, until=times)
    def renew(self, process, lease, until) -> None:
        chosen = self.leases[lease % len(self.leases)]
        known = self.known.get(chosen.upload.id)
        if known is None or known.lease != chosen.token:
            with pytest.raises(LeaseLost):
                self.stores[process].renew_lease(chosen, until)
        else:
            self.stores[process].renew_lease(chosen, until)
            known.facts = replace(known.facts, due_at=until)

    @precondition(lambda self: self.leases)
    @rule(process=st.integers(0, 1), lease=which)
    def remove(self, process, lease) -> None:
        chosen = self.leases[lease % len(self.leases)]
        known = self.known.get(chosen.upload.id)
        if known is None or known.lease != chosen.token:
            with pytest.raises((LeaseLost, UploadNotFound)):
                self.stores[process].remove(chosen.upload.id, lease=chosen.token)
        else:
            self.stores[process].remove(chosen.upload.id, lease=chosen.token)
            del self.known[chosen.upload.id]
            self.forgotten.append(chosen.upload.id)

    @precondition(lambda self: self.forgotten and len(self.known) < 4)
    @rule(process=st.integers(0, 1))
    def create_anew_what_was_forgotten(self, process) -> None:
        """Claims on the former one have no right to this one."""
        upload = new_upload(id=self.forgotten.pop(), length=LENGTH)
        self.stores[process].create(upload)
        self.known[upload.id] = Known(upload)

    # totals

    def usage(self, owner: str | None, others: Iterable[Known]) -> Usage:
        here = [known for known in others if known.facts.state not in GONE]
        open_ = [known for known in here if known.facts.state in TAKES_BYTES]
        own = [known for known in here if owner is not None and known.facts.owner == owner]
        return Usage(
            total_bytes=sum(known.counted for known in here),
            owner_bytes=sum(known.counted for known in own),
            promised_bytes=sum(
                known.facts.length - len(known.received)
                for known in open_
                if known.facts.length is not None
            ),
            owner_open=sum(known.facts.state in TAKES_BYTES for known in own),
        )

    def usage_beside(self, upload_id: str) -> Usage:
        others = [known for known in self.known.values() if known.facts.id != upload_id]
        return self.usage(self.known[upload_id].facts.owner, others)

    @invariant()
    def the_totals_are_those_of_a_fresh_count(self) -> None:
        if not hasattr(self, "stores"):
            return
        for owner in OWNERS:
            told: list[Usage] = []

            def refuse(_: Upload, usage: Usage) -> None:
                told.append(usage)  # noqa: B023
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                self.stores[0].create(new_upload(owner=owner), admit=refuse)
            assert told == [self.usage(owner, self.known.values())]
        with self.stores[0]._database.using() as connection:
            kept = connection.execute("SELECT owner FROM owner_usage").fetchall()
        assert {owner for (owner,) in kept} == {
            known.facts.owner for known in self.known.values() if known.facts.state not in GONE
        } - {None}

    # deaths

    def die(self, process: int) -> None:
        """Forget the store, unclosed, as a process does that ends."""
        self.stores[process] = SQLiteTicketStore(self.path)

    @precondition(lambda self: self.known)
    @rule(process=st.integers(0, 1), upload=which, wanted=ranges, kind=st.integers(0, 3))
    def die_in_a_transaction(self, process, upload, wanted, kind) -> None:
        """Or between two."""

        def decide(_: Upload) -> dict[str, Any]:
            raise Killed

        upload_id = self.pick(upload)
        store = self.stores[process]
        known = self.known[upload_id]
        if kind == 0:
            with pytest.raises((Killed, WrongState)):
                store.transition(upload_id, Event.STORE, decide)
        elif kind == 1:
            with pytest.raises(Killed):
                store.claim_range(upload_id, *wanted, decide)
        elif kind == 2 and self.claims:
            claim = self.some_claim(upload)
            known = self.known.get(claim.upload.id)
            if known and known.facts.state in TAKES_BYTES:
                with pytest.raises(Killed):
                    store.record_ranges(claim, claim.gaps, decide, release=True)
        self.die(process)

    # after every step

    @invariant()
    def both_processes_see_what_is_so(self) -> None:
        if not hasattr(self, "stores"):
            return
        for store in self.stores:
            assert {upload.id for upload in store.list_uploads()} == self.known.keys()
            for upload_id, known in self.known.items():
                self.check(store.load(upload_id), known)
                digests = store.find_digests(upload_id)
                assert {(kept.start, kept.stop, kept.sha256) for kept in digests} == known.digests
            states = [known.facts.state for known in self.known.values()]
            assert store.count_by_state() == {state: states.count(state) for state in set(states)}
            for in_process in (True, False):
                due = [
                    known.facts.due_at
                    for known in self.known.values()
                    if known.is_for(in_process=in_process)
                ]
                assert store.next_due_at(in_process=in_process) == min(due, default=None)

    @staticmethod
    def check(upload: Upload, known: Known) -> None:
        assert bytes_of(upload.received) == known.received
        # In normal form, as RangeSet takes it for granted.
        edges = [edge for pair in upload.received for edge in pair]
        assert edges == sorted(set(edges))
        assert replace(upload, received=known.facts.received) == known.facts


TestTickets = patience(Tickets.TestCase)
TestTickets.settings = effort(150, steps=40)


# kills


class KilledAt(SQLiteTicketStore):
    """A store whose process is killed right before statement number `statement`."""

    def __init__(self, path: Path, statement: int) -> None:
        super().__init__(path)
        self._left = statement
        connect = self._database._connect

        def counted() -> sqlite3.Connection:
            connection = connect()
            connection.set_trace_callback(self._count)
            return connection

        self._database._connections = Connections(counted)

    def _count(self, _: str) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


CHUNKS = [(10, 20), (0, 10), (30, 40), (20, 30)]


def work(store: SQLiteTicketStore, upload_id: str, done: int) -> None:
    """Each step says when it has returned: acknowledged."""
    for number, (start, stop) in enumerate(CHUNKS):
        claim = store.claim_range(upload_id, start, stop, lambda _: {})
        digest = ChunkDigest(start, stop, f"digest {number}")
        decided = {"attempt": number + 1}
        store.record_ranges(claim, claim.gaps, lambda _: decided, release=True, digest=digest)  # noqa: B023
        os.write(done, b"chunk ")
    store.transition(upload_id, Event.COMPLETE, lambda _: {"delivery_id": "d"})
    os.write(done, b"complete ")
    lease = store.lease_due(5000.0, 6000.0, in_process=True)
    assert lease is not None
    os.write(done, b"lease ")
    store.remove(upload_id, lease=lease.token)
    os.write(done, b"removed ")


def work_and_be_killed(path: Path, upload_id: str, statement: int) -> tuple[int, list[str]]:
    """The exit status of a process, and which steps it has acknowledged."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(KilledAt(path, statement), upload_id, writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader) as pipe:
        done = pipe.read().split()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), done


def kill_at_every_statement(path: Path) -> None:
    store = SQLiteTicketStore(path)
    for statement in itertools.count():
        upload = new_upload(length=LENGTH)
        store.create(upload)
        status, done = work_and_be_killed(path, upload.id, statement)
        after = store.find(upload.id)
        if "removed" in done:
            assert after is None
        else:
            chunks = done.count("chunk")
            assert after is not None
            assert bytes_of(after.received) == bytes_of(CHUNKS[:chunks])
            assert after.attempt == chunks
            digests = {kept.sha256 for kept in store.find_digests(upload.id)}
            assert digests == {f"digest {number}" for number in range(chunks)}
            # Between the commit and its acknowledgement there is a statement more.
            assert after.state is UploadState.COMPLETE or "complete" not in done
            assert (after.state is UploadState.COMPLETE) == (after.delivery_id == "d")
            assert after.due_at == (6000.0 if "lease" in done else 2000.0)
            # Whoever comes next is not held up by what the dead one had.
            lease = store.lease_due(7000.0, 8000.0, in_process=True)
            assert lease is not None
            store.remove(upload.id, lease=lease.token)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert statement > 50


def test_a_process_killed_at_any_statement_leaves_what_it_acknowledged_and_no_half(tmp_path):
    store = SQLiteTicketStore(tmp_path / "incoming.db")
    store.prepare()
    # In a process that has one thread, and so may fork.
    process = multiprocessing.get_context("spawn").Process(
        target=kill_at_every_statement, args=(store.path,)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
