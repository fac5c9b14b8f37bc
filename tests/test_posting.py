"""One call of a web app that does not play by the rules: slow, endless, leading elsewhere."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from servers import free_port
from webapp import reply, web_app

from incoming_wsgi.config import Settings
from incoming_wsgi.handover import Answer, Outcome, call_url
from incoming_wsgi.hosts import Origin

CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"
FIELDS = {"id": "1a2b", "backendSecret": "s ß"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
DRIPS = 50  # then an app that drips gives up and answers properly: 2.5 s, far beyond the limit
Talk = Callable[[socket.socket], None]


@contextmanager
def talking_app(*talks: Talk, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of an app that reads a request and then talks as told, once for each talk; at the
    end all of its conversations are over."""

    def serve() -> None:
        for talk in talks:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                try:
                    if context is not None:
                        line = context.wrap_socket(line, server_side=True)
                    read_request(line)
                    talk(line)
                except OSError:
                    pass  # the call has ended, as it should
                finally:
                    line.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def read_request(line: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += line.recv(4096)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += line.recv(4096)
    return body


def call(port: int, *, scheme: str = "http", timeout_s: float = 0.5, **settings) -> Outcome:
    url = f"{scheme}://127.0.0.1:{port}/finished?key=hush"
    return call_url(url, FIELDS, Settings(handover_timeout_s=timeout_s, **settings))


def drip(line: socket.socket, before: bytes, piece: bytes, after: bytes) -> None:
    line.sendall(before)
    for _ in range(DRIPS):
        line.sendall(piece)
        time.sleep(0.05)
    line.sendall(after)


# time

DRIPPING: dict[str, tuple[bytes, bytes, bytes]] = {
    "status line": (b"HTTP/1.1 200 ", b"x", OK.removeprefix(b"HTTP/1.1 200 ")),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"x", b"\r\nContent-Length: 4\r\n\r\ndone"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", OK),
    "chunk extension": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;",
        b"x",
        b"\r\ndone\r\n0\r\n\r\n",
    ),
    "interim header": (b"HTTP/1.1 100 Continue\r\nX: ", b"x", b"\r\n\r\n" + OK),
    "nothing after the headers": (OK[:-4], b"", b"done"),
    "nothing": (b"", b"", OK),
}


@pytest.mark.parametrize("pieces", DRIPPING.values(), ids=DRIPPING.keys())
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_call_ends_in_time_whatever_the_app_drips(pieces, scheme, trusted):
    context = trusted if scheme == "https" else None
    with talking_app(lambda line: drip(line, *pieces), context=context) as port:
        outcome = call(port, scheme=scheme)
    assert outcome == Outcome(Answer.NONE, "the web app did not answer within 0.5 s")


def test_a_body_that_drips_is_too_late_though_it_begins_in_time():
    def talk(line):
        line.sendall(OK[:-4])
        for letter in b"done":
            line.sendall(bytes([letter]))
            time.sleep(0.3)

    with talking_app(talk) as port:
        assert call(port).reason == "the web app did not answer within 0.5 s"


def test_all_redirects_together_have_the_time_of_one_call():
    def talk(line):
        time.sleep(0.3)
        line.sendall(b"HTTP/1.1 307 X\r\nLocation: /more\r\nContent-Length: 0\r\n\r\n")

    with talking_app(talk, talk, talk) as port:
        assert call(port).reason == "the web app did not answer within 0.5 s"


def test_an_app_that_never_shakes_hands_was_not_reached():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        outcome = call(listener.getsockname()[1], scheme="https")
    assert outcome == Outcome(Answer.NONE, "the web app could not be reached", reached=False)


def test_an_app_that_does_not_listen_was_not_reached():
    outcome = call(free_port())
    assert outcome == Outcome(Answer.NONE, "the web app could not be reached", reached=False)


def test_the_next_address_of_a_host_is_tried_when_one_does_not_answer(monkeypatch):
    with talking_app(lambda line: line.sendall(OK)) as port:
        dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", free_port()))
        alive = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [dead, alive])
        assert call(port).answer is Answer.DONE


# size


def flood(line: socket.socket, before: bytes, piece: bytes) -> None:
    line.sendall(before)
    for _ in range(20_000):  # some MB: more than any limit, less than for ever
        line.sendall(piece)
    line.sendall(b"\r\n\r\n" + OK)


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10),
        (b"", b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 1000 + b"\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1500 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60000),
    ],
    ids=["100 Continue", "interim headers", "headers", "chunk extension"],
)
def test_an_answer_without_an_end_is_too_long(before, piece):
    with talking_app(lambda line: flood(line, before, piece)) as port:
        outcome = call(port, timeout_s=60)
    assert outcome == Outcome(Answer.NONE, "the web app's answer is too long")


def test_headers_of_the_usual_size_are_no_trouble():
    head = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 600) for n in range(50))  # 30 kB
    answer = OK.replace(b"\r\n", b"\r\n" + head, 1)
    with talking_app(lambda line: line.sendall(answer)) as port:
        assert call(port).answer is Answer.DONE


def test_the_body_of_a_redirect_is_not_read():
    def talk(line):
        line.sendall(b"HTTP/1.1 307 X\r\nLocation: /more\r\nContent-Length: 999999999\r\n\r\n")
        time.sleep(1)

    with talking_app(talk, lambda line: line.sendall(OK)) as port:
        assert call(port, timeout_s=20).answer is Answer.DONE


def test_a_phrase_of_the_status_line_is_shown_short_and_in_one_line():
    answer = b"HTTP/1.1 503 Backup\x1b[2J" + b"x" * 500 + b"\r\nContent-Length: 0\r\n\r\n"
    with talking_app(lambda line: line.sendall(answer)) as port:
        reason = call(port).reason
    assert reason.startswith("the web app answered 503 Backup[2Jxxx")
    assert len(reason) < 100


# redirects


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/elsewhere?a=b", "http://127.0.0.1:{port}/elsewhere?a=b"])
def test_a_redirect_to_the_same_host_gets_the_same_request(status, location):
    with web_app(reply(), reply()) as app:
        app.replies[0] = reply(status, b"done", Location=location.format(port=app.port))
        assert call(app.port, signing_key="k" * 16).answer is Answer.DONE
        first, second = app.handovers
    assert (first.path, second.path) == ("/finished?key=hush", "/elsewhere?a=b")
    assert first.form == second.form == FIELDS
    name = "X-Incoming-Signature"
    assert first.headers[name] == second.headers[name]
    assert first.headers[name] is not None


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/x",
        "//127.0.0.1:{other}/x",
        "http://localhost:{port}/x",
        "http://evil@127.0.0.1:{port}/x",
        "http://127.0.0.1:{port}@127.0.0.1:{other}/x",
        "http://127.0.0.1:{port}\\@127.0.0.1:{other}/x",
        "https://localhost:{port}/x",
        "ftp://127.0.0.1:{port}/x",
        "http://[::1]:{port}/x",
        "http://127.0.0.1:{port}:80/x",
        "",
    ],
)
def test_a_redirect_that_leads_elsewhere_is_refused(location):
    with web_app() as app, web_app() as other:
        text = location.format(port=app.port, other=other.port)
        app.replies[0] = reply(307, b"done", Location=text)
        outcome = call(app.port)
        assert (len(app.handovers), other.handovers) == (1, [])
    assert outcome == Outcome(
        Answer.NONE, "the web app answered 307 Temporary Redirect, and not to the same host"
    )


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305])
def test_a_redirect_that_would_lose_the_form_is_refused(status):
    with web_app(reply(status, b"done", Location="/elsewhere"), reply()) as app:
        outcome = call(app.port)
        assert len(app.handovers) == 1
    assert outcome.answer is Answer.NONE
    assert outcome.reason.startswith(f"the web app answered {status} ")


def test_three_redirects_are_followed_and_not_four():
    again = reply(308, b"", Location="/again")
    with web_app(again, again, again, reply()) as app:
        assert call(app.port).answer is Answer.DONE
    with web_app(again) as app:
        outcome = call(app.port)
        assert len(app.handovers) == 4
    assert outcome.reason == "the web app answered 308 Permanent Redirect again and again"


def test_a_redirect_may_lead_to_tls_of_the_same_host_and_never_back(trusted):
    with talking_app(lambda line: line.sendall(OK), context=trusted) as safe:
        location = f"https://127.0.0.1:{safe}/x"
        with web_app(reply(307, b"", Location=location)) as app:
            assert call(app.port).answer is Answer.DONE
    with web_app() as app:
        back = f"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:{app.port}/\r\n\r\n".encode()
        with talking_app(lambda line: line.sendall(back), context=trusted) as safe:
            outcome = call(safe, scheme="https")
        assert app.handovers == []
    assert outcome.reason == "the web app answered 307 X, and not to the same host"


@pytest.fixture
def trusted(monkeypatch):
    """The TLS context of an app whose certificate is good."""
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(CERTIFICATE))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def test_an_app_whose_certificate_is_not_trusted_learns_nothing():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    heard: list[socket.socket] = []
    with talking_app(heard.append, context=context) as port:
        outcome = call(port, scheme="https", timeout_s=20)
    assert (outcome.reached, heard) == (False, [])


# allowed hosts


def test_a_host_that_is_not_allowed_any_more_is_not_called():
    with web_app() as app:
        outcome = call(app.port, callback_hosts=["app.example", "127.0.0.1:1"])
        assert app.handovers == []
    assert outcome == Outcome(
        Answer.NONE,
        "the web app's address is not one of the server's callback_hosts",
        reached=False,
    )


def test_a_redirect_to_a_port_that_is_not_allowed_is_not_followed(trusted):
    with talking_app(context=trusted) as safe, web_app() as app:
        app.replies[0] = reply(307, b"", Location=f"https://127.0.0.1:{safe}/x")
        outcome = call(app.port, callback_hosts=[f"127.0.0.1:{app.port}"])
    assert "callback_hosts" in outcome.reason


def test_what_is_connected_to_is_what_was_checked(monkeypatch):
    """Should the library that calls read the URL in another way than the check did."""
    with web_app() as app, web_app() as other:
        checked = Origin("http", "127.0.0.1", app.port)
        monkeypatch.setattr("incoming_wsgi.posting.Origin.of", lambda url: checked)
        outcome = call(other.port)
        assert (app.handovers, other.handovers) == ([], [])
    assert not outcome.reached
