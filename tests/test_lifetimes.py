"""What has had its time is removed, by whoever is alive, and nothing that is somebody's."""

from __future__ import annotations

import logging
import os
import uuid

import pytest
from waiting import wait_until
from webtest import TestApp

from incoming_wsgi import Incoming, UploadNotFound
from incoming_wsgi.errors import BadRequest, StorageError
from incoming_wsgi.uploads import now

DAY_S = 86400.0


class Killed(BaseException):
    """Stands for the end of the process: nobody catches it."""


@pytest.fixture
def make(tmp_path):
    made = []

    def make(**settings) -> Incoming:
        settings = {"on_finished": lambda upload: None, "background": False, **settings}
        made.append(Incoming(tmp_path / "incoming", **settings))
        return made[-1]

    yield make
    for incoming in made:
        incoming.close()


@pytest.fixture
def after(monkeypatch):
    """Let time pass for housekeeping."""

    def after(seconds: float) -> None:
        at = now() + seconds
        for room in ("housekeeping", "completion", "background"):
            monkeypatch.setattr(f"incoming_wsgi.{room}.now", lambda: at)

    return after


def upload(incoming, content=b"all of it", *, of=None, **ticket) -> str:
    """The id of a new upload with `content`, of a length `of` if that is not all."""
    ticket_id = incoming.new_upload(**ticket)
    headers = {"Content-Range": f"bytes 0-{len(content) - 1}/{of or len(content)}"}
    TestApp(incoming).put(f"/frontend/uploads/{ticket_id}", content, headers=headers)
    return ticket_id


def files(tmp_path) -> set[str]:
    return set(os.listdir(tmp_path / "incoming" / "files"))


def is_known(incoming, upload_id: str) -> bool:
    try:
        incoming.status(upload_id)
    except UploadNotFound:
        return False
    return True


# idle uploads


def test_a_ticket_may_have_an_idle_time_of_its_own_and_announces_it(make, after, tmp_path):
    incoming = make(idle_timeout_s=1000)
    short, other = upload(incoming, of=20, idle_timeout_s=100), upload(incoming, of=20)
    app = TestApp(incoming)
    ends = [app.get(f"/frontend/uploads/{i}").json["expires_at"] for i in (short, other)]
    assert ends[0] < ends[1]
    assert 95 < incoming.status(short).expires_at - now() <= 100
    after(150)
    incoming.do_housekeeping()
    assert app.get(f"/frontend/uploads/{short}").json["state"] == "CANCELLED"
    assert app.get(f"/frontend/uploads/{other}").json["state"] == "UPLOADING"
    assert files(tmp_path) == {other}


@pytest.mark.parametrize("wrong", [0, -1, "10", float("nan"), True, 1e12])
def test_an_idle_time_that_cannot_be_is_refused(make, wrong):
    with pytest.raises(BadRequest, match="idle_timeout_s"):
        make().new_upload(idle_timeout_s=wrong)


def test_activity_moves_the_end(make):
    incoming = make(idle_timeout_s=1000)
    ticket = incoming.new_upload(idle_timeout_s=500)
    first = incoming.status(ticket).expires_at
    url = f"/frontend/uploads/{ticket}"
    TestApp(incoming).post_json(url, {"filename": "a", "length": 10})
    second = incoming.status(ticket).expires_at
    TestApp(incoming).put(url, b"x", headers={"Content-Range": "bytes 0-0/10"})
    assert first < second < incoming.status(ticket).expires_at


# records whose time is over


def test_whatever_ended_it_neither_record_nor_file_stays(make, after, tmp_path):
    incoming = make(keep_finished_s=100, keep_failed_s=200, handover_give_up_s=10)
    finished, cancelled, idle = (
        upload(incoming),
        upload(incoming, of=20),
        upload(incoming, of=20, idle_timeout_s=50),
    )
    incoming.cancel_upload(cancelled)
    incoming.do_housekeeping()
    after(60)
    incoming.do_housekeeping()  # the idle one expires
    after(170)
    incoming.do_housekeeping()
    assert not any(is_known(incoming, i) for i in (finished, cancelled, idle))
    assert files(tmp_path) == set()


@pytest.mark.parametrize("step", ["before the file", "after the file", "after the record"])
def test_a_removal_that_was_killed_is_done_again_by_another(
    make, after, tmp_path, monkeypatch, step
):
    incoming = make(keep_finished_s=100)
    ticket = upload(incoming, of=20)
    incoming.cancel_upload(ticket)
    # As if a request that was under way had made the file anew, and died.
    (tmp_path / "incoming" / "files" / ticket).write_bytes(b"left")
    after(200)

    def killing(real, *, before: bool):
        def call(*args, **kwargs):
            if not before:
                real(*args, **kwargs)
            raise Killed

        return call

    if step == "after the record":
        monkeypatch.setattr(
            incoming._tickets, "remove", killing(incoming._tickets.remove, before=False)
        )
    else:
        storage = incoming._storage
        before = step == "before the file"
        monkeypatch.setattr(storage, "delete", killing(storage.delete, before=before))
    lease = incoming._housekeeping.lease_due()
    with pytest.raises(Killed):
        incoming._housekeeping.look_after(lease)
    after(300)  # the lease has ended
    make(keep_finished_s=100).do_housekeeping()
    assert files(tmp_path) == set()
    assert not is_known(incoming, ticket)


def test_a_cancel_that_was_killed_before_it_deleted_can_be_repeated(make, tmp_path, monkeypatch):
    incoming = make()
    ticket = upload(incoming, of=20)

    def killed(_: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(incoming._storage, "delete", killed)
        with pytest.raises(Killed):
            incoming.cancel_upload(ticket)
    assert files(tmp_path) == {ticket}
    make().cancel_upload(ticket)
    assert files(tmp_path) == set()


def watch(incoming) -> None:
    """What the thread does that looks all the time."""
    while (lease := incoming._housekeeping.lease_due()) is not None:
        incoming._housekeeping.look_after(lease, watches=True)


def test_what_was_due_long_ago_gets_an_hour_more(make, after, tmp_path, caplog):
    """The machine slept, or no process was there: nobody could bring the upload on meanwhile."""
    incoming = make()
    ticket = upload(incoming, of=20)
    after(13 * 3600)
    with caplog.at_level(logging.WARNING, logger="incoming_wsgi"):
        watch(incoming)
    assert incoming.status(ticket).state.value == "UPLOADING"
    assert f"upload={ticket[:8]} event=expiry_put_off" in caplog.text
    after(13 * 3600 + 3590)
    watch(incoming)
    assert files(tmp_path) == {ticket}
    after(14 * 3600 + 30)
    watch(incoming)
    assert incoming.status(ticket).state.value == "CANCELLED"
    assert files(tmp_path) == set()


def test_a_file_that_could_not_be_handed_over_gets_an_hour_more_too(make, after, tmp_path):
    def refuse(_) -> None:
        raise RuntimeError

    incoming = make(on_finished=refuse, handover_give_up_s=0.001)
    ticket = upload(incoming)
    wait_until(lambda: watch(incoming) or is_failed(incoming, ticket), "the failure")
    after(20 * DAY_S)
    watch(incoming)
    assert files(tmp_path) == {ticket}
    after(20 * DAY_S + 3630)
    watch(incoming)
    assert files(tmp_path) == set()


def is_failed(incoming, upload_id: str) -> bool:
    return incoming.status(upload_id).state.value == "FAILED"


# files without a record


def orphan(tmp_path) -> str:
    upload_id = str(uuid.uuid4())
    (tmp_path / "incoming" / "files" / upload_id).write_bytes(b"whose is it?")
    return upload_id


def test_a_file_without_a_record_is_kept_until_it_has_been_noticed_for_long(
    make, after, tmp_path, caplog
):
    incoming = make(keep_failed_s=7 * DAY_S)
    lost = orphan(tmp_path)
    os.utime(tmp_path / "incoming" / "files" / lost, (0, 0))  # its own age says nothing
    with caplog.at_level(logging.WARNING, logger="incoming_wsgi"):
        incoming.do_housekeeping()
    assert f"upload={lost[:8]} event=orphan_found" in caplog.text
    assert lost not in caplog.text
    for day in (1, 6.9):
        after(day * DAY_S)
        make(keep_failed_s=7 * DAY_S).do_housekeeping()
        assert files(tmp_path) == {lost}
    after(7.1 * DAY_S)
    incoming.do_housekeeping()
    assert files(tmp_path) == set()


def test_files_of_uploads_that_are_known_are_no_orphans(make, after, tmp_path):
    incoming = make(idle_timeout_s=100 * DAY_S, keep_failed_s=DAY_S)
    known = upload(incoming, of=20)
    for day in (0, 2, 4):
        after(day * DAY_S)
        incoming.do_housekeeping()
    assert files(tmp_path) == {known}


def test_a_file_that_was_left_to_the_app_stays_when_its_record_is_forgotten(make, after, tmp_path):
    incoming = make(keep_finished_s=100, keep_failed_s=DAY_S)
    left = upload(incoming, remove_file_when_finished=False)
    incoming.do_housekeeping()
    for day in (1, 3, 5):
        after(day * DAY_S)
        incoming.do_housekeeping()
    assert not is_known(incoming, left)
    assert files(tmp_path) == {left}
    # Nor does a lost database take it away.
    for path in (tmp_path / "incoming").glob("incoming.db*"):
        path.unlink()
    again = make(keep_failed_s=DAY_S)
    for day in (7, 9):
        after(day * DAY_S)
        again.do_housekeeping()
    assert files(tmp_path) == {left}
    # When the app takes it, the mark goes too.
    (tmp_path / "incoming" / "files" / left).rename(tmp_path / "taken")
    after(11 * DAY_S)
    again.do_housekeeping()
    assert os.listdir(tmp_path / "incoming" / "left") == []


def test_cron_expires_what_is_due_however_late_it_comes(make, after, tmp_path):
    incoming = make()
    ticket = upload(incoming, of=20)
    after(2 * DAY_S)
    incoming.do_housekeeping()
    assert incoming.status(ticket).state.value == "CANCELLED"
    assert files(tmp_path) == set()


def test_files_of_a_version_without_marks_are_all_taken_for_left(make, after, tmp_path):
    make()
    (tmp_path / "incoming" / "left").rmdir()
    left = orphan(tmp_path)
    for day in (0, 8, 16):
        after(day * DAY_S)
        make(keep_failed_s=DAY_S).do_housekeeping()
    assert files(tmp_path) == {left}
    # Of those that come later the marks say it.
    lost = orphan(tmp_path)
    for day in (17, 19):
        after(day * DAY_S)
        make(keep_failed_s=DAY_S).do_housekeeping()
    assert files(tmp_path) == {left}
    assert lost != left


def test_a_folder_that_is_away_for_a_moment_costs_no_mark(make, after, tmp_path):
    incoming = make(keep_failed_s=DAY_S)
    left = upload(incoming, remove_file_when_finished=False)
    incoming.do_housekeeping()
    folder = tmp_path / "incoming" / "files"
    folder.rename(tmp_path / "away")
    folder.mkdir()
    after(DAY_S)
    with pytest.raises(StorageError, match="is not the one that was there"):
        incoming.do_housekeeping()
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    for day in (2, 4, 6):
        after(day * DAY_S)
        incoming.do_housekeeping()
    assert files(tmp_path) == {left}


def test_an_orphan_that_cannot_be_removed_does_not_keep_the_others(
    make, after, tmp_path, monkeypatch
):
    incoming = make(keep_failed_s=DAY_S)
    stays, _ = sorted(orphan(tmp_path) for _ in range(2))
    incoming.do_housekeeping()
    real = incoming._storage.delete

    def delete(upload_id: str) -> None:
        if upload_id == stays:
            raise StorageError("not permitted")
        real(upload_id)

    monkeypatch.setattr(incoming._storage, "delete", delete)
    after(2 * DAY_S)
    incoming.do_housekeeping()
    assert files(tmp_path) == {stays}


def test_a_clock_that_was_ahead_does_not_stop_the_chores(make, after, tmp_path):
    incoming = make(keep_failed_s=DAY_S)
    after(100 * DAY_S)
    incoming.do_housekeeping()
    lost = orphan(tmp_path)
    for day in (0, 2):
        after(day * DAY_S)
        incoming.do_housekeeping()
    assert lost not in files(tmp_path)


def test_other_peoples_files_are_not_touched(make, after, tmp_path):
    incoming = make(keep_failed_s=DAY_S)
    (tmp_path / "incoming" / "files" / "folder").mkdir()
    names = {"notes.txt", "a b", ".hidden"}
    for name in names:
        (tmp_path / "incoming" / "files" / name).write_bytes(b"mine")
    for day in (0, 2, 4):
        after(day * DAY_S)
        incoming.do_housekeeping()
    assert files(tmp_path) == names | {"folder"}


def test_many_orphans_are_looked_up_in_batches_and_by_one_process(
    make, after, tmp_path, monkeypatch
):
    incoming, other = make(keep_failed_s=DAY_S), make(keep_failed_s=DAY_S)
    lost = {orphan(tmp_path) for _ in range(1100)}
    batches = []
    for one in (incoming, other):
        real = one._tickets.note_orphans

        def note(ids, at, real=real):
            batches.append(len(ids))
            return real(ids, at)

        monkeypatch.setattr(one._tickets, "note_orphans", note)
    incoming.do_housekeeping()
    other.do_housekeeping()  # it is not its turn
    assert sum(batches) == len(lost)
    assert max(batches) <= 500
    after(2 * DAY_S)
    other.do_housekeeping()
    assert files(tmp_path) == set()


def test_what_killed_processes_left_in_held_is_removed_when_it_is_old(make, after, tmp_path):
    incoming = make()
    held = tmp_path / "incoming" / "held"
    for name, age_s in (("old", 2 * DAY_S), ("new", 0.0)):
        (held / name).touch()
        os.utime(held / name, (now() - age_s, now() - age_s))
    incoming.do_housekeeping()
    assert os.listdir(held) == ["new"]
