"""The handover: what the web app is told, what its answers do, and what no answer does."""

from __future__ import annotations

import base64
import copy
import errno
import hmac
import os
import pickle
import re
import sys
import threading
import time

import pytest
import requests
from servers import free_port
from waiting import wait_until
from webapp import reply, web_app
from webtest import TestApp

from incoming_wsgi import BadRequest, Incoming, UploadState, WrongSecret, WrongState
from incoming_wsgi.states import Event

CONTENT = b"all the bytes of the file"


@pytest.fixture
def make(tmp_path):
    """Incoming on the same folder, as often as wanted: restarts."""
    made = []

    def make(**settings) -> Incoming:
        settings = {"handover_retry_s": 0.05, "handover_timeout_s": 5, **settings}
        made.append(Incoming(tmp_path / "incoming", **settings))
        made[-1].start_background()
        return made[-1]

    yield make
    for incoming in made:
        incoming.close()


def upload(incoming, upload_id, content=CONTENT, filename="Grüße.txt", **more):
    app = TestApp(incoming)
    url = f"/frontend/uploads/{upload_id}"
    app.post_json(url, {"filename": filename, "length": len(content), **more})
    if content:
        headers = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
        app.put(url, content, headers=headers)
    return url


def wait_for_state(incoming, upload_id, *states: str):
    def reached():
        found = incoming.status(upload_id)
        return found if found.state.value in states else None

    return wait_until(reached, f"{' or '.join(states)}")


def file_of(tmp_path, upload_id):
    return tmp_path / "incoming" / "files" / upload_id


# what the app is told


def test_the_handover_has_everything_the_original_sends_and_more(make, tmp_path):
    incoming = make()
    with web_app() as app:
        upload_id = incoming.new_upload(
            signal_finish_url=app.url + "?shop=7&x=%20y", secret="a&b=c ß"
        )
        upload(incoming, upload_id)
        (handover,) = app.wait_for(1)
    delivery_id = handover.form.pop("deliveryId")
    assert len(delivery_id) == 36
    assert handover.path == "/api/backend/upload_finished?shop=7&x=%20y"
    assert handover.form == {
        "id": upload_id,
        "filename": str(file_of(tmp_path, upload_id)),
        "filenameFromBrowser": "Grüße.txt",
        "backendSecret": "a&b=c ß",
        "signalFinishSecret": "a&b=c ß",
        "cancelled": "no",
        "cancelReason": "",
        "attempt": "1",
        "length": str(len(CONTENT)),
    }
    assert handover.content == CONTENT


def test_the_sha256_is_told_of_a_file_that_came_whole_with_its_digest(make):
    seen = []
    incoming = make(on_finished=lambda upload: seen.append(upload.sha256))
    # Of b"abc", from FIPS 180-4.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    encoded = base64.b64encode(bytes.fromhex(digest)).decode()
    headers = {"Content-Range": "bytes 0-2/3", "Content-Digest": f"sha-256=:{encoded}:"}
    page = TestApp(incoming)
    with web_app() as app:
        page.put(
            f"/frontend/uploads/{incoming.new_upload(signal_finish_url=app.url)}",
            b"abc",
            headers=headers,
        )
        (handover,) = app.wait_for(1)
    page.put(f"/frontend/uploads/{incoming.new_upload()}", b"abc", headers=headers)
    wait_until(lambda: seen, "the function")
    assert handover.form["sha256"] == digest
    assert seen == [digest]


def test_the_relative_path_is_told_made_safe(make):
    incoming = make()
    with web_app() as app:
        for relative_path in ("../Urlaub\\Tag 1/Grüße.txt", "Grüße.txt"):
            upload_id = incoming.new_upload(signal_finish_url=app.url)
            upload(incoming, upload_id, relative_path=relative_path)
            wait_for_state(incoming, upload_id, "FINISHED")
        cancelled = incoming.new_upload(signal_finish_url=app.url)
        page, url = TestApp(incoming), f"/frontend/uploads/{cancelled}"
        page.post_json(url, {"filename": "x", "length": 1, "relative_path": "/a/x"})
        page.delete(url)
        handovers = app.wait_for(3)
    told = [handover.form["relativePath"] for handover in handovers]
    assert told == ["Urlaub/Tag 1/Grüße.txt", "Grüße.txt", "a/x"]


@pytest.mark.parametrize(
    "target",
    ["/h/x/../y/./z", "/h?q=%7Efoo", "/h//x", "/h;p?a+b&&=", "/h?a=b?c"],
)
def test_the_callback_is_called_exactly_as_it_was_given(make, target):
    incoming = make()
    with web_app() as app:
        url = f"http://127.0.0.1:{app.port}{target}"
        upload(incoming, incoming.new_upload(signal_finish_url=url))
        (handover,) = app.wait_for(1)
    assert handover.path == target


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b\\c", "..", "x\r\ny"])
def test_the_browsers_name_can_be_joined_to_a_folder(make, name):
    incoming = make()
    with web_app() as app:
        upload(incoming, incoming.new_upload(signal_finish_url=app.url), filename=name)
        (handover,) = app.wait_for(1)
    assert handover.form["filenameFromBrowser"] in ("passwd", "c", "upload", "xy")


def test_an_empty_file_is_handed_over_as_an_existing_empty_file(make):
    incoming = make()
    with web_app() as app:
        upload(incoming, incoming.new_upload(signal_finish_url=app.url), content=b"")
        (handover,) = app.wait_for(1)
    assert handover.content == b""
    assert handover.form["length"] == "0"


# done


@pytest.mark.parametrize("body", [b"done", b"done\n", b"done. thank you", b"done" * 1_000_000])
def test_done_finishes_and_the_file_is_removed(make, tmp_path, body):
    incoming = make()
    with web_app(reply(200, body)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        finished = wait_for_state(incoming, upload_id, "FINISHED")
        assert finished.reason is None
        wait_until(lambda: not file_of(tmp_path, upload_id).exists(), "removal")
        assert len(app.handovers) == 1


def test_the_file_stays_if_that_was_agreed(make, tmp_path):
    incoming = make()
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, remove_file_when_finished=False)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
    assert file_of(tmp_path, upload_id).read_bytes() == CONTENT


def chunked(handover, handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for piece in (b"d", b"on", b"e\n"):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")


def without_a_length(handover, handler):
    handler.protocol_version = "HTTP/1.0"
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"done")


def without_an_end(handover, handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"done")
    handler.wfile.flush()
    time.sleep(2)  # longer than the test's patience with a wrong second call


def shorter_than_announced(handover, handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"done")


@pytest.mark.parametrize(
    "answer", [chunked, without_a_length, without_an_end, shorter_than_announced]
)
def test_done_is_understood_as_soon_as_it_is_there(make, answer):
    incoming = make()
    with web_app(answer) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
        assert len(app.handovers) == 1


# no good answer


def hang_up(handover, handler):
    handler.connection.close()


def garbage(handover, handler):
    handler.wfile.write(b"\0\1\2 this is not HTTP\r\n\r\n")


def broken_off(handover, handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "10")
    handler.end_headers()
    handler.wfile.write(b"ok")
    handler.connection.close()


def not_gzip(handover, handler):
    reply(200, b"ok, thank you", Content_Encoding="gzip")(handover, handler)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(500, b"done"), "the web app answered 500"),
        (reply(404, b"no"), "the web app answered 404"),
        (reply(204, b""), "the web app answered 204"),
        (reply(302, b"done", Location="http://127.0.0.1:1/"), "the web app answered 302"),
        (reply(307, b"done", Location="http://127.0.0.1:1/"), "the web app answered 307"),
        (reply(200, b""), "neither done nor wait"),
        (reply(200, b"d"), "neither done nor wait"),
        (reply(200, b"DONE"), "neither done nor wait"),
        (reply(200, b" done"), "neither done nor wait"),
        (hang_up, "could not be reached"),
        (garbage, "broke off or could not be read"),
        (broken_off, "broke off or could not be read"),
        (not_gzip, "broke off or could not be read"),
    ],
)
def test_after_an_answer_that_is_not_good_the_file_is_kept_and_offered_again(make, answer, reason):
    incoming = make(handover_retry_s=0.2)
    with web_app(answer, reply()) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        app.wait_for(1)
        delayed = wait_until(
            lambda: ((u := incoming.status(upload_id)).reason and u) or None, "a reason"
        )
        assert reason in delayed.reason
        assert "127.0.0.1" not in delayed.reason  # it is shown to the person at the page
        handovers = app.wait_for(2)
        wait_for_state(incoming, upload_id, "FINISHED")
    assert [h.content for h in handovers] == [CONTENT, CONTENT]
    assert [h.form["attempt"] for h in handovers] == ["1", "2"]
    assert handovers[0].form["deliveryId"] == handovers[1].form["deliveryId"]


def test_an_app_that_stalls_in_its_answer_is_said_to_take_too_long(make):
    def stall(handover, handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.flush()
        silent.wait(20)

    silent = threading.Event()
    incoming = make(handover_timeout_s=0.2)
    with web_app(stall) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        reason = wait_until(lambda: incoming.status(upload_id).reason, "a reason")
        silent.set()
    assert reason == "the web app did not answer within 0.2 s"


def test_no_secret_of_the_callback_is_logged(make, caplog):
    incoming = make(background=False)
    caplog.set_level("DEBUG", "incoming_wsgi")
    upload_id = incoming.new_upload(signal_finish_url=f"http://127.0.0.1:{free_port()}/?key=hush")
    upload(incoming, upload_id)
    incoming.do_housekeeping()
    assert "event=no_answer" in caplog.text
    assert "hush" not in caplog.text


def test_an_app_that_answers_500_three_times_and_then_done_gets_the_file(make):
    incoming = make()
    with web_app(*[reply(500)] * 3, reply()) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
        assert [h.form["attempt"] for h in app.handovers] == ["1", "2", "3", "4"]


def test_an_app_that_never_answers_is_given_up_and_the_file_is_kept(make, tmp_path):
    incoming = make(handover_timeout_s=0.3, handover_give_up_s=1)
    silent = threading.Event()
    with web_app(lambda handover, handler: silent.wait(20)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        url = upload(incoming, upload_id)
        failed = wait_for_state(incoming, upload_id, "FAILED")
        assert failed.reason == "the web app did not answer within 0.3 s"
        assert file_of(tmp_path, upload_id).read_bytes() == CONTENT
        assert TestApp(incoming).get(url).json["reason"] == failed.reason
        assert len(app.handovers) >= 2
        # Somebody has mended the app: hand it over again.
        app.replies[:] = [reply()]
        incoming.retry_handover(upload_id)
        silent.set()
        wait_for_state(incoming, upload_id, "FINISHED")


def test_an_app_that_is_down_gets_the_file_when_it_comes_up_even_after_restarts(make):
    with web_app() as app:
        port = app.port
    first = make()
    upload_id = first.new_upload(signal_finish_url=app.url)
    upload(first, upload_id)
    wait_until(lambda: first.status(upload_id).attempt >= 2, "two attempts")
    first.close()
    second = make()
    attempts = second.status(upload_id).attempt
    wait_until(lambda: second.status(upload_id).attempt > attempts, "an attempt after the restart")
    with web_app(port=port) as app:
        wait_for_state(second, upload_id, "FINISHED")
        assert len(app.handovers) == 1
        assert app.handovers[0].content == CONTENT


def test_an_app_that_took_the_file_but_whose_answer_was_lost_is_not_asked_again(make, tmp_path):
    """The original's example 1 answers a repeated handover with 404."""

    def take_and_hang_up(handover, handler):
        file_of(tmp_path, handover.form["id"]).rename(tmp_path / "taken")
        handler.connection.close()

    incoming = make()
    with web_app(take_and_hang_up, reply(404)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
        assert len(app.handovers) == 1
    assert (tmp_path / "taken").read_bytes() == CONTENT


def begin_and_die(incoming, upload_id):
    """Leave the upload as a process does that is killed while the app is being asked; its lease."""
    lease = incoming._housekeeping.lease_due()
    incoming._tickets.transition(
        upload_id, Event.HAND_OVER, lambda u: {"attempt": 1}, lease=lease.token, keep_lease=True
    )
    return lease


def test_a_handover_whose_process_died_is_taken_up_by_another(make, tmp_path):
    incoming = make(background=False)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        lease = begin_and_die(incoming, upload_id)
        assert incoming.do_housekeeping() == 0  # as long as the lease lasts
        incoming._tickets.renew_lease(lease, 0.0)
        assert incoming.do_housekeeping() == 1
        assert app.handovers[0].form["attempt"] == "2"
        assert incoming.status(upload_id).state is UploadState.FINISHED


def test_a_handover_that_was_interrupted_is_tried_once_more_though_its_time_is_over(make):
    """The machine was off for long."""
    incoming = make(background=False, handover_give_up_s=0.05)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        lease = begin_and_die(incoming, upload_id)
        give_up_at = incoming.status(upload_id).give_up_at
        incoming._tickets.renew_lease(lease, give_up_at - 0.01)
        wait_until(lambda: time.time() > give_up_at, "its time")
        incoming.do_housekeeping()
        assert len(app.handovers) == 1
    assert incoming.status(upload_id).state is UploadState.FINISHED


def test_a_handover_that_ends_every_process_fails_and_keeps_the_file(make, tmp_path):
    incoming = make(background=False, handover_give_up_s=0.05)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        lease = begin_and_die(incoming, upload_id)
        end = incoming.status(upload_id).give_up_at + 0.01
        incoming._tickets.renew_lease(lease, end)
        wait_until(lambda: time.time() > end, "the end of the lease")
        incoming.do_housekeeping()
        failed = incoming.status(upload_id)
        assert (failed.state, app.handovers) == (UploadState.FAILED, [])
        assert "process ended in the middle" in failed.reason
    assert file_of(tmp_path, upload_id).read_bytes() == CONTENT


def test_a_folder_that_is_away_is_not_an_app_that_took_the_file(make, tmp_path, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.housekeeping.LEASE_S", 0.3)
    incoming = make(background=False, handover_retry_s=0.001)
    folder, away = tmp_path / "incoming" / "files", tmp_path / "away"
    with web_app(reply(500), reply()) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        incoming.do_housekeeping()
        folder.rename(away)  # unmounted
        folder.mkdir()
        wait_until(lambda: incoming.status(upload_id).due_at < time.time(), "the next attempt")
        incoming.do_housekeeping()
        assert incoming.status(upload_id).state is UploadState.COMPLETE
        folder.rmdir()
        away.rename(folder)
        wait_until(lambda: incoming.do_housekeeping(), "the end of the lease", 20)
        assert incoming.status(upload_id).state is UploadState.FINISHED
        assert app.handovers[1].content == CONTENT


def test_an_app_that_takes_longer_than_a_lease_is_called_once(make, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.housekeeping.LEASE_S", 0.5)
    for name in ("RENEW_EVERY_S", "LOOK_AGAIN_S"):
        monkeypatch.setattr(f"incoming_wsgi.background.{name}", 0.1)
    first, second = make(handover_timeout_s=20), make(handover_timeout_s=20)
    release = threading.Event()

    def slow(handover, handler):
        release.wait(2)
        reply()(handover, handler)

    with web_app(slow) as app:
        upload_id = first.new_upload(signal_finish_url=app.url)
        upload(first, upload_id)
        app.wait_for(1)
        first.close()  # what is under way goes on, and so does its lease
        wait_for_state(second, upload_id, "FINISHED")
        assert len(app.handovers) == 1


def test_pauses_between_attempts_double_with_jitter_up_to_a_minute(make):
    incoming = make(background=False, handover_retry_s=1)
    completion = incoming._engine._completion
    pauses = {n: [completion._pause_s(n) for _ in range(200)] for n in (1, 2, 3, 6, 7, 8, 1000)}
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (1000, 60)):
        assert longest / 2 <= min(pauses[attempt])
        assert max(pauses[attempt]) <= longest
        assert max(pauses[attempt]) - min(pauses[attempt]) > longest / 4


def test_a_proxy_of_the_environment_is_not_used(make, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    incoming = make()
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")


def test_a_process_that_can_start_no_thread_loses_no_handover(make, monkeypatch):
    incoming = make()
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("incoming-") and thread.name != "incoming-background":
            raise RuntimeError("can't start new thread")
        start(thread)

    with web_app() as app, monkeypatch.context() as patched:
        patched.setattr("incoming_wsgi.housekeeping.LEASE_S", 0.3)
        patched.setattr(threading.Thread, "start", refuse)
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_until(
            lambda: incoming.status(upload_id).due_at > incoming.status(upload_id).completed_at,
            "a lease",
        )
        patched.undo()
        incoming._background.look_by(0.0)
        wait_for_state(incoming, upload_id, "FINISHED")


def test_who_has_lost_the_lease_does_not_finish_what_waits_for_its_confirmation(make, tmp_path):
    """A process that was stopped for a while sees that the file is gone; meanwhile another has
    asked the app, which took the file and said "wait"."""
    incoming = make(background=False, handover_retry_s=0.001)
    with web_app(reply(500)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        incoming.do_housekeeping()
        lease = wait_until(incoming._housekeeping.lease_due, "the next attempt")
        tickets = incoming._tickets
        tickets.transition(upload_id, Event.HAND_OVER, lambda u: {"attempt": u.attempt + 1})
        tickets.transition(upload_id, Event.WAIT, lambda _: {"due_at": time.time() + 600})
        file_of(tmp_path, upload_id).unlink()
        incoming._housekeeping.look_after(lease)
        assert incoming.status(upload_id).state is UploadState.AWAITING_CONFIRMATION
        incoming.finish_upload(upload_id)


def test_a_done_that_comes_after_the_lease_was_lost_counts(make, tmp_path):
    """The app must not be asked again."""
    incoming = make(background=False)

    def slowly(handover, handler):
        incoming._tickets.transition(upload_id, Event.DELAY, lambda _: {"due_at": 0.0})
        reply()(handover, handler)

    with web_app(slowly) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        incoming.do_housekeeping()
        assert incoming.status(upload_id).state is UploadState.FINISHED
        incoming.do_housekeeping()
        assert len(app.handovers) == 1


# signed


KEY = "0123456789abcdef"


def signature_of(handover) -> tuple[int, str]:
    """The time and the digest in the header."""
    found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", handover.headers["X-Incoming-Signature"])
    return int(found[1]), found[2]


def is_signed(handover) -> bool:
    at, digest = signature_of(handover)
    expected = hmac.digest(KEY.encode(), b"%d." % at + handover.body, "sha256").hex()
    return digest == expected and abs(time.time() - at) < 60


def test_a_handover_is_signed_over_its_time_and_its_body(make):
    incoming = make(signing_key=KEY)
    with web_app() as app:
        upload(incoming, incoming.new_upload(signal_finish_url=app.url, secret="a&b=c ß"))
        (handover,) = app.wait_for(1)
    assert is_signed(handover)


def test_each_attempt_is_signed_anew(make, monkeypatch):
    incoming = make(signing_key=KEY, background=False, handover_retry_s=0.001)
    with web_app(reply(500), reply()) as app:
        upload(incoming, incoming.new_upload(signal_finish_url=app.url))
        incoming.do_housekeeping()
        began = int(time.time())
        wait_until(lambda: time.time() >= began + 1, "another second")
        wait_until(incoming.do_housekeeping, "the next attempt")
        first, second = app.handovers
    assert is_signed(first)
    assert is_signed(second)
    assert signature_of(second)[0] > signature_of(first)[0]


def test_a_cancellation_is_signed(make):
    incoming = make(signing_key=KEY)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        TestApp(incoming).delete(f"/frontend/uploads/{upload_id}")
        (handover,) = app.wait_for(1)
    assert handover.form["cancelled"] == "yes"
    assert is_signed(handover)


def test_without_a_key_nothing_is_signed(make):
    incoming = make()
    with web_app() as app:
        upload(incoming, incoming.new_upload(signal_finish_url=app.url))
        (handover,) = app.wait_for(1)
    assert "X-Incoming-Signature" not in handover.headers


# allowed hosts


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://evil/", ["good"]),
        ("http://good@evil/", ["good"]),
        ("http://good:80@evil/", ["good", "good:80"]),
        ("http://evil/@good/", ["good"]),
        ("http://evil#@good/", ["good"]),
        ("http://evil?@good/", ["good"]),
        ("http://good.evil/", ["good"]),
        ("http://evilgood/", ["good"]),
        ("http://good:8080/", ["good:80"]),
        ("https://good/", ["good:80"]),
        ("http://[::2]/", ["::1"]),
        ("http://[::1]:81/", ["[::1]:80"]),
        ("http://127.1/", ["127.0.0.1"]),
        ("http://good/", []),
    ],
)
def test_no_ticket_is_issued_for_a_host_that_is_not_allowed(make, url, hosts):
    incoming = make(callback_hosts=hosts, background=False)
    with pytest.raises(BadRequest) as caught:
        incoming.new_upload(signal_finish_url=url)
    assert str(caught.value) == (
        "signalFinishURL must lead to one of the server's callback_hosts: "
        f"{', '.join(hosts) or 'none is allowed'}"
    )
    assert incoming._tickets.count_by_state() == {}


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://good/", None),
        ("http://GOOD./x", ["other", "good"]),
        ("http://good/x", ["Good."]),
        ("http://user:word@good:99/", ["good"]),
        ("http://good/", ["good:80"]),
        ("https://good/", ["good:443"]),
        ("http://[0:0::1]/", ["[::1]"]),
        ("http://[::1]:8000/", ["::1"]),
        ("http://[::1]:8000/", ["[0::1]:8000"]),
        ("http://BÜCHER.example/", ["xn--bcher-kva.example"]),
        ("http://xn--bcher-kva.example/", ["bücher.example"]),
        ("http://127.0.0.1:8000/", ["127.0.0.1"]),
    ],
)
def test_a_ticket_is_issued_for_a_host_that_is_allowed(make, url, hosts):
    incoming = make(callback_hosts=hosts, background=False)
    assert incoming.status(incoming.new_upload(signal_finish_url=url)).signal_finish_url == url


def test_a_host_that_is_not_allowed_any_more_is_not_called(make):
    first = make(background=False)
    with web_app() as app:
        upload_id = first.new_upload(signal_finish_url=app.url)
        upload(first, upload_id)
        cancelled = first.new_upload(signal_finish_url=app.url)
        TestApp(first).delete(f"/frontend/uploads/{cancelled}")
        second = make(background=False, callback_hosts=["app.example"])
        assert second.do_housekeeping() == 2
        assert app.handovers == []
        reason = "the web app's address is not one of the server's callback_hosts"
        assert second.status(upload_id).reason == reason
        assert not second.status(cancelled).notified
        # And when it is allowed again, it is called after all.
        third = make(callback_hosts=["127.0.0.1"])
        wait_for_state(third, upload_id, "FINISHED")
        app.wait_for(2)


# wait


def test_wait_is_finished_by_finish_upload(make, tmp_path):
    incoming = make()
    with web_app(reply(200, b"wait")) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "AWAITING_CONFIRMATION")
        assert file_of(tmp_path, upload_id).exists()
        incoming.finish_upload(upload_id)
        assert incoming.status(upload_id).state is UploadState.FINISHED
        assert not file_of(tmp_path, upload_id).exists()
        assert len(app.handovers) == 1


def test_wait_is_remembered_across_restarts(make):
    first = make()
    with web_app(reply(200, b"wait")) as app:
        upload_id = first.new_upload(signal_finish_url=app.url)
        upload(first, upload_id)
        wait_for_state(first, upload_id, "AWAITING_CONFIRMATION")
        first.close()
        second = make()
        second.do_housekeeping()
        assert second.status(upload_id).state is UploadState.AWAITING_CONFIRMATION
        second.finish_upload(upload_id)
        assert second.status(upload_id).state is UploadState.FINISHED
        assert len(app.handovers) == 1


def test_finish_upload_may_come_before_the_answer_wait_was_read(make):
    incoming = make()

    def confirm_first(handover, handler):
        incoming.finish_upload(handover.form["id"])
        reply(200, b"wait")(handover, handler)

    with web_app(confirm_first) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
        time.sleep(0.3)  # long enough for a wrong second attempt or change of state
        assert incoming.status(upload_id).state is UploadState.FINISHED
        assert len(app.handovers) == 1


def test_an_app_that_does_not_confirm_in_time_fails_and_the_file_is_kept(make, tmp_path):
    incoming = make(confirm_timeout_s=0.2)
    with web_app(reply(200, b"wait")) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        failed = wait_for_state(incoming, upload_id, "FAILED")
        assert failed.reason == "the web app did not confirm within 0.2 s"
        assert file_of(tmp_path, upload_id).exists()
        with pytest.raises(WrongState):
            incoming.finish_upload(upload_id)


def test_an_app_that_took_the_file_and_does_not_confirm_has_it_all_the_same(make, tmp_path):
    def take(handover, handler):
        file_of(tmp_path, handover.form["id"]).rename(tmp_path / "taken")
        reply(200, b"wait")(handover, handler)

    incoming = make(confirm_timeout_s=0.2)
    with web_app(take) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")


def test_of_many_confirmations_at_once_one_is_ok(make):
    incoming = make()
    with web_app(reply(200, b"wait")) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "AWAITING_CONFIRMATION")
        outcomes = []

        def confirm():
            try:
                incoming.finish_upload(upload_id)
                outcomes.append("ok")
            except WrongState:
                outcomes.append("too late")

        threads = [threading.Thread(target=confirm) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["ok"] + ["too late"] * 7


# cancelled


@pytest.mark.parametrize("sent", [b"", CONTENT[:5]])
def test_a_cancel_by_the_page_tells_the_app_once_whatever_it_answers(make, tmp_path, sent):
    incoming = make()
    with web_app(reply(500, b"I do not care")) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url, secret="s")
        page = TestApp(incoming)
        url = f"/frontend/uploads/{upload_id}"
        page.post_json(url, {"filename": "a.txt", "length": len(CONTENT)})
        if sent:
            page.put(url, sent, headers={"Content-Range": f"bytes 0-4/{len(CONTENT)}"})
        page.delete(url + "?reason=wrong%20file")
        wait_until(lambda: page.get(url).json["notified"], "the app being told")
        (handover,) = app.handovers
        form = handover.form
        assert (form["cancelled"], form["cancelReason"]) == ("yes", "wrong file")
        assert (form["filename"], form["filenameFromBrowser"]) == ("", "a.txt")
        assert form["backendSecret"] == "s"
        assert not file_of(tmp_path, upload_id).exists()
        incoming.do_housekeeping()
        assert len(app.handovers) == 1


@pytest.mark.parametrize("answer", [broken_off, not_gzip, garbage, hang_up, chunked])
def test_an_app_that_answers_a_cancellation_oddly_is_told_once(make, answer):
    incoming = make(handover_retry_s=0.01)
    with web_app(answer) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        TestApp(incoming).delete(f"/frontend/uploads/{upload_id}")
        wait_until(lambda: incoming.status(upload_id).notified, "the end of the call")
        assert len(app.handovers) == 1


def test_a_repeated_cancel_does_not_make_the_app_be_told_again(make):
    incoming = make()
    release = threading.Event()
    with web_app(lambda handover, handler: release.wait(20)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        page = TestApp(incoming)
        url = f"/frontend/uploads/{upload_id}"
        page.delete(url)
        app.wait_for(1)
        page.delete(url)  # browsers repeat requests by themselves
        release.set()
        wait_until(lambda: page.get(url).json["notified"], "the end of the call")
        incoming.do_housekeeping()
        assert len(app.handovers) == 1


def test_an_app_that_does_not_answer_a_cancellation_is_told_once_all_the_same(make):
    incoming = make(handover_timeout_s=0.2)
    with web_app(lambda handover, handler: time.sleep(1)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        page = TestApp(incoming)
        page.delete(f"/frontend/uploads/{upload_id}")
        wait_until(lambda: incoming.status(upload_id).notified, "the end of the call")
        assert len(app.handovers) == 1


def test_what_cron_has_expired_is_told_by_a_process_that_has_the_callback(make, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.housekeeping.LEASE_S", 0.3)
    told = []
    first = make(background=False, idle_timeout_s=0.05, on_finished=lambda u: None)
    upload_id = first.new_upload()
    first.close()
    cron = make(background=False)
    wait_until(lambda: cron.status(upload_id).due_at < time.time(), "its time")
    cron.do_housekeeping()
    assert cron.status(upload_id).state is UploadState.CANCELLED
    web = make(
        background=False, on_finished=lambda u: None, on_cancelled=lambda u: told.append(u.reason)
    )
    wait_until(web.do_housekeeping, "its lease", 20)
    assert told == ["upload timed out"]


def test_a_write_to_an_expired_upload_is_gone(make):
    incoming = make(background=False, idle_timeout_s=0.05)
    upload_id = incoming.new_upload(signal_finish_url="http://127.0.0.1:9/")
    wait_until(incoming.do_housekeeping, "expiry")
    response = TestApp(incoming).put(
        f"/frontend/uploads/{upload_id}",
        b"ab",
        headers={"Content-Range": "bytes 0-1/2"},
        status=410,
    )
    assert response.json["reason"] == "upload timed out"


def test_a_cancel_while_the_app_is_down_reaches_it_later_and_does_not_hold_the_page(make):
    with web_app() as app:
        port = app.port
    incoming = make()
    upload_id = incoming.new_upload(signal_finish_url=app.url)
    page = TestApp(incoming)
    url = f"/frontend/uploads/{upload_id}"
    page.delete(url)
    wait_until(lambda: page.get(url).json["notified"], "the first attempt")
    with web_app(port=port) as app:
        (handover,) = app.wait_for(1)
        assert handover.form["cancelled"] == "yes"


def test_a_cancel_by_the_backend_does_not_call_it_back(make):
    incoming = make()
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        incoming.cancel_upload(upload_id)
        incoming.do_housekeeping()
        assert app.handovers == []


def test_a_handover_that_keeps_failing_can_be_cancelled(make, tmp_path):
    incoming = make(handover_retry_s=60)
    with web_app(reply(500)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_until(lambda: incoming.status(upload_id).reason, "a failed attempt")
        incoming.cancel_upload(upload_id)
        assert incoming.status(upload_id).state is UploadState.CANCELLED
        assert not file_of(tmp_path, upload_id).exists()
        assert len(app.handovers) == 1


@pytest.mark.parametrize("used", [False, True])
def test_an_idle_upload_times_out_and_the_app_is_told(make, tmp_path, used):
    incoming = make(idle_timeout_s=0.3)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        page = TestApp(incoming)
        url = f"/frontend/uploads/{upload_id}"
        if used:
            page.put(url, b"abc", headers={"Content-Range": "bytes 0-2/10"})
        (handover,) = app.wait_for(1)
        assert handover.form["cancelled"] == "yes"
        assert handover.form["cancelReason"] == "upload timed out"
        assert handover.form["filenameFromBrowser"] == ""
        seen = page.get(url).json
        assert (seen["state"], seen["reason"]) == ("CANCELLED", "upload timed out")
        wait_until(lambda: not file_of(tmp_path, upload_id).exists(), "removal")


def test_an_unused_ticket_for_an_empty_file_times_out_too(make):
    incoming = make(idle_timeout_s=0.1)
    with web_app() as app:
        incoming.new_upload(signal_finish_url=app.url, length=0, filename="a.txt")
        (handover,) = app.wait_for(1)
    assert (handover.form["cancelled"], handover.form["filename"]) == ("yes", "")


def test_an_upload_that_keeps_moving_never_times_out(make):
    incoming = make(idle_timeout_s=0.5)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        page = TestApp(incoming)
        url = f"/frontend/uploads/{upload_id}"
        for index in range(8):
            headers = {"Content-Range": f"bytes {index}-{index}/8"}
            page.put(url, bytes([index]), headers=headers)
            if index < 7:
                time.sleep(0.2)  # the property is about time passing: 1.4 s in all
        wait_for_state(incoming, upload_id, "FINISHED")
        assert app.handovers[0].content == bytes(range(8))


def test_a_trickling_chunk_keeps_its_upload_alive(make, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.receiving.RECORD_EVERY_S", 0.1)
    incoming = make(idle_timeout_s=0.6)
    upload_id = incoming.new_upload(signal_finish_url="http://127.0.0.1:9/")

    class Trickle:
        left = 10

        def read(self, size: int) -> bytes:
            time.sleep(0.15)
            self.left -= 1
            return b"x"

    from webob import Request

    request = Request.blank(
        f"/frontend/uploads/{upload_id}",
        method="PUT",
        headers={"Content-Range": "bytes 0-9/20", "Content-Length": "10"},
        environ={"wsgi.input": Trickle()},
    )
    assert request.get_response(incoming).json["received"] == [[0, 10]]


# the callback in this process


def test_a_function_takes_the_file(make, tmp_path):
    seen = []

    def take(upload):
        seen.append((upload.id, upload.owner, upload.length, upload.safe_filename))
        upload.move_to(tmp_path / "archive.txt")

    incoming = make(on_finished=take)
    upload_id = incoming.new_upload(owner="ann")
    upload(incoming, upload_id)
    wait_for_state(incoming, upload_id, "FINISHED")
    assert seen == [(upload_id, "ann", len(CONTENT), "Grüße.txt")]
    assert (tmp_path / "archive.txt").read_bytes() == CONTENT


def test_a_function_may_keep_the_folders_of_the_client(make, tmp_path):
    def take(upload):
        assert upload.safe_relative_path == "Urlaub/Tag 1/Grüße.txt"
        upload.move_into(tmp_path, keep_folders=True)

    incoming = make(on_finished=take)
    upload_id = incoming.new_upload()
    upload(incoming, upload_id, relative_path="/Urlaub/../Tag 1/Grüße.txt")
    wait_for_state(incoming, upload_id, "FINISHED")
    assert (tmp_path / "Urlaub" / "Tag 1" / "Grüße.txt").read_bytes() == CONTENT


def test_a_function_that_raises_is_called_again(make, tmp_path):
    calls = []

    def take(upload):
        calls.append(upload.path.read_bytes())
        if len(calls) < 3:
            raise OSError("the archive is not mounted")
        return "done"

    incoming = make(on_finished=take)
    upload_id = incoming.new_upload()
    upload(incoming, upload_id)
    wait_for_state(incoming, upload_id, "FINISHED")
    assert calls == [CONTENT] * 3


def test_a_function_that_exits_is_called_again(make):
    answers = [sys.exit, lambda: None]
    incoming = make(on_finished=lambda upload: answers.pop(0)())
    upload_id = incoming.new_upload()
    upload(incoming, upload_id)
    assert wait_for_state(incoming, upload_id, "FINISHED").attempt == 2


def test_a_function_may_say_wait(make):
    incoming = make(on_finished=lambda upload: "wait")
    upload_id = incoming.new_upload()
    upload(incoming, upload_id)
    wait_for_state(incoming, upload_id, "AWAITING_CONFIRMATION")
    incoming.finish_upload(upload_id)
    assert incoming.status(upload_id).state is UploadState.FINISHED


def test_an_answer_that_is_neither_is_no_answer(make):
    incoming = make(on_finished=lambda upload: "ok", handover_retry_s=60)
    upload_id = incoming.new_upload()
    upload(incoming, upload_id)
    wait_until(lambda: incoming.status(upload_id).reason, "a reason")
    assert incoming.status(upload_id).state is UploadState.COMPLETE


def test_a_function_that_exits_has_learned_of_the_cancellation(make):
    calls = []
    incoming = make(
        on_finished=lambda upload: None, on_cancelled=lambda u: (calls.append(u), sys.exit())
    )
    upload_id = incoming.new_upload()
    TestApp(incoming).delete(f"/frontend/uploads/{upload_id}")
    wait_until(lambda: incoming.status(upload_id).notified, "the end of the call")
    assert len(calls) == 1


def test_a_function_learns_of_cancelled_uploads(make):
    cancelled = []
    incoming = make(on_finished=lambda upload: None, on_cancelled=cancelled.append)
    upload_id = incoming.new_upload()
    url = f"/frontend/uploads/{upload_id}"
    TestApp(incoming).delete(url + "?reason=never%20mind")
    wait_until(lambda: cancelled, "the call")
    assert [(u.id, u.reason) for u in cancelled] == [(upload_id, "never mind")]


def test_without_url_and_function_there_is_no_ticket(make):
    with pytest.raises(TypeError, match="signal_finish_url"):
        make().new_upload()


def test_an_upload_for_a_function_waits_for_a_process_that_has_it(make):
    taken = []
    first = make(on_finished=lambda upload: taken.append(upload.id), background=False)
    upload_id = first.new_upload()
    upload(first, upload_id)
    first.close()
    assert make(background=False).do_housekeeping() == 0  # as `incoming housekeeping` runs it
    assert make(on_finished=lambda u: taken.append(u.id), background=False).do_housekeeping() == 1
    assert taken == [upload_id]


def test_the_complete_upload_can_be_copied_and_pickled_for_a_task_queue(make):
    seen = []

    def take(upload):
        copies = (copy.copy(upload), pickle.loads(pickle.dumps(upload)))
        seen.extend((c.id, c.path, c.safe_filename, c.owner) for c in copies)

    incoming = make(on_finished=take)
    upload_id = incoming.new_upload(owner="ann")
    upload(incoming, upload_id)
    wait_for_state(incoming, upload_id, "FINISHED")
    assert len(set(seen)) == 1
    assert seen[0][0] == upload_id


def test_move_into_never_overwrites(make, tmp_path):
    (tmp_path / "a.txt").write_text("older")
    incoming = make(on_finished=lambda upload: upload.move_into(tmp_path) and None)
    for content in (b"one", b"two"):
        upload_id = incoming.new_upload()
        upload(incoming, upload_id, content=content, filename="a.txt")
        wait_for_state(incoming, upload_id, "FINISHED")
    assert (tmp_path / "a.txt").read_text() == "older"
    assert (tmp_path / "a (2).txt").read_bytes() == b"one"
    assert (tmp_path / "a (3).txt").read_bytes() == b"two"


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 120 + ".tar.gz", "." + "y" * 254])
def test_move_into_finds_a_name_of_legal_length_for_a_long_one(make, tmp_path, name):
    folder = tmp_path / "out"
    folder.mkdir()
    incoming = make(on_finished=lambda upload: upload.move_into(folder) and None)
    for content in (b"one", b"two"):
        upload_id = incoming.new_upload()
        upload(incoming, upload_id, content=content, filename=name)
        wait_for_state(incoming, upload_id, "FINISHED")
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"one", b"two"]


def test_a_move_that_was_killed_half_way_goes_on_where_it_was(make, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()

    def link_and_die(upload):
        os.link(upload.path, folder / "a.txt")  # as move_into has it after its first step
        raise OSError("killed")

    callbacks = [link_and_die, lambda upload: upload.move_into(folder) and None]
    incoming = make(on_finished=lambda upload: callbacks.pop(0)(upload))
    upload_id = incoming.new_upload()
    upload(incoming, upload_id, filename="a.txt")
    wait_for_state(incoming, upload_id, "FINISHED")
    assert [path.name for path in folder.iterdir()] == ["a.txt"]
    assert (folder / "a.txt").read_bytes() == CONTENT


@pytest.fixture
def no_hard_links(monkeypatch):
    def refuse(source, destination):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("incoming_wsgi.taking.os.link", refuse)


@pytest.mark.usefixtures("no_hard_links")
def test_a_move_works_where_there_are_no_hard_links(make, tmp_path):
    (tmp_path / "a.txt").write_text("older")
    incoming = make(on_finished=lambda upload: upload.move_into(tmp_path) and None)
    upload_id = incoming.new_upload()
    upload(incoming, upload_id, filename="a.txt")
    wait_for_state(incoming, upload_id, "FINISHED")
    assert (tmp_path / "a.txt").read_text() == "older"
    assert (tmp_path / "a (2).txt").read_bytes() == CONTENT


@pytest.mark.usefixtures("no_hard_links")
def test_a_move_that_fails_leaves_no_name_behind(make, tmp_path, monkeypatch):
    def fail(source, destination):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    folder = tmp_path / "out"
    folder.mkdir()
    incoming = make(background=False, on_finished=lambda upload: upload.move_into(folder))
    upload(incoming, incoming.new_upload(), filename="a.txt")
    monkeypatch.setattr("incoming_wsgi.taking.os.replace", fail)
    incoming.do_housekeeping()
    assert list(folder.iterdir()) == []


def test_a_move_to_another_file_system_is_a_copy_that_appears_whole(make, tmp_path, monkeypatch):
    def other_file_system(source, destination, real=os.link):
        if "storage" not in str(source) and ".partial" in str(source):
            return real(source, destination)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr("incoming_wsgi.taking.os.link", other_file_system)
    folder = tmp_path / "out"
    folder.mkdir()
    incoming = make(on_finished=lambda upload: upload.move_into(folder) and None)
    upload_id = incoming.new_upload()
    upload(incoming, upload_id, filename="a.txt")
    wait_for_state(incoming, upload_id, "FINISHED")
    assert [path.name for path in folder.iterdir()] == ["a.txt"]
    assert (folder / "a.txt").read_bytes() == CONTENT
    assert not file_of(tmp_path, upload_id).exists()


def test_one_run_of_housekeeping_ends_though_the_app_keeps_failing(make):
    incoming = make(background=False, handover_retry_s=0.001)
    with web_app(reply(500)) as app:
        for _ in range(3):
            upload(incoming, incoming.new_upload(signal_finish_url=app.url))
        assert incoming.do_housekeeping() == 3
        assert len(app.handovers) == 3


def test_a_secret_that_is_given_is_checked_in_the_app_too(make):
    incoming = make(on_finished=lambda upload: "wait")
    upload_id = incoming.new_upload(secret="s")
    for call in (incoming.cancel_upload, incoming.finish_upload):
        with pytest.raises(WrongSecret):
            call(upload_id, secret="S")
    incoming.cancel_upload(upload_id, secret="s")


# the outcome, for who has missed it


def test_the_outcome_can_be_asked_for_again_when_the_answer_that_told_it_was_lost(make):
    incoming = make(backend_api=True)
    loopback = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}
    page = TestApp(incoming, extra_environ=loopback)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        url = upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
        last_chunk = {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}
        for _ in range(2):  # this answer may get lost as well
            assert page.get(url).json["state"] == "FINISHED"
            assert page.get(f"/backend/uploads/{upload_id}").json["state"] == "FINISHED"
            assert incoming.status(upload_id).state is UploadState.FINISHED
            # And who repeats what was not answered learns the same.
            assert page.put(url, CONTENT, headers=last_chunk).json["state"] == "FINISHED"
            declared = {"filename": "Grüße.txt", "length": len(CONTENT)}
            assert page.post_json(url, declared).json["state"] == "FINISHED"
        assert len(app.handovers) == 1


def test_a_failed_outcome_can_be_asked_for_again_and_retried_until_it_is_forgotten(make):
    incoming = make(background=False, confirm_timeout_s=0.01)
    page = TestApp(incoming)
    with web_app(reply(200, b"wait"), reply()) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        url = upload(incoming, upload_id)
        while incoming.status(upload_id).state is not UploadState.FAILED:
            incoming.do_housekeeping()
        for _ in range(2):
            seen = page.get(url).json
            assert (seen["state"], seen["reason"]) == (
                "FAILED",
                "the web app did not confirm within 0.01 s",
            )
        incoming.retry_handover(upload_id)
        with pytest.raises(WrongState) as caught:  # the answer to that was lost, and it is repeated
            incoming.retry_handover(upload_id)
        assert caught.value.state == "COMPLETE"
        incoming.do_housekeeping()
        assert page.get(url).json["state"] == "FINISHED"
        assert [h.form["attempt"] for h in app.handovers] == ["1", "2"]
        assert app.handovers[0].form["deliveryId"] == app.handovers[1].form["deliveryId"]


# many at once, and for how long


def test_uploads_whose_app_takes_its_time_do_not_hold_up_the_others(make):
    incoming = make()
    release = threading.Event()

    def slow(handover, handler):
        release.wait(20)
        reply()(handover, handler)

    with web_app(slow) as slow_app, web_app() as quick_app:
        for _ in range(10):
            upload(incoming, incoming.new_upload(signal_finish_url=slow_app.url))
        slow_app.wait_for(10)
        upload_id = incoming.new_upload(signal_finish_url=quick_app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
        release.set()


def test_where_there_is_no_room_for_another_call_who_was_first_is_called_first(make, monkeypatch):
    """Who comes when there is room again, and has not been looked who waits for it."""
    monkeypatch.setattr("incoming_wsgi.background.MAX_JOBS", 1)
    taken, go_on, may_look = [], threading.Semaphore(0), threading.Event()

    def take(complete) -> None:
        taken.append(complete.id)
        go_on.acquire()

    incoming = make(on_finished=take)
    look = incoming._housekeeping.next_due_at
    monkeypatch.setattr(incoming._housekeeping, "next_due_at", lambda: may_look.wait(60) and look())
    first, second, third = (incoming.new_upload() for _ in range(3))
    upload(incoming, first)
    wait_until(lambda: taken, "the first call")
    upload(incoming, second)
    go_on.release()
    wait_for_state(incoming, first, "FINISHED")
    upload(incoming, third)
    may_look.set()
    go_on.release(2)
    wait_for_state(incoming, third, "FINISHED")
    assert taken == [first, second, third]


def test_records_are_forgotten_when_their_time_is_over(make, tmp_path):
    incoming = make(keep_finished_s=0.3, keep_failed_s=0.3, confirm_timeout_s=0.1)
    with web_app() as done, web_app(reply(200, b"wait")) as never_confirms:
        finished = incoming.new_upload(signal_finish_url=done.url)
        failed = incoming.new_upload(signal_finish_url=never_confirms.url)
        for upload_id in (finished, failed):
            upload(incoming, upload_id)
        cancelled = incoming.new_upload(signal_finish_url=done.url)
        incoming.cancel_upload(cancelled)
        wait_until(lambda: incoming._tickets.count_by_state() == {}, "forgetting")
    assert list((tmp_path / "incoming" / "files").iterdir()) == []
    TestApp(incoming).get(f"/frontend/uploads/{finished}", status=404)


def test_forgetting_a_failed_upload_does_not_take_the_file_from_a_retry(make, tmp_path):
    incoming = make(background=False, confirm_timeout_s=0.01, keep_failed_s=0.01)
    with web_app(reply(200, b"wait"), reply()) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        while incoming.status(upload_id).state is not UploadState.FAILED:
            incoming.do_housekeeping()
        lease = wait_until(incoming._housekeeping.lease_due, "the end of its time")
        incoming.retry_handover(upload_id)  # between the lease and the deletion
        incoming._housekeeping.look_after(lease)
        assert file_of(tmp_path, upload_id).read_bytes() == CONTENT
        incoming.do_housekeeping()
        assert incoming.status(upload_id).state is UploadState.FINISHED
        assert len(app.handovers) == 2


def test_an_upload_that_lost_its_process_before_sealing_is_completed(make, tmp_path):
    """The last range is recorded, then the process dies."""
    incoming = make(background=False)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        file_of(tmp_path, upload_id).write_bytes(CONTENT)
        claim = incoming._tickets.claim_range(
            upload_id, 0, len(CONTENT), lambda _: {"length": len(CONTENT), "filename": "a"}
        )
        incoming._tickets.record_ranges(
            claim, [(0, len(CONTENT))], lambda _: {"due_at": 0.0}, release=True
        )
        incoming.do_housekeeping()
        assert app.handovers[0].content == CONTENT
        assert incoming.status(upload_id).state is UploadState.FINISHED


def test_an_upload_whose_bytes_were_lost_says_so_for_as_long_as_it_is_known(make):
    incoming = make(background=False, on_finished=lambda upload: None)
    upload_id = incoming.new_upload()
    claim = incoming._tickets.claim_range(upload_id, 0, 3, lambda _: {"length": 3})
    incoming._tickets.record_ranges(claim, [(0, 3)], lambda _: {"due_at": 0.0}, release=True)
    incoming.do_housekeeping()
    seen = TestApp(incoming).get(f"/frontend/uploads/{upload_id}").json
    assert (seen["state"], seen["reason"]) == (
        "CANCELLED",
        "what was stored of the file is lost on the server",
    )


def test_a_file_that_vanished_before_anybody_was_asked_is_not_called_finished(make, tmp_path):
    incoming = make(background=False)
    with web_app() as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        file_of(tmp_path, upload_id).unlink()
        incoming.do_housekeeping()
        assert incoming.status(upload_id).state is UploadState.FAILED
        assert app.handovers == []


# one thread for all


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_single_threaded_server_that_hosts_app_and_incoming_does_not_block_itself(
    tmp_path, wrapped
):
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    taken: list[str] = []

    def app(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        taken.append(environ["wsgi.input"].read(length).decode())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    incoming = Incoming(tmp_path / "incoming", handover_timeout_s=20)
    application = incoming.wrap(app)
    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        upload_id = incoming.new_upload(signal_finish_url=base + "/finished")
        url = f"{base}/incoming/frontend/uploads/{upload_id}"
        requests.post(url, json={"filename": "a", "length": 3}, timeout=10).raise_for_status()
        headers = {"Content-Range": "bytes 0-2/3"}
        requests.put(url, b"abc", headers=headers, timeout=10).raise_for_status()
        wait_until(
            lambda: requests.get(url, timeout=10).json()["state"] == "FINISHED", "FINISHED", 10
        )
        assert len(taken) == 1
        # And a cancel tells the app through the same thread.
        other = incoming.new_upload(signal_finish_url=base + "/finished")
        url = f"{base}/incoming/frontend/uploads/{other}"
        requests.delete(url, timeout=10).raise_for_status()
        wait_until(lambda: requests.get(url, timeout=10).json()["notified"], "being told", 10)
        assert "cancelled=yes" in taken[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        incoming.close()
