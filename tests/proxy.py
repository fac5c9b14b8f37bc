"""A bad line: a TCP proxy on the loopback interface, with faults on demand.

    with tcp_proxy(server.port) as proxy:
        page.goto(proxy.url)
        proxy.limit(MIB)            # bytes per second, from all clients together
        proxy.cut()                 # every running connection is reset
        proxy.stall()               # everything stays open, and nothing passes
        proxy.resume()

Each order has been carried out when its method returns. HTTP is unknown here: a browser may send
several requests through one connection, and open one more than it needs.

One thread waits for all sockets at once; orders reach it through a queue and a socket that wakes
it, so no other thread ever touches a connection. Its own buffers are small, but the kernel's are
not: when nothing passes, a client can still get rid of some MiB.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial

__all__ = ["Proxy", "tcp_proxy"]

HOST = "127.0.0.1"
BLOCK = 1 << 16
KERNEL_BUFFER = 1 << 18
PATIENCE_S = 30.0
# With a limit, so much of a second is passed on at once.
SLICE_S = 0.02
# Linux: close() sends RST and throws away what has not been sent.
RESET = struct.pack("ii", 1, 0)


@contextmanager
def tcp_proxy(target_port: int) -> Iterator[Proxy]:
    """A running proxy in front of `target_port`, whether or not somebody listens there."""
    proxy = Proxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()


class Pipe:
    """One direction of a connection: at most one block is on its way."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.block = b""
        self.ended = False  # the source has said that nothing more comes
        self.shut = False  # the target has been told so


class Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.up = Pipe(client, server)
        self.down = Pipe(server, client)
        self.connected = False
        self.left: int | None = None  # bytes from the client until it is cut


class Proxy:
    """See the module; made by `tcp_proxy`. All numbers grow as long as it lives."""

    def __init__(self, target_port: int) -> None:
        self.connections = 0
        """How many have been accepted so far."""
        self.bytes_up = 0
        """Bytes from clients that have been passed on to the server."""
        self.bytes_down = 0
        """Bytes from the server that have been passed on to clients."""
        self._target = (HOST, target_port)
        # Bound all the time, so that nobody else gets the port while connections are refused.
        self._place = _bound_socket((HOST, 0))
        self.port: int = self._place.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._listener: socket.socket | None = None
        # In the order in which they may read: who has had a block goes to the end.
        self._running: OrderedDict[Connection, None] = OrderedDict()
        self._stalled = False
        self._closing = False
        self._limit: float | None = None
        self._next_s = 0.0  # when the next byte from a client may pass
        self._cut_after: int | None = None
        self._cuts_left: float = 0
        self._orders: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, self._take_orders)
        self._listen()
        self._thread = threading.Thread(target=self._run, name=f"proxy {self.port}")
        self._thread.start()

    @property
    def running(self) -> int:
        """Connections that are open now. One that a client leaves during a stall still counts."""
        return len(self._running)

    def cut(self) -> None:
        """Reset all running connections, on both sides. New ones are accepted."""
        self._order(self._reset_all)

    def cut_after(self, length: int | None, *, times: int | None = None) -> None:
        """Reset each connection, running or new, when `length` more bytes of its client's passed.

        With `times`, only the first so many that get there. Reset means lost, as on a real line:
        of those bytes the server may miss what it has not read yet. None: not any more.
        """
        if length is not None and length < 1:
            raise ValueError("a connection can be cut after 1 byte or more")

        def order() -> None:
            self._cut_after = length
            self._cuts_left = float("inf") if times is None else times
            for connection in self._running:
                connection.left = length

        self._order(order)

    def half_close(self, *, towards: str) -> None:
        """Tell one side ("server" or "client") of all running connections that nothing follows.

        What the other side goes on sending is thrown away. The other direction stays as it is.
        """
        if towards not in ("server", "client"):
            raise ValueError(f"{towards!r} is neither 'server' nor 'client'")

        def order() -> None:
            for connection in list(self._running):
                pipe = connection.up if towards == "server" else connection.down
                pipe.block = b""
                self._guarded(connection, partial(_shut, pipe))

        self._order(order)

    def stall(self) -> None:
        """From now on nothing passes; connections stay open, and new ones are accepted."""
        self._order(partial(self._set_stalled, True))

    def resume(self) -> None:
        """The end of `stall`."""
        self._order(partial(self._set_stalled, False))

    def refuse(self) -> None:
        """Be like a server that is down: reset what is running, refuse what comes."""
        self._order(self._refuse)

    def accept(self) -> None:
        """The end of `refuse`."""
        self._order(self._listen)

    def limit(self, bytes_per_s: float | None) -> None:
        """Let so many bytes per second pass from all clients together; None for no limit."""

        def order() -> None:
            self._limit = bytes_per_s
            self._next_s = 0.0

        self._order(order)

    def close(self) -> None:
        """Reset what is running and end. Harmless the second time."""
        if self._thread.is_alive():
            self._order(self._stop)
        self._thread.join(PATIENCE_S)

    # orders, given by any thread, carried out by the proxy's own

    def _order(self, order: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._orders.append((order, done))
        self._bell.send(b"!")
        done.result(PATIENCE_S)

    def _take_orders(self, events: int) -> None:
        self._ear.recv(BLOCK)
        while self._orders:
            order, done = self._orders.popleft()
            try:
                order()
                self._watch_all()
            except BaseException as exc:
                done.set_exception(exc)
                raise
            done.set_result(None)

    def _stop(self) -> None:
        self._refuse()
        self._closing = True

    def _set_stalled(self, stalled: bool) -> None:
        self._stalled = stalled

    def _listen(self) -> None:
        if self._listener is not None:
            return
        self._listener = _bound_socket((HOST, self.port))
        # Inherited by what is accepted; larger ones would let a client believe in a fast line.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
        self._listener.setblocking(False)
        self._listener.listen(128)
        self._selector.register(self._listener, selectors.EVENT_READ, self._take_client)

    def _refuse(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        self._reset_all()

    # the proxy's own thread

    def _run(self) -> None:
        pause_s: float | None = None
        try:
            while not self._closing:
                for key, events in self._selector.select(pause_s):
                    key.data(events)
                # In this order: a pause that ends in between would leave all sockets unwatched.
                pause_s = self._pause_s()
                if self._limit is not None:
                    self._watch_all()
        finally:
            self._reset_all()
            for each in (self._listener, self._place, self._bell, self._ear, self._selector):
                if each is not None:
                    each.close()

    def _pause_s(self) -> float | None:
        """How long there is nothing to do if no socket has news."""
        if not self._throttled() or self._stalled or not self._running:
            return None
        return max(self._next_s - time.monotonic(), 0.001)

    def _throttled(self) -> bool:
        return self._limit is not None and time.monotonic() < self._next_s

    def _take_client(self, events: int) -> None:
        if self._listener is None:
            return  # closed by an order that came with the same news
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # gone already
        self.connections += 1
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        connection = Connection(client, server)
        connection.left = self._cut_after
        for side in (client, server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._running[connection] = None
        self._guarded(connection, partial(self._connect, server))

    def _connect(self, server: socket.socket) -> None:
        with suppress(BlockingIOError):  # it is writable when it is connected
            server.connect(self._target)

    def _news(self, connection: Connection, side: socket.socket, events: int) -> None:
        if connection not in self._running:
            return  # closed by what came with the same news
        self._guarded(connection, partial(self._move, connection, side, events))

    def _guarded(self, connection: Connection, step: Callable[[], None]) -> None:
        """A step with one connection: when one side fails, the other one is to feel it."""
        try:
            step()
            self._watch(connection)
        except OSError:
            self._reset(connection)

    def _move(self, connection: Connection, side: socket.socket, events: int) -> None:
        if not connection.connected:
            error = connection.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "the server cannot be reached")
            connection.connected = True
            return
        outgoing, incoming = connection.up, connection.down
        if side is connection.server:
            outgoing, incoming = incoming, outgoing
        if events & selectors.EVENT_READ and self._may_read(connection, outgoing):
            self._read(connection, outgoing)
        if events & selectors.EVENT_WRITE and incoming.block:
            self._write(connection, incoming)

    def _may_read(self, connection: Connection, pipe: Pipe) -> bool:
        if pipe.ended or pipe.block or not connection.connected:
            return False
        return pipe is connection.down or not self._throttled()

    def _read(self, connection: Connection, pipe: Pipe) -> None:
        size = BLOCK
        if pipe is connection.up:
            if self._limit is not None:
                size = max(1, min(size, int(self._limit * SLICE_S)))
            if connection.left is not None:
                size = min(size, connection.left)
        try:
            block = pipe.source.recv(size)
        except BlockingIOError:
            return
        if pipe is connection.up and self._limit is not None:
            # A pause that became too long is made up for, within reason.
            start_s = max(self._next_s, time.monotonic() - 2 * SLICE_S)
            self._next_s = start_s + len(block) / self._limit
            self._running.move_to_end(connection)
        if not block:
            pipe.ended = True
            _shut(pipe)
        elif not pipe.shut:
            pipe.block = block
            self._write(connection, pipe)

    def _write(self, connection: Connection, pipe: Pipe) -> None:
        block = pipe.block
        if pipe is connection.up and connection.left is not None:
            block = block[: connection.left]  # it may have been read before the order to cut
        try:
            sent = pipe.target.send(block)
        except BlockingIOError:
            return
        pipe.block = pipe.block[sent:]
        if pipe is connection.down:
            self.bytes_down += sent
            return
        self.bytes_up += sent
        if connection.left is not None:
            connection.left -= sent
            if connection.left == 0:
                self._spend_a_cut()
                raise ConnectionAbortedError("cut, as ordered")

    def _spend_a_cut(self) -> None:
        self._cuts_left -= 1
        if self._cuts_left <= 0:
            self._cut_after = None
            for connection in self._running:
                connection.left = None

    def _watch(self, connection: Connection) -> None:
        """Wait for what can be done now; close a connection with which nothing can."""
        if all(pipe.ended and not pipe.block for pipe in (connection.up, connection.down)):
            self._close(connection)
            return
        for side, outgoing, incoming in (
            (connection.client, connection.up, connection.down),
            (connection.server, connection.down, connection.up),
        ):
            events = 0
            if self._may_read(connection, outgoing):
                events |= selectors.EVENT_READ
            if incoming.block or (side is connection.server and not connection.connected):
                events |= selectors.EVENT_WRITE
            self._watch_side(connection, side, 0 if self._stalled else events)

    def _watch_side(self, connection: Connection, side: socket.socket, events: int) -> None:
        key = self._selector.get_map().get(side)
        if key is None and events:
            self._selector.register(side, events, partial(self._news, connection, side))
        elif key is not None and not events:
            self._selector.unregister(side)
        elif key is not None and key.events != events:
            self._selector.modify(side, events, key.data)

    def _watch_all(self) -> None:
        for connection in list(self._running):
            self._watch(connection)

    def _reset_all(self) -> None:
        for connection in list(self._running):
            self._reset(connection)

    def _reset(self, connection: Connection) -> None:
        for side in (connection.client, connection.server):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._running.pop(connection, None)
        for side in (connection.client, connection.server):
            self._watch_side(connection, side, 0)
            side.close()


def _shut(pipe: Pipe) -> None:
    if not pipe.shut:
        pipe.shut = True
        pipe.target.shutdown(socket.SHUT_WR)


def _bound_socket(address: tuple[str, int]) -> socket.socket:
    bound = socket.socket()
    # Linux: several may be bound to one port with this, as long as none of them listens yet.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(address)
    return bound
