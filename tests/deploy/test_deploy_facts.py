"""The table "What each server does" of docs/deploy.md: each cell is what the server does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from processes import workers
from recipes import DOCUMENT, nginx_in_front, start, storage
from servers import HOST, LONGEST_S, Server
from waiting import wait_until
from webapp import reply, web_app

from incoming_wsgi.client import IncomingClient

NOBODY = "http://127.0.0.1:9/finished"
HALF = 1_000_000
BLOCK = 64 * 1024
# The rows of the table, and which recipe that is, with which changes.
WORKERS = len(os.sched_getaffinity(0))  # `nproc` in the recipes
ROWS = {
    "`incoming serve`": ("incoming serve", {}),
    "gunicorn `gthread`": ("gunicorn", {}),
    "gunicorn `sync`": (
        "gunicorn",
        {"--worker-class gthread": "--worker-class sync", " --threads 8": ""},
    ),
    "gunicorn `gevent`": ("gevent", {}),
    "uWSGI": ("uwsgi http", {}),
    "granian": ("granian", {}),
    "waitress": ("waitress", {}),
    "cheroot": ("cheroot", {}),
}


def table() -> dict[str, list[str]]:
    _, rest = DOCUMENT.read_text().split("<!-- facts -->\n")
    _, _, *lines = rest[: rest.index("\n\n")].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: cells for name, *cells in rows}


def test_the_table_has_all_servers():
    assert list(table()) == list(ROWS)


@pytest.fixture(params=ROWS)
def row(request) -> str:
    return request.param


@pytest.fixture
def server(row, tmp_path) -> Iterator[Server]:
    name, changes = ROWS[row]
    with start(name, tmp_path, changes=changes) as server:
        # A worker of gunicorn or granian that is still starting misses SIGTERM.
        if name == "granian":
            wait_until(lambda: has_started(server), "the start of all workers", LONGEST_S)
        elif "gunicorn" in server.log:
            wait_until(lambda: are_waiting(server), "the start of all workers", LONGEST_S)
        yield server


def has_started(granian: Server) -> bool:
    log = granian.log
    return 0 < log.count("Spawning worker") == log.count("Started worker")


def are_waiting(gunicorn: Server) -> bool:
    """Whether all workers wait for requests: with epoll or, `sync`, with the application loaded."""
    is_sync = "Using worker: sync" in gunicorn.log
    pids = workers(gunicorn.pid)
    return len(pids) == WORKERS and all(
        "_sqlite3" in Path(f"/proc/{pid}/maps").read_text()
        if is_sync
        else any(target == "anon_inode:[eventpoll]" for target in open_files(pid))
        for pid in pids
    )


def open_files(pid: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield os.readlink(descriptor)


@contextmanager
def request(port: int, target: str, *headers: str) -> Iterator[socket.socket]:
    """One whose head has been sent; `target`: method and path."""
    head = "\r\n".join([f"{target} HTTP/1.1", "Host: localhost", *headers, "", ""])
    with socket.create_connection((HOST, port), timeout=30) as line:
        line.sendall(head.encode())
        yield line


def answer_of(line: socket.socket) -> tuple[int | None, bytes]:
    """Its status and body; (None, b"") if the connection is closed instead."""
    try:
        with line.makefile("rb") as file:
            if not (first := file.readline()):
                return None, b""
            length = 0
            while header := file.readline().strip():
                name, _, value = header.lower().partition(b":")
                length = int(value) if name == b"content-length" else length
            return int(first[9:12]), file.read(length)
    except ConnectionResetError:
        return None, b""


def new_upload(server: Server, callback: str = NOBODY) -> str:
    ticket = IncomingClient(server.url).new_upload(signal_finish_url=callback)
    return f"/incoming/frontend/uploads/{ticket}"


def half_a_chunk(port: int, path: str) -> AbstractContextManager[socket.socket]:
    size = f"Content-Length: {2 * HALF}", f"Content-Range: bytes 0-{2 * HALF - 1}/{2 * HALF}"
    return request(port, f"PUT {path}", *size)


def state(server: Server, path: str) -> dict:
    return requests.get(server.url + path, timeout=30).json()


def kept(server: Server, port: int, said: str) -> str:
    path = new_upload(server)
    with half_a_chunk(port, path) as line:
        line.sendall(bytes(HALF))

    def found() -> str:
        count = state(server, path)["bytes_received"]
        if count == HALF:
            return "all"
        return "all but a block" if count >= HALF - BLOCK else str(count or "nothing")

    with suppress(AssertionError):
        if said == "nothing":  # which others come to say as well, but only for a moment
            wait_until(lambda: found() != said, "anything", 2)
        else:
            wait_until(lambda: found() == said, said)
    return found()


def after_an_error(server: Server) -> str:
    size = f"Content-Length: {HALF}", f"Content-Range: bytes 0-{HALF - 1}/{HALF}"
    with request(server.port, "PUT /incoming/frontend/uploads/unknown", *size) as line:
        line.sendall(bytes(HALF))
        assert answer_of(line)[0] == 404
        with suppress(OSError):
            line.sendall(b"GET /incoming/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, body = answer_of(line)
    assert (status, body) in ((200, b'{"status": "ok"}'), (None, b""))
    return "goes on" if status else "closed"


def continues(server: Server, said: str) -> str:
    """100 before the body if that is what the document says, since nobody can wait for its not
    coming; then whatever comes first."""
    size = "Content-Length: 1", "Content-Range: bytes 0-0/10"
    with request(server.port, f"PUT {new_upload(server)}", *size, "Expect: 100-continue") as line:
        if said == "none":
            line.sendall(b"x")
        status, _ = answer_of(line)
        assert status in (100, 200)
        if status == 100:
            line.sendall(b"x")
            assert answer_of(line)[0] == 200
    return "100" if status == 100 else "none"


def chunked(server: Server) -> str:
    coding = "Transfer-Encoding: chunked"
    path = new_upload(server)
    with request(server.port, f"POST {path}", coding, "Content-Type: application/json") as line:
        line.sendall(b'1d\r\n{"filename":"a","length":100}\r\n0\r\n\r\n')
        json, _ = answer_of(line)
    with request(server.port, f"PUT {path}", coding, "Content-Range: bytes 0-9/100") as line:
        line.sendall(b"a\r\n0123456789\r\n0\r\n\r\n")
        put, _ = answer_of(line)
    assert {json, put} <= {200, 411}
    taken = [name for name, status in (("JSON", json), ("PUT", put)) if status == 200]
    return ", ".join(taken) or "refused"


def test_what_it_does_with_bodies(row, server):
    of_cut, of_error, of_expect, of_chunked, *_ = table()[row]
    assert kept(server, server.port, of_cut) == of_cut
    assert after_an_error(server) == of_error
    assert continues(server, of_expect) == of_expect
    assert chunked(server) == of_chunked


def test_a_chunk_that_is_under_way_at_sigterm(row, server):
    said = table()[row][4]
    path = new_upload(server)
    with half_a_chunk(server.port, path) as line:
        line.sendall(bytes(HALF))
        if table()[row][0] != "nothing":  # of what it holds back nobody knows
            wait_until(lambda: state(server, path)["length"], "the request")
        os.kill(server.pid, signal.SIGTERM)
        if said == "cut":
            server.wait()
            assert answer_of(line)[0] is None
        else:
            assert said == "answered"
            if row == "granian":
                remind(server)
            wait_until(lambda: not is_answered(server), "the stop", LONGEST_S)
            line.sendall(bytes(HALF))
            status, body = answer_of(line)
            assert status == 200, server.log
            assert b'"bytes_received": 2000000' in body


def is_answered(server: Server) -> bool:
    try:
        requests.get(f"{server.url}/incoming/health", timeout=0.5)
    except requests.RequestException:
        return False
    return True


def remind(granian: Server) -> None:
    """SIGTERM once more if a worker has missed it and goes on, as the document says."""
    with suppress(AssertionError):
        wait_until(lambda: not is_answered(granian), "the stop", 2)
        return
    for pid in workers(granian.pid):
        os.kill(pid, signal.SIGTERM)


@contextmanager
def being_asked(server: Server) -> Iterator[tuple[str, threading.Event]]:
    """An upload about which the app is being asked; it answers when the event is set."""
    ready = threading.Event()

    def slowly(handover, handler):
        ready.wait(60)
        with suppress(OSError):
            reply()(handover, handler)

    with web_app(slowly) as app:
        path = new_upload(server, app.url)
        headers = {"Content-Range": "bytes 0-0/1"}
        assert requests.put(server.url + path, b"x", headers=headers, timeout=30).ok
        app.wait_for(1)
        yield path, ready
        ready.set()


def end_while_the_app_is_asked(server: Server, number: signal.Signals) -> str:
    """What has become of the upload, by the server after it."""
    with being_asked(server) as (path, ready):
        os.kill(server.pid, number)
        wait_until(lambda: not is_answered(server), "the stop", LONGEST_S)
        ready.wait(1)  # for which a server that does not wait has not lived
        ready.set()
        wait_for_the_end(server)
        server.kill()
        server.start()
        return state(server, path)["state"]


def wait_for_the_end(server: Server) -> None:
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        # Now and then it waits for ever for a thread of its own that has nothing to do.
        if "cheroot" not in " ".join(server.command):
            raise


def test_an_app_that_is_being_asked_at_sigterm(row, server):
    said = table()[row][5]
    if said == "waits":
        # uWSGI skips what is to be done at the exit if it takes its worker for busy at that moment,
        # with the answer of which we know already.
        tries = 4 if row == "uWSGI" else 1
        ends = (end_while_the_app_is_asked(server, signal.SIGTERM) for _ in range(tries))
        assert "FINISHED" in ends, server.log
        return
    assert said == "asked again"
    with being_asked(server) as (path, _):
        server.stop()
        server.kill()
        server.start()
        assert state(server, path)["state"] in ("COMPLETE", "HANDING_OVER")


@pytest.mark.parametrize("name", ["waitress", "cheroot"])
def test_sigint_lets_a_handover_end_where_sigterm_does_not(tmp_path, name):
    with start(name, tmp_path) as server:
        assert end_while_the_app_is_asked(server, signal.SIGINT) == "FINISHED"


def test_of_a_cut_chunk_an_nginx_that_buffers_passes_nothing_on(tmp_path):
    changes = {"proxy_request_buffering off": "proxy_request_buffering on"}
    with (
        start("gunicorn", tmp_path) as server,
        nginx_in_front(server, tmp_path, changes=changes) as front,
    ):
        assert kept(server, front.port, "nothing") == "nothing"


def test_and_one_that_does_not_what_had_come_through(tmp_path):
    with start("gunicorn", tmp_path) as server, nginx_in_front(server, tmp_path) as front:
        path = new_upload(server)
        with half_a_chunk(front.port, path) as line:
            line.sendall(bytes(HALF))
            stored = storage(tmp_path) / "files" / path.rpartition("/")[2]
            wait_until(lambda: stored.exists() and stored.stat().st_size, "the first block")
        wait_until(lambda: state(server, path)["bytes_received"], "its record")
