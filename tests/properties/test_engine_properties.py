"""Uploads through the whole app, step by step, against a `bytearray` and a set.

Two workers share one folder. Requests are under way at once and go on block by block, in any order,
with the file's bytes or with others; they are cut, taken over, left behind; workers die at any call
of storage or ticket store, or with all that they do; the app takes files, makes us wait, fails,
dies. After every step this must hold:

* what is newly recorded was brought by the request that has just been running, and was its own;
* what was recorded stays recorded, and its bytes never change, however late somebody writes others;
* what a request brought is recorded when it ends, unless it was taken over or its digest is wrong;
* a file that is complete has all of its bytes, and the app sees them;
* the app is asked again only as long as it has not said "done", with one delivery id, by one at a
  time; a finished upload was taken by it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import math
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any
from unittest.mock import patch

from effort import effort, patience
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from stepping import DEATHS, Answer, Clock, Killed, Stepped, Worker

from incoming_wsgi import LeaseLost, UploadNotFound, WrongState, receiving, uploads
from incoming_wsgi.states import UploadState
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore

CREATED, UPLOADING, COMPLETE, HANDING_OVER, AWAITING, FINISHED, CANCELLED, FAILED = UploadState
TAKES_BYTES = (CREATED, UPLOADING)
WHOLE = (COMPLETE, HANDING_OVER, AWAITING, FINISHED, FAILED)
CAN_BE_CANCELLED = (CREATED, UPLOADING, COMPLETE, FAILED)
SETTINGS = {
    "max_requests_per_upload": 1000,
    "min_rate_bytes_s": 0,
    "idle_timeout_s": 1000,
    "handover_give_up_s": 100,
    "confirm_timeout_s": 50,
    "keep_finished_s": 500,
    "keep_failed_s": 2000,
}
PAUSES = [0.0, 0.0, 1.5, 10.0, 60.0, 200.0, 600.0, 600.0, 1100.0]

which = st.integers(0, 7)
workers = st.integers(0, 1)
sizes = st.integers(1, 24)
# worker, start, size, whether the bytes are the file's, whether the digest is theirs
REQUESTS = st.tuples(
    workers,
    st.just(0) | st.integers(0, 23),
    sizes,
    st.booleans(),
    st.sampled_from([None, None, True, False]),
)


@dataclass
class File:
    """What must be so of one upload."""

    id: str
    content: bytes  # what honest requests bring
    remove: bool
    active_at: float
    state: UploadState = CREATED
    recorded: set[int] = field(default_factory=set)
    held: bytearray = field(default_factory=bytearray)  # the bytes that are recorded
    owners: dict[int, Put] = field(default_factory=dict)
    # a claim of a worker that died while it made it: it may have been made or not
    doubtful: dict[int, Put] = field(default_factory=dict)
    forgotten: bool = False
    asked: int = 0  # the attempts of the app
    delivery_id: str | None = None
    taken: bool = False  # the app has taken it, whether or not anybody knows
    known_done: bool = False  # and its answer was heard
    moved: bool = False
    cancelled: bool = False  # somebody has asked for it

    @property
    def length(self) -> int:
        return len(self.content)


@dataclass(eq=False)
class Put:
    """One request under way."""

    file: File
    worker: Worker
    start: int
    content: bytes
    right_digest: bool | None  # None: without
    call: Stepped | None = None
    sent: int = 0
    refused: int | None = None  # the status of the answer, known before a block was read
    gaps: set[int] = field(default_factory=set)
    stored: set[int] = field(default_factory=set)  # at most
    kept: set[int] = field(default_factory=set)  # at least
    overtaken: bool = False
    in_doubt: bool = False

    def byte(self, position: int) -> int:
        return self.content[position - self.start]


@dataclass(eq=False)
class Handover:
    file: File
    worker: Worker
    call: Stepped
    stalled: bool = False  # its lease was not renewed: another may be asking by now


class Caller:
    """Of a worker that calls the app as soon as a request has brought the last byte."""

    def __init__(self, worker: Worker) -> None:
        self.begun: list[Stepped] = []
        self._worker = worker

    def find_slot(self) -> Slot:
        return Slot(self._worker, self.begun)

    def look_by(self, _: float) -> None:
        """The test says who looks."""


class Slot:
    def __init__(self, worker: Worker, begun: list[Stepped]) -> None:
        self.token = secrets.token_hex()
        self._worker = worker
        self._begun = begun

    def lease_end(self) -> float:
        return self._worker.incoming._housekeeping.lease_end()

    def begin(self, lease: Any, work: Any) -> None:
        call = Stepped(work)
        call.lease = lease
        self._begun.append(call)

    def give_back(self) -> None:
        """There are as many as are wanted."""


# At which call of storage or ticket store, and how.
DEATH = st.tuples(st.integers(0, 12), st.sampled_from(DEATHS))
# What the app says, whether it has taken the file, even so, and moved it away. It may die of it.
ANSWERS = st.tuples(
    st.sampled_from(["done", None, "wait", RuntimeError(), "what?", Killed()]),
    st.booleans(),
    st.booleans(),
)


class Actions(Enum):
    """Of the page or the app's backend; by the name of the method."""

    declare = 1
    declare_another = 2
    query = 3
    cancel = 4
    confirm = 5
    retry = 6


class Uploads(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.clock = Clock()
        self.patches = contextlib.ExitStack()
        for room in (uploads, receiving):
            self.patches.enter_context(patch.object(room, "time", self.clock))
        self.files: list[File] = []
        self.puts: list[Put] = []
        self.handovers: list[Handover] = []
        self.number = 0

    @initialize(
        durability=st.sampled_from(["process", "disk"]),
        length=st.integers(1, 24),
        remove=st.booleans(),
        at_once=st.sampled_from([(False, False), (True, False), (True, True)]),
    )
    def start(self, durability: str, length: int, remove: bool, at_once: tuple[bool, bool]) -> None:
        """`at_once`: which of the workers call the app without a look at what is due."""
        self.settings = {**SETTINGS, "durability": durability}
        self.at_once = at_once
        self.callers: dict[Worker, Caller] = {}
        self.workers = [self.new_worker(number) for number in range(2)]
        self.store = SQLiteTicketStore(self.path / "incoming.db")
        (self.path / "taken").mkdir()
        self.new_upload(0, length, remove, True)

    def new_worker(self, number: int) -> Worker:
        worker = Worker(self.path, **self.settings)
        if self.at_once[number]:
            self.callers[worker] = worker.incoming._engine._caller = Caller(worker)
        return worker

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None and hasattr(self, "store"):
                self.end_of_days()
        finally:
            for put in self.puts:
                self.kill(put.call)
            for handover in self.handovers:
                self.kill(handover.call)
            if hasattr(self, "store"):
                self.store.close()
            self.patches.close()
            self.folder.cleanup()
            logging.disable(logging.NOTSET)

    # the world

    @precondition(lambda self: len(self.open_files()) < 3)
    @rule(worker=workers, length=st.integers(0, 24), remove=st.booleans(), says=st.booleans())
    def new_upload(self, worker: int, length: int, remove: bool, says: bool) -> None:
        call = self.workers[worker].call(
            "new_upload", remove_file_when_finished=remove, length=length if says else None
        )
        if call.error is None:
            content = bytes((position * 7 + 1) % 251 for position in range(length))
            now = self.clock.at
            self.files.append(File(call.result, content, remove, now, held=bytearray(length)))
        self.look()
        if call.error is None and length == 0:
            self.declare(worker, self.files[-1])  # nothing else can follow

    @precondition(lambda self: self.open_files() and not any(w.will_die for w in self.workers))
    @rule(worker=workers, dies=st.none() | DEATH)
    def a_worker_dies(self, worker: int, dies: Any) -> None:
        """At once, or at one of the calls to come."""
        if dies is None:
            self.workers[worker].dead = True
            self.look()
        else:
            self.workers[worker].die_at_call(*dies)

    # requests that bring bytes

    @precondition(lambda self: self.files and len(self.puts) < 5)
    @rule(file=which, requests=st.lists(REQUESTS, min_size=1, max_size=3))
    def requests_begin(self, file: int, requests: list[tuple[Any, ...]]) -> None:
        chosen = self.files[file % len(self.files)]
        for worker, start, size, honest, digest in requests:
            if start < chosen.length:
                size = min(size, chosen.length - start)
                self.begin(self.workers[worker], chosen, start, size, honest=honest, digest=digest)

    @precondition(lambda self: len(self.puts) < 5 and self.open_files(CREATED, UPLOADING))
    @rule(worker=workers, file=which, dies=st.none() | DEATH)
    def bring_what_is_missing(self, worker: int, file: int, dies: Any) -> None:
        if dies is not None:
            self.workers[worker].die_at_call(*dies)
        files = self.open_files(CREATED, UPLOADING)
        chosen = files[file % len(files)]
        missing = set(range(chosen.length)) - chosen.recorded
        while missing:
            start = min(missing)
            stop = next(stop for stop in range(start, 99) if stop not in missing)
            put = self.begin(self.workers[worker], chosen, start, stop - start)
            while put in self.puts:
                self.give(put, 99)
            before, missing = missing, set(range(chosen.length)) - chosen.recorded
            if missing == before:  # cancelled, or dead
                break

    def begin(
        self, worker: Worker, file: File, start: int, size: int, *, honest: bool = True, digest=None
    ) -> Put:
        self.number += 1
        lie = 0 if honest else 1 + self.number % 250
        stop = start + size
        content = bytes((byte + lie) % 256 for byte in file.content[start:stop])
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{file.length}"}
        if digest is not None:
            digested = hashlib.sha256(content if digest else content + b"!").digest()
            headers["Content-Digest"] = f"sha-256=:{base64.b64encode(digested).decode()}:"
        put = Put(file, worker, start, content, digest)
        if file.forgotten:
            put.refused = 404
        elif file.state is CANCELLED:
            put.refused = 410
        elif file.state in TAKES_BYTES:
            put.gaps = set(range(start, stop)) - file.recorded
        put.call = worker.put(file.id, size, headers)
        if put.refused is None and not worker.dead:
            file.owners |= dict.fromkeys(put.gaps, put)
            for position in put.gaps:
                file.doubtful.pop(position, None)
            file.active_at = self.clock.at
        elif worker.dead:
            for position in put.gaps & file.owners.keys():
                file.doubtful[position] = file.owners.pop(position)
        self.puts.append(put)
        self.look(put)
        return put

    @precondition(lambda self: self.puts)
    @rule(blocks=st.lists(st.tuples(which, st.integers(1, 8)), min_size=1, max_size=8))
    def blocks_come(self, blocks: list[tuple[int, int]]) -> None:
        for put, size in blocks:
            if self.puts:
                self.give(self.puts[put % len(self.puts)], size)

    @precondition(lambda self: self.puts)
    @rule(put=which)
    def the_rest_comes(self, put: int) -> None:
        chosen = self.puts[put % len(self.puts)]
        while chosen in self.puts:
            self.give(chosen, 99)

    def give(self, put: Put, size: int) -> None:
        block = put.content[put.sent : put.sent + min(size, put.call.asks)]
        covered = set(range(put.start + put.sent, put.start + put.sent + len(block)))
        put.sent += len(block)
        wanted = covered & put.gaps
        if put.refused is None and not put.overtaken:
            put.in_doubt |= any(put.file.doubtful.get(byte) is put for byte in wanted)
            put.overtaken = any(
                put.file.owners.get(byte) is not put and put.file.doubtful.get(byte) is not put
                for byte in wanted
            )
            put.stored |= wanted
            if not put.overtaken:  # else some of this block may have been stored before it was seen
                put.kept |= wanted
        put.call.go_on(block)
        self.look(put)

    @precondition(lambda self: self.puts)
    @rule(put=which, reset=st.booleans())
    def cut(self, put: int, reset: bool) -> None:
        chosen = self.puts[put % len(self.puts)]
        chosen.call.go_on(ConnectionResetError() if reset else b"")
        self.look(chosen)

    # other requests

    @precondition(lambda self: self.files)
    @rule(worker=workers, file=which, action=st.sampled_from([*Actions, Actions.query]))
    def another_request(self, worker: int, file: int, action: Actions) -> None:
        getattr(self, action.name)(worker, self.files[file % len(self.files)])

    def declare(self, worker: int, file: File) -> None:
        answer = self.ask(worker, "POST", file, json={"length": file.length, "filename": "a.bin"})
        if answer is None:
            return
        if file.forgotten:
            assert answer.status == 404
        elif file.state is CANCELLED:
            assert answer.status == 410
        else:
            assert answer.status == 200
            file.active_at = self.clock.at

    def declare_another(self, worker: int, file: File) -> None:
        if file.state is CREATED:
            return  # then it may change
        answer = self.ask(worker, "POST", file, json={"length": file.length + 1})
        gone = 404 if file.forgotten else 410
        assert answer is None or answer.status in (409, gone)

    def query(self, worker: int, file: File) -> None:
        answer = self.ask(worker, "GET", file)
        if answer is not None:
            assert answer.status == (404 if file.forgotten else 200)
            if not file.forgotten:
                facts = json.loads(answer.body)
                assert facts["state"] == file.state.value
                assert bytes_of(facts["received"]) == file.recorded

    def cancel(self, worker: int, file: File) -> None:
        before = file.state
        file.cancelled |= before in CAN_BE_CANCELLED
        answer = self.ask(worker, "DELETE", file)
        if answer is None:
            return
        if file.forgotten:
            assert answer.status == 404
        elif before in (*CAN_BE_CANCELLED, CANCELLED):
            assert answer.status == 200
            assert file.state is CANCELLED
        else:
            assert answer.status == 409
            assert file.state is before

    def confirm(self, worker: int, file: File) -> None:
        """The app calls finish_upload."""
        waits = file.state in (HANDING_OVER, AWAITING) and not file.forgotten
        file.taken |= waits
        done = self.ask_backend(worker, "finish_upload", file)
        if done is not None:
            assert done == waits
            file.known_done |= done

    def retry(self, worker: int, file: File) -> None:
        failed = file.state is FAILED and not file.forgotten
        assert self.ask_backend(worker, "retry_handover", file) in (None, failed)

    def ask(self, worker: int, method: str, file: File, **more: Any) -> Answer | None:
        """None if the worker has died of it."""
        call = self.workers[worker].request(method, file.id, **more)
        assert call.asks is None
        died = self.workers[worker].dead
        self.look()
        if died:
            return None
        assert call.error is None
        return call.result

    def ask_backend(self, worker: int, function: str, file: File) -> bool | None:
        """Whether it was done; None if the worker has died of it."""
        call = self.workers[worker].call(function, file.id)
        died = self.workers[worker].dead
        self.look()
        if died:
            return None
        assert isinstance(call.error, (UploadNotFound, WrongState, type(None)))
        return call.error is None

    # handover and housekeeping

    @precondition(lambda self: self.open_files())
    @rule(
        seconds=st.sampled_from(PAUSES),
        renew=st.booleans(),
        looks=st.lists(st.tuples(workers, st.none() | ANSWERS), max_size=2),
    )
    def time_passes(self, seconds: float, renew: bool, looks: list[tuple[int, Any]]) -> None:
        """Workers look after what is due then; the app may take its time to answer."""
        self.clock.at += seconds
        for handover in self.handovers:
            if renew and not handover.stalled:
                with contextlib.suppress(LeaseLost, Killed):
                    handover.worker.renew(handover.call)
            elif seconds:
                handover.stalled = True
        self.look()
        for worker, answer in looks:
            handovers = len(self.handovers)
            self.look_after(self.workers[worker])
            if answer and len(self.handovers) > handovers:
                self.answer(self.handovers[-1], *answer)

    def next_due_at(self) -> float:
        due = (upload.due_at for upload in self.store.list_uploads())
        return min(due, default=math.inf)

    def open_files(self, *states: UploadState) -> list[File]:
        """Those that are not forgotten, in any of `states`, which are all without any."""
        states = states or tuple(UploadState)
        return [file for file in self.files if not file.forgotten and file.state in states]

    def look_after(self, worker: Worker) -> Stepped:
        due_at = self.next_due_at()
        call = worker.look_after_what_is_due()
        if call.asks is not None:
            self.app_is_asked(worker, call)
        elif not worker.dead:
            assert call.error is None
            assert call.result == (due_at <= self.clock.at)
        self.look()
        return call

    def app_is_asked(self, worker: Worker, call: Stepped) -> None:
        offered = call.asks
        file = next(file for file in self.files if file.id == offered.id)
        assert not file.known_done
        assert not file.moved
        assert all(other.stalled for other in self.handovers if other.file is file)
        assert file.recorded == set(range(file.length))
        assert offered.path.read_bytes() == file.held
        assert offered.sha256 in (None, hashlib.sha256(file.held).hexdigest())
        assert file.delivery_id in (None, offered.delivery_id)
        assert offered.attempt > file.asked
        file.delivery_id, file.asked = offered.delivery_id, offered.attempt
        self.handovers.append(Handover(file, worker, call))

    @precondition(lambda self: self.handovers)
    @rule(handover=which, answer=ANSWERS)
    def app_answers(self, handover: int, answer: Any) -> None:
        self.answer(self.handovers[handover % len(self.handovers)], *answer)

    def answer(self, handover: Handover, says: Any, takes: bool, moves: bool) -> None:
        file, worker = handover.file, handover.worker
        before = file.state
        path = self.path / "files" / file.id
        if (takes or says in ("done", None)) and path.exists():
            assert path.read_bytes() == file.held
            file.taken = True
            if moves:
                os.rename(path, self.path / "taken" / file.id)
                file.moved = True
        if isinstance(says, Killed):
            worker.dead = True
        self.handovers.remove(handover)
        handover.call.go_on(says)
        assert handover.call.asks is None
        died = worker.dead
        self.look()
        if died or before is not HANDING_OVER or handover.stalled:
            return
        assert handover.call.error is None
        if says in ("done", None):
            assert file.state is FINISHED
            assert path.exists() == (not file.remove and not file.moved)
            file.known_done = True
        elif says == "wait":
            assert file.state is AWAITING
        elif file.moved:
            assert file.state is FINISHED
        else:
            assert file.state in (COMPLETE, FAILED)

    # what must be so after every step

    def look(self, actor: Put | None = None) -> None:
        for number, worker in enumerate(self.workers):
            if worker.dead:
                self.bury(worker)
                self.workers[number] = self.new_worker(number)
        for file in self.files:
            self.look_at(file, actor if actor and actor.file is file else None)
        for worker, caller in list(self.callers.items()):
            while caller.begun:
                call = caller.begun.pop()
                if call.asks is not None:
                    self.app_is_asked(worker, call)
        if actor and actor in self.puts and actor.call.asks is None:
            self.puts.remove(actor)
            self.check_answer(actor)

    def bury(self, worker: Worker) -> None:
        for put in [put for put in self.puts if put.worker is worker]:
            # Or it was answered while the call of the app went on, of which the worker has died.
            answered = put.call.asks is None and put.call.error is None
            self.kill(put.call)
            assert answered or isinstance(put.call.error, Killed)
            self.puts.remove(put)
        for handover in [one for one in self.handovers if one.worker is worker]:
            self.kill(handover.call)
            self.handovers.remove(handover)
        if worker in self.callers:
            for call in self.callers.pop(worker).begun:
                self.kill(call)

    @staticmethod
    def kill(call: Stepped | None) -> None:
        while call is not None and call.asks is not None:
            call.go_on(Killed())

    def look_at(self, file: File, actor: Put | None) -> None:
        upload = self.store.find(file.id)
        path = self.path / "files" / file.id
        if upload is None:
            assert file.forgotten or file.state in (FINISHED, CANCELLED, FAILED)
            file.forgotten = True
            file.owners.clear()
            file.doubtful.clear()
            assert path.exists() <= (not file.remove and file.state is FINISHED)
            return
        before, file.state = file.state, upload.state
        received = bytes_of(upload.received)
        assert file.recorded <= received
        new = received - file.recorded
        if new:
            assert actor is not None
            assert new <= actor.stored
            for byte in new:
                assert file.owners.get(byte) is actor or file.doubtful.get(byte) is actor
                file.held[byte] = actor.byte(byte)
            file.recorded |= new
        if actor and before in TAKES_BYTES and actor.worker in self.workers:
            self.check_kept(actor)
        if upload.state not in TAKES_BYTES:
            file.owners.clear()
            file.doubtful.clear()
        if upload.state in WHOLE:
            assert file.recorded == set(range(file.length))
        if upload.state is FINISHED:
            assert file.taken
        elif upload.state is CANCELLED:
            if upload.reason == "upload timed out":
                assert self.clock.at >= file.active_at + SETTINGS["idle_timeout_s"]
                assert len(file.recorded) < max(file.length, 1)  # what is whole never expires
            elif before is not CANCELLED:
                assert file.cancelled or before is FAILED  # whose time is over
        elif not file.moved and (file.recorded or upload.state in WHOLE):
            # An empty file is made when it is about to be handed over.
            content = path.read_bytes() if file.length or path.exists() else b""
            assert all(content[byte] == file.held[byte] for byte in file.recorded)
            assert upload.state in TAKES_BYTES or len(content) == file.length
        for kept in self.store.find_digests(file.id):
            assert bytes_of([(kept.start, kept.stop)]) <= file.recorded
            digested = hashlib.sha256(file.held[kept.start : kept.stop])
            assert digested.hexdigest() == kept.sha256

    def check_kept(self, put: Put) -> None:
        """What it brought is recorded when it ends, or is overtaken."""
        file = put.file
        is_over = put.call.asks is None
        if not is_over and not put.overtaken:
            return
        refuted = put.right_digest is False and put.sent == len(put.content) and not put.overtaken
        own = {byte for byte, owner in file.owners.items() if owner is put}
        if put.refused is None and not refuted and not put.in_doubt:
            assert put.kept & own <= file.recorded
        if refuted:
            assert not (put.stored & own & file.recorded)
        for owners in (file.owners, file.doubtful):
            for byte in [byte for byte, owner in owners.items() if owner is put]:
                del owners[byte]

    def check_answer(self, put: Put) -> None:
        assert put.call.error is None
        answer: Answer = put.call.result
        file = put.file
        whole = put.sent == len(put.content)
        if put.refused is not None:
            assert answer.status == put.refused
            return
        ended = {404} if file.forgotten else {410} if file.state is CANCELLED else set()
        if put.overtaken:
            expected = {404, 409, 410}
        elif not whole:
            expected = ended or {400}
        elif put.right_digest is False:
            expected = ended or {422}
        else:
            # Taken over after it was stored, as `check_kept` has made sure: test_taken_over.py.
            robbed = not put.gaps <= file.recorded
            expected = ended or ({200, 409} if robbed else {200})
        if ended and not put.gaps and whole:
            expected = {*expected, 200}
        if put.in_doubt:
            expected = {*expected, 409}
        assert answer.status in expected
        if answer.status == 200 and not ended:
            acknowledged = bytes_of(json.loads(answer.body)["received"])
            assert acknowledged <= file.recorded
            assert robbed or set(range(put.start, put.start + len(put.content))) <= acknowledged

    def end_of_days(self) -> None:
        """Everything comes to its end, and nothing is left over."""
        while self.puts:
            self.cut(0, False)
        while self.handovers:
            self.answer(self.handovers[0], "done", takes=True, moves=False)
        for _ in range(5):
            self.clock.at += 10_000
            while True:
                call = self.look_after(self.workers[0])
                while self.handovers:
                    self.answer(self.handovers[0], "done", takes=True, moves=False)
                if call.error is None and not call.result:
                    break
        assert all(file.forgotten for file in self.files)
        kept = {f.id for f in self.files if f.state is FINISHED and not (f.remove or f.moved)}
        assert {path.name for path in (self.path / "files").iterdir()} == kept


def bytes_of(pairs) -> set[int]:
    return {byte for start, stop in pairs for byte in range(start, stop)}


TestUploads = patience(Uploads.TestCase)
TestUploads.settings = effort(250, steps=40)
