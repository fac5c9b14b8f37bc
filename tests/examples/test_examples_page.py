"""`python examples`: all examples at once, and none of them left when it has ended."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from example_apps import EXAMPLES, STRICT
from servers import LONGEST_S, Server, free_port
from waiting import wait_until


@pytest.fixture
def examples(tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, str(EXAMPLES), "--port", str(port)]
    command += ["--folder", str(tmp_path / "files")]
    with Server(command, port=port, folder=tmp_path, environ=STRICT) as server:
        yield server
    wait_until(lambda: not any(map(listens, ports())), "the end of the examples", LONGEST_S)


def ports() -> list[int]:
    folders = [path.parent.name for path in EXAMPLES.glob("[0-9]*-*/backend.py")]
    return sorted(4000 + int(name.partition("-")[0]) for name in folders)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def links(server: Server) -> list[str]:
    return re.findall(r'<a href="(.+?)">', requests.get(server.url, timeout=30).text)


def test_its_page_leads_to_every_example(examples: Server) -> None:
    found = links(examples)

    assert found == [f"http://127.0.0.1:{port}/" for port in ports()]
    for address in found:
        assert "<h1>" in requests.get(address, timeout=30).text
    assert examples.log.endswith(f"Open http://localhost:{examples.port}/\n")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_examples_end_with_it_however_it_ends(examples: Server, how: signal.Signals) -> None:
    assert all(map(listens, ports()))

    os.kill(examples.pid, how)
    status = examples.wait()

    assert status == (-how if how == signal.SIGKILL else 0)
    wait_until(lambda: not any(map(listens, ports())), "the end of the examples", LONGEST_S)
    assert "Traceback" not in examples.log


def test_a_taken_port_is_said_and_the_others_start(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, str(EXAMPLES), "--port", str(port)]
    command += ["--folder", str(tmp_path / "files")]
    taken, *others = ports()
    with socket.create_server(("127.0.0.1", taken)):
        with Server(command, port=port, folder=tmp_path, environ=STRICT) as server:
            assert f"Not started: port {taken} is taken." in server.log
            html = requests.get(server.url, timeout=30).text
            assert f"Not started: port {taken} is taken." in html
            assert links(server) == [f"http://127.0.0.1:{other}/" for other in others]
        wait_until(lambda: not any(map(listens, others)), "the end of the examples", LONGEST_S)


def test_its_own_port_being_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, str(EXAMPLES), "--port", str(port)]
        server = Server(command, port=port, folder=tmp_path, environ=STRICT)
        # Somebody listens there, so it counts as started.
        server.start()
        assert server.wait() == 1
    assert f"Port {port} is taken. Choose another one with --port." in server.log
