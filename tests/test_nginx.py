"""nginx in front of a server is the nginx that people have: small bodies, and those held back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests
import tools
from nginx import nginx
from servers import free_port, serving

MIB = 1 << 20


class Counting:
    """Answers with the length of what it has got, and knows when a request has come."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(self, environ, start_response):
        self.asked.set()
        length = len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{length} bytes for {environ['HTTP_HOST']}".encode()]


@pytest.fixture
def app() -> Counting:
    return Counting()


@pytest.fixture
def upstream_port(app: Counting) -> Iterator[int]:
    with serving(app) as url:
        yield int(url.rpartition(":")[2])


def put(url: str, body: object) -> requests.Response:
    return requests.put(url, body, timeout=30)


def test_a_body_of_one_mebibyte_passes_and_one_byte_more_is_413(upstream_port, tmp_path):
    with nginx(upstream_port, folder=tmp_path) as front:
        assert put(front.url, bytes(MIB)).text == f"{MIB} bytes for 127.0.0.1:{front.port}"
        assert put(front.url, bytes(MIB + 1)).status_code == 413
        assert "client intended to send too large body" in front.log


def test_directives_of_the_caller_win(upstream_port, tmp_path):
    directives = "client_max_body_size 3m;"
    with nginx(upstream_port, folder=tmp_path, directives=directives) as front:
        assert put(front.url, bytes(3 * MIB)).text.startswith(f"{3 * MIB} bytes")
        assert put(front.url, bytes(3 * MIB + 1)).status_code == 413


@pytest.mark.parametrize(
    ("directives", "at_once"),
    [("", False), ("proxy_request_buffering off;", True)],
)
def test_the_server_sees_a_request_when_its_body_is_complete_or_at_once(
    app, upstream_port, tmp_path, directives, at_once
):
    seen = []

    def body() -> Iterator[bytes]:
        yield b"first"
        seen.append(app.asked.wait(5 if at_once else 0.3))
        yield b"last"

    with nginx(upstream_port, folder=tmp_path, directives=directives) as front:
        answer = requests.put(front.url, _Sized(body(), 9), timeout=30)
        assert answer.text.startswith("9 bytes")
    assert seen == [at_once]


class _Sized:
    """A body in pieces, with a Content-Length."""

    def __init__(self, pieces: Iterator[bytes], length: int) -> None:
        self._pieces, self._length = pieces, length

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def __len__(self) -> int:
        return self._length


def test_without_a_server_behind_it_the_answer_is_502(tmp_path):
    with nginx(free_port(), folder=tmp_path) as front:
        assert requests.get(front.url, timeout=30).status_code == 502


def test_it_ends_when_told_to_and_leaves_nothing_outside_its_folder(upstream_port, tmp_path):
    with nginx(upstream_port, folder=tmp_path) as front:
        put(front.url, bytes(MIB))
        assert front.stop() == 0
        with pytest.raises(requests.ConnectionError):
            requests.get(front.url, timeout=5)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"nginx-{front.port}",
        f"server-{front.port}.log",
    }


def test_a_missing_program_is_a_skip_that_says_so_and_a_failure_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no nosuch on the PATH"):
        tools.program("nosuch")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no nosuch on the PATH"):
        tools.program("nosuch")
