"""Nobody waits for the dead: a newer request takes over at once, and no lock survives its holder.

An older request stalls, in the same process or in another one, which may be frozen or killed; the
newer one for the same bytes is answered and completes the file. What the older one's client hears
later is a clear answer or a closed line. And nothing of that depends on process ids.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from rivals import (
    RawPut,
    Rival,
    claims_of,
    digest_of,
    file_of,
    lie_about,
    new_upload,
    put,
    rivals,
    state_of,
    wait_for_state,
)
from tools import missing, program
from waiting import wait_until
from webapp import web_app

KIB = 1024
FIRST_BLOCK = 64 * KIB
CONTENT = random.Random(21).randbytes(600 * KIB)
LIE = lie_about(CONTENT)
SUPERSEDED = (409, "superseded")
CLOSED = (0, None)


@pytest.fixture
def app():
    with web_app() as app:
        yield app


def stall(rival: Rival, path: str, sent: int, digest: str | None = None) -> RawPut:
    """A request for the whole file that goes silent after `sent` bytes of lies."""
    older = RawPut(rival, path, 0, len(CONTENT), length=len(CONTENT), digest=digest)
    older.send(LIE[:sent])
    return older


def wait_for_first_block(folder: Path, path: str) -> None:
    file = file_of(folder, path)
    wait_until(
        lambda: file.exists() and file.read_bytes()[:FIRST_BLOCK] == LIE[:FIRST_BLOCK],
        "the older request's first block",
    )


def wait_for_other_claim(folder: Path, path: str, before: set[str]) -> None:
    wait_until(lambda: claims_of(folder, path) - before, "the claim of a newer request")


def check_delivered(app, rival: Rival, path: str) -> None:
    """Once, and right."""
    wait_for_state(rival, path, "FINISHED")
    assert [handover.content == CONTENT for handover in app.handovers] == [True]


# Stalled requests


@pytest.mark.parametrize("digest", [None, digest_of(LIE), digest_of(CONTENT)])
@pytest.mark.parametrize("sent", [0, FIRST_BLOCK + 1, len(CONTENT) - 1])
@pytest.mark.parametrize("where", ["another process", "the same process"])
def test_a_stalled_request_makes_no_newer_one_wait_or_fail(folder, pair, app, where, sent, digest):
    left, right = pair
    path = new_upload(right, app.url)
    older = stall(left, path, sent, digest)
    if sent:
        wait_for_first_block(folder, path)
    else:
        wait_until(lambda: claims_of(folder, path), "the older request's claim")
    response = put(right if where == "another process" else left, path, CONTENT)
    assert response.status_code == 200
    check_delivered(app, right, path)
    older.send(LIE[sent:])
    assert older.answer() == SUPERSEDED


@pytest.mark.parametrize("where", ["another process", "the same process"])
def test_an_older_request_that_wakes_up_while_the_newer_one_is_under_way(folder, pair, app, where):
    left, right = pair
    overtake(folder, app, left, right if where == "another process" else left)


def overtake(folder: Path, app, older_on: Rival, newer_on: Rival) -> None:
    """Both have written and neither is done when the older one goes on."""
    path = new_upload(older_on, app.url)
    older = stall(older_on, path, FIRST_BLOCK + 1)
    wait_for_first_block(folder, path)
    newer = RawPut(newer_on, path, 0, len(CONTENT), length=len(CONTENT))
    newer.send(CONTENT[: FIRST_BLOCK + 1])
    file = file_of(folder, path)
    wait_until(
        lambda: file.read_bytes()[:FIRST_BLOCK] == CONTENT[:FIRST_BLOCK],
        "the newer request's first block",
    )
    older.send(LIE[FIRST_BLOCK + 1 :])
    assert older.answer() == SUPERSEDED
    newer.send(CONTENT[FIRST_BLOCK + 1 :])
    assert newer.answer() == (200, None)
    check_delivered(app, newer_on, path)
    assert file.read_bytes() == CONTENT


def test_many_generations_of_stalled_requests(folder, pair, app):
    """Each takes the bytes from the one before, and the last one has them."""
    left, right = pair
    path = new_upload(right, app.url)
    generations = []
    for number in range(10):
        sent = FIRST_BLOCK + number
        before = claims_of(folder, path)
        generations.append((stall((left, right)[number % 2], path, sent), sent))
        wait_for_other_claim(folder, path, before)
    assert put(left, path, CONTENT).status_code == 200
    check_delivered(app, right, path)
    for older, sent in generations[:5]:
        older.send(LIE[sent:])
        assert older.answer() == SUPERSEDED
    for older, _ in generations[5:]:
        older.close()
    assert file_of(folder, path).read_bytes() == CONTENT


def test_a_newer_request_for_a_part_leaves_the_older_one_what_it_has_written(folder, pair, app):
    left, right = pair
    path = new_upload(right, app.url)
    older = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
    older.send(CONTENT[: FIRST_BLOCK + 1])
    file = file_of(folder, path)
    wait_until(
        lambda: file.exists() and file.read_bytes()[:FIRST_BLOCK] == CONTENT[:FIRST_BLOCK],
        "the older request's first block",
    )
    assert put(right, path, CONTENT, 300 * KIB).json()["received"][-1][1] == len(CONTENT)
    older.send(LIE[FIRST_BLOCK + 1 :])
    # All that came after the first block was in one block, and a part of that is another's now.
    assert older.answer() == SUPERSEDED
    received = state_of(right, path)["received"]
    assert received[0][0] == 0
    for start, stop in zip([0, *(stop for _, stop in received)], [300 * KIB], strict=False):
        assert put(right, path, CONTENT, start, stop).status_code == 200
    wait_for_state(right, path, "FINISHED")


def test_bytes_that_a_newer_request_took_are_not_recorded_for_the_older_one(folder, pair):
    """All of them are written, but not recorded, when the newer request takes them, writes others
    and fails: nobody knows what is there now."""
    left, right = pair
    path = new_upload(right, "http://127.0.0.1:9/")
    left.arm("unrecorded")
    older = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
    older.send(CONTENT)
    left.wait_for("unrecorded")
    assert put(right, path, LIE, digest=digest_of(CONTENT)).status_code == 422
    left.let_go("unrecorded")
    older.answer()
    assert state_of(right, path)["received"] == []
    assert state_of(right, path)["state"] == "UPLOADING"


def test_an_older_request_that_was_overtaken_before_its_record_is_told_so(folder, pair, app):
    """All of its bytes are written, and then a newer request takes them: 200 would say that they
    are stored."""
    left, right = pair
    path = new_upload(right, app.url)
    left.arm("unrecorded")
    older = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
    older.send(CONTENT)
    left.wait_for("unrecorded")
    before = claims_of(folder, path)
    newer = stall(right, path, 0)
    wait_for_other_claim(folder, path, before)
    left.let_go("unrecorded")
    assert older.answer() == SUPERSEDED
    newer.send(CONTENT)
    assert newer.answer() == (200, None)
    check_delivered(app, right, path)


# Frozen and killed processes


def test_a_frozen_process_makes_nobody_wait(folder, pair, app):
    left, right = pair
    path = new_upload(right, app.url)
    older = stall(left, path, FIRST_BLOCK + 1)
    wait_for_first_block(folder, path)
    left.freeze()
    try:
        assert put(right, path, CONTENT).status_code == 200
        check_delivered(app, right, path)
    finally:
        left.thaw()
    older.send(LIE[FIRST_BLOCK + 1 :])
    assert older.answer() == SUPERSEDED


def finished_without_a_wait(newer: Future[requests.Response], rival) -> bool:
    """Whether it got its answer; else it has found a lock in its way."""
    wait_until(lambda: newer.done() or rival.waits_for_lock(), "an answer or a wait")
    return not rival.waits_for_lock()


@pytest.mark.parametrize("point", ["writing", "written"])
def test_a_process_that_is_frozen_while_it_writes_costs_others_a_clear_503(tmp_path, app, point):
    """It stands still with a block that it may write: as long as it can wake up and do so, nobody
    may be told that other bytes are stored there. Nor does anybody wait for it for long."""
    with rivals(tmp_path, environ={"ADVERSE_BLOCK_S": "0.5"}) as (left, right):
        path = new_upload(right, app.url)
        left.arm(point)
        older = stall(left, path, FIRST_BLOCK + 1)
        left.wait_for(point)
        left.freeze()
        try:
            response = put(right, path, CONTENT)
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert int(response.headers["Retry-After"]) > 0
        finally:
            left.let_go(point)
            left.thaw()
        assert put(right, path, CONTENT).status_code == 200
        check_delivered(app, right, path)
        older.close()


def test_a_process_that_is_frozen_in_a_transaction_costs_others_a_clear_503(tmp_path, app):
    """SQLite has one writer at a time, and nobody can take that from a process that stands still.
    Everybody can still ask, and when it goes on, or is killed, so does everything."""
    with rivals(tmp_path, environ={"ADVERSE_BUSY_S": "0.5"}) as (left, right):
        path = new_upload(right, app.url)
        left.arm("transaction")
        older = stall(left, path, 0)
        left.wait_for("transaction")
        left.freeze()
        try:
            response = put(right, path, CONTENT)
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert int(response.headers["Retry-After"]) > 0
            assert state_of(right, path)["state"] == "CREATED"
        finally:
            left.let_go("transaction")
            left.thaw()
        wait_until(lambda: claims_of(tmp_path, path), "the end of the transaction")
        assert put(right, path, CONTENT).status_code == 200
        check_delivered(app, right, path)
        older.send(LIE)
        assert older.answer() == SUPERSEDED


POINTS = ["claimed", "writing", "written", "unrecorded", "transaction", "sealing", "sealed"]


@pytest.mark.parametrize("point", POINTS)
def test_no_lock_survives_a_process_that_is_killed(folder, pair, app, point):
    """Whatever it was doing: the next request has its answer, and the file is right."""
    left, right = pair
    path = new_upload(right, app.url)
    left.arm(point)
    older = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
    older.send(CONTENT)
    assert left.wait_for(point) == left.worker
    left.kill_worker()
    assert older.answer() == CLOSED
    assert put(right, path, CONTENT).status_code == 200
    check_delivered(app, right, path)


def test_no_lock_survives_processes_killed_at_random_moments(folder, pair, app):
    """Three clients keep the left server busy with the same bytes; its worker is killed again and
    again, and the right server always answers."""
    left, right = pair
    chosen = random.Random(22)
    over = threading.Event()
    moved = threading.Semaphore(0)

    def keep_busy() -> None:
        while not over.is_set():
            with suppress(requests.RequestException):
                for start in range(0, len(CONTENT), 100 * KIB):
                    put(left, busy[0], CONTENT, start, start + 100 * KIB)
                    moved.release()

    busy = [new_upload(right, app.url)]
    with ThreadPoolExecutor(3) as pool:
        clients = [pool.submit(keep_busy) for _ in range(3)]
        try:
            for _ in range(12):
                for _ in range(chosen.randint(2, 9)):
                    assert moved.acquire(timeout=30)
                os.kill(left.worker, signal.SIGKILL)
                path = busy[0]
                # A client of the left server may be newer still, and win.
                wait_until(
                    lambda path=path: put(right, path, CONTENT).status_code == 200, "a completion"
                )
                wait_for_state(right, path, "FINISHED")
                busy[0] = new_upload(right, app.url)
        finally:
            over.set()
        for client in clients:
            client.result()
    contents = {
        handover.form["id"]: handover.content
        for handover in app.handovers
        if handover.form["cancelled"] == "no"
    }
    assert len(contents) >= 12
    assert set(contents.values()) == {CONTENT}


# Children that the app leaves behind


def new_ticket(rival: Rival) -> str:
    response = requests.get(f"{rival.server.url}/ticket", timeout=30)
    return f"/incoming/0.1/frontend/uploads/{response.text}"


@pytest.fixture
def forking(tmp_path):
    """The app's callback on the left leaves a child, which outlives everything."""
    environ = {"ADVERSE_LEASE_S": "1"}
    with rivals(
        tmp_path,
        environ=environ,
        left={"ADVERSE_CALLBACK": "fork hold"},
        right={"ADVERSE_CALLBACK": "no"},
    ) as (left, right):
        yield left, right


def fork_on(left: Rival) -> None:
    path = new_ticket(left)
    assert put(left, path, CONTENT).status_code == 200
    wait_for_state(left, path, "FINISHED")


@pytest.mark.parametrize("point", ["writing", "written", "transaction", "sealed"])
def test_a_child_of_the_app_keeps_no_lock_that_was_taken_after_the_fork(forking, tmp_path, point):
    left, right = forking
    fork_on(left)
    path = new_ticket(left)
    left.arm(point)
    older = stall(left, path, len(CONTENT))
    left.wait_for(point)
    left.kill_worker()
    older.close()
    newer = put(right, path, CONTENT)
    assert newer.status_code == 200
    wait_for_state(right, path, "FINISHED")


def test_a_child_of_the_app_keeps_no_lock_that_was_held_during_the_fork(forking, tmp_path):
    left, right = forking
    path = new_ticket(left)
    left.arm("writing")
    older = stall(left, path, FIRST_BLOCK + 1)
    left.wait_for("writing")
    fork_on(left)
    left.kill_worker()
    older.close()
    with ThreadPoolExecutor(1) as pool:
        newer = pool.submit(put, right, path, CONTENT)
        try:
            assert finished_without_a_wait(newer, right)
            assert newer.result().status_code == 200
        finally:
            left.server.kill()  # the child with it
    wait_for_state(right, path, "FINISHED")


def test_a_child_of_the_app_does_not_keep_a_handover_alive(forking, tmp_path):
    """It was forked in the call, and the process that called is dead: somebody calls again."""
    left, right = forking
    path = new_ticket(left)
    left.arm("calling")
    put(left, path, CONTENT)
    left.wait_for("calling")
    left.kill_worker()
    assert state_of(right, path)["state"] == "HANDING_OVER"
    wait_for_state(right, path, "FINISHED")
    assert (tmp_path / "calls").read_text().split() == [path.rpartition("/")[2]] * 2


# Process ids


def namespace_of(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino


def check_that_both_work(folder: Path, left: Rival, right: Rival, app) -> None:
    """Each overtakes the other, which wakes up in the middle of that, and itself."""
    for older, newer in ((left, right), (right, left), (left, left)):
        app.handovers.clear()
        overtake(folder, app, older, newer)
    left.check_log()
    right.check_log()


def test_two_servers_in_pid_namespaces_of_their_own(tmp_path, app):
    """As in two containers with one volume: their process ids are the same."""
    own_pids = [program("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        missing("unshare --pid needs root")
    with rivals(tmp_path, before={"left": own_pids, "right": own_pids}) as (left, right):
        # Process 1 in either namespace is gunicorn's master.
        masters = [Path(f"/proc/{rival.worker}/status").read_text() for rival in (left, right)]
        assert [namespaced_pid(status) for status in masters] == [1, 1]
        assert namespace_of(left.worker) != namespace_of(right.worker)
        check_that_both_work(tmp_path, left, right, app)


def namespaced_pid(status: str) -> int:
    (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
    return int(line.split()[-1])


def test_all_processes_believe_that_they_have_the_same_id(tmp_path, app):
    with rivals(tmp_path, environ={"ADVERSE_PID": "4242"}) as (left, right):
        check_that_both_work(tmp_path, left, right, app)
