"""A file that comes in parts reaches the app once, whole and in the order that the client said."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_disk import MIB, small_disk
from waiting import wait_until
from webtest import TestApp

from incoming_wsgi import Incoming, UploadNotFound
from incoming_wsgi.agreement import Declaration
from incoming_wsgi.errors import (
    BadRequest,
    FileChanged,
    FileTooLarge,
    NotSynced,
    StorageFull,
    Superseded,
    TooManyParts,
    TypeNotAllowed,
    UploadGone,
    WrongState,
)
from incoming_wsgi.states import UploadState
from incoming_wsgi.uploads import Upload, now

CONTENTS = [b"the first part, ", b"the second, ", b"and the last"]
WHOLE = b"the first part, the second, and the last"


class Site:
    """A web app with its uploads, and what it was told."""

    def __init__(self, folder: Path, **settings) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.cancelled: list[tuple[str, str | None]] = []
        self.folder = folder
        self.incoming = Incoming(
            folder,
            **{
                "background": False,
                "on_finished": lambda upload: self.taken.append(
                    (upload.id, upload.path.read_bytes())
                ),
                "on_cancelled": lambda upload: self.cancelled.append((upload.id, upload.reason)),
                **settings,
            },
        )
        self.parts = self.incoming._concatenation

    def put(self, upload_id: str, content: bytes, *, start=0, of=None, **options):
        length = of or start + len(content)
        headers = {"Content-Range": f"bytes {start}-{start + len(content) - 1}/{length}"}
        return TestApp(self.incoming).put(
            f"/frontend/uploads/{upload_id}", content, headers=headers, **options
        )

    def concatenate(self, upload_id: str, part_ids: list[str], *, concat: str, **said) -> Upload:
        declaration = Declaration(None, **said)
        return self.parts.concatenate(upload_id, part_ids, declaration, concat=concat)

    def ticket(self, **terms) -> Upload:
        return self.incoming.status(self.incoming.new_upload(**terms))

    def send_part(self, ticket: Upload, content: bytes) -> str:
        part = self.parts.new_part(ticket, length=len(content), metadata=None)
        if content:
            self.put(part.id, content)
        return part.id

    def send_parts(self, ticket: Upload, contents=CONTENTS) -> list[str]:
        return [self.send_part(ticket, content) for content in contents]

    def state(self, upload_id: str) -> str:
        return self.incoming.status(upload_id).state.value

    @property
    def files(self) -> set[str]:
        return set(os.listdir(self.folder / "files"))

    @property
    def begun(self) -> list[str]:
        """What is being put together, or was left behind by who has died of it."""
        return [name for name in os.listdir(self.folder / "held") if "+" in name]


@pytest.fixture
def make_site(tmp_path):
    made = []

    def make(**settings) -> Site:
        made.append(Site(tmp_path / "incoming", **settings))
        return made[-1]

    yield make
    for site in made:
        site.incoming.close()


@pytest.fixture
def site(make_site) -> Site:
    return make_site()


@pytest.fixture
def after(monkeypatch):
    """Let time pass for housekeeping."""

    def after(seconds: float) -> None:
        at = now() + seconds
        for room in ("housekeeping", "completion", "background", "assembling"):
            monkeypatch.setattr(f"incoming_wsgi.{room}.now", lambda: at)

    return after


# the file


def test_parts_reach_the_app_as_one_file(site):
    ticket = site.ticket()
    first, second, last = site.send_parts(ticket)
    final = site.concatenate(
        ticket.id,
        [first, second, last],
        concat="final;/a /b /c",
        metadata="filename YS50eHQ=",
        filename="a.txt",
        content_type="text/plain",
    )
    assert (final.id, final.length, final.state.value) == (ticket.id, len(WHOLE), "UPLOADING")
    assert (final.filename, final.content_type) == ("a.txt", "text/plain")
    assert (final.concat, final.metadata) == ("final;/a /b /c", "filename YS50eHQ=")
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]
    assert site.state(ticket.id) == "FINISHED"
    assert site.incoming.status(ticket.id).received.total_bytes == len(WHOLE)
    assert [site.state(part) for part in (first, second, last)] == ["FINISHED"] * 3
    assert site.files == set()
    assert site.begun == []
    site.incoming.do_housekeeping()
    assert (len(site.taken), site.cancelled) == (1, [])


def test_with_a_background_thread_nobody_has_to_ask(make_site):
    site = make_site(background=True)
    site.incoming.start_background()
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    wait_until(lambda: site.state(ticket.id) == "FINISHED", "the handover")
    assert site.taken == [(ticket.id, WHOLE)]


def test_the_order_is_the_clients_and_a_part_may_come_twice(site):
    ticket = site.ticket()
    a, b, empty = site.send_parts(ticket, [b"a", b"bb", b""])
    site.concatenate(ticket.id, [b, a, empty, b], concat="final;x")
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, b"bbabb")]
    assert site.files == set()


def test_a_file_of_nothing_but_empty_parts(site):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket, [b"", b""]), concat="final;x")
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, b"")]


def test_tickets_that_were_made_on_the_spot_are_parts_themselves(site):
    ids = []
    for content in CONTENTS:
        fresh = site.ticket(owner="ann")
        part = site.parts.make_part(fresh.id, length=len(content), metadata="name eA==")
        assert (part.id, part.is_part, part.length) == (fresh.id, True, len(content))
        site.put(part.id, content)
        ids.append(part.id)
    site.incoming.do_housekeeping()
    assert site.taken == []
    final = site.ticket(owner="ann")
    site.concatenate(final.id, ids, concat="final;x")
    site.incoming.do_housekeeping()
    assert site.taken == [(final.id, WHOLE)]
    assert site.files == set()


def test_a_part_can_be_of_a_ticket_that_takes_only_some_types_and_the_file_is_looked_at(site):
    ticket = site.ticket(accept=".pdf")
    ids = site.send_parts(ticket)
    with pytest.raises(TypeNotAllowed):
        site.concatenate(ticket.id, ids, concat="final;x", filename="a.txt")
    site.concatenate(ticket.id, ids, concat="final;x", filename="a.pdf")
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]


# repeats


def test_the_same_request_again_is_the_same_upload(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    assert site.parts.find_final(ids) is None
    for _ in range(2):
        final = site.concatenate(ticket.id, ids, concat="final;x")
        assert final.id == ticket.id
    site.incoming.do_housekeeping()
    again = site.concatenate(ticket.id, ids, concat="final;x")
    assert (again.id, again.state.value) == (ticket.id, "FINISHED")
    assert site.parts.find_final(ids).id == ticket.id
    assert site.parts.find_final(ids[::-1]) is None
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]


def test_many_at_once_with_tickets_of_their_own_are_one_upload(site):
    ids = []
    for content in CONTENTS:
        ids.append(site.parts.make_part(site.ticket().id, length=len(content), metadata=None).id)
        site.put(ids[-1], content)
    tickets = [site.ticket().id for _ in range(6)]
    together, answers = threading.Barrier(6), []

    def ask(ticket_id: str) -> None:
        together.wait()
        answers.append(site.concatenate(ticket_id, ids, concat="final;x").id)

    threads = [threading.Thread(target=ask, args=(ticket_id,)) for ticket_id in tickets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1
    site.incoming.do_housekeeping()
    assert site.taken == [(answers[0], WHOLE)]
    # The other tickets were not needed; whoever has made them drops them.
    states = sorted(site.state(ticket_id) for ticket_id in tickets)
    assert states == ["CREATED"] * 5 + ["FINISHED"]


# what cannot be


@pytest.fixture
def wrong(site):
    """A part that cannot be used, and what is said of it."""

    def other_part(site, _):
        return site.send_part(site.ticket(), b"abc")

    def unfinished(site, ticket):
        part = site.parts.new_part(ticket, length=9, metadata=None)
        site.put(part.id, b"abc", of=9)
        return part.id

    def cancelled(site, ticket):
        part = site.send_part(ticket, b"abc")
        site.incoming.cancel_upload(part)
        return part

    def no_part(site, _):
        ticket = site.ticket()
        site.put(ticket.id, b"abc", of=9)
        return ticket.id

    def whole_file(site, _):
        ticket = site.ticket()
        site.put(ticket.id, b"abc")
        return ticket.id

    def used(site, _):
        ticket = site.ticket()
        part = site.send_part(ticket, b"abc")
        site.concatenate(ticket.id, [part], concat="final;x")
        return part

    def somebodys(site, _):
        part = site.parts.make_part(site.ticket(owner="bob").id, length=3, metadata=None)
        site.put(part.id, b"abc")
        return part.id

    def lost(site, ticket):
        part = site.send_part(ticket, b"abc")
        (site.folder / "files" / part).unlink()
        return part

    return {
        "unknown": (lambda *_: "no-such-upload", "part 2 of 2, no-such-….* is not known"),
        "of another ticket": (other_part, "part 2 of 2.* belongs to this file"),
        "of another owner": (somebodys, "part 2 of 2.* belongs to this file"),
        "unfinished": (unfinished, "part 2 of 2.* 6 of 9 bytes are missing"),
        "of no length": (
            lambda site, ticket: site.parts.new_part(ticket, length=None, metadata=None).id,
            "part 2 of 2.* length is not known",
        ),
        "cancelled": (cancelled, "part 2 of 2.* is not known, or its time is over"),
        "no part": (no_part, "part 2 of 2.* no partial upload"),
        "a whole file": (whole_file, "part 2 of 2.* no partial upload"),
        "used": (used, "part 2 of 2.* is used by another upload"),
        "lost": (lost, "is lost on the server"),
        "no id": (lambda *_: "../files", "which is no upload"),
    }


WRONG = ["unknown", "of another ticket", "of another owner", "unfinished", "of no length"]
WRONG += ["cancelled", "no part", "a whole file", "used", "lost", "no id"]


@pytest.mark.parametrize("kind", WRONG)
def test_a_part_that_cannot_be_used_is_named_and_nothing_changes(site, wrong, kind):
    make, message = wrong[kind]
    ticket = site.ticket()
    good = site.send_part(ticket, b"good")
    bad = make(site, ticket)
    with pytest.raises(BadRequest, match=message):
        site.concatenate(ticket.id, [good, bad], concat="final;x")
    assert site.incoming.status(ticket.id) == ticket
    assert site.state(good) == "UPLOADING"
    site.concatenate(ticket.id, [good], concat="final;x")
    site.incoming.do_housekeeping()
    assert (ticket.id, b"good") in site.taken


@pytest.mark.parametrize("count", [0, 65])
def test_a_file_is_made_of_1_to_64_parts(site, count):
    ticket = site.ticket()
    part = site.send_part(ticket, b"x")
    with pytest.raises(BadRequest, match=f"names {count} parts"):
        site.concatenate(ticket.id, [part] * count, concat="final;x")
    site.concatenate(ticket.id, [part] * 64, concat="final;x")
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, b"x" * 64)]


def test_a_ticket_with_bytes_of_its_own_is_not_made_of_parts(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.put(ticket.id, b"abc", of=9)
    with pytest.raises(WrongState):
        site.concatenate(ticket.id, ids, concat="final;x")
    with pytest.raises(WrongState):
        site.parts.new_part(site.incoming.status(ticket.id), length=1, metadata=None)
    with pytest.raises(WrongState):
        site.parts.make_part(ticket.id, length=1, metadata=None)


def test_a_ticket_that_is_over_has_no_parts(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.incoming.cancel_upload(ticket.id)
    for attempt in (
        lambda: site.concatenate(ticket.id, ids, concat="final;x"),
        lambda: site.parts.new_part(site.incoming.status(ticket.id), length=1, metadata=None),
        lambda: site.parts.make_part(ticket.id, length=1, metadata=None),
    ):
        with pytest.raises(UploadGone):
            attempt()


def test_an_upload_is_made_of_one_list_of_parts(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.concatenate(ticket.id, ids, concat="final;x")
    with pytest.raises(FileChanged):
        site.concatenate(ticket.id, ids[:2], concat="final;y")
    with pytest.raises(WrongState):
        site.parts.new_part(site.incoming.status(ticket.id), length=1, metadata=None)


# bytes do not change


def test_what_is_made_of_parts_takes_no_bytes_of_its_own(site):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    answer = site.put(ticket.id, b"X" * len(WHOLE), status=403)
    assert answer.json["code"] == "forbidden"
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]


def test_a_declaration_does_not_hold_up_what_is_due(site):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    url, facts = f"/frontend/uploads/{ticket.id}", {"filename": "a", "length": len(WHOLE)}
    TestApp(site.incoming).post_json(url, facts, status=403)
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]


def test_a_request_that_was_writing_to_the_ticket_can_not_go_on(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)

    def blocks():
        yield b"A" * 10
        site.concatenate(ticket.id, ids, concat="final;x")
        yield b"B" * 10

    with pytest.raises(Superseded):
        site.incoming._engine.store(ticket.id, start=0, stop=20, length=len(WHOLE), blocks=blocks())
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]


def test_a_part_that_is_used_changes_no_more(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.concatenate(ticket.id, ids, concat="final;x")
    site.put(ids[0], b"X" * len(CONTENTS[0]))  # nothing of it is missing
    site.put(ids[0], b"X" * 99, status=409)
    TestApp(site.incoming).delete(f"/frontend/uploads/{ids[0]}", status=409)
    with pytest.raises(WrongState):
        site.incoming.cancel_upload(ids[0])
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]
    site.put(ids[0], b"X" * len(CONTENTS[0]))  # still, and its file is gone
    assert site.state(ids[0]) == "FINISHED"
    assert site.files == set()


# parts that end


def test_nobody_is_told_how_a_part_ended(make_site, after):
    site = make_site(idle_timeout_s=1000)
    ticket = site.ticket()
    idle, cancelled, _ = site.send_parts(ticket)
    TestApp(site.incoming).delete(f"/frontend/uploads/{cancelled}")
    site.put(ticket.id, b"abc", of=9)
    after(1030)
    site.incoming.do_housekeeping()
    assert [site.state(part) for part in (idle, cancelled)] == ["CANCELLED"] * 2
    assert site.files == set()
    assert [upload_id for upload_id, _ in site.cancelled] == [ticket.id]
    after(1030 + 86400 + 60)
    site.incoming.do_housekeeping()
    with pytest.raises(UploadNotFound):
        site.incoming.status(idle)
    assert [upload_id for upload_id, _ in site.cancelled] == [ticket.id]


def test_a_ticket_lives_as_long_as_a_part_of_it_moves(make_site, after, monkeypatch):
    site = make_site(idle_timeout_s=1000)
    ticket = site.ticket()
    part = site.parts.new_part(ticket, length=3, metadata=None)
    later = now() + 700
    monkeypatch.setattr("incoming_wsgi.engine.now", lambda: later)
    site.put(part.id, b"abc")
    after(1010)
    site.incoming.do_housekeeping()
    assert site.state(ticket.id) == "CREATED"
    site.concatenate(ticket.id, [part.id], concat="final;x")
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, b"abc")]


def test_a_ticket_of_which_no_part_moves_expires(make_site, after):
    site = make_site(idle_timeout_s=1000)
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    after(1010)
    site.incoming.do_housekeeping()
    site.incoming.do_housekeeping()
    assert {site.state(upload_id) for upload_id in (ticket.id, *ids)} == {"CANCELLED"}
    assert site.cancelled == [(ticket.id, "upload timed out")]
    assert site.files == set()


def test_parts_end_with_their_ticket(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    TestApp(site.incoming).delete(f"/frontend/uploads/{ticket.id}")
    site.incoming.do_housekeeping()
    assert {site.state(part) for part in ids} == {"CANCELLED"}
    assert site.files == set()
    assert [upload_id for upload_id, _ in site.cancelled] == [ticket.id]


def test_parts_that_are_used_end_with_the_file_that_the_backend_cancels(site, after):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.concatenate(ticket.id, ids, concat="final;x")
    site.incoming.cancel_upload(ticket.id)
    after(70)
    site.incoming.do_housekeeping()
    assert {site.state(part) for part in ids} == {"CANCELLED"}
    assert site.files == set()
    assert (site.taken, site.cancelled) == ([], [])


def test_a_used_part_stays_as_long_as_it_is_needed(site, after):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.concatenate(ticket.id, ids, concat="final;x")
    with site.incoming._storage.hold(ticket.id):  # somebody is at it all the time
        for seconds in (70, 140, 100_000):
            after(seconds)
            site.incoming.do_housekeeping()
    assert {site.state(part) for part in ids} == {"COMPLETE"}
    assert site.taken == []
    after(100_100)
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]


def test_a_file_of_which_a_part_is_lost_is_cancelled_and_the_app_is_told(site):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.concatenate(ticket.id, ids, concat="final;x")
    (site.folder / "files" / ids[1]).unlink()
    site.incoming.do_housekeeping()
    assert site.state(ticket.id) == "CANCELLED"
    ((told, reason),) = site.cancelled
    assert told == ticket.id
    assert ids[1][:8] in reason
    assert "lost on the server" in reason
    assert site.files == set()
    assert site.begun == []
    assert {site.state(part) for part in ids} == {"CANCELLED"}
    assert site.taken == []


# limits


def test_the_parts_of_a_ticket_are_limited_in_number(site):
    ticket = site.ticket()
    ids = [site.parts.new_part(ticket, length=None, metadata=None).id for _ in range(64)]
    with pytest.raises(TooManyParts):
        site.parts.new_part(ticket, length=1, metadata=None)
    site.parts.new_part(site.ticket(), length=1, metadata=None)
    site.incoming.cancel_upload(ids[0])
    site.parts.new_part(ticket, length=1, metadata=None)


def test_the_parts_of_a_ticket_are_no_longer_together_than_it_allows(site):
    ticket = site.ticket(max_length_bytes=10)
    site.parts.new_part(ticket, length=6, metadata=None)
    later = site.parts.new_part(ticket, length=None, metadata=None)
    with pytest.raises(FileTooLarge):
        site.parts.new_part(ticket, length=5, metadata=None)
    site.put(later.id, b"abcde", status=413)  # now that it has a length
    site.put(later.id, b"abcd")


def test_a_part_twice_may_make_the_file_too_long(site):
    ticket = site.ticket(max_length_bytes=10)
    part = site.send_part(ticket, b"abcdef")
    with pytest.raises(FileTooLarge):
        site.concatenate(ticket.id, [part, part], concat="final;x")


@pytest.mark.parametrize("length", [9, None])
def test_under_limits_that_are_set_a_file_and_its_parts_count_once(make_site, length):
    site = make_site(max_owner_bytes=10, max_total_bytes=10, max_owner_uploads=1)
    ticket = site.ticket(owner="ann", length=length)
    ids = site.send_parts(ticket, [b"abcd", b"efghi"])
    with pytest.raises((StorageFull, FileTooLarge)):
        site.parts.new_part(ticket, length=2, metadata=None)
    site.concatenate(ticket.id, ids, concat="final;x")
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, b"abcdefghi")]


# a disk that is full


def test_a_file_needs_room_beside_its_parts(tmp_path):
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        site = Site(disk.folder / "incoming", min_free_bytes=0)
        ticket = site.ticket()
        ids = site.send_parts(ticket, [os.urandom(2 * MIB) for _ in range(2)])
        disk.fill(but=3 * MIB)
        with pytest.raises(StorageFull):
            site.concatenate(ticket.id, ids, concat="final;x")
        assert site.incoming.status(ticket.id) == ticket
        disk.clear()
        site.concatenate(ticket.id, ids, concat="final;x")
        site.incoming.do_housekeeping()
        assert len(site.taken) == 1
        site.incoming.close()


def test_a_full_disk_loses_nothing_and_the_file_comes_later(tmp_path, after, caplog):
    caplog.set_level(logging.CRITICAL, logger="incoming_wsgi")
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        site = Site(disk.folder / "incoming", min_free_bytes=0)
        ticket = site.ticket()
        contents = [os.urandom(2 * MIB) for _ in range(2)]
        ids = site.send_parts(ticket, contents)
        site.concatenate(ticket.id, ids, concat="final;x")
        disk.fill(but=3 * MIB)
        pauses = []
        for seconds in (0, 2, 8, 32, 1000):
            after(seconds)
            site.incoming.do_housekeeping()
            waiting = site.incoming.status(ticket.id)
            assert waiting.state is UploadState.UPLOADING
            assert "room" in waiting.reason
            assert site.begun == []
            pauses.append(waiting.due_at - (now() + seconds))
        assert pauses[:4] == sorted(pauses[:4])
        assert 0 < pauses[0] <= 1
        assert 50 < pauses[4] <= 60
        disk.clear()
        after(1100)
        site.incoming.do_housekeeping()
        assert site.taken == [(ticket.id, b"".join(contents))]
        assert site.incoming.status(ticket.id).reason is None
        site.incoming.close()


def test_what_never_goes_ends_after_a_week_and_the_app_is_told(site, after, monkeypatch):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")

    def fail(*_):
        raise NotSynced("the disk is broken")

    monkeypatch.setattr("incoming_wsgi.storage._joining.sync_file", fail)
    for days in (0, 6.9):
        after(days * 86400)
        site.incoming.do_housekeeping()
        assert site.state(ticket.id) == "UPLOADING"
    after(7.1 * 86400)
    site.incoming.do_housekeeping()
    ((told, reason),) = site.cancelled
    assert told == ticket.id
    assert "the disk is broken" in reason
    assert site.files == set()


# processes


def test_a_process_without_the_callback_leaves_the_handover_to_one_that_has_it(make_site, after):
    site = make_site()
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    cron = make_site(on_finished=None, on_cancelled=None)
    cron.incoming.do_housekeeping()
    assert cron.state(ticket.id) == "COMPLETE"
    assert cron.files == {ticket.id}
    after(20)
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]


def test_what_is_cancelled_while_it_is_put_together_leaves_nothing(site, monkeypatch):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    monkeypatch.setattr("incoming_wsgi.assembling.RENEW_EVERY_S", 0.0)
    storage, join = site.incoming._storage, site.incoming._storage.join

    def join_slowly(upload_id, parts, proceed):
        TestApp(site.incoming).delete(f"/frontend/uploads/{ticket.id}")
        join(upload_id, parts, proceed)

    monkeypatch.setattr(storage, "join", join_slowly)
    for _ in range(2):
        site.incoming.do_housekeeping()
    assert site.files == set()
    assert site.begun == []
    assert [upload_id for upload_id, _ in site.cancelled] == [ticket.id]
    assert site.taken == []


def test_what_is_cancelled_when_it_is_in_its_place_leaves_nothing(site, monkeypatch):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    storage, seal = site.incoming._storage, site.incoming._storage.seal

    def seal_slowly(upload_id, length):
        seal(upload_id, length)
        if upload_id == ticket.id:
            site.incoming.cancel_upload(ticket.id)
            (site.folder / "files" / ticket.id).write_bytes(b"it came back")

    monkeypatch.setattr(storage, "seal", seal_slowly)
    site.incoming.do_housekeeping()
    assert ticket.id not in site.files
    assert site.taken == []


# Each is where a process is killed: a function, and which of its calls.
POINTS = [
    ("incoming_wsgi.storage._joining._copy", 1),
    ("incoming_wsgi.storage._joining._copy", 3),
    ("incoming_wsgi.storage._joining.sync_file", 1),
    ("incoming_wsgi.storage._joining.sync_file", 3),
    ("incoming_wsgi.storage._joining.Joining.finish", 1),
    ("incoming_wsgi.storage.file.sync_folder", 1),
    ("incoming_wsgi.storage.file.FileStorage.seal", 1),
    ("incoming_wsgi.tickets.sqlite.SQLiteTicketStore.complete_final", 1),
    ("incoming_wsgi.assembling.Assembling._delete", 1),
    ("incoming_wsgi.assembling.Assembling._delete", 2),
    ("incoming_wsgi.completion.Completion.hand_over", 1),
]
KILLED = """
import os, pkgutil, signal, sys
from incoming_wsgi import Incoming
from incoming_wsgi.storage import _joining
folder, point, call, moment = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
_joining.BLOCK_BYTES, _joining.SYNC_EVERY_BYTES = 4, 8
where, _, name = point.rpartition(".")
owner = pkgutil.resolve_name(where)
function, calls = getattr(owner, name), 0

def killing(*args, **options):
    global calls
    calls += 1
    if calls == call and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = function(*args, **options)
    if calls == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, killing)
incoming = Incoming(folder, on_finished=lambda upload: None, background=False)
incoming.do_housekeeping()
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("point", "call"), POINTS)
def test_a_kill_at_any_point_loses_and_doubles_nothing(site, after, point, call, moment):
    ticket = site.ticket()
    ids = site.send_parts(ticket)
    site.concatenate(ticket.id, ids, concat="final;x")
    site.incoming.close()
    arguments = [str(site.folder), point, str(call), moment]
    process = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert process.returncode == -signal.SIGKILL
    if "hand_over" not in point:
        assert site.state(ticket.id) in ("UPLOADING", "COMPLETE")
        after(20)  # its lease is over
        site.incoming.do_housekeeping()
        assert site.taken == [(ticket.id, WHOLE)]
    elif moment == "before":
        after(20)
        site.incoming.do_housekeeping()
        assert site.taken == [(ticket.id, WHOLE)]
    assert site.state(ticket.id) == "FINISHED"
    assert {site.state(part) for part in ids} == {"FINISHED"}
    assert site.begun == []
    after(2 * 86400)
    for _ in range(2):
        site.incoming.do_housekeeping()
    assert site.files == set()
    assert site.cancelled == []


def test_who_goes_on_copies_only_what_was_not_on_the_disk(site, monkeypatch):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    site.incoming.close()
    arguments = [str(site.folder), "incoming_wsgi.storage._joining.sync_file", "3", "after"]
    subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    (begun,) = site.begun
    assert begun == f"{ticket.id}+16"
    # What a crash of the machine may make of the rest.
    path = site.folder / "held" / begun
    path.write_bytes(path.read_bytes()[:16] + b"\0" * 30)
    copied, copy = [], site.incoming._storage.join.__globals__["Joining"].add.__globals__["_copy"]

    def watched(source, offset, target, position, size):
        copied.append(position)
        return copy(source, offset, target, position, size)

    monkeypatch.setattr("incoming_wsgi.storage._joining._copy", watched)
    monkeypatch.setattr("incoming_wsgi.background.now", lambda: now() + 20)
    monkeypatch.setattr("incoming_wsgi.housekeeping.now", lambda: now() + 20)
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]
    assert min(copied) == 16


def test_a_file_that_vanishes_from_its_place_is_made_again(site, after, monkeypatch):
    ticket = site.ticket()
    site.concatenate(ticket.id, site.send_parts(ticket), concat="final;x")
    storage, seal = site.incoming._storage, site.incoming._storage.seal

    def seal_too_late(upload_id, length):
        (site.folder / "files" / ticket.id).unlink()
        seal(upload_id, length)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "seal", seal_too_late)
        site.incoming.do_housekeeping()
    assert site.state(ticket.id) == "UPLOADING"
    after(20)
    site.incoming.do_housekeeping()
    assert site.taken == [(ticket.id, WHOLE)]
