"""Bodies straight from gunicorn's connection, under each kind of worker.

tox runs this with the oldest and the newest of the gunicorns that are supported, and two between
(`tox -e gunicorn21,gunicorn23,gunicorn25,gunicorn27`).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import re
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
from servers import Server, gunicorn
from waiting import wait_until
from wire import Wire, issue_ticket, put, status_of

CERTIFICATE = Path(__file__).parents[1] / "tls" / "localhost.pem"
WORKERS = ["sync", "gthread", "gevent"]
KEEPS_ALIVE = ["gthread", "gevent"]  # sync workers close after each answer
MAJOR = int(version("gunicorn").split(".")[0])
MIB = 1024 * 1024


def start(folder: Path, worker_class: str, *arguments: str, **settings: str) -> Server:
    environ = {"INCOMING_STORAGE_DIR": str(folder / "storage"), **settings}
    return gunicorn(
        "reading_app:application",
        *arguments,
        folder=folder,
        environ=environ,
        worker_class=worker_class,
    )


@pytest.fixture(scope="module", params=WORKERS)
def any_server(request, tmp_path_factory):
    with start(tmp_path_factory.mktemp(request.param), request.param) as server:
        yield server


@pytest.fixture(scope="module", params=KEEPS_ALIVE)
def server(request, tmp_path_factory):
    with start(tmp_path_factory.mktemp(request.param), request.param) as server:
        yield server


def stored(server: Server, path: str) -> bytes:
    return (server.log_file.parent / "storage" / "files" / path.rpartition("/")[2]).read_bytes()


def readers_of(server: Server) -> set[str]:
    return set(re.findall(r"event=reading .*reader=(\w+)", server.log))


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def digest_header(body: bytes) -> str:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return f"Content-Digest: sha-256=:{digest}:"


def test_it_is_the_gunicorn_of_this_environment(any_server):
    """That the matrix is one: the server's own header names the version that is installed."""
    assert f"gunicorn {MAJOR}." in any_server.log


@pytest.mark.parametrize("digest", [False, True])
def test_an_upload_in_chunks_of_many_sizes(any_server, digest):
    sizes = [1, 3 * MIB + 7, 64 * 1024, 8191, 8 * MIB, 1_500_000]
    content = noise(sum(sizes))
    path = issue_ticket(any_server.url)
    start = 0
    for size in sizes:
        chunk = content[start : start + size]
        with Wire(any_server.url) as wire:
            headers = [digest_header(chunk)] if digest else []
            wire.send(put(path, start, chunk, len(content), *headers), chunk)
            answer = wire.read_answer()
        assert answer.status == 200
        start += size
        assert answer.facts["received"] == [[0, start]]
    assert stored(any_server, path) == content
    assert "GunicornReader" in readers_of(any_server)


def test_requests_that_come_in_one_segment_are_told_apart(server):
    if MAJOR < 27 and "Using worker: gthread" in server.log:
        pytest.skip("this gunicorn waits for more before it looks at what it has")
    content = noise(3000)
    path = issue_ticket(server.url)
    first, second = content[:1000], content[1000:]
    asks = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with Wire(server.url) as wire:
        wire.send(put(path, 0, first, 3000) + first + put(path, 1000, second, 3000) + second + asks)
        answers = [wire.read_answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.facts["received"] for answer in answers] == [
        [[0, 1000]],
        [[0, 3000]],
        [[0, 3000]],
    ]
    assert stored(server, path) == content


def test_a_request_that_follows_a_long_body_closely(server):
    """The end of the body and the next head arrive together."""
    content = noise(3 * MIB + 1)
    path = issue_ticket(server.url)
    asks = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with Wire(server.url) as wire:
        for start in range(0, 3 * MIB, MIB):
            chunk = content[start : start + MIB]
            wire.send(put(path, start, chunk, len(content)) + chunk + asks)
            assert wire.read_answer().status == 200
            assert wire.read_answer().facts["received"] == [[0, start + MIB]]
    assert stored(server, path) == content[: 3 * MIB]


def test_a_body_that_drips(server):
    content = noise(300)
    path = issue_ticket(server.url)
    with Wire(server.url) as wire:
        head = put(path, 0, content, 301)
        wire.send(head[:20], head[20:], content[:1], content[1:2])
        wire.send(*(content[at : at + 7] for at in range(2, 300, 7)))
        assert wire.read_answer().facts["received"] == [[0, 300]]
    assert stored(server, path) == content


@pytest.mark.parametrize(
    ("headers", "start", "status"),
    [
        ([digest_header(b"another")], 0, 422),  # after the body
        ([], 5000, 416),  # before it
    ],
)
def test_a_refused_chunk_leaves_the_connection_in_order(server, headers, start, status):
    content = noise(200_000)
    path = issue_ticket(server.url)
    bad = content[:100_000]
    with Wire(server.url) as wire:
        if start:
            wire.send(put(path, 0, b"x", 5000) + b"x")
            assert wire.read_answer().status == 200
            wire.send(put(path, start, bad, 5000) + bad)
        else:
            wire.send(put(path, 0, bad, 200_000, *headers) + bad)
        assert wire.read_answer().status == status
        other = issue_ticket(server.url)
        wire.send(put(other, 0, content, 200_001) + content)
        assert wire.read_answer().facts["received"] == [[0, 200_000]]
    assert stored(server, other) == content


def test_a_body_that_is_too_long_is_drained_and_the_next_request_answered(server):
    path = issue_ticket(server.url)
    body = bytes(17 * MIB)
    with Wire(server.url) as wire:
        wire.send(put(path, 0, body, 20 * MIB), body)
        answer = wire.read_answer()
    assert (answer.status, answer.facts["code"]) == (413, "chunk_too_large")


def test_what_came_before_the_client_ended_is_kept(any_server):
    content = noise(1_000_000)
    path = issue_ticket(any_server.url)
    with Wire(any_server.url) as wire:
        wire.send(put(path, 0, content, 2_000_000), content[:700_001])
        wire.socket.shutdown(1)
        assert (answer := wire.read_answer()).status == 400
    assert answer.facts["code"] == "incomplete_body"
    assert status_of(any_server.url, path)["received"] == [[0, 700_001]]
    assert stored(any_server, path) == content[:700_001]


@pytest.mark.parametrize("size", [100_000, 700_001])
def test_what_came_before_a_reset_is_kept(any_server, size):
    content = noise(1_000_000)
    path = issue_ticket(any_server.url)
    wire = Wire(any_server.url)
    wire.send(put(path, 0, content, 2_000_000), content[:size])
    wire.wait_until_taken()
    wire.reset()

    def all_is_there() -> bool:
        return status_of(any_server.url, path)["received"] == [[0, size]]

    wait_until(all_is_there, "the bytes before the reset", 30)
    assert stored(any_server, path) == content[:size]


def test_a_line_that_stalls_is_given_up_and_what_came_is_kept(tmp_path, stalling_worker):
    settings = {"INCOMING_STALL_TIMEOUT_S": "1", "INCOMING_MIN_RATE_BYTES_S": "1000000"}
    content = noise(400_000)
    with start(tmp_path, stalling_worker, **settings) as server:
        path = issue_ticket(server.url)
        with Wire(server.url) as wire:
            wire.send(put(path, 0, content, 800_000), content[:300_000])
            # Not the client ends it: it waits for its answer with the line open.
            assert wire.read_answer().facts["code"] == "incomplete_body"
        assert stored(server, path) == content[:300_000]
        assert "event=request_ended why=too_slow" in server.log


@pytest.fixture(params=WORKERS)
def stalling_worker(request):
    return request.param


def test_what_comes_after_a_request_was_ended_is_not_the_next_request(tmp_path, keeping_worker):
    """A client that does not look at its answer goes on with the bytes of its file, and these are
    what a request looks like. A server that takes a pause in them for the end of the body goes on
    with the next, often but not always: so several times."""
    settings = {"INCOMING_STALL_TIMEOUT_S": "0.5", "INCOMING_MIN_RATE_BYTES_S": "1000000"}
    piece = b"GET /in-a-file HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = noise(70_000) + 50_000 * piece
    with start(tmp_path, keeping_worker, "--access-logfile", "-", **settings) as server:
        path = issue_ticket(server.url)
        for _ in range(6):
            with Wire(server.url) as wire, contextlib.suppress(ConnectionError):
                wire.send(put(path, 0, body, len(body)), body[:70_000])
                for _ in range(50_000):
                    wire.send(piece)
                    if wire.has_news(0.0002) and b"/in-a-file" in server.log_file.read_bytes():
                        pytest.fail("a piece of a file was answered")
        assert server.log.count("why=too_slow") == 6
        assert "/in-a-file" not in server.log


@pytest.fixture(params=KEEPS_ALIVE)
def keeping_worker(request):
    return request.param


def test_a_client_on_a_unix_socket_may_pause(tmp_path, stalling_worker):
    content = noise(2 * MIB)
    path_of_socket = tmp_path / "socket"
    with start(tmp_path, stalling_worker, "--bind", f"unix:{path_of_socket}") as server:
        path = issue_ticket(server.url)
        with Wire(f"unix:{path_of_socket}") as wire:
            wire.send(put(path, 0, content, len(content) + 1), content[:300_000])
            wire.wait_until_taken()
            assert not wire.has_news(within_s=0.5)
            wire.send(content[300_000:])
            assert wire.read_answer().facts["received"] == [[0, len(content)]]
        assert stored(server, path) == content
        assert "GunicornReader" in readers_of(server)


def test_a_digest_under_gevent_that_came_after_the_app(tmp_path):
    """With --preload what the library imported is from before gevent replaced it."""
    content = noise(3 * MIB)
    with start(tmp_path, "gevent", "--preload") as server:
        path = issue_ticket(server.url)
        with Wire(server.url) as wire:
            wire.send(put(path, 0, content, len(content) + 1, digest_header(content)), content)
            assert wire.read_answer().facts["received"] == [[0, len(content)]]
        assert stored(server, path) == content


def test_greenlets_that_write_at_once_after_a_fork(tmp_path):
    """The lock for which they wait must be of gevent's, though the app was there before."""
    with start(tmp_path, "gevent", "--preload", "--workers", "2") as server:

        def ask(_) -> set[int]:
            with requests.Session() as session:
                url, said = server.url + "/backend/new_upload", {"signalFinishURL": "http://x.y/"}
                return {session.post(url, said, timeout=30).status_code for _ in range(40)}

        with ThreadPoolExecutor(16) as clients:
            assert set().union(*clients.map(ask, range(16))) == {200}


def test_a_client_that_asks_first(any_server):
    content = noise(100_000)
    path = issue_ticket(any_server.url)
    with Wire(any_server.url) as wire:
        wire.send(put(path, 0, content, 100_001, "Expect: 100-continue"))
        assert wire.socket.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(content)
        assert wire.read_answer().facts["received"] == [[0, 100_000]]
    assert stored(any_server, path) == content


def test_a_chunked_body_is_left_to_gunicorn(server):
    path = issue_ticket(server.url)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = b'{"filename": "a", "length": 9}'
    with Wire(server.url) as wire:
        wire.send(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(said), said))
        assert wire.read_answer().facts["length"] == 9
        wire.send(put(path, 0, b"123456", 9) + b"123456")
        assert wire.read_answer().facts["received"] == [[0, 6]]


def over_tls(folder: Path, worker_class: str) -> Server:
    return start(
        folder, worker_class, "--certfile", str(CERTIFICATE), "--keyfile", str(CERTIFICATE)
    )


def issue_ticket_over_tls(server: Server) -> tuple[str, str]:
    """The server's URL, and the path of a new upload."""
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    ticket = requests.post(
        f"{url}/backend/new_upload",
        data={"signalFinishURL": "http://127.0.0.1:9/"},
        timeout=10,
        verify=str(CERTIFICATE),
    )
    return url, f"/frontend/uploads/{ticket.text}"


def test_over_tls(tmp_path, tls_worker):
    content = noise(3 * MIB)
    with over_tls(tmp_path, tls_worker) as server:
        url, path = issue_ticket_over_tls(server)
        first, second = content[:MIB], content[MIB : 2 * MIB]
        with Wire(url, CERTIFICATE) as wire:
            wire.send(put(path, 0, first, len(content)) + first)
            if tls_worker in KEEPS_ALIVE:
                wire.send(put(path, MIB, second, len(content)) + second)
                assert wire.read_answer().facts["received"] == [[0, MIB]]
                assert wire.read_answer().facts["received"] == [[0, 2 * MIB]]
            else:
                assert wire.read_answer().facts["received"] == [[0, MIB]]
        expected = content[: 2 * MIB] if tls_worker in KEEPS_ALIVE else first
        assert stored(server, path) == expected
        assert "GunicornReader" in readers_of(server)


def test_requests_that_come_in_one_record_are_told_apart(tmp_path, keeping_worker):
    """The end of the one and all of the other: what is decrypted already no poller sees."""
    if MAJOR < 27 and keeping_worker == "gthread":
        pytest.skip("this gunicorn waits for more before it looks at what it has")
    content = noise(40_500)
    with over_tls(tmp_path, keeping_worker) as server:
        url, path = issue_ticket_over_tls(server)
        first, second = content[:40_000], content[40_000:]
        with Wire(url, CERTIFICATE) as wire:
            both = put(path, 0, first, 40_501) + first + put(path, 40_000, second, 40_501) + second
            wire.send(both)
            answers = [wire.read_answer().facts["received"] for _ in range(2)]
        assert answers == [[[0, 40_000]], [[0, 40_500]]]
        assert stored(server, path) == content


@pytest.fixture(params=WORKERS)
def tls_worker(request):
    return request.param


def test_the_fast_way_can_be_switched_off(tmp_path):
    content = noise(2 * MIB)
    with start(tmp_path, "gthread", INCOMING_FAST_READING="false") as server:
        path = issue_ticket(server.url)
        with Wire(server.url) as wire:
            for start_at in (0, MIB):
                chunk = content[start_at : start_at + MIB]
                wire.send(put(path, start_at, chunk, 2 * MIB + 1) + chunk)
                assert wire.read_answer().status == 200
        assert stored(server, path) == content
        assert readers_of(server) == {"PlainReader"}
