"""A process that ends in good order: what is under way ends first, and nothing more is begun."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
from servers import HOST, Server, free_port, gunicorn
from waiting import wait_until
from webapp import reply, web_app

from incoming_wsgi import Incoming, UploadState
from incoming_wsgi.client import IncomingClient, upload_file

NOBODY = "http://127.0.0.1:9/finished"
STEP_S = 10  # for the end of a process that has nothing to wait for: less than it waits at most


def incoming_serve(tmp_path: Path) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "incoming_wsgi.cli", "serve", "--bind", f"{HOST}:{port}"]
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    return Server([*command, "--workers", "1"], port=port, folder=tmp_path, environ=environ)


@pytest.fixture(params=["gunicorn", "gunicorn sync", "serve"])
def server(request, tmp_path):
    if request.param == "serve":
        started = incoming_serve(tmp_path)
    else:
        kind = "sync" if request.param == "gunicorn sync" else "gthread"
        environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
        application = "incoming_wsgi.wsgi:application"
        started = gunicorn(application, folder=tmp_path, environ=environ, worker_class=kind)
    with started:
        yield started


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    return path


def begin_stop(server: Server) -> None:
    """SIGTERM, and it has arrived: nobody is answered any more. (They may still connect: a worker
    with a request under way keeps the port until that has ended.)"""
    os.kill(server.pid, signal.SIGTERM)

    def stops() -> bool:
        if "Handling signal: term" not in server.log:
            return False
        try:
            requests.get(f"{server.url}/health", timeout=0.5)
        except requests.RequestException:
            return True
        return False

    wait_until(stops, "the stop")


@contextmanager
def half_a_chunk(server: Server, ticket: str) -> Iterator[socket.socket]:
    """A slow client, in the middle of the last chunk: the server has 5 bytes of 10."""
    with socket.create_connection((HOST, server.port), timeout=30) as line:
        line.sendall(
            f"PUT /frontend/uploads/{ticket} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            "Content-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n".encode()
            + b"01234"
        )
        yield line


def read_all(line: socket.socket) -> bytes:
    answer = b""
    while piece := line.recv(65536):
        answer += piece
    return answer


def record_of(tmp_path: Path, ticket: str):
    with closing(Incoming(tmp_path / "storage", background=False)) as incoming:
        return incoming.status(ticket)


def test_a_chunk_that_is_under_way_is_acknowledged_after_sigterm(server, tmp_path):
    ticket = IncomingClient(server.url).new_upload(signal_finish_url=NOBODY)
    with half_a_chunk(server, ticket) as line:
        wait_until(lambda: record_of(tmp_path, ticket).length == 10, "the request")
        begin_stop(server)
        line.sendall(b"56789")
        answer = read_all(line)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"received": [[0, 10]]' in answer
    assert server.wait() == 0
    assert record_of(tmp_path, ticket).received.total_bytes == 10


@pytest.mark.parametrize("answer", ["done", "redirect"])
def test_an_app_that_is_being_asked_at_sigterm_is_asked_once(server, tmp_path, file, answer):
    stopped = threading.Event()

    def slowly(handover, handler):
        stopped.wait(30)
        threading.Event().wait(2)  # for which a server that does not wait has not lived
        last = reply() if answer == "done" else reply(307, b"", Location="/more")
        last(handover, handler)

    with web_app(slowly, reply()) as app:
        ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url)
        upload_file(file, f"{server.url}/frontend/uploads/{ticket}", wait=False)
        app.wait_for(1)
        begin_stop(server)
        stopped.set()
        assert server.wait() == 0
        server.start()
        status = IncomingClient(server.url).status(ticket)
        assert (status.state, status.attempt) == (UploadState.FINISHED, 1)
        requests.get(server.url + "/health", timeout=30)
        assert len(app.handovers) == (1 if answer == "done" else 2)
    assert {handover.form["attempt"] for handover in app.handovers} == {"1"}


def test_incoming_serve_begins_no_handover_after_sigterm(tmp_path):
    with incoming_serve(tmp_path) as server, web_app() as app:
        ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url)
        with half_a_chunk(server, ticket) as line:
            wait_until(lambda: record_of(tmp_path, ticket).length == 10, "the request")
            begin_stop(server)
            line.sendall(b"56789")
            assert b'"state": "COMPLETE"' in read_all(line)
        assert server.wait() == 0
        status = record_of(tmp_path, ticket)
        assert (status.state, status.attempt, app.handovers) == (UploadState.COMPLETE, 0, [])
        server.start()
        [handover] = app.wait_for(1)
    assert (handover.form["attempt"], handover.content) == ("1", b"0123456789")


# a process of one's own, such as a development server

SCRIPT = """
import logging, signal, sys, threading, time
import incoming_wsgi.background as background
import incoming_wsgi.ending as ending
from incoming_wsgi import Incoming
from incoming_wsgi.agreement import Declaration

def say(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()

class Say(logging.Handler):
    def emit(self, record):
        say(record.getMessage())

logging.getLogger("incoming_wsgi").addHandler(Say())
logging.getLogger("incoming_wsgi").setLevel("INFO")
signal.signal(signal.SIGINT, signal.default_int_handler)
folder, scenario = sys.argv[1:]
stored = scenario.endswith(" stored")
scenario = scenario.removesuffix(" stored")
release = threading.Event()

def take(upload):
    say("asked")
    release.wait(60)
    say("taken")

incoming = Incoming(folder, on_finished=take, background=scenario != "housekeeping")
if scenario == "cut off":
    ending.STOP_S = 0.2
if scenario == "renewed":
    background.RENEW_EVERY_S = 0.1
incoming.start_background()
if scenario != "idle":
    upload_id = incoming.new_upload()
    say(upload_id)
    if stored:
        incoming._engine.store(upload_id, start=0, stop=3, length=3, blocks=[b"all"])
    else:
        incoming._engine.declare(upload_id, Declaration(0))
say("ready")
if scenario == "housekeeping":
    background.RENEW_EVERY_S = 0.1
    incoming.do_housekeeping()
if scenario == "closed":
    while not ending._under_way:
        time.sleep(0.01)
    incoming.close()
sys.stdin.readline()  # Ctrl-C comes here, or the end of the script
if scenario in ("last words", "closed"):
    timer = threading.Timer(1, release.set)
    timer.daemon = True
    timer.start()
"""


@contextmanager
def script(tmp_path: Path, scenario: str) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "storage"), scenario],
        env=environ,
        text=True,
        **pipes,
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # harmless if it has ended


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    lines = []
    while not lines or text not in lines[-1]:
        line = process.stdout.readline()
        assert line, f"it ended before {text!r}: {lines} {process.stderr.read()}"
        lines.append(line.strip())
    return lines


def test_ctrl_c_does_not_wait_when_nothing_is_under_way(tmp_path):
    with script(tmp_path, "idle") as process:
        read_until(process, "ready")
        process.send_signal(signal.SIGINT)
        process.wait(STEP_S)
        assert "event=stopping" not in process.stdout.read()


def test_ctrl_c_waits_for_what_is_under_way_and_a_second_one_does_not(tmp_path):
    with script(tmp_path, "busy") as process:
        read_until(process, "asked")
        process.send_signal(signal.SIGINT)
        assert read_until(process, "event=stopping")[-1] == "event=stopping under_way=1"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(STEP_S)
        # No more is said than of the first one.
        assert process.stderr.read().count("Traceback") == 1


@pytest.mark.parametrize("scenario", ["last words", "closed", "last words stored", "closed stored"])
def test_a_script_that_ends_waits_for_what_is_under_way(tmp_path, scenario):
    with script(tmp_path, scenario) as process:
        lines = read_until(process, "asked")
        [ticket] = [line for line in lines if len(line) == 36]
        process.stdin.close()
        read_until(process, "event=stopping under_way=1")
        read_until(process, "taken")
        assert process.wait(STEP_S) == 0
    status = record_of(tmp_path, ticket)
    assert (status.state, status.attempt) == (UploadState.FINISHED, 1)


def test_what_takes_too_long_is_cut_off(tmp_path):
    with script(tmp_path, "cut off") as process:
        read_until(process, "asked")
        process.stdin.close()
        read_until(process, "event=cut_off under_way=1")
        assert process.wait(STEP_S) == 0


@pytest.mark.parametrize("scenario", ["renewed", "renewed stored", "housekeeping"])
def test_what_is_under_way_keeps_its_lease_while_the_process_ends(tmp_path, scenario):
    with script(tmp_path, scenario) as process:
        lines = read_until(process, "asked")
        [ticket] = [line for line in lines if len(line) == 36]
        if scenario != "housekeeping" and "ready" not in lines:
            read_until(process, "ready")
        process.send_signal(signal.SIGINT)
        read_until(process, "event=stopping")
        due_at = record_of(tmp_path, ticket).due_at
        wait_until(lambda: record_of(tmp_path, ticket).due_at > due_at, "a renewal")
