"""Incoming as a server of its own: under gunicorn directly, and by `incoming serve`."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from servers import HOST, Server, free_port, gunicorn
from waiting import wait_until
from webapp import web_app

import incoming_wsgi
from incoming_wsgi.client import IncomingClient, upload_file
from incoming_wsgi.logs import LineFormatter
from incoming_wsgi.states import UploadState

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
APPLICATION = "incoming_wsgi.wsgi:application"
NOBODY = "http://127.0.0.1:9/finished"  # the discard port: no app answers there
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ pid=\d+ \S.*")


def settings(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"INCOMING_STORAGE_DIR": str(tmp_path / "storage"), **more}


def incoming_serve(tmp_path: Path, *arguments: str, **more: str) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "incoming_wsgi.cli", "serve", "--bind", f"{HOST}:{port}"]
    return Server(
        [*command, "--workers", "1", *arguments],
        port=port,
        folder=tmp_path,
        environ=settings(tmp_path, **more),
    )


@pytest.fixture(params=["gunicorn", "serve"])
def server(request, tmp_path):
    if request.param == "gunicorn":
        started = gunicorn(APPLICATION, folder=tmp_path, environ=settings(tmp_path))
    else:
        started = incoming_serve(tmp_path)
    with started:
        yield started


def import_application(**environ: str) -> subprocess.CompletedProcess[str]:
    code = "import threading, incoming_wsgi.wsgi; print(threading.active_count())"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "function",
    [
        "/backend/new_upload",
        "/0.1/backend/new_upload",
        "/incoming/backend/new_upload",
        "/incoming/0.1/backend/new_upload",
    ],
)
def test_an_app_of_the_original_gets_its_ticket_where_it_asks(server, function):
    answer = requests.post(server.url + function, params={"signalFinishURL": NOBODY}, timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    assert UUID4.fullmatch(answer.text)


def test_the_browser_script_is_served_where_pages_of_the_original_load_it(server):
    script = requests.get(server.url + "/incoming/0.1/frontend/incoming.js", timeout=30)
    assert script.status_code == 200
    assert script.headers["Content-Type"].startswith("text/javascript")
    static = Path(incoming_wsgi.__file__).parent
    sources = [folder / "incoming.js" for folder in (static / "static", static.parent / "static")]
    assert script.content in [source.read_bytes() for source in sources if source.exists()]


def test_a_file_goes_all_the_way_to_the_app(server, tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "video.bin").write_bytes(content)
    with web_app() as app:
        ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url, secret="s")
        # Asked at one mount and sent to the other: it is one server.
        url = f"{server.url}/incoming/0.1/frontend/uploads/{ticket}"
        sent = upload_file(tmp_path / "video.bin", url)
        [handover] = app.wait_for(1)
    assert sent.state is UploadState.FINISHED
    assert handover.content == content
    assert handover.form["filenameFromBrowser"] == "video.bin"


def test_sigterm_ends_the_server_in_good_order(server):
    assert requests.get(server.url + "/health", timeout=30).json()["status"] == "ok"
    assert server.stop() == 0


def test_the_log_shows_an_upload_in_single_lines_and_never_its_whole_ticket(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    with web_app() as app:
        ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url, owner="x\ny=z")
        upload_file(tmp_path / "a.bin", f"{server.url}/frontend/uploads/{ticket}")
    server.stop()
    lines = [line for line in server.log.splitlines() if f"upload={ticket[:8]}" in line]
    events = [re.search(r"event=(\w+)", line)[1] for line in lines]
    assert events[0] == "created"
    assert {"complete", "handed_over"} <= set(events)
    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []
    assert [line for line in lines if "event=complete length=10" in line] != []
    assert ticket not in server.log


def test_every_line_of_incoming_serve_has_time_level_and_process(tmp_path):
    with incoming_serve(tmp_path) as server:
        requests.get(server.url + "/health", timeout=30)
        server.stop()
        lines = server.log.splitlines()
    assert len(lines) > 3
    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []


def test_incoming_serve_delivers_what_is_due_though_nobody_asks(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    with web_app() as app:
        with incoming_serve(tmp_path, INCOMING_BACKGROUND="false") as server:
            ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url)
            upload_file(tmp_path / "a.bin", f"{server.url}/frontend/uploads/{ticket}", wait=False)
            server.kill()
        assert app.handovers == []
        with incoming_serve(tmp_path):
            [handover] = app.wait_for(1)
    assert handover.content == b"0123456789"


def test_under_gunicorn_the_first_request_sets_a_restarted_server_to_work(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    environ = settings(tmp_path, INCOMING_BACKGROUND="false")
    with web_app() as app:
        with gunicorn(APPLICATION, folder=tmp_path, environ=environ) as server:
            ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url)
            upload_file(tmp_path / "a.bin", f"{server.url}/frontend/uploads/{ticket}", wait=False)
        environ = settings(tmp_path)
        with gunicorn(APPLICATION, "--preload", folder=tmp_path, environ=environ) as server:
            requests.get(server.url + "/health", timeout=30)
            [handover] = app.wait_for(1)
    assert handover.content == b"0123456789"


def test_making_the_application_starts_no_thread(tmp_path):
    done = import_application(**settings(tmp_path))
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_without_a_storage_folder_the_application_says_what_to_set():
    done = import_application()
    assert done.returncode == 1
    assert "ValueError: There is no storage folder: set INCOMING_STORAGE_DIR" in done.stderr


def test_a_misspelt_variable_keeps_the_application_from_starting(tmp_path):
    done = import_application(**settings(tmp_path, INCOMING_CHUNK_BYTE="5"))
    assert done.returncode == 1
    assert "ValueError: INCOMING_CHUNK_BYTE is not a setting; known are" in done.stderr


# the log's format


def test_a_message_cannot_forge_a_line_of_the_log():
    record = logging.makeLogRecord({"msg": "owner=%s", "args": ("a\n2026 INFO\x1b[1m\u2028",)})
    line = LineFormatter().format(record)
    assert line.endswith(r"owner=a\n2026 INFO\x1b[1m\u2028")
    assert line.isprintable()


def test_a_traceback_stands_in_the_line_of_its_event():
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        record = logging.makeLogRecord({"msg": "event=x", "exc_info": sys.exc_info()})
    line = LineFormatter().format(record)
    assert "\n" not in line
    assert r"event=x\nTraceback" in line
    assert line.endswith(r"RuntimeError: first\nsecond")


def test_the_time_of_a_line_is_utc_with_milliseconds():
    facts = {"msg": "m", "created": 0.25, "msecs": 250.0, "process": 7, "levelname": "INFO"}
    line = LineFormatter().format(logging.makeLogRecord(facts))
    assert line == "1970-01-01T00:00:00.250Z INFO pid=7 m"


def test_a_killed_server_leaves_nothing_behind_that_a_new_one_minds(tmp_path):
    with incoming_serve(tmp_path) as server:
        ticket = IncomingClient(server.url).new_upload(signal_finish_url=NOBODY)
        server.kill()
        server.start()
        status = wait_until(lambda: IncomingClient(server.url).status(ticket), "an answer")
    assert (status.id, status.state) == (ticket, UploadState.CREATED)
