"""The bad line itself, before anything is believed that was tested on it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
import requests
from proxy import SLICE_S, Proxy, tcp_proxy
from servers import serving
from waiting import wait_until

MIB = 1 << 20
QUIET_S = 0.2  # so long nothing may happen where nothing is to happen


@dataclass
class Call:
    """A connection as the server lived it."""

    received: bytearray = field(default_factory=bytearray)
    end: str = ""  # FIN or RST


class Echo(ThreadingTCPServer):
    """Sends back what it gets; after a FIN it says so and hangs up."""

    daemon_threads = False

    def __init__(self) -> None:
        self.calls: list[Call] = []
        super().__init__(("127.0.0.1", 0), EchoHandler)

    @property
    def port(self) -> int:
        return self.server_address[1]


class EchoHandler(BaseRequestHandler):
    server: Echo

    def handle(self) -> None:
        call = Call()
        self.server.calls.append(call)
        try:
            while block := self.request.recv(1 << 16):
                call.received += block
                self.request.sendall(block)
            self.request.sendall(b"bye")
            call.end = "FIN"
        except ConnectionError:
            call.end = "RST"


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with tcp_proxy(echo.port) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def receive(client: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length and (block := client.recv(length - len(received))):
        received += block
    return received


def passes(client: socket.socket, content: bytes = b"are you there?") -> bool:
    client.sendall(content)
    return receive(client, len(content)) == content


def expect_silence(client: socket.socket) -> None:
    client.settimeout(QUIET_S)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(10)


def test_everything_passes_both_ways_and_is_counted(echo, proxy):
    content = os.urandom(5 * MIB)
    received = bytearray()
    with connect(proxy) as client:
        reader = threading.Thread(target=lambda: received.extend(receive(client, 5 * MIB + 3)))
        reader.start()
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        reader.join()
    assert received == content + b"bye"
    assert echo.calls[0].received == content
    assert echo.calls[0].end == "FIN"
    wait_until(lambda: proxy.running == 0, "the end of the connection")
    assert (proxy.connections, proxy.bytes_up, proxy.bytes_down) == (1, 5 * MIB, 5 * MIB + 3)


def test_a_web_server_is_reached_by_its_url():
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["HTTP_HOST"].encode()]

    with serving(app) as url, tcp_proxy(int(url.rpartition(":")[2])) as proxy:
        assert requests.get(proxy.url, timeout=10).text == f"127.0.0.1:{proxy.port}"


def test_a_cut_resets_both_sides_and_the_next_connection_is_accepted(echo, proxy):
    with connect(proxy) as first, connect(proxy) as second:
        assert passes(first)
        assert passes(second)
        proxy.cut()
        for client in (first, second):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    wait_until(lambda: [call.end for call in echo.calls] == ["RST", "RST"], "both resets")
    assert proxy.running == 0
    with connect(proxy) as third:
        assert passes(third)


def test_half_closed_towards_the_server_the_answer_still_comes(echo, proxy):
    with connect(proxy) as client:
        assert passes(client)
        proxy.half_close(towards="server")
        client.sendall(b"lost")
        assert receive(client, 4) == b"bye"
    assert echo.calls[0].received == b"are you there?"
    assert echo.calls[0].end == "FIN"


def test_half_closed_towards_the_client_the_server_still_hears_it(echo, proxy):
    with connect(proxy) as client:
        assert passes(client)
        proxy.half_close(towards="client")
        assert client.recv(1) == b""
        client.sendall(b" still there")
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: echo.calls[0].end == "FIN", "the end")
    assert echo.calls[0].received == b"are you there? still there"
    wait_until(lambda: proxy.running == 0, "the end of the connection")


def test_in_a_stall_nothing_passes_and_nothing_is_lost(echo, proxy):
    with connect(proxy) as old:
        assert passes(old)
        proxy.stall()
        with connect(proxy) as new:
            for client in (old, new):
                client.sendall(b"later")
            for client in (old, new):
                expect_silence(client)
            assert proxy.running == 2
            assert proxy.bytes_up == len("are you there?")
            proxy.resume()
            for client in (old, new):
                assert receive(client, 5) == b"later"


def test_a_stalled_line_can_be_cut(proxy):
    with connect(proxy) as client:
        assert passes(client)
        proxy.stall()
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_it_waits_without_working(proxy):
    with connect(proxy) as client:
        assert passes(client)
        proxy.stall()
        client.sendall(bytes(MIB // 4))
        before = time.process_time()
        expect_silence(client)
        assert time.process_time() - before < QUIET_S / 4


def test_a_connection_is_cut_after_so_many_bytes_of_the_client(echo, proxy):
    with connect(proxy) as old:
        assert passes(old, bytes(100))
        proxy.cut_after(1000)
        assert passes(old, bytes(999))
        with connect(proxy) as new:
            for client in (old, new):
                client.sendall(bytes(5000))
                with pytest.raises(ConnectionResetError):
                    receive(client, 6000)
    wait_until(lambda: [call.end for call in echo.calls] == ["RST", "RST"], "both resets")
    assert [len(call.received) for call in echo.calls] == [1100, 1000]
    proxy.cut_after(None)
    with connect(proxy) as third:
        assert passes(third, bytes(5000))


def test_a_cut_that_is_ordered_while_bytes_wait_for_the_server_counts_them_too():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        tcp_proxy(listener.getsockname()[1]) as proxy,
    ):
        with connect(proxy) as client:
            server, _ = listener.accept()
            client.setblocking(False)

            def full() -> bool:
                """Nothing moves any more: the server does not read."""
                try:
                    client.send(bytes(1 << 16))
                except BlockingIOError:
                    passed = proxy.bytes_up
                    time.sleep(QUIET_S)
                    return proxy.bytes_up == passed
                return False

            wait_until(full, "a full line")
            passed = proxy.bytes_up
            proxy.cut_after(10)
            with server, pytest.raises(ConnectionResetError):
                receive(server, MIB * 64)
            assert proxy.bytes_up == passed + 10
        with connect(proxy):  # it is still there
            listener.accept()[0].close()


def test_a_cut_may_be_for_the_next_connection_alone(proxy):
    proxy.cut_after(10, times=1)
    with connect(proxy) as first:
        first.sendall(bytes(20))
        with pytest.raises(ConnectionResetError):
            receive(first, 20)
    with connect(proxy) as second:
        assert passes(second, bytes(20))


def test_it_refuses_like_a_server_that_is_down_until_it_accepts_on_the_same_port(proxy):
    with connect(proxy) as client:
        assert passes(client)
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    proxy.accept()
    proxy.accept()  # harmless
    with connect(proxy) as client:
        assert passes(client)


def bound_port(sock: socket.socket) -> int:
    sock.bind(("127.0.0.1", 0))
    return int(sock.getsockname()[1])


def test_a_server_that_is_down_is_felt_as_a_reset():
    with (
        # Nobody listens, and nobody else gets the port: not even a connection to it, as its own.
        socket.socket() as silent,
        tcp_proxy(bound_port(silent)) as proxy,
        # The reset may come before the client has seen that it was connected.
        pytest.raises(ConnectionResetError),
        connect(proxy) as client,
    ):
        client.recv(1)


def test_what_clients_send_is_limited_for_all_of_them_together(echo, proxy):
    proxy.limit(MIB)
    start = time.monotonic()
    with connect(proxy) as first, connect(proxy) as second:
        for client in (first, second):
            client.sendall(bytes(MIB // 4))
        for client in (first, second):
            assert receive(client, MIB // 4) == bytes(MIB // 4)
        assert time.monotonic() - start > 0.4
        proxy.limit(1)
        first.sendall(b"slow")
        proxy.limit(None)
        assert receive(first, 4) == b"slow"
        assert passes(first, bytes(MIB // 4))


def test_with_a_limit_everybody_gets_a_turn(echo, proxy):
    """A small request is not kept waiting until somebody else's large one is over."""
    proxy.limit(MIB)
    clients = [connect(proxy) for _ in range(6)]
    try:
        wait_until(lambda: len(echo.calls) == len(clients), "all connections")
        proxy.stall()  # until all of them have something to send
        for client in clients:
            client.setblocking(False)
            client.send(bytes(MIB))
        proxy.resume()
        enough = len(clients) * 9 * int(MIB * SLICE_S)
        wait_until(lambda: sum(len(call.received) for call in echo.calls) >= enough, "nine rounds")
        assert all(call.received for call in echo.calls)
    finally:
        for client in clients:
            client.close()


def test_with_a_limit_it_sleeps_between_two_blocks(proxy):
    proxy.limit(100_000)
    with connect(proxy) as client:
        client.sendall(bytes(50_000))
        before = time.process_time()
        assert receive(client, 50_000) == bytes(50_000)
        assert time.process_time() - before < 0.2


def test_a_pause_may_end_between_two_looks_at_the_clock(monkeypatch):
    watch_all = Proxy._watch_all

    def watch_and_lose_the_processor(self: Proxy) -> None:
        watch_all(self)
        time.sleep(max(0, self._next_s - time.monotonic()))

    monkeypatch.setattr(Proxy, "_watch_all", watch_and_lose_the_processor)
    # A server that listens and says nothing, for its answers would wake the proxy.
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        tcp_proxy(listener.getsockname()[1]) as proxy,
        connect(proxy) as client,
    ):
        server, _ = listener.accept()
        with server:
            proxy.limit(MIB)
            client.sendall(bytes(MIB // 8))
            server.settimeout(30)
            assert receive(server, MIB // 8) == bytes(MIB // 8)


def test_wrong_orders_are_told_to_who_gave_them(proxy):
    with pytest.raises(ValueError):
        proxy.cut_after(0)
    with pytest.raises(ValueError):
        proxy.half_close(towards="everybody")
    with connect(proxy) as client:
        assert passes(client)


def test_nothing_is_left_when_it_is_closed(echo):
    threads = threading.active_count()
    sockets = set(os.listdir("/proc/self/fd"))
    proxy = Proxy(echo.port)
    with connect(proxy) as client:
        assert passes(client)
        proxy.close()
        proxy.close()  # harmless
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    wait_until(lambda: echo.calls[0].end == "RST", "the end at the server")
    wait_until(lambda: threading.active_count() == threads, "the end of the threads")
    wait_until(lambda: set(os.listdir("/proc/self/fd")) == sockets, "the end of the sockets")
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
