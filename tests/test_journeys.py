"""Whole journeys over HTTP against real gunicorn workers, with the accidents of the road."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import random
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from processes import resident_bytes, workers
from servers import Server, gunicorn
from waiting import wait_until
from webapp import web_app

MIB = 1024 * 1024


@pytest.fixture
def server(tmp_path):
    environ = {
        "INCOMING_STORAGE_DIR": str(tmp_path / "storage"),
        "INCOMING_HANDOVER_RETRY_S": "0.2",
    }
    application = "incoming_wsgi.wsgi:application"
    with gunicorn(application, "--workers", "2", folder=tmp_path, environ=environ) as server:
        yield server


def new_upload(server: Server, callback: str) -> str:
    """The URL of a new upload resource."""
    response = requests.post(
        f"{server.url}/incoming/backend/new_upload",
        params={"signalFinishURL": callback, "removeFileWhenFinished": "false"},
        timeout=30,
    )
    response.raise_for_status()
    return f"{server.url}/incoming/0.1/frontend/uploads/{response.text}"


def put(url: str, content: bytes, start: int, stop: int, session=requests) -> requests.Response:
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return session.put(url, content[start:stop], headers=headers, timeout=60)


def open_put(server: Server, url: str, start: int, stop: int, length: int) -> socket.socket:
    """A PUT whose head has been sent and whose body is up to the caller."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    path = url.removeprefix(server.url)
    connection.sendall(
        f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Range: bytes {start}-{stop - 1}/{length}\r\n"
        f"Content-Length: {stop - start}\r\n\r\n".encode()
    )
    return connection


def answer_of(connection: socket.socket) -> str:
    """The status line."""
    return connection.makefile("rb").readline().decode().strip()


def state(url: str) -> dict:
    return requests.get(url, timeout=30).json()


def wait_for_state(url: str, wanted: str) -> dict:
    return wait_until(lambda: (s := state(url))["state"] == wanted and s, wanted)


def file_of(tmp_path: Path, url: str) -> Path:
    return tmp_path / "storage" / "files" / url.rpartition("/")[2]


def test_chunks_in_random_order_repeated_and_cut_make_one_right_file(server, tmp_path):
    chosen = random.Random(16)
    content = chosen.randbytes(16 * 300_000 + 12345)
    bounds = [index * 300_000 for index in range(16)] + [len(content)]
    chunks = list(itertools.pairwise(bounds))
    chosen.shuffle(chunks)
    cut = chunks.pop(5)
    order = [*chunks, chunks[3], chunks[7]]  # two of them twice
    with web_app() as app:
        url = new_upload(server, app.url)
        connection = open_put(server, url, *cut, len(content))
        connection.sendall(content[cut[0] : cut[0] + 100_000])
        connection.close()
        with ThreadPoolExecutor(4) as pool:
            sessions = threading.local()

            def send(chunk):
                if not hasattr(sessions, "session"):
                    sessions.session = requests.Session()
                return put(url, content, *chunk, session=sessions.session).status_code

            assert list(pool.map(send, order)) == [200] * 17
        # What arrived of the cut chunk is kept; it ended in the middle.
        seen = wait_until(
            lambda: (s := state(url))["bytes_received"] > len(content) - 300_000 and s,
            "the rest of the cut chunk",
        )
        missing = [cut[0] + 100_000, cut[1]]
        assert seen["received"] in (
            [[0, missing[0]], [missing[1], len(content)]],
            [[0, missing[0]]],
        )
        assert app.handovers == []
        put(url, content, *missing)
        wait_for_state(url, "FINISHED")
        (handover,) = app.handovers
        assert hashlib.sha256(handover.content).digest() == hashlib.sha256(content).digest()


def test_the_app_is_down_incoming_is_restarted_and_the_file_is_delivered_once(server, tmp_path):
    content = random.Random(1).randbytes(2 * MIB)
    with web_app() as app:
        port = app.port
    url = new_upload(server, app.url)
    assert put(url, content, 0, len(content)).json()["state"] in ("COMPLETE", "HANDING_OVER")
    server.kill()
    server.start()
    assert wait_until(lambda: state(url)["reason"], "an attempt after the restart")
    with web_app(port=port) as app:
        wait_for_state(url, "FINISHED")
        assert len(app.handovers) == 1
        assert app.handovers[0].content == content


def test_memory_does_not_depend_on_the_size_of_the_file(server, tmp_path):
    block = random.Random(2).randbytes(16 * MIB)
    warm = new_upload(server, "http://127.0.0.1:9/")
    with ThreadPoolExecutor(4) as pool:  # every worker has served, on several threads
        list(pool.map(lambda i: put(warm, block, i * MIB, (i + 1) * MIB), range(16)))
    before = {pid: resident_bytes(pid, peak=True) for pid in workers(server.pid)}
    url = new_upload(server, "http://127.0.0.1:9/")
    length = 16 * len(block)

    def send(index: int) -> int:
        first, last = index * len(block), (index + 1) * len(block) - 1
        headers = {"Content-Range": f"bytes {first}-{last}/{length}"}
        return requests.put(url, block, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(16))) == [200] * 16
    grown = {pid: resident_bytes(pid, peak=True) - before[pid] for pid in before}
    assert all(growth < 30 * MIB for growth in grown.values()), grown


@pytest.mark.parametrize("victim", ["worker", "all"])
def test_what_was_acknowledged_survives_sigkill(server, tmp_path, victim):
    content = random.Random(3).randbytes(8 * MIB)
    with web_app() as app:
        url = new_upload(server, app.url)
        acknowledged = put(url, content, 0, 3 * MIB).json()["received"]
        assert acknowledged == [[0, 3 * MIB]]
        stalled = open_put(server, url, 3 * MIB, 8 * MIB, len(content))
        stalled.sendall(content[3 * MIB : 5 * MIB])
        path = file_of(tmp_path, url)
        wait_until(lambda: path.stat().st_size > 4 * MIB, "the stalled bytes")
        if victim == "all":
            server.kill()
            server.start()
        else:
            before = workers(server.pid)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            wait_until(
                lambda: len(now := workers(server.pid)) == 2 and not set(now) & set(before),
                "new workers",
            )
        stalled.close()
        received = state(url)["received"]
        assert received[0][0] == 0
        assert received[0][1] >= 3 * MIB
        put(url, content, received[0][1], len(content))
        wait_for_state(url, "FINISHED")
        assert app.handovers[0].content == content
        assert len(app.handovers) == 1


def test_a_stalled_request_does_not_hold_up_a_newer_one_and_cannot_spoil_it(server, tmp_path):
    content = random.Random(4).randbytes(2 * MIB)
    with web_app() as app:
        url = new_upload(server, app.url)
        stalled = open_put(server, url, 0, len(content), len(content))
        stalled.sendall(b"\xee" * 1000)
        wait_for_state(url, "UPLOADING")  # it has its claim
        assert put(url, content, 0, len(content)).status_code == 200
        # The stalled one wakes up with other bytes: after the file is complete, before, during and
        # after the handover.
        stalled.sendall(b"\xee" * (len(content) // 2))
        wait_for_state(url, "FINISHED")
        stalled.sendall(b"\xee" * (len(content) - len(content) // 2 - 1000))
        assert answer_of(stalled) == "HTTP/1.1 409 Conflict"
        stalled.close()
        assert app.handovers[0].content == content
        assert file_of(tmp_path, url).read_bytes() == content


def test_a_second_page_cannot_declare_another_file_while_bytes_are_on_their_way(server, tmp_path):
    content = random.Random(6).randbytes(MIB)
    with web_app() as app:
        url = new_upload(server, app.url)
        first = {"filename": "a", "length": len(content)}
        assert requests.post(url, json=first, timeout=30).status_code == 200
        running = open_put(server, url, 0, len(content), len(content))
        running.sendall(content[: MIB // 2])
        wait_for_state(url, "UPLOADING")
        second = requests.post(url, json={"filename": "b", "length": len(content)}, timeout=30)
        assert (second.status_code, second.json()["code"]) == (409, "file_changed")
        running.sendall(content[MIB // 2 :])
        assert answer_of(running) == "HTTP/1.1 200 OK"
        running.close()
        wait_for_state(url, "FINISHED")
        assert app.handovers[0].form["filenameFromBrowser"] == "a"
        assert app.handovers[0].content == content


def test_a_newer_request_that_fails_does_not_make_the_older_record_its_bytes(server, tmp_path):
    content = random.Random(7).randbytes(MIB)
    with web_app() as app:
        url = new_upload(server, app.url)
        older = open_put(server, url, 0, len(content), len(content))
        older.sendall(content[: MIB // 2])
        path = file_of(tmp_path, url)
        wait_until(lambda: path.exists() and path.stat().st_size >= MIB // 4, "the older's bytes")
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        newer = requests.put(
            url,
            b"\xee" * MIB,
            headers={
                "Content-Range": f"bytes 0-{MIB - 1}/{MIB}",
                "Content-Digest": f"sha-256=:{digest}:",
            },
            timeout=30,
        )
        assert newer.status_code == 422
        older.sendall(content[MIB // 2 :])
        assert answer_of(older) == "HTTP/1.1 409 Conflict"
        older.close()
        assert state(url)["received"] == []
        put(url, content, 0, len(content))
        wait_for_state(url, "FINISHED")
        assert app.handovers[0].content == content


def test_of_two_that_write_the_same_range_the_newer_has_it(server, tmp_path):
    content = random.Random(5).randbytes(2 * MIB)
    url = new_upload(server, "http://127.0.0.1:9/")
    older = open_put(server, url, 0, MIB, len(content))
    older.sendall(b"\xee" * (MIB // 2))
    path = file_of(tmp_path, url)
    wait_until(lambda: path.exists() and path.stat().st_size >= MIB // 4, "the older's bytes")
    newer = open_put(server, url, 0, MIB, len(content))
    newer.sendall(content[: MIB // 4])
    wait_until(
        lambda: path.read_bytes()[: MIB // 16] == content[: MIB // 16], "the newer's first bytes"
    )
    older.sendall(b"\xee" * (MIB // 2))
    assert answer_of(older) == "HTTP/1.1 409 Conflict"
    newer.sendall(content[MIB // 4 : MIB])
    assert answer_of(newer) == "HTTP/1.1 200 OK"
    for connection in (older, newer):
        connection.close()
    assert path.read_bytes()[:MIB] == content[:MIB]
    assert state(url)["received"] == [[0, MIB]]


def test_a_refusal_in_the_middle_of_a_body_reaches_the_client(server):
    """The whole body is sent first; the answer must come, and the connection must stay in step."""
    session = requests.Session()
    for _ in range(5):
        response = session.put(
            f"{server.url}/frontend/uploads/unknown",
            b"x" * (4 * MIB),
            headers={"Content-Range": f"bytes 0-{4 * MIB - 1}/{4 * MIB}"},
            timeout=30,
        )
        assert (response.status_code, response.json()["code"]) == (404, "unknown_upload")
    assert session.get(f"{server.url}/health", timeout=30).json()["status"] == "ok"


def test_a_cancel_ends_a_request_that_is_under_way_and_leaves_nothing(server, tmp_path):
    with web_app() as app:
        url = new_upload(server, app.url)
        running = open_put(server, url, 0, MIB, MIB)
        running.sendall(b"x" * (MIB // 2))
        path = file_of(tmp_path, url)
        wait_until(path.exists, "the file")
        assert requests.delete(url, timeout=30).json()["state"] == "CANCELLED"
        running.sendall(b"x" * (MIB // 2))
        assert answer_of(running) == "HTTP/1.1 410 Gone"
        running.close()
        assert not path.exists()
        (handover,) = app.wait_for(1)
        assert handover.form["cancelled"] == "yes"
