"""Two servers on one storage folder, so that it is certain which process does what, and clients
that say one thing at a time.

    with rivals(tmp_path) as (left, right):
        url = new_upload(right, app.url)
        late = RawPut(left, url, 0, 1000, length=1000)     # its head is sent
        late.send(b"x" * 500)
        put(right, url, content)                           # all of it, in one request
        late.send(b"x" * 500)
        assert late.answer() == (409, "superseded")

A `Rival` takes orders for accidents; see `adverse.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import ClassVar

import requests
from processes import workers
from servers import Server, gunicorn
from waiting import wait_until

__all__ = [
    "RawAppend",
    "RawPut",
    "RawRequest",
    "Rival",
    "append_headers",
    "claims_of",
    "digest_of",
    "file_of",
    "lie_about",
    "new_upload",
    "put",
    "rivals",
    "state_of",
    "wait_for_state",
]

TIMEOUT_S = 25.0  # less than a database waits for a lock that nobody gives back


class Rival:
    """A gunicorn server with one worker process, which many threads serve."""

    def __init__(self, server: Server, name: str, folder: Path) -> None:
        self.server = server
        self.name = name
        self._folder = folder

    @property
    def worker(self) -> int:
        """The process id of its worker, as soon as there is one."""
        return wait_until(lambda: workers(self.server.pid), "a worker")[0]

    def freeze(self) -> None:
        os.kill(self.worker, signal.SIGSTOP)
        status = Path(f"/proc/{self.worker}/status")
        wait_until(lambda: "State:\tT" in status.read_text(), "the worker's standstill")

    def thaw(self) -> None:
        os.kill(self.worker, signal.SIGCONT)

    def kill_worker(self) -> None:
        """SIGKILL; the master will start another."""
        victim = self.worker
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in workers(self.server.pid), "the worker's end")

    def set_clock(self, ahead_s: float) -> None:
        new = self._folder / f"{self.name}.clock.new"
        new.write_text(str(ahead_s))
        new.rename(self._folder / f"{self.name}.clock")

    def arm(self, point: str) -> None:
        """The next thread that comes to `point` stops there."""
        for ending in ("go", "reached"):
            self._place(point, ending).unlink(missing_ok=True)
        self._place(point, "armed").touch()

    def wait_for(self, point: str) -> int:
        """The id of the process that has come to `point`."""
        place = self._place(point, "reached")
        wait_until(place.exists, f"that {self.name} came to {point}")
        return int(place.read_text())

    def let_go(self, point: str) -> None:
        self._place(point, "armed").unlink(missing_ok=True)
        self._place(point, "go").touch()

    def _place(self, point: str, ending: str) -> Path:
        return self._folder / f"{self.name}.{point}.{ending}"

    def waits_for_lock(self) -> bool:
        """Whether a request has found the file of its upload locked by another."""
        return self._folder.joinpath(f"{self.name}.waits").exists()

    def check_log(self) -> None:
        """Nothing went wrong in it, and nobody was told so."""
        assert "Traceback" not in self.server.log
        assert "internal_error" not in self.server.log


@contextmanager
def rivals(
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    left: Mapping[str, str] | None = None,
    right: Mapping[str, str] | None = None,
    before: Mapping[str, list[str]] | None = None,
) -> Iterator[tuple[Rival, Rival]]:
    """Both with `environ`, each with its own besides. What stands in `before` for a name comes
    before its command line."""
    common = {
        "INCOMING_STORAGE_DIR": str(folder / "storage"),
        "INCOMING_HANDOVER_RETRY_S": "0.2",
        # All requests of an upload that a test begins go on until it ends them.
        "INCOMING_MAX_REQUESTS_PER_UPLOAD": "1000",
        "INCOMING_MIN_RATE_BYTES_S": "0",
        "ADVERSE_FOLDER": str(folder),
        **(environ or {}),
    }
    servers = {}
    for name, own in (("left", left), ("right", right)):
        server = gunicorn(
            "adverse:application",
            *("--workers", "1", "--threads", "16"),
            folder=folder,
            environ={**common, "ADVERSE_NAME": name, **(own or {})},
        )
        server.command[:0] = (before or {}).get(name, [])
        servers[name] = server
    with servers["left"] as first, servers["right"] as second:
        yield Rival(first, "left", folder), Rival(second, "right", folder)


def new_upload(rival: Rival, callback: str, *, remove: bool = False) -> str:
    """The path of a new upload resource, the same on every server."""
    response = requests.post(
        f"{rival.server.url}/incoming/backend/new_upload",
        params={"signalFinishURL": callback, "removeFileWhenFinished": str(remove).lower()},
        timeout=TIMEOUT_S,
    )
    response.raise_for_status()
    return f"/incoming/0.1/frontend/uploads/{response.text}"


def put(
    rival: Rival,
    path: str,
    content: bytes,
    start: int = 0,
    stop: int | None = None,
    *,
    digest: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> requests.Response:
    stop = len(content) if stop is None else stop
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    if digest is not None:
        headers["Content-Digest"] = digest
    return requests.put(
        rival.server.url + path, content[start:stop], headers=headers, timeout=timeout_s
    )


class RawRequest:
    """A request whose head is sent; body, pace and honesty are up to the caller."""

    _all: ClassVar[list[RawRequest]] = []

    def __init__(
        self, rival: Rival, path: str, method: str, headers: Mapping[str, str | int]
    ) -> None:
        self._line = socket.create_connection(("127.0.0.1", rival.server.port), timeout=30)
        self._all.append(self)
        self._method = method
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._line.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())

    def send(self, body: bytes) -> None:
        self._line.sendall(body)

    def send_if_possible(self, body: bytes) -> None:
        """It may have been hung up on."""
        with suppress(OSError):
            self.send(body)

    def answer(self) -> tuple[int, str | None]:
        """The status and the code of the problem, and hang up; (0, None) if the line was closed
        without an answer."""
        try:
            with closing(HTTPResponse(self._line, method=self._method)) as response:
                response.begin()
                body = response.read()
                return response.status, json.loads(body).get("code") if body else None
        except (ConnectionError, HTTPException):
            return 0, None
        finally:
            self.close()

    def close(self) -> None:
        self._line.close()

    @classmethod
    def close_all(cls) -> None:
        """For the end of a test, however it ended."""
        while cls._all:
            cls._all.pop().close()


class RawPut(RawRequest):
    """A PUT of [start, stop)."""

    def __init__(
        self,
        rival: Rival,
        path: str,
        start: int,
        stop: int,
        *,
        length: int,
        digest: str | None = None,
    ) -> None:
        headers = {
            "Content-Range": f"bytes {start}-{stop - 1}/{length}",
            "Content-Length": stop - start,
            **({"Content-Digest": digest} if digest else {}),
        }
        super().__init__(rival, path, "PUT", headers)


class RawAppend(RawRequest):
    """A PATCH of tus with `size` bytes from `offset` on."""

    def __init__(self, rival: Rival, path: str, offset: int, size: int) -> None:
        headers = append_headers(offset) | {"Content-Length": size}
        super().__init__(rival, path, "PATCH", headers)


def append_headers(offset: int) -> dict[str, str]:
    return {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
    }


def state_of(rival: Rival, path: str) -> dict:
    return requests.get(rival.server.url + path, timeout=TIMEOUT_S).json()


def wait_for_state(rival: Rival, path: str, wanted: str) -> dict:
    return wait_until(lambda: (s := state_of(rival, path)).get("state") == wanted and s, wanted)


def file_of(folder: Path, path: str) -> Path:
    return folder / "storage" / "files" / path.rpartition("/")[2]


def claims_of(folder: Path, path: str) -> set[str]:
    """Who has claimed bytes of the upload; one name for each request under way."""
    database = folder / "storage" / "incoming.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        rows = connection.execute(
            "SELECT owner FROM claims WHERE upload = (SELECT key FROM uploads WHERE id = ?)",
            (path.rpartition("/")[2],),
        )
        return {owner for (owner,) in rows}


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def lie_about(content: bytes) -> bytes:
    """As long as `content`, and different in every byte."""
    return content.translate(bytes(range(255, -1, -1)))
