"""One POST over HTTP that ends in time, whatever the other side does.

`requests` bounds the silence between two bytes, so an app that drips its answer, or says "100
Continue" for ever, would hold a call for as long as it likes. Here every read and write of the
socket has what is left of the whole call, and an answer has its bytes counted, status line and
headers among them. That needs no thread and no timer: a call goes on while its process ends, and
then none can be started. (How long a name may take to be resolved is for the system to say.)

No redirect is followed here, and neither proxies nor credentials of the environment are used.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from .hosts import Origin, normal_name

__all__ = ["Limits", "Post"]

CONNECT_TIMEOUT_S = 10.0
# Of the whole answer: several times what servers take of a request's headers, and of the body four
# bytes count.
MAX_ANSWER_BYTES = 64 * 1024


class Limits:
    """What is left to one call, and how far it has come."""

    def __init__(self, timeout_s: float) -> None:
        self._deadline = time.monotonic() + timeout_s
        self._bytes_left = MAX_ANSWER_BYTES
        self.sent = False  # the app may have seen the request
        self.answered = False  # something of an answer has come
        self.timed_out = False

    @property
    def too_long(self) -> bool:
        return self._bytes_left < 0

    def time_left(self) -> float:
        """Seconds, more than 0. Raises TimeoutError when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            self.timed_out = True
            raise TimeoutError("the call has taken too long")
        return left

    def count(self, read_bytes: int) -> None:
        """Raises OSError when that was too much."""
        self._bytes_left -= read_bytes
        if self.too_long:
            raise OSError("the answer is too long")


class Post:
    """A context manager: the answer to `body`, POSTed to `url`; of its own body nothing is read.

    `url` is requested exactly as it is given, if it can be. Raises ValueError, OSError or what
    urllib3 and http.client have for a URL or an answer that cannot be; `limits` says what happened.
    """

    def __init__(self, url: str, body: bytes, headers: Mapping[str, str], limits: Limits) -> None:
        self._adapter = _Adapter(Origin.of(url), limits)
        self._request = requests.Request("POST", url, dict(headers), data=body).prepare()
        if url.isascii() and url.isprintable() and " " not in url:
            self._request.url = url  # and not as `requests` would write it
        self._limits = limits
        self._response: requests.Response | None = None

    def __enter__(self) -> requests.Response:
        self._limits.sent = self._limits.answered = False
        left = self._limits.time_left()
        # Not a session's `send`: that reads all of a redirect's body.
        self._response = self._adapter.send(
            self._request, stream=True, timeout=(min(CONNECT_TIMEOUT_S, left), left)
        )
        return self._response

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        self._adapter.close()


class _Adapter(HTTPAdapter):
    """Connects to `origin` and nowhere else."""

    def __init__(self, origin: Origin, limits: Limits) -> None:
        super().__init__()
        classes: Any = {
            "http": partial(_make_pool, HTTPConnectionPool, _PlainConnection, origin, limits),
            "https": partial(_make_pool, HTTPSConnectionPool, _TLSConnection, origin, limits),
        }
        self.poolmanager.pool_classes_by_scheme = classes


def _make_pool(
    pool_class: type[HTTPConnectionPool],
    connection_class: type[_Connection],
    origin: Origin,
    limits: Limits,
    *args: Any,
    **settings: Any,
) -> HTTPConnectionPool:
    pool = pool_class(*args, **settings)
    make: Any = partial(connection_class, origin=origin, limits=limits)
    pool.ConnectionCls = make
    return pool


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, origin: Origin, limits: Limits, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._origin = origin
        self._limits = limits

    def connect(self) -> None:
        super().connect()
        bounded: Any = _BoundedSocket(self.sock, self._limits)
        self.sock = bounded

    def _new_conn(self) -> socket.socket:
        """As urllib3 has it, but for all addresses of the host in the time of one."""
        if (normal_name(self._dns_host), self.port) != (self._origin.name, self._origin.port):
            raise NewConnectionError(self, "the URL can be read in two ways")
        ends_at = time.monotonic() + CONNECT_TIMEOUT_S

        def set_timeout(sock: socket.socket) -> None:
            # Never 0, which would mean: do not wait.
            left = min(ends_at - time.monotonic(), self._limits.time_left())
            sock.settimeout(max(left, 0.001))

        trouble: OSError = OSError("the host has no address")
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(
                self._dns_host, self.port, type=socket.SOCK_STREAM
            ):
                sock = socket.socket(family, kind, protocol)
                try:
                    for option in self.socket_options or ():
                        sock.setsockopt(*option)
                    set_timeout(sock)
                    sock.connect(address)
                    set_timeout(sock)  # for a TLS handshake
                    return sock
                except OSError as exc:
                    sock.close()
                    trouble = exc
        except OSError as exc:
            trouble = exc
        raise NewConnectionError(self, str(trouble)) from trouble


class _PlainConnection(_Connection):
    pass


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _BoundedSocket:
    """A connected socket, in what the limits leave."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._sock = sock
        self._limits = limits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._limits.time_left())
        self._limits.sent = True
        try:
            self._sock.sendall(data)
        except TimeoutError:
            self._limits.timed_out = True
            raise

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """For http.client, which reads answers from it."""
        return io.BufferedReader(_BoundedFile(self._sock, self._limits))


class _BoundedFile(io.RawIOBase):
    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._limits.time_left())
        try:
            count = self._file.readinto(buffer) or 0
        except TimeoutError:
            self._limits.timed_out = True
            raise
        self._limits.answered = self._limits.answered or count > 0
        self._limits.count(count)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
