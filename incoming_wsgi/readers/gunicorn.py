"""Bodies under gunicorn, straight from the connection into a buffer.

gunicorn's own reader receives into new memory and copies what it received several times, until 25.x
in pieces of 8 KiB. It lends the connection, but not what it has read of it already: that is in its
parser, behind names that are nobody's promise. All of them are in this room: `Body.reader`,
`Body.buf`, `LengthReader.length`, `LengthReader.unreader`, `SocketUnreader.sock`, `Unreader.buf`,
`Unreader.unread`. gunicorn 21 to 27 have them; the classes must be exactly these, and a trial at
the first use must go well. tests/readers tries the versions.

What keeps the connection in order for the next request is `LengthReader.length`: gunicorn drains so
many bytes after the application. It is kept right after each piece, so that nothing that ends this
request in the middle makes it wrong.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from functools import cache
from io import BytesIO
from typing import Any

from ..storage.base import Block, Piped
from .base import PipingReader, is_soon_after
from .pipes import CAN_SPLICE, Pipe

__all__ = ["GunicornReader", "find_gunicorn_reader"]

# In one call: a slow line has to be looked after in between.
WAIT_FOR_BYTES = 128 * 1024
# What a system says that has no splice for these sockets, or does not let this process have it.
IS_REFUSED = (errno.EINVAL, errno.ENOSYS, errno.EPERM)


class GunicornReader(PipingReader):
    """`body` is a Body over a LengthReader over a SocketUnreader."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self._framing = body.reader
        self._socket = self._framing.unreader.sock
        self._held = memoryview(_take_held(body))
        # The kernel can wait for all of it in one call; a TLS socket decrypts record by record.
        self._is_tls = hasattr(self._socket, "pending")
        self._flags = 0 if self._is_tls else socket.MSG_WAITALL
        # The sockets of gevent do not block, so they cannot be waited for in the kernel.
        is_tcp = self._socket.family in (socket.AF_INET, socket.AF_INET6)
        does_block = os.get_blocking(self._socket.fileno())
        self._can_splice = CAN_SPLICE and is_tcp and not self._is_tls and does_block

    def fill(self, buffer: memoryview) -> int:
        if self._held:
            size = min(len(self._held), len(buffer))
            buffer[:size] = self._held[:size]
            self._held = self._held[size:]
            return size
        # The size is said: without it the TLS sockets of gevent read nothing.
        size = min(len(buffer), WAIT_FOR_BYTES)
        received: int = self._socket.recv_into(buffer, size, self._flags)
        self._framing.length -= received
        if self._is_tls and not self._framing.length:
            self._leave_what_follows()
        return received

    def _leave_what_follows(self) -> None:
        """What has been decrypted of the next request, which no poller sees, to gunicorn."""
        if ahead := self._socket.pending():
            self._framing.unreader.unread(self._socket.recv(ahead))

    def read_into_pipe(self, pipe: Pipe, size: int) -> Block | Piped | None:
        if not self._can_splice:
            return None
        if self._held:  # little: a buffer that is kept would be memory for each thread
            return self.read(memoryview(bytearray(size)))
        if self._failure is not None:
            raise self._failure
        filled = 0
        began = time.monotonic()
        while filled < size and (not filled or is_soon_after(began)):
            try:
                moved = pipe.fill(self._socket.fileno(), size - filled)
            except BaseException as exc:
                if filled:
                    if not isinstance(exc, BlockingIOError):  # else it is full
                        self._failure = exc
                    break
                if isinstance(exc, OSError) and exc.errno in IS_REFUSED:
                    self._can_splice = False
                    return None
                raise
            if not moved:
                break
            self._framing.length -= moved
            filled += moved
        return pipe.block(filled)


def find_gunicorn_reader(environ: dict[str, Any], body: Any, length: int) -> GunicornReader | None:
    """None unless `body` is what it must be, and all of its `length` bytes are still to be read.

    Not for chunked bodies. Of HTTP/2 the connection is many requests'.
    """
    if "gunicorn.http.body" not in sys.modules or environ.get("SERVER_PROTOCOL") not in (
        "HTTP/1.1",
        "HTTP/1.0",
    ):
        return None
    if not _is_as_known(body, environ.get("gunicorn.socket")):
        return None
    try:
        if not _try_out():
            return None
    except OSError:
        return None
    if body.reader.length + body.buf.tell() != length:
        return None
    return GunicornReader(body)


def _is_as_known(body: Any, connection: Any) -> bool:
    if (classes := _find_classes()) is None or type(body) is not classes[0]:
        return False
    framing: Any = body.reader
    return (
        type(framing) is classes[1]
        and type(framing.unreader) is classes[2]
        and framing.unreader.sock is connection
        and isinstance(connection, socket.socket)
    )


@cache
def _find_classes() -> tuple[Any, Any, Any] | None:
    try:
        bodies, unreaders = (sys.modules[f"gunicorn.http.{name}"] for name in ("body", "unreader"))
        return bodies.Body, bodies.LengthReader, unreaders.SocketUnreader
    except (KeyError, AttributeError):
        return None


def _take_held(body: Any) -> bytes:
    """What gunicorn has read of this body; what it has of the next request stays there."""
    framing = body.reader
    held: bytes = body.buf.getvalue()
    body.buf = BytesIO()
    unread: bytes = framing.unreader.buf.getvalue()
    size = min(framing.length, len(unread))
    framing.unreader.buf = BytesIO()
    framing.unreader.unread(unread[size:])
    framing.length -= size
    return held + unread[:size]


@cache
def _try_out() -> bool:
    """Whether gunicorn's parts do with a body and the request behind it what this room believes.
    Raises OSError if there is no socket to try them with: then nobody knows yet."""
    classes = _find_classes()
    assert classes is not None
    body_class, length_reader, unreader_class = classes
    ours, peer = socket.socketpair()
    try:
        peer.sendall(b"ing next")
        peer.shutdown(socket.SHUT_WR)  # a reader that wants more than there is must not wait for it
        unreader = unreader_class(ours)
        unreader.unread(b"read")
        body = body_class(length_reader(unreader, 7))
        reader = GunicornReader(body)
        buffer = memoryview(bytearray(64))
        read = bytes(reader.read(buffer[:7]))
        in_order = read == b"reading" and body.read(1) == b"" and unreader.read(5) == b" next"
        # The same with everything, and the next request too, in the parser's hands.
        unreader.unread(b"all of it, next")
        body = body_class(length_reader(unreader, 9))
        ahead = body.read(1) + bytes(GunicornReader(body).read(buffer[:8]))
        return in_order and ahead == b"all of it" and unreader.read(6) == b", next"
    except Exception:  # noqa: BLE001 - whatever it is, it is not as we know it
        return False
    finally:
        ours.close()
        peer.close()
