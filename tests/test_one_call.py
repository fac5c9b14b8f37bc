"""Of one upload the web app is called once at a time, whatever clocks say and whoever is slow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
import requests
from servers import gunicorn
from waiting import wait_until
from webapp import reply, web_app
from webtest import TestApp

from incoming_wsgi import Incoming, WrongState
from incoming_wsgi.storage._holds import ByteHolds, FileHolds
from incoming_wsgi.threads import Threads
from incoming_wsgi.uploads import now

HOUR_S = 3600.0


@pytest.fixture
def ahead(monkeypatch):
    """Set the clock of this process an hour ahead: the leases of all others look over to it."""

    def ahead() -> None:
        at = now() + HOUR_S
        for room in ("housekeeping", "completion", "background"):
            monkeypatch.setattr(f"incoming_wsgi.{room}.now", lambda: at)

    return ahead


def slow_app(app_may_answer: threading.Event):
    def answer(handover, handler) -> None:
        app_may_answer.wait(60)
        reply()(handover, handler)

    return answer


@pytest.fixture
def called_by_another(tmp_path):
    """A server that is in the middle of a call, the app that is being called, and the upload."""
    may_answer = threading.Event()
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "incoming")}
    server = gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ)
    with web_app(slow_app(may_answer), reply()) as app, server:
        form = {"signalFinishURL": app.url, "removeFileWhenFinished": "false"}
        ticket = requests.post(f"{server.url}/backend/new_upload", form, timeout=30).text
        url = f"{server.url}/frontend/uploads/{ticket}"
        requests.put(url, b"all", headers={"Content-Range": "bytes 0-2/3"}, timeout=30)
        app.wait_for(1)
        yield server, app, ticket, may_answer
        may_answer.set()


def test_a_process_whose_clock_is_ahead_does_not_call_while_another_calls(
    called_by_another, tmp_path, ahead
):
    _, app, ticket, may_answer = called_by_another
    ahead()
    other = Incoming(tmp_path / "incoming", background=False)
    other.do_housekeeping()
    assert len(app.handovers) == 1
    # Nor has it spoiled the outcome for the one that calls.
    may_answer.set()
    wait_until(lambda: other.status(ticket).state.value == "FINISHED", "the end of the handover")
    assert other.status(ticket).attempt == 1
    assert len(app.handovers) == 1
    other.close()


def test_when_the_one_that_calls_is_killed_another_calls_again_with_the_same_id(
    called_by_another, tmp_path, ahead
):
    server, app, ticket, _ = called_by_another
    server.kill()
    ahead()
    other = Incoming(tmp_path / "incoming", background=False)
    other.do_housekeeping()
    first, second = (handover.form for handover in app.wait_for(2))
    assert first["deliveryId"] == second["deliveryId"] != ""
    assert [first["attempt"], second["attempt"]] == ["1", "2"]
    assert other.status(ticket).state.value == "FINISHED"
    other.close()


def test_a_process_that_was_stopped_in_the_middle_of_a_call_is_not_overtaken(
    called_by_another, tmp_path, ahead
):
    """SIGSTOP, a machine that was suspended, a process that swaps: its lease ends, its call does
    not."""
    server, app, ticket, may_answer = called_by_another
    os.killpg(server.pid, signal.SIGSTOP)
    try:
        ahead()
        other = Incoming(tmp_path / "incoming", background=False)
        other.do_housekeeping()
        assert len(app.handovers) == 1
    finally:
        os.killpg(server.pid, signal.SIGCONT)
    may_answer.set()
    wait_until(lambda: other.status(ticket).state.value == "FINISHED", "the end of the handover")
    assert len(app.handovers) == 1
    other.close()


def test_a_process_that_stands_still_between_the_last_byte_and_the_call_is_not_overtaken(
    tmp_path, ahead, monkeypatch
):
    """It has the lease from the moment that the last byte is recorded, and that lease may end
    before it calls."""
    calls = []

    def make(**settings) -> Incoming:
        return Incoming(
            tmp_path / "incoming", on_finished=lambda it: calls.append(it.attempt), **settings
        )

    incoming, rival = make(), make(background=False)
    record = incoming._tickets.record_ranges

    def record_and_stand_still(*args, **kwargs):
        upload = record(*args, **kwargs)
        assert upload.state.value == "HANDING_OVER"
        ahead()
        assert rival.do_housekeeping() == 1
        return upload

    monkeypatch.setattr(incoming._tickets, "record_ranges", record_and_stand_still)
    ticket = incoming.new_upload()
    headers = {"Content-Range": "bytes 0-2/3"}
    TestApp(incoming).put(f"/frontend/uploads/{ticket}", b"all", headers=headers)
    wait_until(lambda: incoming.status(ticket).state.value == "FINISHED", "the handover")
    assert calls == [1]
    incoming.close()
    rival.close()


def test_what_a_newer_request_brings_before_the_last_byte_is_recorded_is_handed_over(
    tmp_path, monkeypatch
):
    """It has taken from an older one that had sealed the file already."""
    calls = []
    incoming = Incoming(
        tmp_path / "incoming",
        on_finished=lambda it: calls.append((it.attempt, it.path.read_text())),
    )
    ticket = incoming.new_upload()
    app, url = TestApp(incoming), f"/frontend/uploads/{ticket}"
    record = incoming._tickets.record_ranges

    def be_overtaken(*args, **kwargs):
        monkeypatch.undo()
        app.put(url, b"L", headers={"Content-Range": "bytes 1-1/3"})
        return record(*args, **kwargs)

    monkeypatch.setattr(incoming._tickets, "record_ranges", be_overtaken)
    app.put(url, b"all", headers={"Content-Range": "bytes 0-2/3"})
    wait_until(lambda: incoming.status(ticket).state.value == "FINISHED", "the handover")
    assert calls == [(1, "aLl")]
    incoming.close()


@pytest.mark.parametrize("has_begun", [False, True])
def test_who_is_interrupted_when_the_call_begins_leaves_it_to_one(
    tmp_path, monkeypatch, ahead, has_begun
):
    """By the handler of a signal; whether the thread has begun by then he cannot tell."""
    monkeypatch.setattr("incoming_wsgi.background.MAX_JOBS", 1)
    calls, may_answer = [], threading.Event()

    def take(upload) -> None:
        calls.append((upload.id, upload.attempt))
        may_answer.wait(60)

    incoming = Incoming(tmp_path / "incoming", on_finished=take)
    other = Incoming(tmp_path / "incoming", on_finished=take, background=False)
    first, second = incoming.new_upload(), incoming.new_upload()
    run = Threads.run

    def interrupted(threads: Threads, work) -> None:
        monkeypatch.setattr(Threads, "run", run)
        if has_begun:
            run(threads, work)
            wait_until(lambda: calls, "the call")
        raise KeyboardInterrupt

    def put(ticket: str) -> None:
        headers = {"Content-Range": "bytes 0-2/3"}
        TestApp(incoming).put(f"/frontend/uploads/{ticket}", b"all", headers=headers)

    monkeypatch.setattr(Threads, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(first)
    if has_begun:
        ahead()
        other.do_housekeeping()
        assert calls == [(first, 1)]  # its call is under way
        may_answer.set()
    else:
        put(second)
        wait_until(lambda: calls == [(second, 1)], "the other upload's turn")
        may_answer.set()
        ahead()
        wait_until(lambda: calls == [(second, 1), (first, 2)], "another attempt")
    wait_until(lambda: other.status(first).state.value == "FINISHED", "the handover")
    incoming.close()
    other.close()


@pytest.mark.parametrize("way", [ByteHolds, FileHolds])
def test_one_process_at_a_time_holds_an_upload_with_and_without_locks_of_bytes(tmp_path, way):
    folder = tmp_path / "held"
    folder.mkdir()
    mine, other = way(folder), way(folder)
    descriptor = mine.take("a")
    assert (mine.take("a"), other.take("a")) == (None, None)
    other.give_back("b", other.take("b"))
    mine.give_back("a", descriptor)
    again = other.take("a")
    assert again is not None
    other.give_back("a", again)
    assert os.listdir(folder) == []


def test_telling_of_a_cancellation_is_one_call_at_a_time_too(tmp_path, ahead):
    told, go_on = [], threading.Event()

    def learn(upload) -> None:
        told.append(upload.id)
        go_on.wait(60)

    def make() -> Incoming:
        callbacks = {"on_finished": lambda upload: None, "on_cancelled": learn}
        return Incoming(tmp_path / "incoming", background=False, **callbacks)

    first, second = make(), make()
    ticket = first.new_upload()
    TestApp(first).delete(f"/frontend/uploads/{ticket}")
    calling = threading.Thread(target=first.do_housekeeping)
    calling.start()
    wait_until(lambda: told, "the call")
    ahead()
    second.do_housekeeping()
    go_on.set()
    calling.join()
    assert told == [ticket]
    first.close()
    second.close()


def test_a_wait_that_comes_when_the_lease_is_over_counts(tmp_path):
    """Whoever took the lease over is refused the upload until then, and must not call afterwards:
    the app has the file in its hands."""
    calls = []

    def take(upload) -> str:
        calls.append(upload.id)
        other = Incoming(tmp_path / "incoming", background=False)
        assert other._tickets.lease_due(now() + HOUR_S, now() + 2 * HOUR_S, in_process=True)
        other.close()
        return "wait"

    incoming = Incoming(tmp_path / "incoming", on_finished=take, background=False)
    ticket = incoming.new_upload()
    headers = {"Content-Range": "bytes 0-2/3"}
    TestApp(incoming).put(f"/frontend/uploads/{ticket}", b"all", headers=headers)
    incoming.do_housekeeping()
    assert incoming.status(ticket).state.value == "AWAITING_CONFIRMATION"
    incoming.finish_upload(ticket)
    assert calls == [ticket]
    incoming.close()


def test_a_child_of_the_app_that_outlives_its_server_holds_nothing(tmp_path):
    """A program that `on_finished` starts must not keep the upload from being delivered."""
    child = []

    def take(upload) -> None:
        if not child:
            sleep = [sys.executable, "-c", "input()"]
            child.append(subprocess.Popen(sleep, stdin=subprocess.PIPE, close_fds=False))
            raise RuntimeError("not now")

    incoming = Incoming(
        tmp_path / "incoming", on_finished=take, background=False, handover_retry_s=0.001
    )
    ticket = incoming.new_upload()
    headers = {"Content-Range": "bytes 0-2/3"}
    TestApp(incoming).put(f"/frontend/uploads/{ticket}", b"all", headers=headers)
    try:
        incoming.do_housekeeping()
        assert incoming.status(ticket).reason is not None

        def finished() -> bool:
            incoming.do_housekeeping()
            return incoming.status(ticket).state.value == "FINISHED"

        wait_until(finished, "the second handover")
    finally:
        child[0].communicate(b"\n")
    incoming.close()


# what the app says of it once more before the handover


def authorizing(tmp_path, authorize, **settings):
    taken = []
    incoming = Incoming(
        tmp_path / "incoming",
        on_finished=lambda upload: taken.append(upload.id),
        authorize=authorize,
        background=False,
        **{"handover_retry_s": 0.001, **settings},
    )
    ticket = incoming.new_upload(owner="ann")
    headers = {"Content-Range": "bytes 0-2/3"}
    TestApp(incoming).put(f"/frontend/uploads/{ticket}", b"all", headers=headers)
    return incoming, ticket, taken


def test_before_the_handover_the_app_is_asked_whether_it_still_may_be(tmp_path):
    allowed = {"ann"}
    asked = []

    def authorize(environ, upload, action) -> bool:
        asked.append((action, environ == {}))
        return upload.owner in allowed

    incoming, ticket, taken = authorizing(tmp_path, authorize)
    allowed.clear()
    incoming.do_housekeeping()
    assert asked == [("store", False), ("hand_over", True)]
    assert taken == []
    upload = incoming.status(ticket)
    assert (upload.state.value, upload.reason) == (
        "FAILED",
        "the web app does not allow this upload any more",
    )
    assert (tmp_path / "incoming" / "files" / ticket).read_bytes() == b"all"
    # Allowed again, it can be handed over again.
    allowed.add("ann")
    incoming.retry_handover(ticket)
    incoming.do_housekeeping()
    assert taken == [ticket]
    incoming.close()


def test_an_app_that_cannot_say_is_asked_again(tmp_path):
    troubles = [RuntimeError("no database"), SystemExit()]

    def authorize(environ, upload, action) -> bool:
        if action == "hand_over" and troubles:
            raise troubles.pop()
        return True

    incoming, ticket, taken = authorizing(tmp_path, authorize)

    def taken_at_last() -> bool:
        incoming.do_housekeeping()
        return bool(taken)

    incoming.do_housekeeping()
    assert "could not say whether it allows" in incoming.status(ticket).reason
    wait_until(taken_at_last, "the handover")
    assert (taken, troubles) == ([ticket], [])
    incoming.close()


def test_a_finished_upload_cannot_be_handed_over_again(tmp_path):
    incoming, ticket, taken = authorizing(tmp_path, lambda *_: True)
    incoming.do_housekeeping()
    assert taken == [ticket]
    with pytest.raises(WrongState):
        incoming.retry_handover(ticket)
    incoming.close()
