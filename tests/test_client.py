"""The ticket client, the reading of handovers, and sending files: against real servers."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import io
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import bottle
import pytest
import requests
from servers import free_port, gunicorn, serving
from waiting import wait_until
from webapp import reply, web_app
from webtest import TestApp

from incoming_wsgi import (
    BadRequest,
    FileChanged,
    FileTooLarge,
    Forbidden,
    Incoming,
    IncomingError,
    NotFound,
    TooLarge,
    Unavailable,
    UploadGone,
    UploadNotFound,
    UploadState,
    WrongSecret,
    WrongSignature,
    WrongState,
)
from incoming_wsgi.client import Handover, HandoverFailed, IncomingClient, upload_file
from incoming_wsgi.dialects import native
from incoming_wsgi.exchange import Exchange

KIB = 1024
MIB = 1024 * KIB
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def taken():
    """What the web app in this process has taken: names and contents."""
    return []


@pytest.fixture
def incoming(tmp_path, taken):
    def take(upload):
        taken.append((upload.safe_filename, upload.path.read_bytes()))

    incoming = Incoming(
        tmp_path / "storage",
        on_finished=take,
        backend_api=True,
        chunk_bytes=256 * KIB,
        handover_retry_s=0.05,
        max_length_bytes=64 * MIB,
    )
    yield incoming
    incoming.close()


@pytest.fixture
def url(incoming):
    with serving(incoming.wrap(incoming)) as url:
        yield url


@pytest.fixture
def client(url):
    return IncomingClient(url)


@pytest.fixture
def content():
    return os.urandom(1_300_000)


@pytest.fixture
def file(tmp_path, content):
    path = tmp_path / "Überfahrt 1.bin"
    path.write_bytes(content)
    return path


def upload_url(url: str, incoming: Incoming) -> str:
    return f"{url}/frontend/uploads/{incoming.new_upload()}"


# tickets


@pytest.mark.parametrize(
    "method", ["new_upload", "cancel_upload", "finish_upload", "retry_handover", "status"]
)
def test_an_app_can_use_the_client_in_place_of_incoming(method):
    def parameters(cls):
        return list(inspect.signature(getattr(cls, method)).parameters)

    # Over HTTP the secret is asked for, in the process there is no need.
    assert [p for p in parameters(IncomingClient) if p != "secret" or method == "new_upload"] == [
        p for p in parameters(Incoming) if p != "secret" or method == "new_upload"
    ]


@pytest.mark.parametrize("mount", ["", "/", "/incoming", "/incoming/", "/incoming/0.1"])
def test_what_is_said_of_a_ticket_is_known_to_the_server(incoming, url, mount):
    client = IncomingClient(url + mount)
    ticket = client.new_upload(
        signal_finish_url="http://127.0.0.1:9/finished?a=1&b=2",
        remove_file_when_finished=False,
        secret="a b&c=d+e%f\"'ü€",
        owner="Jörg & Co.",
        max_length_bytes=1000,
        length=10,
        filename="Ärger.txt",
    )
    record = incoming.status(ticket)
    assert record.signal_finish_url == "http://127.0.0.1:9/finished?a=1&b=2"
    assert record.remove_file_when_finished is False
    assert record.secret == "a b&c=d+e%f\"'ü€"
    assert (record.owner, record.filename) == ("Jörg & Co.", "Ärger.txt")
    assert (record.max_length_bytes, record.length) == (1000, 10)


def test_status_is_the_record_without_its_secret(client, url):
    ticket = client.new_upload(signal_finish_url="http://127.0.0.1:9/f", secret="s", length=10)
    requests.put(
        f"{url}/frontend/uploads/{ticket}",
        headers={"Content-Range": "bytes 2-4/10"},
        data=b"abc",
        timeout=30,
    ).raise_for_status()
    status = client.status(ticket)
    assert status.secret == ""
    assert (status.id, status.state, status.length) == (ticket, UploadState.UPLOADING, 10)
    assert status.received.ranges == ((2, 5),)
    assert status.missing == ((0, 2), (5, 10))
    assert status.signal_finish_url == "http://127.0.0.1:9/f"


def test_an_upload_is_cancelled_once_or_twice(incoming, client):
    ticket = client.new_upload(signal_finish_url="http://127.0.0.1:9/f", secret="ü")
    client.cancel_upload(ticket, secret="ü")
    client.cancel_upload(ticket, secret="ü")
    assert client.status(ticket).state is UploadState.CANCELLED


def test_wait_and_finish(client, file, url):
    with web_app(reply(body=b"wait")) as app:
        ticket = client.new_upload(signal_finish_url=app.url, secret="s")
        upload_file(file, f"{url}/frontend/uploads/{ticket}", wait=False)
        app.wait_for(1)
        client.finish_upload(ticket, secret="s")  # maybe before "wait" has been read
        assert client.status(ticket).state is UploadState.FINISHED
        with pytest.raises(WrongState) as caught:
            client.finish_upload(ticket, secret="s")
    assert (caught.value.state, caught.value.event) == ("FINISHED", "finish")


def test_a_failed_upload_is_handed_over_again(tmp_path, file):
    incoming = Incoming(
        tmp_path / "storage", backend_api=True, handover_retry_s=0.01, handover_give_up_s=0.01
    )
    with serving(incoming) as url, web_app(reply(500)) as app:
        client = IncomingClient(url)
        ticket = client.new_upload(signal_finish_url=app.url)
        with pytest.raises(HandoverFailed, match="the web app answered 500") as caught:
            upload_file(file, f"{url}/frontend/uploads/{ticket}")
        assert caught.value.reason.startswith("the web app answered 500")
        app.replies = [reply()]
        client.retry_handover(ticket)
        wait_until(lambda: client.status(ticket).state is UploadState.FINISHED, "the handover")
    incoming.close()


# errors of the ticket client


def test_an_unknown_id_is_upload_not_found(client):
    for ask in (client.status, client.cancel_upload, client.finish_upload, client.retry_handover):
        with pytest.raises(UploadNotFound):
            ask(UNKNOWN)


@pytest.mark.parametrize("upload_id", ["", "../new_upload", "a/retry", "a?b", "a%2Fretry", "ä"])
def test_what_is_no_id_is_upload_not_found(client, upload_id):
    with pytest.raises(UploadNotFound):
        client.status(upload_id)
    with pytest.raises(UploadNotFound):
        client.retry_handover(upload_id)


def test_a_wrong_secret_is_wrong_secret(client):
    ticket = client.new_upload(signal_finish_url="http://127.0.0.1:9/f", secret="right")
    for secret in ("", "wrong", "Right"):
        with pytest.raises(WrongSecret):
            client.cancel_upload(ticket, secret=secret)
        with pytest.raises(WrongSecret):
            client.finish_upload(ticket, secret=secret)


def test_too_early_or_too_late_is_wrong_state(client):
    ticket = client.new_upload(signal_finish_url="http://127.0.0.1:9/f")
    for ask, event in ((client.finish_upload, "finish"), (client.retry_handover, "retry")):
        with pytest.raises(WrongState) as caught:
            ask(ticket)
        assert caught.value.state == "CREATED", event


def test_a_url_that_cannot_be_called_is_a_bad_request_that_names_it(client):
    with pytest.raises(BadRequest, match="signalFinishURL must be an absolute"):
        client.new_upload(signal_finish_url="/finished")


def test_a_length_above_the_limit_is_too_large(client):
    with pytest.raises(TooLarge, match="has 1001 bytes, this ticket takes at most 1000"):
        client.new_upload(
            signal_finish_url="http://127.0.0.1:9/f", length=1001, max_length_bytes=1000
        )


def test_a_wrong_url_is_said_to_be_one(incoming, url, file):
    client = IncomingClient(url + "/elsewhere")
    for ask in (
        lambda: client.new_upload(signal_finish_url="http://127.0.0.1:9/f"),
        lambda: client.status(UNKNOWN),
        lambda: client.retry_handover(UNKNOWN),
    ):
        with pytest.raises(BadRequest, match=r"/elsewhere/backend does not exist\. Look whether"):
            ask()


def test_only_incoming_can_say_that_it_does_not_know_an_upload(file):
    def elsewhere(environ, start_response):
        start_response("404 Not Found", [("Content-Type", "text/html")])
        return [b"<h1>Not Found</h1>"]

    with serving(elsewhere) as url:
        with pytest.raises(BadRequest, match="does not exist"):
            IncomingClient(url).status(UNKNOWN)
        with pytest.raises(NotFound, match="no Incoming server is at this URL") as caught:
            upload_file(file, f"{url}/frontend/uploads/{UNKNOWN}")
        assert not isinstance(caught.value, UploadNotFound)


def test_the_right_to_ask_comes_with_the_token(tmp_path):
    incoming = Incoming(tmp_path / "storage", backend_api=True, backend_token="t0ken")

    def behind_a_proxy(environ, start_response):
        return incoming({**environ, "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, start_response)

    with serving(behind_a_proxy) as url:
        ticket = IncomingClient(url, token="t0ken").new_upload(
            signal_finish_url="http://127.0.0.1:9/f"
        )
        assert incoming.status(ticket).state is UploadState.CREATED
        for token in (None, "wrong"):
            with pytest.raises(Forbidden, match="bearer token"):
                IncomingClient(url, token=token).status(ticket)
    incoming.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "127.0.0.1:4000"},
        {"base_url": "ftp://127.0.0.1/"},
        {"base_url": "http://"},
        {"base_url": "http://127.0.0.1:99999"},
        {"base_url": "http://127.0.0.1", "token": ""},
        {"base_url": "http://127.0.0.1", "token": "two words"},
        {"base_url": "http://127.0.0.1", "token": "x\r\nHost: y"},
        {"base_url": "http://127.0.0.1", "timeout_s": 0},
    ],
)
def test_what_cannot_be_is_refused_at_construction(arguments):
    with pytest.raises(ValueError):
        IncomingClient(**arguments)


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A server that says `answer` to whatever it is asked, and hangs up; None: it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def talk() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def test_a_proxy_may_say_how_long_is_what_has_not_changed():
    """RFC 9110, 8.6: the length of the answer that it stands for."""
    unchanged = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 500\r\n\r\n'
    with answering(unchanged) as url, Exchange(timeout_s=10) as exchange:
        assert exchange.changed_facts(url, '"1"') is None
        assert exchange.etag == '"1"'


ANSWERS = {
    "nothing": b"",
    "garbage": b"\x00\x01garbage\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "bad gateway": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    "busy": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "teapot page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>I am a teapot",
    "bad encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_a_broken_server_says_is_unavailable(answer):
    with answering(answer) as url:
        client = IncomingClient(url, timeout_s=10)
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            client.new_upload(signal_finish_url="http://127.0.0.1:9/f")
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            client.status(UNKNOWN)


def test_a_server_that_is_not_there_is_unavailable():
    with pytest.raises(Unavailable, match=r"cannot be reached .* try again") as caught:
        IncomingClient(f"http://127.0.0.1:{free_port()}").status(UNKNOWN)
    assert isinstance(caught.value.__cause__, requests.RequestException)
    assert UNKNOWN not in str(caught.value)


def test_a_server_that_says_nothing_in_time_is_unavailable():
    with answering(None) as url, pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
        IncomingClient(url, timeout_s=0.2).status(UNKNOWN)


def test_a_redirect_is_not_followed(url):
    moved = f"HTTP/1.1 302 Found\r\nLocation: {url}/backend/new_upload\r\n\r\n".encode()
    with answering(moved) as elsewhere, pytest.raises(BadRequest, match="302 Found: it has moved"):
        IncomingClient(elsewhere).new_upload(signal_finish_url="http://127.0.0.1:9/f")


def test_proxies_of_the_environment_are_not_used(client, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert client.new_upload(signal_finish_url="http://127.0.0.1:9/f")


# handovers


FORM = {
    "id": "1a2b",
    "filename": "/srv/incoming/files/1a2b",
    "filenameFromBrowser": "Ärger €.txt",
    "backendSecret": "ß &=+%",
    "signalFinishSecret": "ß &=+%",
    "cancelled": "no",
    "cancelReason": "",
    "deliveryId": "d1",
    "attempt": "3",
    "length": "10",
}
CANCELLED = FORM | {
    "filename": "",
    "filenameFromBrowser": "",
    "cancelled": "yes",
    "cancelReason": "upload timed out",
    "length": "",
}


def test_a_handover_is_read():
    assert Handover.from_params(FORM, secret="ß &=+%") == Handover(
        id="1a2b",
        path=Path("/srv/incoming/files/1a2b"),
        filename_from_browser="Ärger €.txt",
        relative_path=None,
        cancelled=False,
        cancel_reason="",
        delivery_id="d1",
        attempt=3,
        length=10,
        sha256=None,
    )
    assert Handover.from_params(FORM | {"sha256": "aa"}, secret="ß &=+%").sha256 == "aa"


def test_a_cancelled_upload_has_no_path():
    assert Handover.from_params(CANCELLED, secret="ß &=+%") == Handover(
        id="1a2b",
        path=None,
        filename_from_browser="",
        relative_path=None,
        cancelled=True,
        cancel_reason="upload timed out",
        delivery_id="d1",
        attempt=3,
        length=None,
        sha256=None,
    )


def test_a_handover_of_the_original_is_read():
    names = ("id", "filename", "filenameFromBrowser", "backendSecret", "cancelled", "cancelReason")
    handover = Handover.from_params({name: FORM[name] for name in names}, secret="ß &=+%")
    assert (handover.delivery_id, handover.attempt, handover.length) == ("", 1, None)


@pytest.mark.parametrize("name", ["backendSecret", "signalFinishSecret"])
def test_the_secret_counts_under_either_name(name):
    form = {k: v for k, v in FORM.items() if not k.endswith("Secret")} | {name: "s"}
    assert Handover.from_params(form, secret="s").id == "1a2b"
    for wrong in ("", "S", "s "):
        with pytest.raises(WrongSecret):
            Handover.from_params(form, secret=wrong)


def test_without_the_secret_nothing_else_is_looked_at():
    with pytest.raises(WrongSecret):
        Handover.from_params({"cancelled": "maybe"}, secret="s")


@pytest.mark.parametrize("name", ["id", "filename", "filenameFromBrowser", "cancelled"])
def test_a_missing_field_is_named(name):
    form = {k: v for k, v in FORM.items() if k != name}
    with pytest.raises(BadRequest, match=f"^{name} is missing"):
        Handover.from_params(form, secret="ß &=+%")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cancelled", "maybe"),
        ("filename", ""),
        ("filename", "relative/path"),
        ("attempt", "x"),
        ("length", "-1"),
        ("length", "٣"),
    ],
)
def test_a_field_that_cannot_be_is_named(name, value):
    with pytest.raises(BadRequest, match=f"{name} is '{value}'"):
        Handover.from_params(FORM | {name: value}, secret="ß &=+%")


@pytest.mark.parametrize("value", ["{", "[" * 100_000, "[]", '{"a": 1}', '{"a": null}'])
def test_metadata_that_cannot_be_read_is_named(value):
    with pytest.raises(BadRequest, match="metadata is unreadable"):
        Handover.from_params(FORM | {"metadata": value}, secret="ß &=+%")


def test_the_relative_path_is_read():
    form = FORM | {"relativePath": "Briefe/2014/Ärger €.txt"}
    handover = Handover.from_params(form, secret="ß &=+%")
    assert handover.relative_path == "Briefe/2014/Ärger €.txt"
    form = CANCELLED | {"relativePath": ""}
    assert Handover.from_params(form, secret="ß &=+%").relative_path is None


def test_the_relative_path_can_be_joined_to_a_folder_whoever_sent_it():
    form = FORM | {"filenameFromBrowser": "../passwd", "relativePath": "/../etc/../x"}
    assert Handover.from_params(form, secret="ß &=+%").relative_path == "etc/passwd"


def test_the_name_can_be_joined_to_a_folder_whoever_sent_it():
    form = FORM | {"filenameFromBrowser": "../../etc/passwd"}
    assert Handover.from_params(form, secret="ß &=+%").filename_from_browser == "passwd"


@pytest.mark.parametrize(
    "params",
    [
        lambda: bottle.request.forms,
        lambda: bottle.request.params,
        lambda: bottle.request.forms.decode(),
        lambda: bottle.request.params.decode(),
    ],
    ids=["forms", "params", "forms.decode()", "params.decode()"],
)
def test_in_bottle_texts_are_right_however_they_are_taken(params):
    app = bottle.Bottle()

    @app.post("/finished")
    def finished():
        handover = Handover.from_params(params(), secret="ß &=+%")
        return f"{handover.filename_from_browser}|{handover.path}"

    answer = TestApp(app).post("/finished", FORM)
    assert answer.text == "Ärger €.txt|/srv/incoming/files/1a2b"


def test_in_bottle_a_form_that_is_not_utf8_is_a_bad_request():
    app = bottle.Bottle()

    @app.post("/finished")
    def finished():
        with pytest.raises(BadRequest, match="not UTF-8"):
            Handover.from_params(bottle.request.forms, secret="")
        return "seen"

    assert TestApp(app).post("/finished", "id=%FF").text == "seen"


def test_what_the_server_posts_is_read(client, file, url, content):
    with web_app() as app:
        ticket = client.new_upload(signal_finish_url=app.url, secret="geheim ü")
        upload_file(file, f"{url}/frontend/uploads/{ticket}")
        [posted] = app.wait_for(1)
        unused = client.new_upload(signal_finish_url=app.url, secret="s")
        requests.delete(
            f"{url}/frontend/uploads/{unused}", params={"reason": "no more"}, timeout=30
        ).raise_for_status()
        _, cancelled = app.wait_for(2)
    handover = Handover.from_params(posted.form, secret="geheim ü")
    assert (handover.id, handover.filename_from_browser) == (ticket, "Überfahrt 1.bin")
    assert (handover.cancelled, handover.length, handover.attempt) == (False, len(content), 1)
    assert handover.path is not None
    assert handover.path.is_absolute()
    assert posted.content == content
    cancelled = Handover.from_params(cancelled.form, secret="s")
    assert (cancelled.cancelled, cancelled.cancel_reason) == (True, "no more")
    assert (cancelled.path, cancelled.length) == (None, None)


# signed handovers

KEY, OTHER_KEY = "0123456789abcdef", "fedcba9876543210"
# Made with: printf '%s' '1700000000.id=1a2b&…' | openssl dgst -sha256 -hmac 0123456789abcdef
BODY = (
    b"id=1a2b&filename=%2Fsrv%2Ffiles%2F1a2b&filenameFromBrowser=%C3%84rger+%E2%82%AC.txt"
    b"&backendSecret=s&signalFinishSecret=s&cancelled=no&cancelReason=&deliveryId=d1&attempt=3"
    b"&length=10"
)
DIGEST = "006400f0d960839e07101ee894945b2c394525c8647b0eebe846561ab63734a9"
SIGNED_AT = 1_700_000_000
SIGNATURE = f"t={SIGNED_AT},v1={DIGEST}"


@pytest.fixture
def clock(monkeypatch):
    """Sets the time at which handovers are read."""

    def set_clock(at: float) -> None:
        monkeypatch.setattr("incoming_wsgi.client.time.time", lambda: at)

    set_clock(SIGNED_AT + 1)
    return set_clock


def read(signature=SIGNATURE, body=BODY, key=KEY, **more):
    return Handover.from_body(body, signature=signature, signing_key=key, **more)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("body", [BODY, bytearray(BODY), memoryview(BODY)])
def test_a_signed_handover_is_read(body):
    assert read(body=body) == Handover(
        id="1a2b",
        path=Path("/srv/files/1a2b"),
        filename_from_browser="Ärger €.txt",
        relative_path=None,
        cancelled=False,
        cancel_reason="",
        delivery_id="d1",
        attempt=3,
        length=10,
        sha256=None,
    )


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        (None, "missing"),
        ("", "missing"),
        (f"t={SIGNED_AT},v1={'0' * 64}", "wrong"),
        (f"t={SIGNED_AT + 1},v1={DIGEST}", "wrong"),  # the time is signed too
        (f"t=0{SIGNED_AT},v1={DIGEST}", "wrong"),
        (f"v1={DIGEST}", "malformed"),
        (f"t={SIGNED_AT}", "malformed"),
        (f"t={SIGNED_AT},t={SIGNED_AT},v1={DIGEST}", "malformed"),
        (f"t=,v1={DIGEST}", "malformed"),
        (f"t=-1,v1={DIGEST}", "malformed"),
        (f"t=1.7e9,v1={DIGEST}", "malformed"),
        (f"t=١,v1={DIGEST}", "malformed"),
        (f"t={'9' * 5000},v1={DIGEST}", "malformed"),
        (f"t={SIGNED_AT},v1={DIGEST[:-1]}", "malformed"),
        (f"t={SIGNED_AT},v1={DIGEST[:-1]}é", "malformed"),
        (f"t={SIGNED_AT},v1={DIGEST},v1=", "malformed"),
        (f"t={SIGNED_AT},v2={DIGEST}", "malformed"),
        (SIGNATURE + ",x=" + "y" * 5000, "malformed"),
        (DIGEST, "malformed"),
    ],
)
def test_a_signature_that_is_none_is_refused_and_said_why(signature, problem):
    with pytest.raises(WrongSignature, match=f"^X-Incoming-Signature is {problem}") as caught:
        read(signature)
    assert isinstance(caught.value, Forbidden)
    assert (caught.value.code, caught.value.status) == ("wrong_signature", 403)
    assert caught.value.problem == problem
    assert KEY not in str(caught.value)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    "body", [BODY + b"&x=", BODY[:-1], BODY.replace(b"no", b"yes"), b"", BODY.lower()]
)
def test_a_body_that_was_changed_on_the_way_is_refused(body):
    with pytest.raises(WrongSignature, match="is wrong"):
        read(body=body)


@pytest.mark.usefixtures("clock")
def test_a_signature_is_looked_at_before_anything_else():
    with pytest.raises(WrongSignature):
        read(body=b"cancelled=maybe")
    with pytest.raises(WrongSignature):
        read(signature=None, secret="another")


def test_a_handover_that_is_kept_and_sent_again_is_refused_when_its_time_is_over(clock):
    for age_s in (-300, 0, 300):
        clock(SIGNED_AT + age_s)
        assert read().attempt == 3
    for age_s in (-301, 301, 86400):
        clock(SIGNED_AT + age_s)
        with pytest.raises(WrongSignature, match=f"is too old: {age_s} s") as caught:
            read()
        assert (caught.value.problem, caught.value.age_s) == ("too_old", age_s)
    clock(SIGNED_AT + 86400)
    assert read(window_s=90000).attempt == 3


@pytest.mark.usefixtures("clock")
def test_a_key_can_be_changed_without_a_gap():
    # The app knows both, the server signs with either.
    assert read(key=[OTHER_KEY, KEY]).id == "1a2b"
    assert read(key=(KEY, OTHER_KEY)).id == "1a2b"
    # Or the server signs with both, the app knows one.
    assert read(f"t={SIGNED_AT},v1={'0' * 64},v1={DIGEST}").id == "1a2b"
    assert read(f" v1={DIGEST} , t={SIGNED_AT}, v1={'0' * 64}, v2=later").id == "1a2b"
    with pytest.raises(WrongSignature, match="is wrong"):
        read(key=OTHER_KEY)
    with pytest.raises(WrongSignature, match="is wrong"):
        read(f"t={SIGNED_AT},v1={'0' * 64},v1={'1' * 64}", key=[KEY, OTHER_KEY])


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"key": ""}, ValueError),
        ({"key": []}, ValueError),
        ({"key": "short"}, ValueError),
        ({"key": [KEY, "short"]}, ValueError),
        ({"key": None}, TypeError),  # a variable that is not set must not open the door
        ({"key": KEY.encode()}, TypeError),
        ({"body": BODY.decode()}, TypeError),
    ],
)
def test_a_key_or_body_that_cannot_be_is_the_programmers_mistake(arguments, error):
    with pytest.raises(error) as caught:
        read(**arguments)
    assert "short" not in str(caught.value)


@pytest.mark.usefixtures("clock")
def test_the_secret_of_the_ticket_is_looked_at_too_if_it_is_given():
    assert read(secret="s").id == "1a2b"
    for secret in ("", "S"):
        with pytest.raises(WrongSecret):
            read(secret=secret)


@pytest.mark.parametrize("body", [b"id=%FF", b"id", b"\xff", b"id=1&" * 101, b""])
def test_a_signed_body_that_is_no_form_is_a_bad_request(body):
    at = int(time.time())
    digest = hmac.digest(KEY.encode(), b"%d." % at + body, "sha256").hex()
    with pytest.raises(BadRequest):
        read(f"t={at},v1={digest}", body)


def test_a_view_of_bottle_reads_what_the_server_signs(tmp_path, file, content):
    """As docs/client.md has it."""
    app = bottle.Bottle()
    seen = []

    @app.post("/finished")
    def finished():
        try:
            handover = Handover.from_body(
                bottle.request.body.read(),
                signature=bottle.request.get_header("X-Incoming-Signature"),
                signing_key=KEY,
            )
        except IncomingError as exc:
            return bottle.HTTPResponse(str(exc), exc.status)
        seen.append((handover.path.read_bytes(), handover.filename_from_browser))
        return "done"

    incoming = Incoming(tmp_path / "storage", signing_key=KEY)
    with closing(incoming), serving(incoming) as url, serving(app) as app_url:
        ticket = incoming.new_upload(signal_finish_url=f"{app_url}/finished", secret="s")
        assert upload_file(file, f"{url}/frontend/uploads/{ticket}").state is UploadState.FINISHED
        answer = requests.post(f"{app_url}/finished", data=FORM, timeout=30)
    assert (answer.status_code, answer.text.split(".")[0]) == (
        403,
        "X-Incoming-Signature is missing",
    )
    assert seen == [(content, "Überfahrt 1.bin")]


# sending a file


def test_a_file_arrives_and_is_taken(incoming, url, file, content, taken):
    seen = []
    sent = upload_file(
        file, upload_url(url, incoming), progress=lambda stored, total: seen.append((stored, total))
    )
    assert taken == [("Überfahrt 1.bin", content)]
    assert (sent.state, sent.length, sent.missing) == (UploadState.FINISHED, 1_300_000, ())
    assert seen[0] == (0, 1_300_000)
    assert seen[-1] == (1_300_000, 1_300_000)
    assert seen == sorted(seen)


def test_the_server_knows_the_file_by_name_length_and_time(incoming, url, file):
    os.utime(file, ns=(0, 1_700_000_000_123_456_789))
    target = upload_url(url, incoming)
    upload_file(file, target, wait=False)
    record = incoming.status(target.rpartition("/")[2])
    assert (record.filename, record.length) == ("Überfahrt 1.bin", 1_300_000)
    assert record.last_modified == 1_700_000_000_123


def test_an_empty_file_arrives(incoming, url, tmp_path, taken):
    (tmp_path / "empty").touch()
    seen = []
    sent = upload_file(
        tmp_path / "empty", upload_url(url, incoming), progress=lambda *at: seen.append(at)
    )
    assert (sent.state, sent.length, seen) == (UploadState.FINISHED, 0, [(0, 0)])
    assert taken == [("empty", b"")]


def test_a_file_that_is_there_already_is_not_sent_again(incoming, url, file, taken):
    target = upload_url(url, incoming)
    upload_file(file, target)
    seen = []
    again = upload_file(file, target, progress=lambda *at: seen.append(at))
    assert (again.state, seen) == (UploadState.FINISHED, [(1_300_000, 1_300_000)])
    assert len(taken) == 1


class Stopped(Exception):
    """The user has had enough."""


def stop_at(bytes_stored: int):
    def progress(stored, total):
        if stored >= bytes_stored:
            raise Stopped

    return progress


def test_a_stopped_upload_goes_on_where_it_was(incoming, url, file, content, taken):
    target = upload_url(url, incoming)
    with pytest.raises(Stopped):
        upload_file(file, target, progress=stop_at(600_000), chunk_bytes=200_000)
    seen = []
    upload_file(file, target, progress=lambda *at: seen.append(at), chunk_bytes=200_000)
    assert [stored for stored, _ in seen] == [600_000, 800_000, 1_000_000, 1_200_000, 1_300_000]
    assert taken == [("Überfahrt 1.bin", content)]


def test_only_what_is_missing_is_sent(incoming, url, file, content, taken):
    target = upload_url(url, incoming)
    for start, stop in ((100_000, 200_000), (1_200_000, 1_300_000)):
        requests.put(
            target,
            headers={"Content-Range": f"bytes {start}-{stop - 1}/1300000"},
            data=content[start:stop],
            timeout=30,
        ).raise_for_status()
    seen = []
    upload_file(file, target, progress=lambda *at: seen.append(at), chunk_bytes=1_000_000)
    assert [stored for stored, _ in seen] == [200_000, 300_000, 1_300_000]
    assert [sent for _, sent in taken] == [content]


@pytest.mark.parametrize("when", ["between two chunks", "in the middle of one"])
def test_an_upload_survives_the_death_of_the_server(tmp_path, when):
    content = os.urandom(6 * MIB)
    (tmp_path / "a.bin").write_bytes(content)
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    with (
        web_app() as app,
        gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ) as server,
    ):
        restarts = []

        def crash():
            server.kill()
            server.start()

        def progress(stored, total):
            if stored >= 2 * MIB and not restarts:
                restarts.append(threading.Thread(target=crash))
                restarts[0].start()
                if when == "between two chunks":
                    restarts[0].join()

        ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url)
        url = f"{server.url}/frontend/uploads/{ticket}"
        sent = upload_file(tmp_path / "a.bin", url, progress=progress, chunk_bytes=128 * KIB)
        restarts[0].join()
        handovers = app.wait_for(1)
    assert sent.state is UploadState.FINISHED
    assert [handover.content for handover in handovers] == [content]


def test_a_server_that_is_down_at_first_is_waited_for(tmp_path, file, content):
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    server = gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ)
    with server, web_app() as app:
        ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url)
        server.kill()
        troubles = []

        def on_retry(trouble, pause_s):
            troubles.append(trouble)
            if len(troubles) == 2:
                server.start()

        upload_file(file, f"{server.url}/frontend/uploads/{ticket}", on_retry=on_retry)
        [handover] = app.wait_for(1)
    assert handover.content == content
    assert {type(trouble) for trouble in troubles} == {Unavailable}
    assert ticket not in str(troubles[0])


def test_a_server_that_stays_away_is_given_up(file):
    url = f"http://127.0.0.1:{free_port()}/frontend/uploads/{UNKNOWN}"
    pauses = []
    with pytest.raises(Unavailable, match="cannot be reached"):
        upload_file(file, url, give_up_s=1.5, on_retry=lambda _, pause_s: pauses.append(pause_s))
    assert len(pauses) >= 2
    assert sum(pauses) <= 1.5
    for attempt, pause_s in enumerate(pauses):  # they double, and vary
        assert 0.125 * 2**attempt <= pause_s <= 0.25 * 2**attempt


# sending, through a middle man that does what networks do


class MiddleMan:
    """Passes requests on to `app`, unless the next of `tricks` takes one over."""

    def __init__(self, app, *tricks):
        self.app = app
        self.tricks = list(tricks)
        self.puts = []  # Content-Length of each

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] == "PUT":
            self.puts.append(int(environ["CONTENT_LENGTH"]))
            if self.tricks:
                return self.tricks.pop(0)(environ, start_response, self.app)
        return self.app(environ, start_response)


def refuse(status, *headers):
    def trick(environ, start_response, app):
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response(status, [("Content-Type", "text/html"), *headers])
        return [b"<html>no</html>"]

    return trick


def corrupt(environ, start_response, app):
    body = bytearray(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    body[len(body) // 2] ^= 1
    return app({**environ, "wsgi.input": io.BytesIO(body)}, start_response)


def swallow_the_answer(environ, start_response, app):
    for _ in app(environ, lambda status, headers, exc_info=None: None):
        pass
    raise ConnectionResetError("the line is cut after the work is done")


def test_a_chunk_that_was_spoilt_on_the_way_is_sent_again(incoming, file, content, taken):
    troubles = []
    with serving(MiddleMan(incoming, corrupt)) as url:
        upload_file(
            file, upload_url(url, incoming), on_retry=lambda trouble, _: troubles.append(trouble)
        )
    assert [trouble.code for trouble in troubles] == ["digest_mismatch"]
    assert taken == [("Überfahrt 1.bin", content)]


def test_retry_after_is_obeyed(incoming, file, content, taken):
    pauses = []
    busy = MiddleMan(incoming, refuse("503 Busy", ("Retry-After", "1")))
    with serving(busy) as url:
        began = time.monotonic()
        upload_file(
            file, upload_url(url, incoming), on_retry=lambda _, pause_s: pauses.append(pause_s)
        )
        took_s = time.monotonic() - began
    assert pauses == [1]
    assert took_s >= 1
    assert taken == [("Überfahrt 1.bin", content)]


def test_a_retry_after_beyond_the_patience_is_not_waited_for(incoming, file):
    busy = MiddleMan(incoming, refuse("503 Busy", ("Retry-After", "3600")))
    with serving(busy) as url, pytest.raises(Unavailable, match="answered 503 Busy"):
        upload_file(file, upload_url(url, incoming), give_up_s=60)


def test_the_limit_of_a_proxy_is_found(incoming, file, content, taken):
    limit = 100_000

    class Nginx(MiddleMan):
        def __call__(self, environ, start_response):
            if int(environ.get("CONTENT_LENGTH") or 0) > limit:
                self.tricks = [refuse("413 Request Entity Too Large")]
            return super().__call__(environ, start_response)

    nginx = Nginx(incoming)
    with serving(nginx) as url:
        upload_file(file, upload_url(url, incoming))
    assert taken == [("Überfahrt 1.bin", content)]
    # 256 KiB, 128 KiB, then 64 KiB, which fits; and it does not try in vain again.
    assert nginx.puts[:3] == [256 * KIB, 128 * KIB, 64 * KIB]
    assert max(nginx.puts[2:]) <= limit


def test_chunks_grow_on_a_quick_line_up_to_the_servers_limit(tmp_path):
    (tmp_path / "a.bin").write_bytes(os.urandom(MIB))
    incoming = Incoming(
        tmp_path / "storage",
        on_finished=lambda upload: None,
        chunk_bytes=64 * KIB,
        max_chunk_bytes=200 * KIB,
    )
    middle_man = MiddleMan(incoming)
    with serving(middle_man) as url:
        upload_file(tmp_path / "a.bin", upload_url(url, incoming))
    incoming.close()
    assert middle_man.puts[:2] == [64 * KIB, 128 * KIB]
    assert max(middle_man.puts) == 200 * KIB
    assert sum(middle_man.puts) == MIB


def test_a_lost_answer_costs_no_second_transfer(incoming, file, content, taken):
    middle_man = MiddleMan(incoming, swallow_the_answer)
    with serving(middle_man) as url:
        upload_file(file, upload_url(url, incoming), chunk_bytes=700_000)
    assert middle_man.puts == [700_000, 600_000]
    assert taken == [("Überfahrt 1.bin", content)]


def test_an_answer_that_is_none_of_incomings_does_not_count(incoming, file, content, taken):
    def login_page(environ, start_response, app):
        return refuse("200 OK")(environ, start_response, app)

    troubles = []
    with serving(MiddleMan(incoming, login_page)) as url:
        upload_file(
            file, upload_url(url, incoming), on_retry=lambda trouble, _: troubles.append(trouble)
        )
    [trouble] = troubles
    assert isinstance(trouble, Unavailable)
    assert "an answer that no Incoming server gives" in str(trouble)
    assert taken == [("Überfahrt 1.bin", content)]


def test_of_very_many_ranges_none_is_sent_twice(incoming, file, content, taken, monkeypatch):
    """The answers to chunks do not tell all of them then."""
    monkeypatch.setattr(native, "MAX_RANGES_AFTER_PUT", 1)
    man = MiddleMan(incoming)
    with serving(man) as url:
        target = upload_url(url, incoming)
        for start in range(100_000, 1_300_000, 200_000):
            headers = {"Content-Range": f"bytes {start}-{start + 99_999}/1300000"}
            chunk = content[start : start + 100_000]
            requests.put(target, headers=headers, data=chunk, timeout=30).raise_for_status()
        man.puts.clear()
        seen = []
        sent = upload_file(file, target, progress=lambda stored, _: seen.append(stored))
    assert man.puts == [100_000] * 7
    assert seen == list(range(600_000, 1_300_001, 100_000))
    assert sent.received.ranges == ((0, 1_300_000),)
    assert taken == [("Überfahrt 1.bin", content)]


def test_what_a_server_has_forgotten_meanwhile_is_sent_again(
    incoming, file, content, taken, monkeypatch
):
    """As after a crash of its machine, though the answers to chunks do not tell of it."""
    monkeypatch.setattr(native, "MAX_RANGES_AFTER_PUT", 0)

    def crash(environ, start_response, app):
        incoming._tickets.forget_unsynced(environ["PATH_INFO"].rpartition("/")[2])
        return app(environ, start_response)

    def pass_on(environ, start_response, app):
        return app(environ, start_response)

    man = MiddleMan(incoming, pass_on, crash)
    with serving(man) as url:
        upload_file(file, upload_url(url, incoming), chunk_bytes=650_000, wait=False)
    assert man.puts == [650_000] * 3
    wait_until(lambda: taken, "the handover")
    assert taken == [("Überfahrt 1.bin", content)]


def test_as_long_as_nothing_changes_waiting_costs_little(tmp_path, file):
    answers = []

    def counted(environ, start_response):
        def start(status, headers, exc_info=None):
            if environ["REQUEST_METHOD"] == "GET":
                answers.append(int(status[:3]))
            return start_response(status, headers, exc_info)

        parts = incoming(environ, start)
        ticket = environ["PATH_INFO"].rpartition("/")[2]
        waits = incoming.status(ticket).state is UploadState.AWAITING_CONFIRMATION
        if waits and (answers.count(304) >= 2 or len(answers) > 8):
            incoming.finish_upload(ticket)
        return parts

    incoming = Incoming(tmp_path / "storage", on_finished=lambda upload: "wait")
    with serving(counted) as url:
        sent = upload_file(file, upload_url(url, incoming))
    incoming.close()
    assert sent.state is UploadState.FINISHED
    # In full the first answer and the last, and one for each other state that was seen.
    assert (answers[0], answers[-1]) == (200, 200)
    assert answers.count(304) >= 2
    assert answers.count(200) <= 4


def test_a_session_of_ones_own_is_used_and_stays_open(incoming, file):
    seen = []

    def app(environ, start_response):
        seen.append(environ.get("HTTP_COOKIE"))
        return incoming(environ, start_response)

    with serving(app) as url, requests.Session() as session:
        session.cookies.set("who", "me")
        upload_file(file, upload_url(url, incoming), session=session)
        assert session.get(url + "/health", timeout=30).ok
    assert set(seen) == {"who=me"}


def test_memory_does_not_depend_on_the_size_of_a_chunk(tmp_path):
    with (tmp_path / "big").open("wb") as big:
        big.truncate(40 * MIB)
    incoming = Incoming(tmp_path / "storage", on_finished=lambda upload: None)
    with serving(incoming) as url:
        target = upload_url(url, incoming)
        tracemalloc.start()
        try:
            upload_file(tmp_path / "big", target, chunk_bytes=16 * MIB)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    incoming.close()
    assert peak < 8 * MIB  # of the server, which is in this process too, some blocks of 1 MiB


# sending: the file is not what it was


def test_another_file_of_the_same_length_and_time_is_found_out(incoming, url, file, content):
    target = upload_url(url, incoming)
    with pytest.raises(Stopped):
        upload_file(file, target, progress=stop_at(600_000), chunk_bytes=200_000)
    times = file.stat()
    other = bytearray(content)
    other[0] ^= 1
    file.write_bytes(other)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(FileChanged, match="SHA-256 of the bytes from 0 to 200000") as caught:
        upload_file(file, target, chunk_bytes=200_000)
    assert caught.value.expected == hashlib.sha256(content[:200_000]).hexdigest()
    assert caught.value.provided == hashlib.sha256(other[:200_000]).hexdigest()


def test_another_length_is_found_out(incoming, url, file, content):
    target = upload_url(url, incoming)
    with pytest.raises(Stopped):
        upload_file(file, target, progress=stop_at(600_000), chunk_bytes=200_000)
    file.write_bytes(content + b"more")
    with pytest.raises(FileChanged) as caught:
        upload_file(file, target)
    evidence = (caught.value.what, caught.value.expected, caught.value.provided)
    assert evidence == ("length", 1_300_000, 1_300_004)


@pytest.mark.parametrize("change", ["append", "truncate", "rewrite"])
def test_a_file_that_changes_on_the_way_is_not_delivered(incoming, url, file, taken, change):
    def progress(stored, total):
        if stored == 400_000:
            with file.open("r+b") as open_file:
                if change == "append":
                    open_file.seek(0, os.SEEK_END)
                if change == "truncate":
                    open_file.truncate(500_000)
                else:
                    open_file.write(b"changed")

    with pytest.raises(FileChanged):
        upload_file(file, upload_url(url, incoming), progress=progress, chunk_bytes=200_000)
    assert taken == []


def test_two_senders_of_one_ticket_do_not_mix_their_files(incoming, url, file, taken):
    target = upload_url(url, incoming)

    def declare_another(stored, total):
        if stored == 0:
            another = {"filename": "another.bin", "length": total}
            requests.post(target, json=another, timeout=30).raise_for_status()

    with pytest.raises(FileChanged):
        upload_file(file, target, progress=declare_another)
    assert incoming.status(target.rpartition("/")[2]).received.ranges == ()


# sending: the upload is not what it was


def test_a_cancelled_upload_is_gone_and_says_why(incoming, url, file):
    target = upload_url(url, incoming)

    def progress(stored, total):
        if stored == 400_000:
            incoming.cancel_upload(target.rpartition("/")[2])

    with pytest.raises(UploadGone) as caught:
        upload_file(file, target, progress=progress, chunk_bytes=200_000)
    assert caught.value.reason == "Cancelled by request"
    with pytest.raises(UploadGone):
        upload_file(file, target)


def test_an_unknown_ticket_is_upload_not_found(url, file):
    with pytest.raises(UploadNotFound):
        upload_file(file, f"{url}/frontend/uploads/{UNKNOWN}")


def test_a_file_that_is_too_large_is_said_before_anything_is_sent(incoming, file):
    middle_man = MiddleMan(incoming)
    with serving(middle_man) as url:
        ticket = incoming.new_upload(max_length_bytes=1_000_000)
        with pytest.raises(FileTooLarge) as caught:
            upload_file(file, f"{url}/frontend/uploads/{ticket}")
    assert (caught.value.length, caught.value.max_length_bytes) == (1_300_000, 1_000_000)
    assert middle_man.puts == []


def test_without_wait_it_ends_when_all_is_stored(tmp_path, file):
    incoming = Incoming(tmp_path / "storage", on_finished=lambda upload: None, background=False)
    with serving(incoming) as url:
        sent = upload_file(file, upload_url(url, incoming), wait=False)
    incoming.close()
    assert (sent.state, sent.missing) == (UploadState.COMPLETE, ())


def test_a_file_that_cannot_be_read_is_an_os_error(incoming, url, tmp_path):
    with pytest.raises(FileNotFoundError):
        upload_file(tmp_path / "nothing", upload_url(url, incoming))


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("frontend/uploads/x", {}),
        ("ftp://127.0.0.1/x", {}),
        ("http://127.0.0.1/x", {"chunk_bytes": 0}),
        ("http://127.0.0.1/x", {"timeout_s": 0}),
    ],
)
def test_what_cannot_be_is_a_value_error(file, target, arguments):
    with pytest.raises(ValueError):
        upload_file(file, target, **arguments)
