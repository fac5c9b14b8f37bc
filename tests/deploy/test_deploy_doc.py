"""docs/deploy.md: each recipe is started as it stands there, and used."""

from __future__ import annotations

import itertools
import json
import random
import re
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from proxy import tcp_proxy
from recipes import (
    BIN,
    DOCUMENT,
    SERVERS,
    nginx_in_front,
    placed,
    recipe,
    start,
    start_shell,
    storage,
)
from servers import HOST, Server
from tools import program
from waiting import wait_until
from webapp import web_app

from incoming_wsgi.client import IncomingClient

MIB = 1 << 20
LARGEST = 16 * MIB  # max_chunk_bytes as it is by default
UNBUFFERED = "proxy_request_buffering off"
BUFFERED = "proxy_request_buffering on"

Range = tuple[int, int]


def put(url: str, content: bytes, chunk: Range) -> int:
    start, stop = chunk
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return requests.put(url, content[start:stop], headers=headers, timeout=60).status_code


def missing(url: str, length: int) -> Sequence[Range]:
    received = requests.get(url, timeout=60).json()["received"]
    ends = [0, *(stop for _, stop in received)]
    starts = [*(start for start, _ in received), length]
    return [(end, start) for end, start in zip(ends, starts, strict=True) if end < start]


def travel(server: Server, front: Server) -> None:
    """One upload through `front`, whose tickets are asked for at `server`: the largest chunk and
    others at once, after one that was cut; what is missing; the handover."""
    content = random.Random(5).randbytes(LARGEST + 5 * 300_000)
    cuts = [0, *range(LARGEST, len(content) + 1, 300_000)]
    *chunks, cut = itertools.pairwise(cuts)
    with web_app() as app, tcp_proxy(front.port) as line:
        client = IncomingClient(server.url)
        ticket = client.new_upload(signal_finish_url=app.url, remove_file_when_finished=False)
        path = f"/incoming/frontend/uploads/{ticket}"
        line.cut_after(200_000)
        with pytest.raises(requests.ConnectionError):
            put(f"http://{HOST}:{line.port}{path}", content, cut)
        url = front.url + path
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda chunk: put(url, content, chunk), chunks)) == {200}
        left = missing(url, len(content))
        assert left
        assert all(cut[0] <= start < stop == cut[1] for start, stop in left)
        for chunk in left:
            assert put(url, content, chunk) == 200
        wait_until(lambda: requests.get(url, timeout=60).json()["state"] == "FINISHED", "the end")
        (handover,) = app.handovers
        assert handover.content == content
    assert Path(handover.form["filename"]).is_relative_to(storage(server.log_file.parent))


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_of_the_document_takes_an_upload(tmp_path, name):
    with start(name, tmp_path) as server:
        travel(server, server)


def test_gunicorn_may_load_the_application_before_it_forks(tmp_path):
    with start("gunicorn", tmp_path, changes={"--keep-alive": "--preload --keep-alive"}) as server:
        travel(server, server)


@pytest.mark.parametrize("name", ["incoming serve", "gunicorn"])
def test_gunicorn_makes_no_control_socket_in_the_home_folder(tmp_path, name):
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    with start(name, tmp_path, environ=environ) as server:
        travel(server, server)
        assert list(home.rglob("*")) == []


@pytest.mark.parametrize("buffering", [UNBUFFERED, BUFFERED])
@pytest.mark.parametrize("name", ["incoming serve", "uwsgi http", "granian", "waitress"])
def test_an_nginx_of_the_document_in_front_of_it_too(tmp_path, name, buffering):
    changes = {UNBUFFERED: buffering}
    with (
        start(name, tmp_path) as server,
        nginx_in_front(server, tmp_path, changes=changes) as front,
    ):
        travel(server, front)


@pytest.mark.parametrize("buffering", ["off", "on"])
def test_an_nginx_that_speaks_to_uwsgi_too(tmp_path, buffering):
    changes = {"uwsgi_request_buffering off": f"uwsgi_request_buffering {buffering}"}
    with (
        start("uwsgi", tmp_path) as server,
        nginx_in_front(server, tmp_path, name="nginx uwsgi", changes=changes) as front,
    ):
        travel(server, front)
        chunked = requests.post(  # nginx undoes it, and has the header that says so dropped
            f"{front.url}/incoming/frontend/uploads/unknown", iter([b"{}"]), timeout=60
        )
        assert chunked.status_code == 404


def test_sync_workers_behind_an_nginx_that_buffers(tmp_path):
    changes = {"--worker-class gthread": "--worker-class sync", " --threads 8": ""}
    with (
        start("gunicorn", tmp_path, changes=changes) as server,
        nginx_in_front(server, tmp_path, changes={UNBUFFERED: BUFFERED}) as front,
    ):
        travel(server, front)


@pytest.mark.parametrize("name", ["nginx", "nginx uwsgi"])
def test_the_nginx_of_the_document_shuts_backend(tmp_path, name):
    with (
        start("uwsgi", tmp_path) as server,
        nginx_in_front(server, tmp_path, name=name) as front,
    ):
        assert requests.get(f"{front.url}/incoming/health", timeout=60).status_code == 200
        for version in ("", "0.1/"):
            path = f"/incoming/{version}backend/new_upload"
            data = {"signalFinishURL": "http://127.0.0.1:9/"}
            assert requests.post(server.url + path, data, timeout=60).status_code == 200
            assert requests.post(front.url + path, data, timeout=60).status_code == 404


def test_the_limits_of_operations_md_take_the_place_of_two_lines(tmp_path):
    operations = DOCUMENT.with_name("operations.md").read_text()
    [limits] = re.findall(r"^```nginx\n(# beside .*?)^```$", operations, re.MULTILINE | re.DOTALL)
    beside, inside = limits.split("# in `location /incoming/`\n")
    changes = {
        "server {\n": f"{beside}server {{\n",
        "        client_max_body_size 16m;\n": inside,
        f"        {UNBUFFERED};\n": "",
    }
    with (
        start("gunicorn", tmp_path) as server,
        nginx_in_front(server, tmp_path, changes=changes) as front,
    ):
        travel(server, front)


PROBE = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    body = environ["wsgi.input"]
    body.read(int(environ.get("CONTENT_LENGTH") or 0))
    return [f"{environ['REMOTE_PORT']} {type(body).__name__}".encode()]
"""


def start_probe(name: str, tmp_path: Path, changes: Mapping[str, str]) -> Server:
    """The server with an application that says which connection asks, and what its body is."""
    (tmp_path / "probe.py").write_text(PROBE)
    changes = {"incoming_wsgi.wsgi:application": "probe:app", **changes}
    return start(name, tmp_path, environ={"PYTHONPATH": str(tmp_path)}, changes=changes)


@pytest.mark.parametrize(
    ("changes", "connections"), [({}, 1), ({'proxy_set_header Connection "";': ""}, 3)]
)
def test_nginx_keeps_its_connection_to_the_server(tmp_path, changes, connections):
    with (
        start_probe("gunicorn", tmp_path, {'"$(nproc)"': "1"}) as server,
        nginx_in_front(server, tmp_path, changes=changes) as front,
    ):
        url = f"{front.url}/incoming/"
        ports = {requests.put(url, b"x", timeout=60).text.split()[0] for _ in range(3)}
    assert len(ports) == connections


@pytest.mark.parametrize(
    ("changes", "kind"), [({}, "BytesIO"), ({"--inbuf-overflow=17825792": ""}, "BufferedRandom")]
)
def test_waitress_keeps_the_largest_chunk_in_memory(tmp_path, changes, kind):
    with start_probe("waitress", tmp_path, changes) as server:
        assert requests.put(server.url, bytes(LARGEST), timeout=60).text.split()[1] == kind


# systemd


def unit(name: str) -> str:
    return recipe(name).replace("/opt/incoming/bin", str(BIN)).replace("User=incoming\n", "")


def command_of(text: str) -> str:
    """What a shell is to do to start it as systemd does."""
    (environment,) = re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return f"export {environment}\n{command}"


def test_what_is_installed_is_what_the_units_start():
    text = recipe("install")
    for name in ("incoming.service", "incoming-housekeeping.service"):
        [user] = re.findall(r"^User=(.+)$", recipe(name), re.MULTILINE)
        [start] = re.findall(r"^ExecStart=(\S+)/bin/incoming ", recipe(name), re.MULTILINE)
        assert re.search(rf"^useradd .* {user}$", text, re.MULTILINE)
        assert f"python3 -m venv {start}\n{start}/bin/pip install" in text


def test_systemd_understands_the_units(tmp_path):
    analyze = program("systemd-analyze")
    names = re.findall(r"<!-- recipe: (\S+\.(?:service|timer)) -->", DOCUMENT.read_text())
    assert len(names) == 3
    for name in names:
        (tmp_path / name).write_text(unit(name))
    for name in names:
        done = subprocess.run(
            [analyze, "verify", f"./{name}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout + done.stderr == ""


@contextmanager
def notifications(folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    """The address to which a service of systemd says how it is, and what it has said."""
    said: list[bytes] = []
    address = f"\0incoming-{folder}"[:100]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        thread = threading.Thread(target=lambda: said.append(receiver.recv(4096)))
        thread.start()
        yield f"@{address[1:]}", said
        if thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"", address)
        thread.join()


def test_the_service_says_when_it_is_ready_takes_an_upload_and_ends(tmp_path):
    text = unit("incoming.service")
    assert "Type=notify" in text
    with notifications(tmp_path) as (address, said):
        environ = {"NOTIFY_SOCKET": address}
        with start_shell(command_of(text), tmp_path, environ) as server:
            wait_until(lambda: said, "the service's word")
            assert b"READY=1" in said[0]
            travel(server, server)
            assert server.stop() == 0


def test_without_background_the_housekeeping_service_hands_over(tmp_path):
    service = command_of(unit("incoming.service"))
    chores = command_of(unit("incoming-housekeeping.service"))
    chores = placed(chores, {"/var/lib/incoming": str(storage(tmp_path))})
    environ = {"INCOMING_BACKGROUND": "false"}
    with web_app() as app, start_shell(service, tmp_path, environ) as server:
        ticket = IncomingClient(server.url).new_upload(signal_finish_url=app.url)
        url = f"{server.url}/incoming/frontend/uploads/{ticket}"
        assert put(url, b"all of it", (0, 9)) == 200
        assert requests.get(url, timeout=60).json()["state"] == "COMPLETE"
        assert app.handovers == []
        done = subprocess.run(
            ["bash", "-euc", chores], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout == "1 thing done.\n"
        assert requests.get(url, timeout=60).json()["state"] == "FINISHED"
        assert app.handovers[0].content == b"all of it"


def test_what_the_container_runs_takes_an_upload(tmp_path):
    text = recipe("Dockerfile")
    (environment,) = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    words = " ".join(json.loads(command)).replace("0.0.0.0:4000", "127.0.0.1:4000")
    with start_shell(f"export {environment}\n{words}", tmp_path, {}) as server:
        travel(server, server)
        assert server.stop() == 0
