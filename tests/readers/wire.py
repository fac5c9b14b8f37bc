"""HTTP/1.1 by hand, for what a client library would not send or would tidy up."""

from __future__ import annotations

import fcntl
import json
import select
import socket
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests
from waiting import wait_until

__all__ = ["Answer", "Wire", "issue_ticket", "put", "status_of"]

TIMEOUT_S = 30.0
# From <linux/sockios.h>: what the other side's kernel has not taken yet.
SIOCOUTQ = 0x5411


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def facts(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection, over TLS with `certificate`; `url` may be "unix:" and a path."""

    def __init__(self, url: str, certificate: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT_S)
            self.socket.connect(parts.path)
        else:
            address = (parts.hostname or "", parts.port or 0)
            self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if certificate is not None:
            context = ssl.create_default_context(cafile=str(certificate))
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def read_answer(self) -> Answer:
        line = self._file.readline()
        assert line, "the connection was closed without an answer"
        headers = {}
        while (header := self._file.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers.get("content-length", 0)))
        return Answer(int(line.split()[1]), headers, body)

    def has_news(self, within_s: float) -> bool:
        """Whether an answer, or the end, comes within that time."""
        return bool(select.select([self.socket], [], [], within_s)[0])

    def wait_until_taken(self) -> None:
        """Until the kernel of the other side has all that was sent."""

        def unsent() -> int:
            packed = fcntl.ioctl(self.socket.fileno(), SIOCOUTQ, b"\0" * 4)
            return int(struct.unpack("i", packed)[0])

        wait_until(lambda: unsent() == 0, "the bytes to arrive", TIMEOUT_S)

    def reset(self) -> None:
        """End the connection as a machine does that does not know it any more."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()


def issue_ticket(url: str) -> str:
    """The path of a new upload."""
    answer = requests.post(
        f"{url}/backend/new_upload", data={"signalFinishURL": "http://127.0.0.1:9/"}, timeout=10
    )
    answer.raise_for_status()
    return f"/frontend/uploads/{answer.text}"


def put(path: str, start: int, body: bytes, length: int, *headers: str) -> bytes:
    """The head of a PUT of `body`, which is to follow."""
    lines = [
        f"PUT {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body)}",
        f"Content-Range: bytes {start}-{start + len(body) - 1}/{length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def status_of(url: str, path: str) -> Any:
    answer = requests.get(url + path, timeout=10)
    answer.raise_for_status()
    return answer.json()
