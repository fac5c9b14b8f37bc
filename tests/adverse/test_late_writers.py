"""A complete file does not change by one byte, whoever still has something to say.

The late writers are connections to another process than the one that completes the file. They
stall at the first byte, in the middle and before the last byte of a chunk, among them those with
the first and the last byte of the file; without a digest, with one that is right for their bytes,
and with one that is right for the file; and when they go on, they send other bytes.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from rivals import (
    RawPut,
    claims_of,
    digest_of,
    file_of,
    lie_about,
    new_upload,
    put,
    state_of,
    wait_for_state,
)
from waiting import wait_until
from webapp import Reply, reply, web_app

KIB = 1024
CHUNK = 160 * KIB
FIRST_BLOCK = 64 * KIB  # what is written while the rest of the chunk has not come
CONTENT = random.Random(20).randbytes(9 * CHUNK)
LIE = lie_about(CONTENT)
SUPERSEDED = (409, "superseded")
NOWHERE = "http://127.0.0.1:9/"  # the discard port: nobody answers


@dataclass
class Late:
    """Nine late writers on the left server, one for each ninth of the file."""

    puts: list[tuple[RawPut, bytes]]  # what each will say when it wakes up

    def wake_up(self) -> set[tuple[int, str | None]]:
        """The answers they get."""
        for late, rest in self.puts:
            late.send(rest)
        return {late.answer() for late, _ in self.puts}


@contextmanager
def late_writers(folder: Path, left, path: str):
    """They have their claims, and those in the middle of their chunk have written lies."""
    puts = []
    for number in range(9):
        start = number * CHUNK
        lie = LIE[start : start + CHUNK]
        stall = (0, CHUNK // 2, CHUNK - 1)[number % 3]
        digest = (None, digest_of(lie), digest_of(CONTENT[start : start + CHUNK]))[number // 3]
        late = RawPut(left, path, start, start + CHUNK, length=len(CONTENT), digest=digest)
        late.send(lie[:stall])
        puts.append((late, lie[stall:]))
    wait_until(lambda: len(claims_of(folder, path)) == 9, "the claims of the late writers")
    file = file_of(folder, path)
    for start in (number * CHUNK for number in range(9) if number % 3):
        wait_until(
            lambda start=start: read(file, start, FIRST_BLOCK) == LIE[start : start + FIRST_BLOCK],
            "the first lies",
        )
    try:
        yield Late(puts)
    finally:
        for late, _ in puts:
            late.close()


def read(file: Path, start: int, length: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(start)
        return stream.read(length)


@contextmanager
def untouched(file: Path):
    """The file is right, and what happens here does not even write to it."""
    before = file.stat()
    assert file.read_bytes() == CONTENT
    yield
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert file.read_bytes() == CONTENT


def complete(right, path: str) -> None:
    response = put(right, path, CONTENT)
    assert response.status_code == 200
    assert response.json()["state"] in ("COMPLETE", "HANDING_OVER", "FINISHED")


def test_late_bytes_before_the_app_is_called(folder, pair):
    left, right = pair
    with web_app() as app:
        port = app.port
    path = new_upload(right, app.url)
    with late_writers(folder, left, path) as late:
        complete(right, path)  # and the app is down
        with untouched(file_of(folder, path)):
            assert late.wake_up() == {SUPERSEDED}
            with web_app(port=port) as app:
                wait_for_state(right, path, "FINISHED")
                assert [handover.content == CONTENT for handover in app.handovers] == [True]


def test_late_bytes_while_the_app_is_being_called(folder, pair):
    left, right = pair
    seen = []
    gate = threading.Event()

    def hold(handover, handler) -> None:
        seen.append(Path(handover.form["filename"]).read_bytes())
        assert gate.wait(60)
        seen.append(Path(handover.form["filename"]).read_bytes())
        reply()(handover, handler)

    with web_app(hold) as app:
        path = new_upload(right, app.url)
        with late_writers(folder, left, path) as late:
            complete(right, path)
            app.wait_for(1)
            with untouched(file_of(folder, path)):
                assert state_of(left, path)["state"] == "HANDING_OVER"
                assert late.wake_up() == {SUPERSEDED}
                gate.set()
                wait_for_state(right, path, "FINISHED")
    assert [content == CONTENT for content in seen] == [True, True]


def test_late_bytes_after_done_with_the_file_left_in_its_place(folder, pair):
    left, right = pair
    with web_app() as app:
        path = new_upload(right, app.url)
        with late_writers(folder, left, path) as late:
            complete(right, path)
            wait_for_state(right, path, "FINISHED")
            with untouched(file_of(folder, path)):
                assert late.wake_up() == {SUPERSEDED}


def move_to(archive: Path, answer: Reply) -> Reply:
    """As an app does: the same inode under another name."""

    def move(handover, handler) -> None:
        Path(handover.form["filename"]).rename(archive)
        answer(handover, handler)

    return move


@pytest.mark.parametrize("answer", ["done", "wait", "an error"])
def test_late_bytes_after_the_app_moved_the_file_away(folder, pair, answer):
    left, right = pair
    archive = folder / f"archive-{answer}"
    answers = {"done": reply(), "wait": reply(body=b"wait"), "an error": reply(500)}
    with web_app(move_to(archive, answers[answer])) as app:
        path = new_upload(right, app.url)
        with late_writers(folder, left, path) as late:
            complete(right, path)
            after = "AWAITING_CONFIRMATION" if answer == "wait" else "FINISHED"
            wait_for_state(right, path, after)
            with untouched(archive):
                assert late.wake_up() == {SUPERSEDED}
            assert not file_of(folder, path).exists()
        assert len(app.handovers) == 1


def test_late_bytes_after_the_file_was_deleted_as_agreed(folder, pair):
    left, right = pair
    with web_app() as app:
        path = new_upload(right, app.url, remove=True)
        with late_writers(folder, left, path) as late:
            complete(right, path)
            wait_for_state(right, path, "FINISHED")
            wait_until(lambda: not file_of(folder, path).exists(), "the end of the file")
            assert late.wake_up() == {SUPERSEDED}
        assert not file_of(folder, path).exists()


@pytest.mark.parametrize("confirmed", [False, True])
def test_late_bytes_after_wait_and_after_finish_upload(folder, pair, confirmed):
    left, right = pair
    with web_app(reply(body=b"wait")) as app:
        path = new_upload(right, app.url)
        with late_writers(folder, left, path) as late:
            complete(right, path)
            wait_for_state(right, path, "AWAITING_CONFIRMATION")
            with untouched(file_of(folder, path)):
                if confirmed:
                    finish_upload(left, path)
                assert late.wake_up() == {SUPERSEDED}
                if not confirmed:
                    finish_upload(left, path)
                assert state_of(left, path)["state"] == "FINISHED"


def finish_upload(rival, path: str) -> None:
    response = requests.post(
        f"{rival.server.url}/incoming/backend/finish_upload",
        params={"id": path.rpartition("/")[2]},
        timeout=30,
    )
    assert response.status_code == 200, response.text


def test_late_bytes_after_a_cancel_bring_no_file_back(folder, pair):
    left, right = pair
    path = new_upload(right, NOWHERE)
    with late_writers(folder, left, path) as late:
        assert requests.delete(right.server.url + path, timeout=30).status_code == 200
        assert late.wake_up() == {(410, "upload_gone")}
    assert not file_of(folder, path).exists()


def test_late_bytes_after_the_upload_was_forgotten(folder, pair):
    left, right = pair
    with web_app() as app:
        path = new_upload(right, app.url)
        with late_writers(folder, left, path) as late:
            complete(right, path)
            wait_for_state(right, path, "FINISHED")
            right.set_clock(2 * 86400.0)
            try:
                wait_until(lambda: state_of(right, path).get("code"), "the end of the record")
            finally:
                right.set_clock(0.0)
            with untouched(file_of(folder, path)):
                assert late.wake_up() == {(404, "unknown_upload")}


@pytest.mark.parametrize("point", ["unrecorded", "sealed"])
def test_late_bytes_between_the_last_block_and_complete(folder, pair, point):
    """All bytes are written, but the record does not say so yet, or not that it is complete."""
    left, right = pair
    with web_app() as app, ThreadPoolExecutor(1) as pool:
        path = new_upload(right, app.url)
        with late_writers(folder, left, path) as late:
            right.arm(point)
            completing = pool.submit(complete, right, path)
            try:
                right.wait_for(point)
                with untouched(file_of(folder, path)):
                    assert late.wake_up() == {SUPERSEDED}
            finally:
                right.let_go(point)
            completing.result()
            wait_for_state(right, path, "FINISHED")
        assert [handover.content == CONTENT for handover in app.handovers] == [True]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_block_that_is_being_written_is_waited_for_and_written_over(folder, pair, frozen):
    """The older request has asked and was permitted, and then its thread, or the whole process,
    stands still. What it writes after that must come before the newer request's bytes."""
    left, right = pair
    with web_app() as app, ThreadPoolExecutor(1) as pool:
        path = new_upload(right, app.url)
        file = file_of(folder, path)
        left.arm("writing")
        late = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
        late.send(LIE[:FIRST_BLOCK])
        left.wait_for("writing")
        if frozen:
            left.freeze()
        try:
            completing = pool.submit(complete, right, path)
            wait_until(
                lambda: right.waits_for_lock() or read(file, 0, KIB) == CONTENT[:KIB],
                "the newer request's turn",
            )
        finally:
            left.let_go("writing")
            if frozen:
                left.thaw()
        completing.result()
        wait_for_state(right, path, "FINISHED")
        late.send(LIE[FIRST_BLOCK:])
        assert late.answer() == SUPERSEDED
        assert [handover.content == CONTENT for handover in app.handovers] == [True]
        assert file.read_bytes() == CONTENT


def test_a_process_that_is_frozen_until_the_handover_is_over(folder, pair):
    """The late bytes have arrived in the meantime and are in its hands when it wakes up."""
    left, right = pair
    with web_app() as app:
        path = new_upload(right, app.url)
        with late_writers(folder, left, path) as late:
            left.freeze()
            try:
                for writer, rest in late.puts:
                    writer.send(rest)
                complete(right, path)
                wait_for_state(right, path, "FINISHED")
                with untouched(file_of(folder, path)):
                    left.thaw()
                    answers = {writer.answer() for writer, _ in late.puts}
            finally:
                left.thaw()
            assert answers == {SUPERSEDED}
        assert [handover.content == CONTENT for handover in app.handovers] == [True]


@pytest.mark.parametrize("digest", [None, digest_of(LIE)])
def test_bytes_that_are_recorded_are_never_written_again(folder, pair, digest):
    """A repeat with other bytes, before the file is complete: of what it brings only that is
    written which was missing."""
    left, right = pair
    part, sent = FIRST_BLOCK, 6 * FIRST_BLOCK  # at least the second block is written
    with web_app() as app:
        path = new_upload(right, app.url)
        file = file_of(folder, path)
        assert put(right, path, CONTENT, 0, part).json()["received"] == [[0, part]]
        late = RawPut(left, path, 0, len(LIE), length=len(LIE), digest=digest)
        late.send(LIE[:sent])
        wait_until(lambda: read(file, part, KIB) == LIE[part : part + KIB], "the lies")
        assert read(file, 0, part) == CONTENT[:part]
        assert put(right, path, CONTENT, part).status_code == 200
        wait_for_state(right, path, "FINISHED")
        with untouched(file):
            late.send(LIE[sent:])
            assert late.answer() == SUPERSEDED
            assert put(left, path, LIE).status_code == 200  # it has all that already


# A request that was the first and stands still between its claim and the file


@contextmanager
def late_before_the_file_is_open(left, path: str):
    left.arm("claimed")
    late = RawPut(left, path, 0, len(CONTENT), length=len(CONTENT))
    late.send(LIE[:FIRST_BLOCK])
    left.wait_for("claimed")
    try:
        yield late
    finally:
        left.let_go("claimed")
        late.close()


def test_a_file_that_the_app_took_away_does_not_come_back_empty(folder, pair):
    left, right = pair
    archive = folder / "archive-first"
    with web_app(move_to(archive, reply())) as app:
        path = new_upload(right, app.url)
        with late_before_the_file_is_open(left, path) as late:
            complete(right, path)
            wait_for_state(right, path, "FINISHED")
            left.let_go("claimed")
            late.send(LIE[FIRST_BLOCK:])
            assert late.answer()[0] in (200, 404, 409)  # 200: all is there, from others
        assert archive.read_bytes() == CONTENT
        assert not file_of(folder, path).exists()


def test_the_app_is_never_given_an_empty_file_that_a_late_request_made(folder, pair):
    """The app has moved the file, and before it can say so the late request opens it anew; the
    app's answer is no good one, so it might be called again."""
    left, right = pair
    archive = folder / "archive-empty"

    def take_away_and_fail(handover, handler) -> None:
        Path(handover.form["filename"]).rename(archive)
        left.let_go("claimed")
        late.send(LIE[FIRST_BLOCK:])
        assert late.answer()[0] in (200, 404, 409)  # 200: all is there, from others
        reply(500)(handover, handler)

    with web_app(take_away_and_fail, reply()) as app:
        path = new_upload(right, app.url)
        with late_before_the_file_is_open(left, path) as late:
            complete(right, path)
            wait_for_state(right, path, "FINISHED")
        assert archive.read_bytes() == CONTENT
        assert [handover.content == CONTENT for handover in app.handovers] == [True]


def test_a_file_of_an_upload_that_was_forgotten_does_not_come_back(folder, pair):
    left, right = pair
    path = new_upload(right, NOWHERE)
    with late_before_the_file_is_open(left, path) as late:
        requests.post(
            f"{right.server.url}/incoming/backend/cancel_upload",
            params={"id": path.rpartition("/")[2]},
            timeout=30,
        ).raise_for_status()
        right.set_clock(2 * 86400.0)
        try:
            wait_until(lambda: state_of(right, path).get("code"), "the end of the record")
        finally:
            right.set_clock(0.0)
        left.let_go("claimed")
        late.send(LIE[FIRST_BLOCK:])
        assert late.answer() == (404, "unknown_upload")
    assert not file_of(folder, path).exists()


def test_an_empty_file_that_the_app_took_away_does_not_come_back(folder, pair):
    """It is made for the handover, by who makes that, and by no request, however late."""
    left, right = pair
    archive = folder / "archive-length-0"
    with web_app(move_to(archive, reply())) as app:
        path = new_upload(right, app.url)
        assert declare_empty(right, path).status_code == 200
        wait_for_state(right, path, "FINISHED")
        late = declare_empty(left, path)
        assert (late.status_code, late.json()["state"]) == (200, "FINISHED")
        assert archive.read_bytes() == b""
        assert not file_of(folder, path).exists()


def declare_empty(rival, path: str) -> requests.Response:
    return requests.post(rival.server.url + path, json={"length": 0}, timeout=30)
