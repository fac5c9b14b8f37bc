"""The machine crashes: what was not on the disk is asked for again, nothing wrong is believed."""

from __future__ import annotations

import random

import pytest
from forgetful import ForgetfulStorage, ForgetfulTickets
from webtest import AppError, TestApp

from incoming_wsgi import Incoming
from incoming_wsgi.states import Event
from incoming_wsgi.testing.tickets import changes_nothing, new_upload
from incoming_wsgi.tickets._boot import read_boot_id
from incoming_wsgi.tickets.base import Then
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore
from incoming_wsgi.uploads import ChunkDigest, now

CONTENT = random.Random(4).randbytes(8000)


def _digest(start: int, stop: int) -> ChunkDigest:
    return ChunkDigest(start, stop, "00" * 32)


class Machine:
    """Incoming on a disk, with a clock for the chores. `restart` is a power failure."""

    def __init__(self, folder, *, forgetful: bool, **settings) -> None:
        self.folder = folder
        self.taken: list[bytes] = []
        self._forgetful = forgetful
        self._settings = settings
        self._runs = 0
        self._start()

    def _start(self) -> None:
        self._runs += 1
        self.storage = ForgetfulStorage(self.folder)
        self.storage.prepare()
        self.tickets = ForgetfulTickets(
            self.folder / "incoming.db",
            boot_id=f"run {self._runs}",
            durable=self._settings.get("durability") == "disk",
            forgetful=self._forgetful,
        )
        self.incoming = Incoming(
            self.folder,
            storage=self.storage,
            tickets=self.tickets,
            on_finished=lambda upload: self.taken.append(upload.path.read_bytes()),
            background=False,
            **self._settings,
        )
        self.app = TestApp(self.incoming)

    def restart(self) -> None:
        self.incoming.close()
        self.storage.crash()
        self.tickets.crash()
        self._start()

    def restart_without_a_crash(self) -> None:
        """The processes alone: what they have written is in the memory of the machine."""
        self.incoming.close()
        storage, runs = self.storage, self._runs - 1
        self._runs = runs
        self._start()
        self.storage.unsynced, self.storage.nameless = storage.unsynced, storage.nameless

    def put(self, upload_id: str, start: int, stop: int) -> dict:
        return self.app.put(
            f"/frontend/uploads/{upload_id}",
            CONTENT[start:stop],
            headers={"Content-Range": f"bytes {start}-{stop - 1}/{len(CONTENT)}"},
        ).json

    def received(self, upload_id: str) -> list[list[int]]:
        return self.app.get(f"/frontend/uploads/{upload_id}").json["received"]

    def check(self, upload_id: str) -> None:
        """What it says to have is there, and right."""
        for start, stop in self.received(upload_id):
            stored = self.storage.locate(upload_id).read_bytes()[start:stop]
            assert stored == CONTENT[start:stop]

    def finish(self, upload_id: str) -> None:
        upload = self.incoming.status(upload_id)
        for start, stop in upload.missing or [(0, len(CONTENT))]:
            self.put(upload_id, start, stop)
        self.incoming.do_housekeeping()
        assert self.taken == [CONTENT]


@pytest.fixture(params=[True, False], ids=["database-forgets", "database-remembers"])
def machine(request, tmp_path):
    machine = Machine(tmp_path / "incoming", forgetful=request.param)
    yield machine
    machine.incoming.close()


def sync(machine, monkeypatch):
    """Let the time for syncing come."""
    later = now() + 60
    monkeypatch.setattr("incoming_wsgi.housekeeping.now", lambda: later)
    machine.incoming._housekeeping.do_chores()


def test_what_was_not_synced_is_asked_for_again(machine):
    ticket = machine.incoming.new_upload()
    machine.put(ticket, 2000, 3000)
    machine.restart()
    assert machine.received(ticket) == []
    machine.finish(ticket)


def test_a_few_seconds_after_it_was_stored_it_stays(machine, monkeypatch):
    ticket = machine.incoming.new_upload()
    machine.put(ticket, 2000, 3000)
    sync(machine, monkeypatch)
    machine.incoming.new_upload()  # a commit that lasts makes those before it last
    machine.put(ticket, 5000, 6000)
    machine.restart()
    assert machine.received(ticket) == [[2000, 3000]]
    machine.check(ticket)
    machine.finish(ticket)


def test_after_the_death_of_processes_alone_nothing_is_asked_for_again(machine):
    ticket = machine.incoming.new_upload()
    machine.put(ticket, 2000, 3000)
    machine.restart_without_a_crash()
    assert machine.received(ticket) == [[2000, 3000]]
    machine.restart()
    assert machine.received(ticket) == []


def test_a_ticket_that_was_given_out_is_known_after_a_crash(machine):
    ticket = machine.incoming.new_upload(owner="ann")
    machine.restart()
    assert machine.incoming.status(ticket).owner == "ann"


def test_a_complete_file_is_handed_over_after_a_crash(machine):
    ticket = machine.incoming.new_upload()
    machine.put(ticket, 0, len(CONTENT))
    machine.restart()
    assert machine.incoming.status(ticket).state.value == "COMPLETE"
    machine.check(ticket)
    machine.incoming.do_housekeeping()
    assert machine.taken == [CONTENT]


def test_what_the_app_has_taken_is_not_handed_over_again_after_a_crash(machine):
    ticket = machine.incoming.new_upload()
    machine.finish(ticket)
    machine.restart()
    assert machine.incoming.status(ticket).state.value == "FINISHED"
    machine.incoming.do_housekeeping()
    assert machine.taken == [CONTENT]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_going_on_what_is_believed_is_right(tmp_path, monkeypatch, seed):
    chosen = random.Random(seed)
    machine = Machine(tmp_path / "incoming", forgetful=chosen.random() < 0.5)
    ticket = machine.incoming.new_upload()
    machine.put(ticket, 0, 1)
    for _ in range(40):
        step = chosen.random()
        if step < 0.6:
            start = chosen.randrange(1, len(CONTENT) - 1)
            # Never all of it: the last byte is for the end of the test.
            machine.put(ticket, start, chosen.randrange(start + 1, len(CONTENT)))
        elif step < 0.8:
            sync(machine, monkeypatch)
        else:
            machine.restart()
        machine.check(ticket)
    machine.restart()
    machine.check(ticket)
    machine.finish(ticket)
    machine.incoming.close()


@pytest.mark.parametrize("forgetful", [True, False])
def test_with_durability_disk_all_that_was_acknowledged_is_there(tmp_path, forgetful):
    machine = Machine(tmp_path / "incoming", forgetful=forgetful, durability="disk")
    ticket = machine.incoming.new_upload()
    machine.put(ticket, 2000, 3000)
    machine.put(ticket, 4000, 5000)
    machine.restart()
    assert machine.received(ticket) == [[2000, 3000], [4000, 5000]]
    machine.check(ticket)
    machine.finish(ticket)
    machine.incoming.close()


def test_where_restarts_cannot_be_told_everything_is_synced_before_it_is_recorded(tmp_path):
    storage = ForgetfulStorage(tmp_path / "incoming")
    tickets = SQLiteTicketStore(tmp_path / "incoming" / "incoming.db", boot_id="")
    incoming = Incoming(
        tmp_path / "incoming",
        storage=storage,
        tickets=tickets,
        on_finished=lambda upload: None,
        background=False,
    )
    ticket = incoming.new_upload()
    headers = {"Content-Range": "bytes 0-2/8000"}
    TestApp(incoming).put(f"/frontend/uploads/{ticket}", CONTENT[:3], headers=headers)
    assert (storage.unsynced, storage.nameless) == ({}, set())
    incoming.close()


def test_who_has_lost_the_last_bytes_to_a_crash_has_time_to_bring_them_again(machine, monkeypatch):
    """The upload was about to be sealed, so that somebody was to look at it within a minute."""
    ticket = machine.incoming.new_upload()
    monkeypatch.setattr(machine.storage, "seal", lambda *_: 1 / 0)
    with pytest.raises(AppError, match="500"):
        machine.put(ticket, 0, len(CONTENT))
    machine.restart()
    later = now() + 1800
    for room in ("housekeeping", "completion", "background"):
        monkeypatch.setattr(f"incoming_wsgi.{room}.now", lambda: later)
    machine.incoming.do_housekeeping()
    machine.finish(ticket)


def test_who_cannot_tell_the_run_believes_nothing_that_was_not_synced(tmp_path):
    path = tmp_path / "incoming.db"
    first = SQLiteTicketStore(path, boot_id="first")
    first.prepare()
    upload = new_upload(length=100)
    first.create(upload)
    claim = first.claim_range(upload.id, 0, 10, changes_nothing)
    first.record_ranges(claim, claim.gaps, changes_nothing, release=True)
    first.close()
    second = SQLiteTicketStore(path, boot_id="")
    second.prepare()
    assert list(second.load(upload.id).received) == []
    second.close()


@pytest.mark.parametrize("steps", [(Event.COMPLETE,), (Event.COMPLETE, Event.HAND_OVER)])
def test_what_follows_the_last_byte_lasts(tmp_path, steps):
    path = tmp_path / "incoming.db"
    first = ForgetfulTickets(path, boot_id="first", durable=False, forgetful=True)
    first.prepare()
    upload, other = new_upload(length=10), new_upload(length=10)
    first.create(upload)
    first.create(other)
    then = Then(tuple((event, changes_nothing) for event in steps))
    claim = first.claim_range(upload.id, 0, 10, changes_nothing)
    complete = first.record_ranges(
        claim, claim.gaps, changes_nothing, release=True, synced=True, then=then
    )
    claim = first.claim_range(other.id, 0, 10, changes_nothing)
    first.record_ranges(claim, [(0, 5)], changes_nothing, release=True, synced=True, then=then)
    first.close()
    first.crash()
    second = SQLiteTicketStore(path, boot_id="second")
    second.prepare()
    assert second.load(upload.id) == complete
    assert second.load(other.id) == other
    second.close()


def test_digests_of_what_was_lost_are_lost_too(tmp_path):
    path = tmp_path / "incoming.db"
    first = SQLiteTicketStore(path, boot_id="first")
    first.prepare()
    upload = new_upload(length=100)
    first.create(upload)
    for start, synced in ((0, True), (50, False)):
        claim = first.claim_range(upload.id, start, start + 10, changes_nothing)
        first.record_ranges(
            claim,
            claim.gaps,
            changes_nothing,
            release=True,
            synced=synced,
            digest=_digest(start, start + 10),
        )
    assert len(first.find_digests(upload.id)) == 2
    first.close()
    second = SQLiteTicketStore(path, boot_id="second")
    second.prepare()
    assert second.find_digests(upload.id) == (_digest(0, 10),)
    assert list(second.load(upload.id).received) == [(0, 10)]
    second.close()


def test_a_request_from_before_the_crash_has_no_right_to_write(tmp_path):
    path = tmp_path / "incoming.db"
    first = SQLiteTicketStore(path, boot_id="first")
    first.prepare()
    upload = new_upload(length=100)
    first.create(upload)
    claim = first.claim_range(upload.id, 0, 10, changes_nothing)
    first.record_ranges(claim, [(0, 5)], changes_nothing, release=False)
    first.close()
    second = SQLiteTicketStore(path, boot_id="second")
    second.prepare()
    assert not second.may_write(claim, 5, 10)
    second.close()


def test_sealed_uploads_need_no_sync(tmp_path):
    store = SQLiteTicketStore(tmp_path / "incoming.db", boot_id="first")
    store.prepare()
    upload = new_upload(length=10)
    store.create(upload)
    claim = store.claim_range(upload.id, 0, 10, changes_nothing)
    store.record_ranges(claim, claim.gaps, changes_nothing, release=True)
    store.transition(upload.id, Event.COMPLETE, changes_nothing)
    assert store.take_unsynced(now() + 1000, now() + 2000) is None
    store.close()


def test_this_run_of_the_machine_has_a_name(tmp_path):
    assert read_boot_id() == read_boot_id()
    assert read_boot_id()


def test_a_system_that_does_not_say_has_none(tmp_path):
    assert read_boot_id(tmp_path / "nothing") is None
