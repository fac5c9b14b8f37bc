"""Offsets that were told stay true, and the newest request has the upload, whoever had it before.

tus and the draft write where what is stored ends. So who asks for the offset ends what is still
writing, in the same process or in another one, which may wait for its client, be frozen or killed;
what had been written by then counts if its writer lives to say so.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
import requests
from rivals import (
    RawAppend,
    RawPut,
    Rival,
    append_headers,
    claims_of,
    file_of,
    lie_about,
    new_upload,
    state_of,
    wait_for_state,
)
from waiting import wait_until
from webapp import web_app

KIB = 1024
FIRST_BLOCK = 64 * KIB
CONTENT = random.Random(22).randbytes(600 * KIB)
LIE = lie_about(CONTENT)
OVER = [(0, None), (409, "request_ended"), (409, "superseded")]  # closed, ended, or told

anywhere = pytest.mark.parametrize("where", ["another process", "the same process"])


@pytest.fixture
def app():
    with web_app() as app:
        yield app


def begin(rival: Rival, callback: str) -> str:
    """The path of a new upload, its length declared."""
    path = new_upload(rival, callback)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(CONTENT))}
    requests.post(rival.server.url + path, headers=headers, timeout=25).raise_for_status()
    return path


MARKED = {"Tus-Resumable": "1.0.0"}


def ask(rival: Rival, path: str, headers=MARKED) -> int:
    answer = requests.head(rival.server.url + path, headers=headers, timeout=25)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def append(rival: Rival, path: str, offset: int) -> requests.Response:
    return requests.patch(
        rival.server.url + path, CONTENT[offset:], headers=append_headers(offset), timeout=25
    )


def stall(folder: Path, rival: Rival, path: str, content: bytes) -> RawAppend:
    """A request for the whole file that goes silent after its first block and a byte."""
    older = RawAppend(rival, path, 0, len(CONTENT))
    older.send(content[: FIRST_BLOCK + 1])
    file = file_of(folder, path)
    wait_until(
        lambda: file.exists() and file.read_bytes()[:FIRST_BLOCK] == content[:FIRST_BLOCK],
        "the older request's first block",
    )
    return older


def check_delivered(app, folder: Path, rival: Rival, path: str) -> None:
    wait_for_state(rival, path, "FINISHED")
    assert [handover.content == CONTENT for handover in app.handovers] == [True]
    assert file_of(folder, path).read_bytes() == CONTENT


def test_what_a_stalled_request_has_brought_to_this_process_counts(folder, pair, app):
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, CONTENT)
    assert ask(left, path) == FIRST_BLOCK + 1
    assert older.answer() in OVER
    assert append(right, path, FIRST_BLOCK + 1).status_code == 204
    check_delivered(app, folder, right, path)


@anywhere
def test_an_offset_that_is_told_to_anybody_stays_true(folder, pair, app, where):
    """A client of the draft need not say that it is one."""
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, CONTENT)
    offset = ask(right if where == "another process" else left, path, {})
    older.send_if_possible(CONTENT[FIRST_BLOCK + 1 :])
    assert older.answer() in OVER
    assert append(right, path, offset).status_code == 204
    check_delivered(app, folder, right, path)


def test_who_does_not_ask_for_the_offset_ends_nobody(folder, pair, app):
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, CONTENT)
    assert state_of(right, path)["state"] == "UPLOADING"
    etag = {"If-None-Match": '"another"'}
    assert requests.head(right.server.url + path, headers=etag, timeout=25).status_code == 200
    older.send(CONTENT[FIRST_BLOCK + 1 :])
    assert older.answer() == (204, None)
    check_delivered(app, folder, right, path)


def test_a_native_chunk_goes_on_when_somebody_looks(folder, pair, app):
    left, right = pair
    path = begin(left, app.url)
    older = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
    older.send(CONTENT[: FIRST_BLOCK + 1])
    wait_until(lambda: file_of(folder, path).exists(), "the file")
    assert requests.head(right.server.url + path, timeout=25).status_code == 200
    older.send(CONTENT[FIRST_BLOCK + 1 :])
    assert older.answer() == (200, None)
    check_delivered(app, folder, right, path)


def test_nobody_waits_for_a_request_that_stalls_in_another_process(folder, pair, app):
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, LIE)
    offset = ask(right, path)
    assert offset == 0, "who waits for his client cannot say what he has written"
    # It wakes up between the question and the request that trusts the answer.
    older.send(LIE[FIRST_BLOCK + 1 :])
    assert older.answer() in OVER
    assert state_of(right, path)["received"] == []
    assert append(right, path, 0).status_code == 204
    check_delivered(app, folder, right, path)


def test_what_a_living_request_of_another_process_has_written_counts(folder, pair, app):
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, CONTENT)
    ended = threading.Event()

    def drip() -> None:
        position = FIRST_BLOCK + 1
        try:
            while not ended.is_set() and position < len(CONTENT):
                older.send(CONTENT[position : position + KIB])
                position += KIB
                ended.wait(0.02)
        except OSError:  # it was hung up on
            pass

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        offset = ask(right, path)
    finally:
        ended.set()
        thread.join()
    assert offset >= FIRST_BLOCK
    assert append(right, path, offset).status_code == 204
    check_delivered(app, folder, right, path)


@anywhere
def test_a_newer_append_takes_over_without_having_asked(folder, pair, app, where):
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, LIE)
    newer = right if where == "another process" else left
    assert append(newer, path, 0).status_code == 204
    check_delivered(app, folder, right, path)
    older.send_if_possible(LIE[FIRST_BLOCK + 1 :])
    assert older.answer() in OVER
    assert file_of(folder, path).read_bytes() == CONTENT


@anywhere
def test_the_offset_of_a_refusal_stays_true(folder, pair, app, where):
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, CONTENT)
    newer = right if where == "another process" else left
    refusal = append(newer, path, 5)
    assert refusal.status_code == 409
    older.send_if_possible(CONTENT[FIRST_BLOCK + 1 :])
    assert older.answer() in OVER
    offset = int(refusal.headers["Upload-Offset"])
    assert append(newer, path, offset).status_code == 204
    check_delivered(app, folder, right, path)


def test_a_killed_process_is_waited_for_by_nobody(folder, pair, app):
    left, right = pair
    path = begin(left, app.url)
    stall(folder, left, path, LIE)
    left.kill_worker()
    assert claims_of(folder, path) - {""}, "it has died with its claim"
    assert ask(right, path) == 0
    assert append(right, path, 0).status_code == 204
    check_delivered(app, folder, right, path)


def test_a_frozen_process_that_thaws_spoils_nothing(folder, pair, app):
    left, right = pair
    path = begin(left, app.url)
    older = stall(folder, left, path, LIE)
    left.freeze()
    try:
        older.send(LIE[FIRST_BLOCK + 1 : 2 * FIRST_BLOCK])
        assert ask(right, path) == 0
        assert append(right, path, 0).status_code == 204
    finally:
        left.thaw()
    older.send(LIE[2 * FIRST_BLOCK :])
    assert older.answer() in OVER
    check_delivered(app, folder, right, path)


def test_a_writer_that_was_stopped_in_the_middle_of_a_block_is_waited_for(folder, pair, app):
    """The permit is given, the block is not written: the newer one must not write before that."""
    left, right = pair
    path = begin(left, app.url)
    left.arm("writing")
    older = RawAppend(left, path, 0, len(CONTENT))
    older.send(LIE[: FIRST_BLOCK + 1])
    left.wait_for("writing")
    assert ask(right, path) == 0
    newer = RawAppend(right, path, 0, len(CONTENT))
    newer.send(CONTENT)
    wait_until(right.waits_for_lock, "that the newer request waits for the file")
    left.let_go("writing")
    assert newer.answer() == (204, None)
    check_delivered(app, folder, right, path)
