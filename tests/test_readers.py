"""How each server's bodies are read: in the way that is said, and to the last byte."""

from __future__ import annotations

import errno
import fcntl
import io
import logging
import os
import random
import re
import socket
import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest
import requests
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader
from servers import cheroot, gunicorn, uwsgi, waitress, wsgiref

from incoming_wsgi.body import Body as RequestBody
from incoming_wsgi.in_flight import InFlight
from incoming_wsgi.readers import gunicorn as gunicorn_room
from incoming_wsgi.readers.choice import find_reader
from incoming_wsgi.readers.pipes import Pipe, Pipes
from incoming_wsgi.storage.base import Piped, in_memory

MIB = 1024 * 1024
CONTENT = random.Random(5).randbytes(3 * MIB + 11)

SERVERS = {
    "gunicorn": (gunicorn, (), "gunicorn.http.body.Body", "GunicornReader"),
    "waitress, spooled": (waitress, (), "_io.BufferedRandom", "StreamReader"),
    "waitress, in memory": (
        waitress,
        ("--inbuf-overflow=4194304", "--recv-bytes=262144"),
        "_io.BytesIO",
        "MemoryReader",
    ),
    "wsgiref": (wsgiref, (), "_io.BufferedReader", "StreamReader"),
    "cheroot": (cheroot, (), "cheroot.server.KnownLengthRFile", "PlainReader"),
    "uWSGI": (uwsgi, (), "uwsgi._Input", "PieceReader"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_what_is_sent_is_stored_and_the_log_says_how_it_was_read(name, tmp_path):
    server_of, arguments, source, reader = SERVERS[name]
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    with server_of(
        "reading_app:application", *arguments, folder=tmp_path, environ=environ
    ) as server:
        ticket = requests.post(
            server.url + "/backend/new_upload",
            data={"signalFinishURL": "http://127.0.0.1:9/"},
            timeout=10,
        ).text
        last = len(CONTENT) - 1
        answer = requests.put(
            f"{server.url}/frontend/uploads/{ticket}",
            data=CONTENT,
            headers={"Content-Range": f"bytes 0-{last}/{last + 2}"},
            timeout=10,
        )
        assert answer.json()["received"] == [[0, last + 1]]
        ways = set(re.findall(r"event=reading input=(\S+) reader=(\w+)", server.log))
    assert (source, reader) in ways
    assert (tmp_path / "storage" / "files" / ticket).read_bytes() == CONTENT


# what is not quite as known is read as PEP 3333 has it


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, peer


@pytest.fixture
def pair():
    ours, peer = tcp_pair()
    with ours, peer:
        yield ours, peer


@pytest.fixture
def connection(pair):
    """All of the body is there."""
    ours, peer = pair
    peer.sendall(b"of the body")
    return ours


def make_environ(connection, *, body_class=Body, length_reader=LengthReader, **more):
    unreader = SocketUnreader(connection)
    unreader.unread(b"a part ")
    body = body_class(length_reader(unreader, 18))
    environ = {"wsgi.input": body, "gunicorn.socket": connection, "SERVER_PROTOCOL": "HTTP/1.1"}
    return {**environ, **more}


def reader_of(environ, length=18):
    return find_reader(environ, length, fast=True)


def read(reader, size=18):
    return bytes(reader.read(memoryview(bytearray(size))))


@pytest.fixture(autouse=True)
def forget_trials():
    """What was tried once is remembered."""
    gunicorn_room._try_out.cache_clear()
    gunicorn_room._find_classes.cache_clear()
    yield
    gunicorn_room._try_out.cache_clear()
    gunicorn_room._find_classes.cache_clear()


def test_gunicorns_own_parts_are_read_past(connection):
    environ = make_environ(connection)
    reader = reader_of(environ)
    assert type(reader).__name__ == "GunicornReader"
    assert read(reader) == b"a part of the body"
    # Nothing is left for gunicorn to drain; it would wait for ever, or eat the next request.
    assert environ["wsgi.input"].reader.length == 0


class OtherBody(Body):
    pass


class OtherReader(LengthReader):
    pass


@pytest.mark.parametrize(
    "unusual",
    [
        {"body_class": OtherBody},
        {"length_reader": OtherReader},
        {"SERVER_PROTOCOL": "HTTP/2.0"},
        {"gunicorn.socket": None},
    ],
    ids=["body", "reader", "HTTP/2", "no socket"],
)
def test_other_parts_are_not(connection, unusual):
    reader = reader_of(make_environ(connection, **unusual))
    assert type(reader).__name__ == "PlainReader"
    assert read(reader) == b"a part of the body"


def test_a_body_of_which_somebody_has_read_is_not(connection):
    environ = make_environ(connection)
    assert environ["wsgi.input"].read(2) == b"a "
    reader = reader_of(environ)
    assert type(reader).__name__ == "PlainReader"
    assert read(reader, 16) == b"part of the body"


def test_a_body_with_a_line_read_ahead_is_read_past(connection):
    """Nothing of the body is gone: gunicorn only holds a part of it at another place."""
    environ = make_environ(connection)
    assert environ["wsgi.input"].read(0) == b""
    environ["wsgi.input"].buf.write(environ["wsgi.input"].reader.read(3))
    assert read(reader_of(environ)) == b"a part of the body"


def test_parts_that_behave_otherwise_are_not(connection, monkeypatch):
    monkeypatch.setattr(SocketUnreader, "unread", lambda self, data: self.buf.write(data.upper()))
    environ = make_environ(connection)
    assert type(reader_of(environ)).__name__ == "PlainReader"


def test_a_body_that_reads_ahead_elsewhere_is_not(connection, monkeypatch):
    """Nor is it waited for, which would be for ever: the trial is nobody's connection."""

    def read_ahead(self, size):
        self.hidden = getattr(self, "hidden", b"") or self.reader.read(1024)
        part, self.hidden = self.hidden[:size], self.hidden[size:]
        return part

    monkeypatch.setattr(Body, "read", read_ahead)
    environ = make_environ(connection)
    assert type(reader_of(environ)).__name__ == "PlainReader"


def test_without_a_socket_for_the_trial_they_are_not(connection, monkeypatch):
    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    environ = make_environ(connection)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", refuse)
        assert type(reader_of(environ)).__name__ == "PlainReader"
    assert type(reader_of(environ)).__name__ == "GunicornReader"  # the next time


def test_parts_that_are_away_are_not(connection, monkeypatch):
    environ = make_environ(connection)
    monkeypatch.setitem(sys.modules, "gunicorn.http.unreader", ModuleType("unreader"))
    assert type(reader_of(environ)).__name__ == "PlainReader"


def test_it_is_said_once_how_bodies_are_read(connection, caplog, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.readers.choice._said", set())
    with caplog.at_level(logging.INFO, "incoming_wsgi"):
        for _ in range(3):
            find_reader({"wsgi.input": io.BytesIO()}, 0, fast=True)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["event=reading input=_io.BytesIO reader=MemoryReader fast_reading=True"]


# what had arrived before a failure


class Breaking(io.RawIOBase):
    """Gives two pieces and then fails."""

    def __init__(self):
        self.pieces = [b"one ", b"two "]

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self.pieces:
            raise ConnectionResetError
        piece = self.pieces.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)


def test_what_came_before_a_failure_comes_first():
    reader = find_reader({"wsgi.input": io.BufferedReader(Breaking(), 1)}, 100, fast=True)
    assert read(reader, 100) == b"one two "
    with pytest.raises(ConnectionResetError):
        read(reader, 92)


@pytest.mark.parametrize("server", ["uwsgi.version", "mod_wsgi.version"])
def test_a_line_that_drips_is_not_waited_for_until_a_block_is_full(server, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: 0.1 * len(source.asked))
    monkeypatch.setattr("incoming_wsgi.readers.base.time", clock)

    class Dripping:
        def __init__(self):
            self.asked = []

        def read(self, size):
            self.asked.append(size)
            return b"x"

    source = Dripping()
    reader = find_reader({"wsgi.input": source, server: b"2"}, 1000, fast=True)
    assert read(reader, 1000) == b"xxx"  # the tenths of a second in which to look after them


def test_a_body_in_memory_is_not_copied():
    source = io.BytesIO(b"before|the body|after")
    source.seek(7)
    reader = find_reader({"wsgi.input": source}, 8, fast=True)
    block = reader.read(memoryview(bytearray(3)))
    assert (bytes(block), source.tell()) == (b"the", 10)
    assert block.obj is not None
    with pytest.raises(BufferError):
        source.truncate(0)  # it is the memory of the source itself
    assert read(reader, 5) == b" body"


# pipes


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_what_gunicorn_holds_comes_in_memory_and_the_rest_through_a_pipe(connection, pipe):
    environ = make_environ(connection)
    reader = reader_of(environ)
    assert bytes(reader.read_into_pipe(pipe, 7)) == b"a part "
    piped = reader.read_into_pipe(pipe, 11)
    assert (type(piped), bytes(in_memory(piped))) == (Piped, b"of the body")
    assert environ["wsgi.input"].reader.length == 0
    assert pipe.is_empty()


def test_a_small_body_is_one_block(connection, pipe):
    """Though gunicorn holds a part of it: each block costs as much as a large one."""
    assert bytes(reader_of(make_environ(connection)).read_into_pipe(pipe, 18)) == (
        b"a part of the body"
    )
    assert pipe.is_empty()


def test_what_goes_through_pipes_takes_no_memory_that_is_kept(connection, monkeypatch):
    """It would be that of each thread, for as long as the process lives."""
    monkeypatch.setattr("incoming_wsgi.body._buffers", None)
    in_flight = InFlight(max_requests_per_upload=6, min_rate_bytes_s=0, stall_timeout_s=1)
    environ = make_environ(connection, CONTENT_LENGTH="18")
    body = RequestBody(environ, in_flight.begin(environ))
    monkeypatch.setattr("incoming_wsgi.body.FIRST_BLOCK_BYTES", 4)
    blocks = [bytes(in_memory(block)) for block in body.blocks(piped=True)]
    body.close()
    assert blocks == [b"a pa", b"rt of the body"]


def test_never_more_than_the_body_goes_into_a_pipe(connection, pipe):
    reader = reader_of(make_environ(connection))
    read(reader, 7)
    assert bytes(in_memory(reader.read_into_pipe(pipe, 2))) == b"of"
    assert connection.recv(100) == b" the body"


def test_a_connection_that_does_not_block_has_no_pipe(connection, pipe):
    connection.setblocking(False)
    reader = reader_of(make_environ(connection))
    assert reader.read_into_pipe(pipe, 18) is None
    assert read(reader) == b"a part of the body"


def clock_of(calls):
    """A tenth of a second for each of `calls`."""
    return SimpleNamespace(monotonic=lambda: 0.1 * len(calls))


def test_a_pipe_is_not_waited_for_until_it_is_full(connection, pipe, monkeypatch):
    reader = reader_of(make_environ(connection))
    read(reader, 7)
    real, calls = Pipe.fill, []

    def fill(self, source, size):
        calls.append(size)
        return real(self, source, 1)

    monkeypatch.setattr(Pipe, "fill", fill)
    for room in ("base", "gunicorn"):
        monkeypatch.setattr(f"incoming_wsgi.readers.{room}.time", clock_of(calls))
    assert bytes(in_memory(reader.read_into_pipe(pipe, 11))) == b"of "


def test_nor_a_buffer(pair, monkeypatch):
    """If the kernel waited for all of it in one call, nobody could look after what has come."""
    ours, peer = pair
    calls = []
    sent = CONTENT[: 3 * 128 * 1024]
    sender = threading.Thread(target=peer.sendall, args=(sent,))
    sender.start()
    unreader = SocketUnreader(ours)
    body = Body(LengthReader(unreader, MIB))
    environ = {"wsgi.input": body, "gunicorn.socket": ours, "SERVER_PROTOCOL": "HTTP/1.1"}
    reader = reader_of(environ, MIB)
    real = type(reader).fill

    def fill(self, buffer):
        calls.append(len(buffer))
        return real(self, buffer)

    monkeypatch.setattr(type(reader), "fill", fill)
    monkeypatch.setattr("incoming_wsgi.readers.base.time", clock_of(calls))
    assert read(reader, MIB) == sent
    sender.join(10)


def test_a_unix_socket_has_no_pipe(pipe):
    """Its splice(2) takes "the pipe must not be waited for" for "nothing must"."""
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.sendall(b"of the body")
        reader = reader_of(make_environ(ours))
        assert read(reader, 7) == b"a part "
        assert reader.read_into_pipe(pipe, 11) is None
        assert read(reader, 11) == b"of the body"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_where_splice_is_refused_bodies_come_into_memory(code, connection, pipe, monkeypatch):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "splice", refuse)
    reader = reader_of(make_environ(connection))
    assert read(reader, 7) == b"a part "
    for _ in range(2):
        assert reader.read_into_pipe(pipe, 11) is None
    assert read(reader, 11) == b"of the body"


def test_what_came_before_a_failure_comes_out_of_the_pipe_first(connection, pipe, monkeypatch):
    reader = reader_of(make_environ(connection))
    read(reader, 7)
    real, calls = Pipe.fill, []

    def fill(self, source, size):
        calls.append(size)
        if len(calls) > 1:
            raise ConnectionResetError
        return real(self, source, size - 5)

    monkeypatch.setattr(Pipe, "fill", fill)
    assert bytes(in_memory(reader.read_into_pipe(pipe, 11))) == b"of the"
    with pytest.raises(ConnectionResetError):
        reader.read_into_pipe(pipe, 5)


def test_a_full_pipe_is_a_block(connection, pipe):
    fcntl.fcntl(pipe._write_end, fcntl.F_SETPIPE_SZ, 4096 * 2)  # two pieces of whatever size
    receiver, sender = tcp_pair()
    with sender, receiver:
        thread = threading.Thread(target=sender.sendall, args=(CONTENT,))
        thread.start()
        unreader = SocketUnreader(receiver)
        body = Body(LengthReader(unreader, len(CONTENT)))
        environ = {"wsgi.input": body, "gunicorn.socket": receiver, "SERVER_PROTOCOL": "HTTP/1.1"}
        reader = find_reader(environ, len(CONTENT), fast=True)
        got = []
        left = len(CONTENT)
        while left:
            block = in_memory(reader.read_into_pipe(pipe, left))  # more than it can have
            got.append(bytes(block))
            left -= len(block)
        thread.join(10)
    assert b"".join(got) == CONTENT
    assert len(got) > 2


def test_a_pipe_with_something_in_it_is_not_used_again():
    pipes = Pipes()
    clean, dirty = pipes.take(), pipes.take()
    os.write(dirty._write_end, b"left")
    pipes.give_back(dirty)
    pipes.give_back(clean)
    assert pipes.take() is clean
    assert pipes.take().is_empty()


def test_a_child_of_a_fork_has_none_of_its_parents():
    """What one process put into such a pipe the other would take for its own."""
    pipes = Pipes()
    pipe = pipes.take()
    descriptor = pipe.block(0).descriptor
    pipes.give_back(pipe)
    child = os.fork()
    if child == 0:
        try:
            os.fstat(descriptor)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert pipes.take() is pipe


@pytest.mark.parametrize("failing", ["pipe2", "F_SETPIPE_SZ"])
def test_where_the_system_gives_no_more_pipes_bodies_come_into_memory(
    failing, connection, monkeypatch
):
    if failing == "pipe2":

        def refuse(_):
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(os, "pipe2", refuse)
    else:  # a user who has had his share
        real = fcntl.fcntl

        def refuse(descriptor, command, *argument):
            if command == fcntl.F_SETPIPE_SZ:
                raise PermissionError
            return real(descriptor, command, *argument)

        monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr("incoming_wsgi.body._pipes", Pipes())
    in_flight = InFlight(max_requests_per_upload=6, min_rate_bytes_s=0, stall_timeout_s=1)
    environ = make_environ(connection, CONTENT_LENGTH="18")
    body = RequestBody(environ, in_flight.begin(environ))
    assert b"".join(body.blocks(piped=True)) == b"a part of the body"
    body.close()
