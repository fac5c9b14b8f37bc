"""An app that will never take a file says so: the upload fails at once, with the app's reason."""

from __future__ import annotations

import threading

import pytest
from servers import serving
from waiting import wait_until
from webapp import reply, web_app
from webtest import TestApp

from incoming_wsgi import Incoming, Refused, UploadState
from incoming_wsgi.client import HandoverFailed, refused, upload_file
from incoming_wsgi.states import Event
from incoming_wsgi.uploads import now

CONTENT = b"all the bytes of the file"
VIRUS = "it has a virus"


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


def upload(incoming, upload_id):
    url = f"/frontend/uploads/{upload_id}"
    page = TestApp(incoming)
    page.put(url, CONTENT, headers={"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"})
    return lambda: page.get(url).json


def wait_for_state(incoming, upload_id, state: str):
    def reached():
        found = incoming.status(upload_id)
        return found if found.state.value == state else None

    return wait_until(reached, state)


def file_of(tmp_path, upload_id):
    return tmp_path / "incoming" / "files" / upload_id


def test_a_function_that_refuses_is_not_called_again_and_its_reason_is_shown(make, tmp_path):
    calls = []

    def take(upload):
        calls.append(upload.path.read_bytes())
        raise Refused(VIRUS)

    incoming = make(on_finished=take)
    upload_id = incoming.new_upload()
    ask = upload(incoming, upload_id)
    failed = wait_for_state(incoming, upload_id, "FAILED")
    assert (failed.reason, failed.attempt) == (VIRUS, 1)
    assert (ask()["state"], ask()["reason"]) == ("FAILED", VIRUS)
    assert file_of(tmp_path, upload_id).read_bytes() == CONTENT
    assert calls == [CONTENT]


def test_an_app_that_refuses_is_not_called_again_and_its_reason_is_shown(make, tmp_path):
    incoming = make()
    with web_app(reply(200, b"refused: it has a virus")) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        ask = upload(incoming, upload_id)
        failed = wait_for_state(incoming, upload_id, "FAILED")
        assert len(app.handovers) == 1
    assert (failed.reason, failed.attempt) == (VIRUS, 1)
    assert (ask()["state"], ask()["reason"]) == ("FAILED", VIRUS)
    assert file_of(tmp_path, upload_id).read_bytes() == CONTENT


def test_what_was_refused_can_be_handed_over_again(make):
    incoming = make()
    with web_app(reply(200, b"refused"), reply()) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FAILED")
        incoming.retry_handover(upload_id)
        finished = wait_for_state(incoming, upload_id, "FINISHED")
    assert finished.reason is None
    first, second = app.handovers
    assert first.form["deliveryId"] == second.form["deliveryId"]
    assert second.content == CONTENT


NO_REASON = "the web app refused the file"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"refused", NO_REASON),
        (b"refused\n", NO_REASON),
        (b"refused:", NO_REASON),
        (b"refused: \r\n", NO_REASON),
        (b"refused by the scanner", NO_REASON),  # a reason comes after a colon
        (b"refused:no", "no"),
        (b"refused: it has a virus\n", VIRUS),
        ("refused: zu groß – 3 €".encode(), "zu groß – 3 €"),
        (b"refused: two\r\n  lines\tof it", "two lines of it"),
        (b"refused: \x1b[31mred\x00\x07\x7f", "[31mred"),
        ("refused: \u202egpj.exe\u2028next".encode(), "gpj.exe next"),
        (b"refused: \xff\xfe!", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}!"),
        (b"refused: " + b"x" * 100_000, "x" * 491),
        # The 500th byte is the first of two.
        (b"refused: " + b"x" * 490 + "ß".encode(), "x" * 490),
    ],
)
def test_the_reason_is_a_line_that_can_be_shown(make, body, reason):
    incoming = make()
    with web_app(reply(200, body)) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        assert wait_for_state(incoming, upload_id, "FAILED").reason == reason
        assert len(app.handovers) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused(), NO_REASON),
        (Refused("two\nlines\x1b"), "two lines"),
        (Refused("x" * 1000), "x" * 500),
        (Refused("half \ud800 of a pair"), "half ? of a pair"),
    ],
)
def test_the_reason_of_a_function_is_a_line_too(make, error, reason):
    def take(upload):
        raise error

    incoming = make(on_finished=take)
    upload_id = incoming.new_upload()
    upload(incoming, upload_id)
    assert wait_for_state(incoming, upload_id, "FAILED").reason == reason


def chunked(handover, handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for piece in (b"re", b"fused: it", b" has a virus"):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")


def without_a_length(handover, handler):
    handler.protocol_version = "HTTP/1.0"
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"refused: it has a virus")


def shorter_than_announced(handover, handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"refused: it has a virus")


@pytest.mark.parametrize("answer", [chunked, without_a_length, shorter_than_announced])
def test_a_refusal_is_understood_however_it_comes(make, answer):
    incoming = make()
    with web_app(answer) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        assert wait_for_state(incoming, upload_id, "FAILED").reason == VIRUS
        assert len(app.handovers) == 1


def test_a_refusal_without_an_end_counts_when_the_time_for_it_is_over(make):
    def without_an_end(handover, handler):
        shorter_than_announced(handover, handler)
        handler.wfile.flush()
        silent.wait(20)

    silent = threading.Event()
    incoming = make(handover_timeout_s=0.3)
    with web_app(without_an_end) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        assert wait_for_state(incoming, upload_id, "FAILED").reason == VIRUS
        silent.set()
        assert len(app.handovers) == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, b"refused: it has a virus"),
        reply(422, b"refused"),
        reply(200, b"Refused"),
        reply(200, b" refused"),
        reply(200, b"refuse"),
        reply(200, b"refu"),
        reply(200, b"r"),
    ],
)
def test_what_is_no_refusal_is_asked_again(make, answer):
    incoming = make()
    with web_app(answer, reply()) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        wait_for_state(incoming, upload_id, "FINISHED")
        assert len(app.handovers) == 2


def test_a_refusal_that_comes_after_the_lease_was_lost_counts(make):
    incoming = make(background=False)

    def slowly(handover, handler):
        incoming._tickets.transition(upload_id, Event.DELAY, lambda _: {"due_at": now() + 600})
        reply(200, b"refused: it has a virus")(handover, handler)

    with web_app(slowly) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        upload(incoming, upload_id)
        incoming.do_housekeeping()
        failed = incoming.status(upload_id)
        assert (failed.state, failed.reason) == (UploadState.FAILED, VIRUS)
        assert len(app.handovers) == 1


def test_an_app_that_was_told_of_a_cancellation_may_say_what_it_likes(make):
    incoming = make()
    with web_app(reply(200, b"refused")) as app:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        TestApp(incoming).delete(f"/frontend/uploads/{upload_id}")
        app.wait_for(1)
        wait_until(lambda: incoming.status(upload_id).notified, "the note")
    assert incoming.status(upload_id).state is UploadState.CANCELLED


@pytest.mark.parametrize(
    ("reason", "shown"), [(VIRUS, VIRUS), ("two\nlines", "two lines"), ("", NO_REASON)]
)
def test_the_client_has_the_words_for_it(make, tmp_path, reason, shown):
    incoming = make()
    (tmp_path / "a.txt").write_bytes(CONTENT)
    with web_app(reply(200, refused(reason).encode())) as app, serving(incoming) as url:
        upload_id = incoming.new_upload(signal_finish_url=app.url)
        with pytest.raises(HandoverFailed) as caught:
            upload_file(tmp_path / "a.txt", f"{url}/frontend/uploads/{upload_id}")
    assert caught.value.reason == shown
