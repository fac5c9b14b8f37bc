"""The SHA-256 of whole files: who may expect one, that it is checked before anybody is called, and
that nothing in between, a kill among it, lets a file through unchecked."""

from __future__ import annotations

import base64
import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from itertools import count

import pytest
from servers import serving
from waiting import wait_until
from webapp import web_app
from webtest import TestApp

from incoming_wsgi import BadRequest, FileChanged, Incoming, UploadState, completion
from incoming_wsgi.client import Handover, IncomingClient
from incoming_wsgi.engine import Declaration
from incoming_wsgi.file_digests import compute_sha256
from incoming_wsgi.uploads import now

# From FIPS 180-4 and NIST's examples of it: one block, no byte, a million times "a".
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
MILLION = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
# sha256sum of "abd" says so.
ABD = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
HOUR_S = 3600.0
LOOPBACK = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}


@pytest.fixture
def make(tmp_path):
    made = []

    def make(**settings) -> Incoming:
        settings = {"handover_retry_s": 0.05, "handover_timeout_s": 5, **settings}
        made.append(Incoming(tmp_path / "incoming", **settings))
        made[-1].start_background()
        return made[-1]

    yield make
    for incoming in made:
        incoming.close()


@pytest.fixture
def at_another_time(monkeypatch):
    """Set the clock of this process an hour ahead: the leases of all others look over to it."""

    def ahead() -> None:
        at = now() + HOUR_S
        for room in ("housekeeping", "completion", "background"):
            monkeypatch.setattr(f"incoming_wsgi.{room}.now", lambda: at)

    return ahead


def send(incoming, upload_id, content=b"abc", *, chunk=2, **said):
    """In chunks; returns how to ask for it."""
    page, url = TestApp(incoming), f"/frontend/uploads/{upload_id}"
    if said or not content:
        page.post_json(url, {"length": len(content), **said})
    for start in range(0, len(content), chunk):
        put(page, url, content, start, min(start + chunk, len(content)))
    return lambda: page.get(url).json


def put(page, url, content, start, stop, **headers):
    place = f"bytes {start}-{stop - 1}/{len(content)}"
    return page.put(url, content[start:stop], headers={"Content-Range": place, **headers})


def in_base64(sha256: str) -> str:
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def wait_for_state(incoming, upload_id, state: str):
    def reached():
        found = incoming.status(upload_id)
        return found if found.state.value == state else None

    return wait_until(reached, state)


def file_of(tmp_path, upload_id):
    return tmp_path / "incoming" / "files" / upload_id


def change(tmp_path, what: str) -> None:
    """In all records."""
    with closing(sqlite3.connect(tmp_path / "incoming" / "incoming.db")) as database, database:
        database.execute(f"UPDATE uploads SET {what}")


def wrong(expected: str, found: str) -> str:
    return f"the file's SHA-256 is {found}, announced was {expected}"


# what is asked for is computed, and told


@pytest.mark.parametrize("asked", [{"sha256": ABC.upper()}, {"wants_sha256": True}])
def test_a_function_is_told_the_sha256_that_the_ticket_asked_for(make, asked):
    told = []
    incoming = make(on_finished=lambda upload: told.append((upload.sha256, upload.record.sha256)))
    upload_id = incoming.new_upload(**asked)
    ask = send(incoming, upload_id)
    wait_for_state(incoming, upload_id, "FINISHED")
    assert told == [(ABC, ABC)]
    assert ask()["sha256"] == ABC


@pytest.mark.parametrize("asked", [{"sha256": MILLION}, {"wants_sha256": True}])
def test_an_app_is_told_the_sha256_that_it_asked_for_over_http(make, monkeypatch, asked):
    monkeypatch.setattr("incoming_wsgi.file_digests.BLOCK_BYTES", 4096 + 7)
    incoming = make(backend_api=True)
    with web_app() as app, serving(incoming) as url:
        upload_id = IncomingClient(url).new_upload(signal_finish_url=app.url, **asked)
        send(incoming, upload_id, b"a" * 1_000_000, chunk=300_000)
        (handover,) = app.wait_for(1)
        assert handover.form["sha256"] == MILLION
        assert Handover.from_params(handover.form).sha256 == MILLION
        wait_for_state(incoming, upload_id, "FINISHED")
        assert IncomingClient(url).status(upload_id).sha256 == MILLION


def test_a_page_may_say_which_sha256_the_file_has(make):
    told = []
    incoming = make(on_finished=lambda upload: told.append(upload.sha256))
    upload_id = incoming.new_upload()
    send(incoming, upload_id, sha256=ABC.upper())
    wait_for_state(incoming, upload_id, "FINISHED")
    assert told == [ABC]


def test_nobody_asks_and_nothing_is_read_or_told(make, monkeypatch):
    monkeypatch.setattr(completion, "compute_sha256", None)
    told = []
    incoming = make(on_finished=lambda upload: told.append(upload.sha256))
    upload_id = incoming.new_upload()
    ask = send(incoming, upload_id)
    wait_for_state(incoming, upload_id, "FINISHED")
    assert (told, ask()["sha256"]) == ([None], None)


@pytest.mark.parametrize("asked", [{}, {"sha256": ABC}, {"wants_sha256": True}])
def test_the_digest_of_a_file_in_one_chunk_is_that_of_the_file(make, monkeypatch, asked):
    """It was checked when it came, and is not computed again."""
    monkeypatch.setattr(completion, "compute_sha256", None)
    told = []
    incoming = make(on_finished=lambda upload: told.append(upload.sha256))
    upload_id = incoming.new_upload(**asked)
    page, url = TestApp(incoming), f"/frontend/uploads/{upload_id}"
    put(page, url, b"abc", 0, 3, **{"Content-Digest": in_base64(ABC)})
    wait_for_state(incoming, upload_id, "FINISHED")
    assert told == [ABC]
    assert page.get(url).json["sha256"] == ABC


def test_the_digest_of_a_file_in_one_chunk_is_found_by_another_process_too(make, tmp_path):
    """Whose record says nothing of it: one that an older version has written."""
    first = make(background=False, on_finished=lambda _: None)
    upload_id = first.new_upload()
    page, url = TestApp(first), f"/frontend/uploads/{upload_id}"
    put(page, url, b"abc", 0, 3, **{"Content-Digest": in_base64(ABC)})
    change(tmp_path, "sha256 = NULL")
    told = []
    make(background=False, on_finished=lambda upload: told.append(upload.sha256)).do_housekeeping()
    assert told == [ABC]


def test_an_empty_file_has_a_sha256_too(make):
    told = []
    incoming = make(on_finished=lambda upload: told.append(upload.sha256))
    good, bad = (incoming.new_upload(sha256=each) for each in (NOTHING, ABC))
    for upload_id in (good, bad):
        send(incoming, upload_id, b"")
    wait_for_state(incoming, good, "FINISHED")
    assert wait_for_state(incoming, bad, "FAILED").reason == wrong(ABC, NOTHING)
    assert told == [NOTHING]


# another file than the one that was announced


def test_another_file_is_never_handed_over_and_is_kept(make, tmp_path):
    incoming = make()
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        ask = send(incoming, upload_id, b"abd")
        failed = wait_for_state(incoming, upload_id, "FAILED")
        assert (failed.attempt, app.handovers) == (0, [])
    assert failed.reason == ask()["reason"] == wrong(ABC, ABD)
    assert file_of(tmp_path, upload_id).read_bytes() == b"abd"


def test_another_file_in_one_chunk_is_never_handed_over_either(make):
    incoming = make()
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        url = f"/frontend/uploads/{upload_id}"
        put(TestApp(incoming), url, b"abd", 0, 3, **{"Content-Digest": in_base64(ABD)})
        assert wait_for_state(incoming, upload_id, "FAILED").reason == wrong(ABC, ABD)
        assert app.handovers == []


@pytest.mark.parametrize("in_one_chunk", [False, True])
def test_a_retry_checks_again(make, tmp_path, in_one_chunk):
    incoming = make(background=False)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        page, url = TestApp(incoming), f"/frontend/uploads/{upload_id}"
        if in_one_chunk:
            put(page, url, b"abd", 0, 3, **{"Content-Digest": in_base64(ABD)})
        else:
            send(incoming, upload_id, b"abd")
        for _ in range(2):
            incoming.do_housekeeping()
            assert incoming.status(upload_id).reason == wrong(ABC, ABD)
            incoming.retry_handover(upload_id)
        file_of(tmp_path, upload_id).write_bytes(b"abc")  # mended by hand
        incoming.do_housekeeping()
        assert incoming.status(upload_id).state is UploadState.FINISHED
        (handover,) = app.handovers
    assert (handover.content, handover.form["sha256"]) == (b"abc", ABC)
    assert page.get(url).json["sha256"] == ABC


def test_a_file_that_was_changed_on_the_disk_is_found_out(make, tmp_path):
    incoming = make(background=False)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        send(incoming, upload_id)
        assert incoming.status(upload_id).state is UploadState.COMPLETE
        file_of(tmp_path, upload_id).write_bytes(b"abd")
        incoming.do_housekeeping()
        assert incoming.status(upload_id).reason == wrong(ABC, ABD)
        assert app.handovers == []


def test_a_sha256_that_is_declared_after_the_claim_on_the_last_bytes_is_checked_too(make):
    """The request that brings them could call the app at once: nothing had to be read when it
    began."""
    told = []
    incoming = make(on_finished=lambda upload: told.append((upload.sha256, upload.attempt)))
    uploads = {incoming.new_upload(): sha256 for sha256 in (ABC, ABD)}
    for upload_id, sha256 in uploads.items():
        TestApp(incoming).post_json(f"/frontend/uploads/{upload_id}", {"length": 3})

        def blocks(upload_id=upload_id, sha256=sha256):
            said = Declaration(length=3, expected_sha256=sha256)
            incoming._engine.declare(upload_id, said)
            yield b"abc"

        incoming._engine.store(upload_id, start=0, stop=3, length=3, blocks=blocks())
    good, bad = uploads
    wait_for_state(incoming, good, "FINISHED")
    assert wait_for_state(incoming, bad, "FAILED").reason == wrong(ABD, ABC)
    assert told == [(ABC, 1)]


# who may say what


def test_the_tickets_sha256_cannot_be_changed_by_a_page(make):
    incoming = make(on_finished=lambda _: None)
    upload_id = incoming.new_upload(sha256=ABC)
    page, url = TestApp(incoming), f"/frontend/uploads/{upload_id}"
    answer = page.post_json(url, {"length": 3, "sha256": ABD}, status=409).json
    assert (answer["code"], answer["what"]) == ("file_changed", "sha256")
    assert (answer["expected"], answer["provided"]) == (ABC, ABD)
    page.post_json(url, {"length": 3, "sha256": ABC})
    page.post_json(url, {"length": 3})
    assert incoming.status(upload_id).expected_sha256 == ABC


@pytest.mark.parametrize("stored", [0, 2, 3])
def test_a_sha256_that_was_declared_stays(make, stored):
    incoming = make(background=False, on_finished=lambda _: None)
    upload_id = incoming.new_upload()
    page, url = TestApp(incoming), f"/frontend/uploads/{upload_id}"
    page.post_json(url, {"length": 3, "sha256": ABC})
    if stored:
        put(page, url, b"abc", 0, stored)
    page.post_json(url, {"length": 3, "sha256": ABC})
    page.post_json(url, {"length": 3})
    assert page.post_json(url, {"length": 3, "sha256": ABD}, status=409).json["what"] == "sha256"
    assert incoming.status(upload_id).expected_sha256 == ABC


def test_a_page_may_say_the_sha256_after_its_first_bytes(make):
    incoming = make(on_finished=lambda _: None)
    upload_id = incoming.new_upload()
    page, url = TestApp(incoming), f"/frontend/uploads/{upload_id}"
    put(page, url, b"abc", 0, 2)
    page.post_json(url, {"length": 3, "sha256": ABD})
    put(page, url, b"abc", 2, 3)
    assert wait_for_state(incoming, upload_id, "FAILED").reason == wrong(ABD, ABC)


def test_what_is_known_of_a_complete_file_shows_that_another_was_chosen(make):
    incoming = make(on_finished=lambda _: None)
    upload_id = incoming.new_upload(wants_sha256=True)
    send(incoming, upload_id)
    wait_for_state(incoming, upload_id, "FINISHED")
    with pytest.raises(FileChanged):
        incoming._engine.declare(upload_id, Declaration(length=3, expected_sha256=ABD))
    assert incoming._engine.declare(upload_id, Declaration(length=3, expected_sha256=ABC))


@pytest.mark.parametrize("value", ["", "abc", ABC[:-1], ABC + "0", "g" * 64, f" {ABC}", 7, [ABC]])
def test_what_is_no_sha256_is_refused(make, value):
    incoming = make(on_finished=lambda _: None, backend_api=True)
    with pytest.raises(BadRequest, match=r"sha256 is .*64 hexadecimal digits"):
        incoming.new_upload(sha256=value)
    page = TestApp(incoming, extra_environ=LOOPBACK)
    url = f"/frontend/uploads/{incoming.new_upload()}"
    answer = page.post_json(url, {"length": 3, "sha256": value}, status=400).json
    assert "64 hexadecimal digits" in answer["detail"]
    if value:  # an empty parameter is none
        form = {"signalFinishURL": "http://127.0.0.1:1/", "sha256": str(value)}
        answer = page.post("/backend/new_upload", form, status=400)
        assert "64 hexadecimal digits" in answer.text


def test_the_parameters_of_the_backend(make):
    incoming = make(backend_api=True)
    page, form = (
        TestApp(incoming, extra_environ=LOOPBACK),
        {"signalFinishURL": "http://127.0.0.1:1/"},
    )

    def record(**more):
        upload = incoming.status(page.post("/backend/new_upload", {**form, **more}).text)
        return upload.expected_sha256, upload.wants_sha256

    assert record() == (None, False)
    assert record(sha256="", wantsSha256="") == (None, False)
    assert record(sha256=ABC, wantsSha256="1") == (ABC, True)
    assert record(wantsSha256="false") == (None, False)
    answer = page.post("/backend/new_upload", {**form, "wantsSha256": "yes"}, status=400)
    assert answer.text.startswith("wantsSha256 is")


# what happens in between


SLOW = """
import sys, time
from incoming_wsgi import Incoming, completion
compute, calls = completion.compute_sha256, []

def pause():
    calls.append(None)
    if len(calls) == 2:  # the first block has been read
        print("reading", flush=True)
        time.sleep(60)
    return True

completion.compute_sha256 = lambda path, may_go_on: compute(path, may_go_on=pause)
Incoming(sys.argv[1], background=False).do_housekeeping()
"""


@pytest.mark.parametrize(("content", "state"), [(b"abc", "FINISHED"), (b"abd", "FAILED")])
def test_when_the_one_that_reads_is_killed_another_checks(
    make, tmp_path, at_another_time, content, state
):
    incoming = make(background=False)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        send(incoming, upload_id, content)
        command = [sys.executable, "-c", SLOW, str(tmp_path / "incoming")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
            try:
                assert reader.stdout.readline() == b"reading\n"
                assert incoming.do_housekeeping() == 0  # one reads, and that is enough
                at_another_time()
                incoming.do_housekeeping()  # not while that one lives, whatever the clock says
                assert app.handovers == []
                assert incoming.status(upload_id).state is UploadState.COMPLETE
            finally:
                reader.kill()
        change(tmp_path, "due_at = 0")  # the lease has ended
        incoming.do_housekeeping()
        assert incoming.status(upload_id).state.value == state
        assert [handover.form["attempt"] for handover in app.handovers] == (
            ["1"] if state == "FINISHED" else []
        )


class Reading:
    """Stops the reading of a file after its first block, until it may go on."""

    def __init__(self, monkeypatch) -> None:
        self.began, self.may_end, self.ended = (threading.Event() for _ in range(3))
        monkeypatch.setattr(completion, "compute_sha256", self)

    def __call__(self, path, *, may_go_on):
        def after_a_block() -> bool:
            if next(calls) == 1:
                self.began.set()
                self.may_end.wait(30)
            return may_go_on()

        calls = count()
        try:
            return compute_sha256(path, may_go_on=after_a_block)
        finally:
            self.ended.set()


def test_a_reading_that_takes_longer_than_a_lease_is_one_reading(make, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.housekeeping.LEASE_S", 0.5)
    for name in ("RENEW_EVERY_S", "LOOK_AGAIN_S"):
        monkeypatch.setattr(f"incoming_wsgi.background.{name}", 0.1)
    reading, first = Reading(monkeypatch), make()
    with web_app() as app:
        upload_id = first.new_upload(signal_finish_url=app.url, sha256=ABC)
        send(first, upload_id)
        assert reading.began.wait(30)
        leased_until = first.status(upload_id).due_at
        second = make()
        wait_until(lambda: first.status(upload_id).due_at > leased_until + 1, "many renewals")
        reading.may_end.set()
        wait_for_state(second, upload_id, "FINISHED")
        assert [handover.form["attempt"] for handover in app.handovers] == ["1"]


def test_an_upload_can_be_cancelled_while_it_is_read_and_nobody_is_called(
    make, tmp_path, monkeypatch
):
    monkeypatch.setattr("incoming_wsgi.file_digests.BLOCK_BYTES", 1)
    reading, incoming = Reading(monkeypatch), make()
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        ask = send(incoming, upload_id)
        assert reading.began.wait(30)
        assert (ask()["state"], ask()["sha256"]) == ("COMPLETE", None)
        incoming.cancel_upload(upload_id)
        reading.may_end.set()
        assert reading.ended.wait(30)
        wait_until(lambda: not incoming._background._dispatcher._jobs.are_running(), "the end")
        assert incoming.status(upload_id).state is UploadState.CANCELLED
        assert app.handovers == []
    assert not file_of(tmp_path, upload_id).exists()


def test_a_process_that_ends_leaves_the_reading_to_another_at_once(make, monkeypatch):
    first, second = make(background=False), make(background=False)
    with web_app() as app:
        upload_id = first.new_upload(signal_finish_url=app.url, sha256=ABC)
        send(first, upload_id)
        with monkeypatch.context() as patched:
            patched.setattr(completion, "is_ending", lambda: True)
            first._housekeeping.look_after(first._housekeeping.lease_due())
        assert (first.status(upload_id).state, app.handovers) == (UploadState.COMPLETE, [])
        assert second.do_housekeeping() == 1
        assert second.status(upload_id).state is UploadState.FINISHED


def test_a_file_that_cannot_be_read_is_tried_again_until_it_is_given_up(
    make, tmp_path, monkeypatch
):
    def broken(path, *, may_go_on):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def look():
        change(tmp_path, "due_at = 0")  # the lease has ended
        incoming.do_housekeeping()
        return incoming.status(upload_id)

    incoming = make(background=False)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        send(incoming, upload_id)
        with monkeypatch.context() as patched:
            patched.setattr(completion, "compute_sha256", broken)
            assert look().state is UploadState.COMPLETE
            assert look().state is UploadState.COMPLETE
            give_up_at = incoming.status(upload_id).give_up_at
            patched.setattr(completion, "now", lambda: give_up_at)
            failed = look()
        assert (failed.state, failed.reason) == (UploadState.FAILED, "the file could not be read")
        incoming.retry_handover(upload_id)
        assert file_of(tmp_path, upload_id).read_bytes() == b"abc"
        assert app.handovers == []
        assert look().state is UploadState.FINISHED


def test_a_file_that_vanishes_while_it_is_read_is_not_taken(make, tmp_path, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.file_digests.BLOCK_BYTES", 1)
    reading, incoming = Reading(monkeypatch), make()
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, sha256=ABC)
        send(incoming, upload_id)
        assert reading.began.wait(30)
        file_of(tmp_path, upload_id).unlink()
        reading.may_end.set()
        failed = wait_for_state(incoming, upload_id, "FAILED")
        assert failed.reason == "the file is not in the storage folder any more"
        assert app.handovers == []


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, threading
from pathlib import Path
from incoming_wsgi import file_digests

file_digests.BLOCK_BYTES = 1
began, turns = threading.Event(), []

def take_turn():
    turns.append(None)
    began.set()
    return True

def other():
    began.wait()
    print(len(turns))

other = threading.Thread(target=other)
other.start()
file_digests.compute_sha256(Path(sys.argv[1]), may_go_on=take_turn)
"""


def test_a_reading_lets_others_go_on_where_threads_are_greenlets(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    command = [sys.executable, "-c", GREENLETS, str(tmp_path / "abc")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "1\n"  # after the first block, and not after the last


# what a tus client says besides

# The example of tus 1.0.0, "Upload-Metadata", and what a client of ours adds.
PLAN = "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential"


def test_the_app_is_told_what_a_tus_client_says_besides(make):
    told = []
    incoming = make(on_finished=lambda upload: told.append(upload.client_metadata))
    said = Declaration(length=3, metadata=f"{PLAN},ticket eHl6")
    expected = {"filename": "world_domination_plan.pdf", "is_confidential": ""}
    with web_app() as app:
        for signal_finish_url in (app.url, None):
            upload_id = incoming.new_upload(signal_finish_url=signal_finish_url)
            incoming._engine.declare(upload_id, said)
            send(incoming, upload_id)
            wait_for_state(incoming, upload_id, "FINISHED")
        (handover,) = app.handovers
    assert told == [expected]
    assert json.loads(handover.form["metadata"]) == expected
    assert Handover.from_params(handover.form).client_metadata == expected
    assert incoming.status(upload_id).client_metadata == expected
    assert incoming.status(upload_id).metadata == f"{PLAN},ticket eHl6"


def test_another_declaration_says_it_anew_as_long_as_nothing_is_stored(make):
    incoming = make(background=False, on_finished=lambda _: None)
    engine, upload_id = incoming._engine, incoming.new_upload()
    engine.declare(upload_id, Declaration(length=3, metadata=PLAN))
    assert engine.declare(upload_id, Declaration(length=3)).metadata is None
    put(TestApp(incoming), f"/frontend/uploads/{upload_id}", b"abc", 0, 2)
    assert engine.declare(upload_id, Declaration(length=3, metadata=PLAN)).metadata == PLAN
    assert engine.declare(upload_id, Declaration(length=3, metadata="k dg==")).metadata == PLAN
