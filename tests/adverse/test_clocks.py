"""Nothing depends on clocks: whether they disagree by hours, or jump while a handover is under way,
no file is wrong, no acknowledged byte is lost, and the app is not called twice at once.

Processes of one machine share its clock, and it does jump: when the time comes from the network at
last, or when a machine that was suspended wakes up.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
import requests
from rivals import RawPut, file_of, lie_about, new_upload, put, rivals, state_of, wait_for_state
from waiting import wait_until
from webapp import reply, web_app

KIB = 1024
HOUR = 3600.0
CONTENT = random.Random(23).randbytes(600 * KIB)
LIE = lie_about(CONTENT)


@pytest.fixture
def pair(tmp_path):
    with rivals(tmp_path) as (left, right):
        yield left, right
        left.check_log()
        right.check_log()


class Calls:
    """A web app that holds its answers for one upload until it is told to give them, and knows how
    many calls for the same upload it ever had at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.held: str | None = None  # the id
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.deliveries: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def __call__(self, handover, handler) -> None:
        upload_id = handover.form["id"]
        with self._lock:
            self.deliveries.setdefault(upload_id, set()).add(handover.form["deliveryId"])
            self.at_once[upload_id] += 1
            now = self.at_once[upload_id]
            self.most_at_once[upload_id] = max(self.most_at_once[upload_id], now)
        if upload_id == self.held:
            assert self.gate.wait(60)
        with self._lock:
            self.at_once[upload_id] -= 1
        reply()(handover, handler)


@pytest.fixture
def calls():
    calls = Calls()
    yield calls
    calls.gate.set()


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


def begin_held_call(app, calls: Calls, rival) -> str:
    """A complete upload for which the app is being called by `rival`."""
    path = new_upload(rival, app.url)
    calls.held = id_of(path)
    assert put(rival, path, CONTENT).status_code == 200
    app.wait_for(1)
    return path


def let_it_look_for_work(app, rival) -> None:
    """What has been due longest is leased first: when an upload of now has been handed over by
    `rival`, it has seen all that was due before. Twice, so that what it leased has begun."""
    for _ in range(2):
        path = new_upload(rival, app.url)
        assert put(rival, path, CONTENT).status_code == 200
        wait_for_state(rival, path, "FINISHED")


def end_held_call(calls: Calls, rival, path: str) -> None:
    calls.gate.set()
    wait_for_state(rival, path, "FINISHED")
    assert calls.most_at_once[id_of(path)] == 1
    assert len(calls.deliveries[id_of(path)]) == 1


# Clocks that disagree


def test_clocks_that_disagree_by_hours_make_no_file_wrong(pair, tmp_path, calls):
    left, right = pair
    left.set_clock(-3 * HOUR)
    right.set_clock(3 * HOUR)
    with web_app(calls) as app:
        for one, other in ((left, right), (right, left)):
            path = new_upload(one, app.url)
            for number in range(6):
                start = number * 100 * KIB
                rival = (one, other)[number % 2]
                response = put(rival, path, CONTENT, start, start + 100 * KIB)
                assert response.json()["received"] == [[0, start + 100 * KIB]]
            wait_for_state(other, path, "FINISHED")
            assert len(calls.deliveries[id_of(path)]) == 1
            assert file_of(tmp_path, path).read_bytes() == CONTENT
        assert {handover.content for handover in app.handovers} == {CONTENT}


def test_of_two_writers_the_newer_has_it_whatever_the_clocks_say(pair, tmp_path, calls):
    left, right = pair
    with web_app(calls) as app:
        for ahead_s in (-3 * HOUR, 3 * HOUR):
            left.set_clock(ahead_s)
            path = new_upload(right, app.url)
            older = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
            older.send(LIE[: 100 * KIB])
            wait_for_state(right, path, "UPLOADING")
            assert put(right, path, CONTENT).status_code == 200
            older.send(LIE[100 * KIB :])
            assert older.answer() == (409, "superseded")
            wait_for_state(right, path, "FINISHED")
            assert file_of(tmp_path, path).read_bytes() == CONTENT


def test_never_two_calls_at_once_when_a_clock_is_ahead(pair, calls):
    left, right = pair
    right.set_clock(HOUR)  # the leases of the left one look over to it
    with web_app(calls) as app:
        path = begin_held_call(app, calls, left)
        let_it_look_for_work(app, right)
        end_held_call(calls, left, path)


def test_an_upload_that_moves_is_not_expired_by_a_clock_that_is_ahead(pair, tmp_path, calls):
    left, right = pair
    right.set_clock(13 * HOUR)  # more than an upload may be idle
    with web_app(calls) as app:
        path = new_upload(left, app.url)
        assert put(left, path, CONTENT, 0, 300 * KIB).json()["received"] == [[0, 300 * KIB]]
        let_it_look_for_work(app, right)
        assert put(left, path, CONTENT, 300 * KIB).status_code == 200
        wait_for_state(left, path, "FINISHED")


# A clock that jumps


def set_clocks(pair, ahead_s: float) -> None:
    for rival in pair:
        rival.set_clock(ahead_s)


@pytest.mark.parametrize("ahead_s", [HOUR, -HOUR])
def test_never_two_calls_at_once_when_the_clock_jumps(pair, calls, ahead_s):
    """Not by the process that calls either, which might take its own lease for over."""
    left, right = pair
    with web_app(calls) as app:
        path = begin_held_call(app, calls, left)
        set_clocks(pair, ahead_s)
        let_it_look_for_work(app, left)
        let_it_look_for_work(app, right)
        end_held_call(calls, left, path)


@contextmanager
def clock_that_jumped(pair, ahead_s: float):
    set_clocks(pair, ahead_s)
    try:
        yield
    finally:
        set_clocks(pair, 0.0)


@pytest.mark.parametrize("ahead_s", [HOUR, -HOUR])
def test_acknowledged_bytes_outlive_a_jump_of_the_clock(pair, tmp_path, calls, ahead_s):
    left, right = pair
    with web_app(calls) as app:
        path = new_upload(left, app.url)
        assert put(left, path, CONTENT, 0, 300 * KIB).json()["received"] == [[0, 300 * KIB]]
        running = RawPut(left, path, 300 * KIB, len(CONTENT), length=len(CONTENT))
        running.send(CONTENT[300 * KIB : 400 * KIB])
        with clock_that_jumped(pair, ahead_s):
            let_it_look_for_work(app, right)
            assert state_of(right, path)["received"][0][0] == 0
            running.send(CONTENT[400 * KIB :])
            assert running.answer() == (200, None)
            wait_for_state(right, path, "FINISHED")
        assert file_of(tmp_path, path).read_bytes() == CONTENT


def test_acknowledged_bytes_outlive_a_night_in_which_the_machine_slept(pair, calls):
    """The client could not come, however much it wanted: it must have its chance afterwards."""
    left, right = pair
    with web_app(calls) as app:
        path = new_upload(left, app.url)
        assert put(left, path, CONTENT, 0, 300 * KIB).json()["received"] == [[0, 300 * KIB]]
        set_clocks(pair, 13 * HOUR)
        let_it_look_for_work(app, right)
        assert put(left, path, CONTENT, 300 * KIB).status_code == 200
        wait_for_state(left, path, "FINISHED")


# A holder that stands still longer than its lease


def test_never_two_calls_at_once_when_the_caller_is_frozen_beyond_its_lease(tmp_path, calls):
    with (
        web_app(calls) as app,
        rivals(tmp_path, environ={"ADVERSE_LEASE_S": "1"}) as (left, right),
    ):
        path = begin_held_call(app, calls, left)
        left.freeze()
        try:
            ends_at = due_at(right, path)
            wait_until(lambda: time.time() > ends_at, "the end of its lease")
            let_it_look_for_work(app, right)
        finally:
            left.thaw()
        end_held_call(calls, right, path)


def due_at(rival, path: str) -> float:
    response = requests.get(
        f"{rival.server.url}/incoming/backend/uploads/{id_of(path)}", timeout=30
    )
    return response.json()["due_at"]
