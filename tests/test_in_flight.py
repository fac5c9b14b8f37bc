"""Slow and many connections: no line holds a thread for ever, and no ticket holds them all."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from servers import HOST, Server, gunicorn
from tools import program
from waiting import wait_until
from webob import Request

from incoming_wsgi import Incoming, IncompleteBody, Unavailable, in_flight
from incoming_wsgi.body import Body
from incoming_wsgi.client import IncomingClient
from incoming_wsgi.in_flight import InFlight

APPLICATION = "incoming_wsgi.wsgi:application"
NOBODY = "http://127.0.0.1:9/finished"
LENGTH = 100_000
CONTENT = bytes(range(250)) * 400
FOR_EVER_S = "86400"


@contextmanager
def running(folder: Path, *arguments: str, **settings: object) -> Iterator[Server]:
    """One process of three threads."""
    environ = {f"INCOMING_{name.upper()}": str(value) for name, value in settings.items()}
    environ["INCOMING_STORAGE_DIR"] = str(folder / "storage")
    options = ["--threads", "3", "--timeout", "600", *arguments]
    with gunicorn(APPLICATION, *options, folder=folder, environ=environ) as server:
        yield server


def new_ticket(server: Server) -> str:
    return IncomingClient(server.url).new_upload(signal_finish_url=NOBODY)


def url(server: Server, ticket: str) -> str:
    return f"{server.url}/frontend/uploads/{ticket}"


def received(server: Server, ticket: str) -> list[list[int]]:
    return requests.get(url(server, ticket), timeout=30).json()["received"]


def put(server: Server, ticket: str, start: int, stop: int) -> requests.Response:
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{LENGTH}"}
    return requests.put(url(server, ticket), CONTENT[start:stop], headers=headers, timeout=60)


def begin(server: Server, path: str, start: int, sent: int, stop: int = LENGTH) -> socket.socket:
    """A connection that has sent the head of a PUT and `sent` bytes of its body, and no more."""
    connection = socket.create_connection((HOST, server.port), timeout=60)
    connection.sendall(
        f"PUT {path} HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Content-Range: bytes {start}-{stop - 1}/{LENGTH}\r\n"
        f"Content-Length: {stop - start}\r\n\r\n".encode()
        + CONTENT[start : start + sent]
    )
    return connection


def read_answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and JSON of the answer that ends the connection."""
    data = b""
    while block := connection.recv(65536):
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


# one ticket


def test_many_slow_connections_of_one_ticket_leave_a_thread_for_others(tmp_path):
    limits = {"send_ahead": 1, "max_requests_per_upload": 2, "stall_timeout_s": FOR_EVER_S}
    with running(tmp_path, **limits) as server, ExitStack() as stack:
        attacker, other = new_ticket(server), new_ticket(server)
        for number in range(12):
            path = f"/frontend/uploads/{attacker}"
            stack.enter_context(begin(server, path, number * 1000, 10))
        answer = put(server, other, 0, LENGTH)
        assert (answer.status_code, answer.json()["received"]) == (200, [[0, LENGTH]])


def test_a_new_request_never_waits_for_stalled_old_ones_whose_bytes_are_kept(tmp_path):
    limits = {"send_ahead": 1, "max_requests_per_upload": 1, "stall_timeout_s": FOR_EVER_S}
    with running(tmp_path, **limits) as server, ExitStack() as stack:
        ticket = new_ticket(server)
        path = f"/frontend/uploads/{ticket}"
        stalled = [
            stack.enter_context(begin(server, path, start, 10, start + 1000))
            for start in range(0, 8000, 1000)
        ]
        # Which of them is the newest is for the server to say; all others have been told.
        wait_until(lambda: len(select.select(stalled, [], [], 0)[0]) == 7, "seven answers")
        answer = put(server, ticket, 50_000, 60_000)
        assert answer.status_code == 200
        for connection in stalled:
            status, problem = read_answer(connection)
            assert (status, problem["code"], problem["arrived"]) == (400, "incomplete_body", 10)
        kept = [[start, start + 10] for start in range(0, 8000, 1000)]
        assert received(server, ticket) == [*kept, [50_000, 60_000]]


def test_as_many_as_a_page_has_on_its_way_may_be_slow_at_once(tmp_path):
    with running(tmp_path, "--threads", "8") as server, ExitStack() as stack:
        ticket = new_ticket(server)
        connections = [
            stack.enter_context(
                begin(server, f"/frontend/uploads/{ticket}", start, 10, start + 25_000)
            )
            for start in range(0, LENGTH, 25_000)
        ]
        for number, connection in enumerate(connections):
            connection.sendall(CONTENT[number * 25_000 + 10 : (number + 1) * 25_000])
        wait_until(lambda: received(server, ticket) == [[0, LENGTH]], "all of it")


# a slow line

SHORT = {"stall_timeout_s": 0.5, "min_rate_bytes_s": 100_000}


def test_a_stalled_request_ends_and_what_arrived_is_kept(tmp_path):
    with running(tmp_path, **SHORT) as server:
        ticket = new_ticket(server)
        with begin(server, f"/frontend/uploads/{ticket}", 0, 40_000) as connection:
            status, problem = read_answer(connection)
        assert (status, problem["code"]) == (400, "incomplete_body")
        assert (problem["announced"], problem["arrived"]) == (LENGTH, 40_000)
        assert received(server, ticket) == [[0, 40_000]]
        assert put(server, ticket, 40_000, LENGTH).json()["received"] == [[0, LENGTH]]
        assert "event=request_ended why=too_slow" in server.log


def test_a_line_that_only_trickles_ends_too(tmp_path):
    with running(tmp_path, **SHORT) as server:
        ticket = new_ticket(server)
        with begin(server, f"/frontend/uploads/{ticket}", 0, 10) as connection:
            connection.settimeout(0.02)  # a byte each time that no answer has come
            sent = 10
            answer = b""
            while not answer:
                try:
                    answer = connection.recv(65536)
                except TimeoutError:
                    connection.sendall(CONTENT[sent : sent + 1])
                    sent += 1
                    assert sent < LENGTH
        assert answer.startswith(b"HTTP/1.1 400 ")
        [[start, stop]] = received(server, ticket)
        assert (start, 10 <= stop <= sent) == (0, True)


def test_slow_connections_of_many_tickets_are_over_in_time(tmp_path):
    with running(tmp_path, **SHORT) as server, ExitStack() as stack:
        tickets = [new_ticket(server) for _ in range(3)]
        for ticket in tickets:  # one for each thread
            stack.enter_context(begin(server, f"/frontend/uploads/{ticket}", 0, 10))
        other = IncomingClient(server.url).new_upload(signal_finish_url=NOBODY)
        assert put(server, other, 0, LENGTH).json()["received"] == [[0, LENGTH]]


@pytest.mark.parametrize("path", ["/frontend/uploads/unknown", "/nowhere", "/backend/new_upload"])
def test_a_refused_request_is_answered_though_its_body_never_comes(tmp_path, path):
    limits = {"stall_timeout_s": 0.5, "min_rate_bytes_s": 1}
    with running(tmp_path, **limits) as server, begin(server, path, 0, 10) as connection:
        connection.settimeout(60)
        assert connection.recv(12)[:10] == b"HTTP/1.1 4"


def test_a_connection_may_rest_between_two_requests(tmp_path):
    with running(tmp_path, **SHORT) as server:
        ticket, witness = new_ticket(server), new_ticket(server)
        connection = HTTPConnection(HOST, server.port, timeout=60)
        connection.connect()
        connection.auto_open = 0  # it would be an error if the server had closed it
        for start in (0, 10):
            headers = {"Content-Range": f"bytes {start}-{start + 9}/{LENGTH}"}
            path = f"/frontend/uploads/{ticket}"
            connection.request("PUT", path, CONTENT[start : start + 10], headers)
            with connection.getresponse() as answer:
                assert json.load(answer)["received"] == [[0, start + 10]]
            # As long as a stalled request is given, and longer.
            with begin(server, f"/frontend/uploads/{witness}", 0, 10) as other:
                read_answer(other)
        connection.close()


def test_over_tls_it_ends_as_well_and_nothing_is_said_in_the_clear(tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", f"subjectAltName=IP:{HOST}", "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    trust = ssl.create_default_context(cafile=certificate)
    arguments = ["--certfile", str(certificate), "--keyfile", str(key)]
    with running(tmp_path, *arguments, **SHORT) as server, requests.Session() as session:
        base = server.url.replace("http:", "https:")
        session.trust_env = False  # whatever bundle this machine names
        session.verify = str(certificate)
        form = {"signalFinishURL": NOBODY}
        ticket = session.post(f"{base}/backend/new_upload", form, timeout=60).text
        with begin_tls(server, trust, f"/frontend/uploads/{ticket}") as connection:
            seen = b""
            while block := connection.recv(65536):
                seen += block
        assert b"HTTP/1.1" not in seen
        answer = session.get(f"{base}/frontend/uploads/{ticket}", timeout=60)
        assert answer.json()["received"] == [[0, 10]]


def begin_tls(server: Server, trust: ssl.SSLContext, path: str) -> socket.socket:
    """As `begin`; what the server sends on the connection is seen as it is on the line."""
    plain = socket.create_connection((HOST, server.port), timeout=60)
    connection = trust.wrap_socket(plain, server_hostname=HOST)
    connection.sendall(
        f"PUT {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {LENGTH}\r\n"
        f"Content-Range: bytes 0-{LENGTH - 1}/{LENGTH}\r\n\r\n".encode()
        + CONTENT[:10]
    )
    raw = socket.socket(fileno=connection.detach())
    raw.settimeout(60)
    return raw


def test_a_worker_without_threads_is_ended_by_gunicorn_and_what_arrived_is_kept(tmp_path):
    # With more threads than one gunicorn would take gthread instead.
    arguments = ["--worker-class", "sync", "--threads", "1", "--timeout", "1"]
    with running(tmp_path, *arguments, min_rate_bytes_s=0) as server:
        ticket = new_ticket(server)
        with begin(server, f"/frontend/uploads/{ticket}", 0, 70_000) as connection:
            while connection.recv(65536):
                pass
        wait_until(lambda: received(server, ticket) == [[0, 70_000]], "the record")


# servers that do not lend the connection


@pytest.fixture
def incoming(tmp_path) -> Iterator[Incoming]:
    made = Incoming(
        tmp_path / "incoming",
        on_finished=lambda upload: None,
        background=False,
        send_ahead=1,
        max_requests_per_upload=1,
        authorize=lambda environ, upload, action: environ.get("REMOTE_USER") != "eve",
    )
    yield made
    made.close()


class Held:
    """A body that comes when it is let go."""

    def __init__(self, content: bytes) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()
        self._content = content

    def read(self, size: int) -> bytes:
        self.asked.set()
        assert self.let_go.wait(60)
        block, self._content = self._content[:size], self._content[size:]
        return block


def request(incoming: Incoming, ticket: str, start: int, source: object, **environ: str):
    asked = Request.blank(
        f"/frontend/uploads/{ticket}",
        method="PUT",
        environ={
            "wsgi.input": source,
            "CONTENT_LENGTH": "10",
            "HTTP_CONTENT_RANGE": f"bytes {start}-{start + 9}/{LENGTH}",
            **environ,
        },
    )
    return asked.get_response(incoming)


def come(content: bytes) -> Held:
    """A body that has come."""
    source = Held(content)
    source.let_go.set()
    return source


def test_the_newest_is_put_off_where_no_older_one_can_be_ended(incoming):
    ticket = incoming.new_upload()
    held = Held(CONTENT[:10])
    thread = threading.Thread(target=request, args=(incoming, ticket, 0, held))
    thread.start()
    assert held.asked.wait(60)
    answer = request(incoming, ticket, 10, come(CONTENT[10:20]))
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    # Others, and those who only ask, are not concerned.
    assert request(incoming, incoming.new_upload(), 0, come(CONTENT[:10])).status_code == 200
    asked = Request.blank(f"/frontend/uploads/{ticket}").get_response(incoming)
    assert asked.status_code == 200
    held.let_go.set()
    thread.join(60)
    answer = request(incoming, ticket, 10, come(CONTENT[10:20]))
    assert answer.json["received"] == [[0, 20]]


def test_the_answer_to_a_request_that_was_cut_off_is_the_last_on_its_connection(incoming):
    """Servers give a connection up when an answer fails at its end; they have no other sign."""

    def called(source, **more):
        answer = Request.blank(
            f"/frontend/uploads/{ticket}",
            method="PUT",
            headers={"Content-Range": "bytes 0-9/100", "Content-Length": "10"},
            environ={"wsgi.input": source, "SERVER_PROTOCOL": "HTTP/1.1", **more},
        )
        said = []
        parts = incoming(answer.environ, lambda status, headers: said.append(status))
        return said[0], parts

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ticket = incoming.new_upload()
        held = Held(CONTENT[:10])
        results = []
        thread = threading.Thread(
            target=lambda: results.append(called(held, **{"gunicorn.socket": ours}))
        )
        thread.start()
        assert held.asked.wait(60)
        status, parts = called(come(CONTENT[:10]))
        assert status == "200 OK"
        assert b"".join(parts)
        held.let_go.set()
        thread.join(60)
        status, parts = results[0]
        assert status.startswith("4")
        parts = iter(parts)
        assert b'"status": 4' in next(parts)
        with pytest.raises(ConnectionResetError):
            list(parts)


def test_who_has_no_right_ends_nobodys_requests(incoming):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ticket = incoming.new_upload()
        held = Held(CONTENT[:10])
        lent = {"gunicorn.socket": ours, "SERVER_PROTOCOL": "HTTP/1.1"}
        thread = threading.Thread(target=request, args=(incoming, ticket, 0, held), kwargs=lent)
        thread.start()
        assert held.asked.wait(60)
        for _ in range(5):
            answer = request(incoming, ticket, 0, come(CONTENT[:10]), REMOTE_USER="eve")
            assert answer.status_code == 403
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):  # not shut
            ours.recv(1)
        held.let_go.set()
        thread.join(60)
        assert incoming.status(ticket).received.total_bytes == 10


# the pace, by the clock


class Clock(SimpleNamespace):
    """Stands for the module `time`; nobody sleeps here."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(in_flight, "time", clock)
    return clock


def room(**limits: float) -> InFlight:
    limits = {"min_rate_bytes_s": 1000, "stall_timeout_s": 30.0, **limits}
    return InFlight(max_requests_per_upload=2, **limits)


def read(clock: Clock, request: in_flight.RequestInFlight, size: int, takes_s: float) -> None:
    request.expect(size)
    clock.now += takes_s
    request.arrived(size)


@pytest.mark.parametrize(
    ("reads", "is_ended"),
    [
        ([(4000, 4.0)] * 1000, False),  # for an hour, at the very rate
        ([(4000, 5.0)] * 30, False),  # a second more each time: 30 s in all
        ([(4000, 5.0)] * 31, True),
        ([(1, 29.0)], False),
        ([(1, 31.0)], True),
        ([(1, 16.0), (1, 16.0)], True),  # a trickle
        # However much came at once before, a pause is a pause.
        ([(16_000_000, 1.0), (1, 31.0)], True),
        ([(1, 29.0), (60_000, 1.0), (1, 29.0)], False),
    ],
)
def test_a_body_must_come_at_the_minimum_rate_but_for_pauses(clock, reads, is_ended):
    request = room().begin({})
    for size, takes_s in reads:
        read(clock, request, size, takes_s)
    assert request.is_ended is is_ended


def test_what_the_server_does_with_the_bytes_is_not_the_clients_time(clock):
    request = room().begin({})
    for _ in range(10):
        read(clock, request, 1000, 0.5)
        clock.now += 3600  # a slow disk
    assert not request.is_ended


def test_of_a_refused_body_no_more_than_a_pause_is_waited_for(clock):
    request = room().begin({})
    request.hurry()
    read(clock, request, 1_000_000, 20.0)
    assert not request.is_ended
    read(clock, request, 1_000_000, 20.0)
    assert request.is_ended


def test_without_a_minimum_rate_a_line_may_rest_for_ever(clock):
    request = room(min_rate_bytes_s=0).begin({})
    read(clock, request, 1, 1e6)
    assert not request.is_ended


def test_what_came_for_a_request_that_was_ended_before_it_read_is_not_lost():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as source:
        environ = {"gunicorn.socket": ours, "SERVER_PROTOCOL": "HTTP/1.1"}
        requests_room = room()
        first = requests_room.begin(environ)
        first.join("u")
        theirs.sendall(b"abc")
        newer = [requests_room.begin({}) for _ in range(2)]
        for request in newer:
            request.join("u")
        assert first.is_ended
        blocks = Body({"CONTENT_LENGTH": "10", "wsgi.input": source}, first).blocks()
        assert next(blocks) == b"abc"
        with pytest.raises(IncompleteBody):
            next(blocks)
        for request in (first, *newer):
            request.leave()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_a_forked_process_knows_nothing_of_its_parents_requests():
    requests_room = room()
    for _ in range(2):
        requests_room.begin({}).join("u")
    with pytest.raises(Unavailable):
        requests_room.begin({}).join("u")
    requests_room._lock.acquire()  # by a thread that the child will not have
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(30)
        try:
            request = requests_room.begin({})
            request.join("u")
            request.leave()
            code = 0
        finally:
            os._exit(code)
    requests_room._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_watch_ends_when_there_is_nothing_to_watch():
    def watches() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "incoming-in-flight"]

    ours, theirs = socket.socketpair()
    with ours, theirs:
        requests_room = room(stall_timeout_s=0.1)
        environ = {"gunicorn.socket": ours, "SERVER_PROTOCOL": "HTTP/1.1"}
        request = requests_room.begin(environ)
        wait_until(lambda: watches() == [], "the end of those of other tests")
        request.expect(1)
        assert len(watches()) == 1
        assert ours.recv(1) == b""  # ended by the watch
        assert request.is_ended
        request.leave()
        wait_until(lambda: watches() == [], "the end of the thread")


def test_a_connection_of_many_requests_is_not_shut():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environ = {"gunicorn.socket": ours, "SERVER_PROTOCOL": "HTTP/2.0"}
        assert room().begin(environ).connection is None
