"""docs/deploy.md, "Over a Unix socket": nginx, and `incoming serve` behind it at a path."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator

import pytest
from recipes import UnixServer, nginx_in_front, recipe, start_unix, storage
from servers import HOST, Server

from incoming_wsgi.client import IncomingClient
from incoming_wsgi.errors import Forbidden

LENGTH = 3_000_000
CUT = 1_234_567
PAUSE_S = 1.0
TOKEN = "a-long-secret"


@pytest.fixture
def server(tmp_path) -> Iterator[UnixServer]:
    with start_unix(tmp_path) as server:
        yield server


@pytest.fixture(params=["off", "on"])
def front(request, server, tmp_path) -> Iterator[Server]:
    changes = {
        "server 127.0.0.1:4000;": "server unix:/run/incoming/socket;",
        "    location ~ ^/incoming/(0\\.1/)?backend/ { return 404; }\n": recipe("nginx backend"),
        "proxy_request_buffering off": f"proxy_request_buffering {request.param}",
    }
    with nginx_in_front(server, tmp_path, changes=changes) as front:
        yield front


def test_a_body_may_pause_in_its_middle(front, tmp_path):
    content = random.Random(6).randbytes(LENGTH)
    client = IncomingClient(f"{front.url}/incoming", token=TOKEN)
    ticket = client.new_upload(signal_finish_url="http://127.0.0.1:9/finished")
    head = [
        f"PUT /incoming/frontend/uploads/{ticket} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {LENGTH}",
        f"Content-Range: bytes 0-{LENGTH - 1}/{LENGTH}",
        "",
        "",
    ]
    with socket.create_connection((HOST, front.port), timeout=30) as line:
        line.sendall("\r\n".join(head).encode() + content[:CUT])
        time.sleep(PAUSE_S)  # the client's own pause, nothing that is waited for
        line.sendall(content[CUT:])
        with line.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
    upload = client.status(ticket)
    assert upload.received.total_bytes == LENGTH
    assert (storage(tmp_path) / "files" / ticket).read_bytes() == content


def test_backend_wants_the_token_of_everybody(front):
    with pytest.raises(Forbidden):
        IncomingClient(f"{front.url}/incoming").new_upload(
            signal_finish_url="http://127.0.0.1:9/finished"
        )
