"""One upload in all of its dialects at once, step by step, against a `bytearray` and a set.

Two workers share one folder. PUTs of any range, PATCHes of tus and of the draft, creations with
content, all of them more than once, come block by block, in chunks or with a length, with digests
right and wrong; they are cut, and workers die. Between them somebody asks for the offset, declares
the file, cancels it; the app takes it, fails, refuses. After every step this must hold:

* what is newly recorded was brought by the request that has just been running, and its digest, if
  it has one, has proved right; what was recorded stays, with its bytes;
* what a request brought is recorded when it ends, unless a newer one, or somebody who asked for the
  offset, has stopped it; what a success says is there is there;
* an offset that was told stays right until somebody else brings bytes;
* the length is what was said, and the upload is complete when nothing of it is missing, and not
  before;
* the app gets each file whole, and takes it once.

In the end each upload can be finished from the offset that is told.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from effort import effort, patience
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from stepping import DEATHS, Answer, Clock, Killed, Stepped, Worker

from incoming_wsgi import Refused, engine, receiving, uploads
from incoming_wsgi.states import UploadState
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore

CREATED, UPLOADING, COMPLETE, HANDING_OVER, AWAITING, FINISHED, CANCELLED, FAILED = UploadState
TAKES_BYTES = (CREATED, UPLOADING)
MOST = 64  # bytes of a file
CONTENT = bytes((position * 7 + 1) % 251 for position in range(MOST))
SETTINGS = {"max_requests_per_upload": 1000, "min_rate_bytes_s": 0, "idle_timeout_s": 1e6}
NATIVE, TUS, DRAFT = "native", "tus", "draft"
TYPES = {TUS: "application/offset+octet-stream", DRAFT: "application/partial-upload"}

which = st.integers(0, 7)
workers = st.integers(0, 1)
sizes = st.integers(0, 16)
lengths = st.integers(0, 24)
offsets = st.sampled_from([0, 0, 0, 0, 1, -1])
digests = st.sampled_from([None, None, None, True, False])
offset_dialects = st.sampled_from([TUS, DRAFT])
# size, whether the bytes are the file's, whether the digest is theirs, whether they are in chunks
BODIES = st.tuples(sizes, st.booleans(), digests, st.booleans())
# in which dialect, how long the file is (-1: what is right), and whether this is all of it
SAYS = st.tuples(offset_dialects, st.none() | st.none() | st.just(-1) | lengths, st.booleans())


class FastClock(Clock):
    """Whoever waits for a time has waited at once."""

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass(eq=False)
class File:
    """What must be so of one upload."""

    id: str
    length: int | None
    limit: int = MOST  # of the ticket
    deferred: bool = False  # somebody has said that he will say how long it is
    state: UploadState = CREATED
    reason: str | None = None
    recorded: set[int] = field(default_factory=set)
    held: bytearray = field(default_factory=lambda: bytearray(MOST))
    told: int | None = None  # the offset, as long as nobody has brought bytes since
    in_doubt: bool = False  # a worker died of a request: nobody knows how far it had come
    cancelled: bool = False  # somebody has asked for it, or sent what cannot be
    asked: int = 0
    deliveries: int = 0

    @property
    def prefix(self) -> int:
        return next(byte for byte in range(MOST + 1) if byte not in self.recorded)

    @property
    def end(self) -> int:
        return max(self.recorded, default=-1) + 1

    @property
    def is_whole(self) -> bool:
        return self.length == len(self.recorded)

    @property
    def outcome(self) -> int | None:
        """The status that says what has become of the file, if that is no success."""
        if self.state is CANCELLED:
            return 410
        if self.state is FAILED:
            return 422
        return 423 if self.state is COMPLETE and self.reason else None


@dataclass(eq=False)
class Sending:
    """One request under way. `size` None: in chunks."""

    file: File
    worker: Worker
    dialect: str
    start: int
    content: bytes
    size: int | None
    right_digest: bool | None = None  # None: without
    length: int | None = None  # as it says
    is_all: bool | None = None  # as the draft says
    creates: bool = False
    call: Any = None
    sent: int = 0
    ended: bool = False  # its content, by itself
    refused: set[int] | None = None  # the statuses one of which it must have, whatever comes
    gaps: set[int] = field(default_factory=set)
    is_dropped: bool = False  # nothing is missing
    is_mistaken: bool = False  # in the offset, and is told the right one
    disturbed: bool = False
    is_outgrown: bool = False  # a length that another said meanwhile has no place for it

    @property
    def end(self) -> int | None:
        return None if self.size is None else self.start + self.size

    @property
    def is_whole(self) -> bool:
        return self.ended if self.size is None else self.sent == self.size

    @property
    def is_too_long(self) -> bool:
        """Which chunks do not say before."""
        most = self.file.limit if self.file.length is None else self.file.length
        return self.size is None and self.start + self.sent > most

    @property
    def covered(self) -> set[int]:
        return set(range(self.start, self.start + self.sent))

    @property
    def is_refuted(self) -> bool:
        """What it brought must not count."""
        if self.right_digest is None:
            return False
        if self.dialect is NATIVE and self.disturbed:
            return False  # ended before its end, as if its line had broken
        if self.is_whole:
            return not self.right_digest
        return self.dialect is not NATIVE


class Dialects(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.clock = FastClock()
        self.patches = contextlib.ExitStack()
        for room in (uploads, receiving, engine):
            self.patches.enter_context(patch.object(room, "time", self.clock))
        self.files: list[File] = []
        self.sendings: list[Sending] = []
        self.number = 0

    @initialize(length=st.none() | st.none() | lengths)
    def start(self, length: int | None) -> None:
        self.workers = [self.new_worker() for _ in range(2)]
        self.store = SQLiteTicketStore(self.path / "incoming.db")
        self.new_upload(0, length)

    def new_worker(self) -> Worker:
        return Worker(self.path, **SETTINGS)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None and hasattr(self, "store"):
                self.bring_to_an_end()
        finally:
            for sending in self.sendings:
                self.kill(sending.call)
            if hasattr(self, "store"):
                self.store.close()
            self.patches.close()
            self.folder.cleanup()
            logging.disable(logging.NOTSET)

    # the world

    @precondition(lambda self: len(self.files) < 2)
    @rule(worker=workers, length=st.none() | lengths)
    def new_upload(self, worker: int, length: int | None) -> None:
        call = self.workers[worker].call("new_upload", length=length)
        if call.error is None:
            self.files.append(File(call.result, length, MOST if length is None else length))
        self.look()

    @precondition(lambda self: not any(worker.will_die for worker in self.workers))
    @rule(
        worker=workers,
        dies=st.none() | st.tuples(st.integers(0, 12), st.sampled_from(DEATHS)),
    )
    def a_worker_dies(self, worker: int, dies: Any) -> None:
        """At once, or at one of the calls of storage or ticket store to come."""
        if dies is None:
            self.workers[worker].dead = True
            self.look()
        else:
            self.workers[worker].die_at_call(*dies)

    @rule(worker=workers, file=which, what=st.sampled_from(["query", "retry", "sleep", "nap"]))
    def something_else(self, worker: int, file: int, what: str) -> None:
        if what == "query":
            self.query(worker, self.file(file))
        elif what == "retry":
            self.retry(worker, self.file(file))
        else:
            self.clock.at += {"nap": 1.5, "sleep": 100.0}[what]

    # requests that bring bytes

    @precondition(lambda self: len(self.sendings) < 4)
    @rule(worker=workers, file=which, start=lengths, body=BODIES, length=st.none() | lengths)
    def put(self, worker: int, file: int, start: int, body: Any, length: int | None) -> None:
        size, honest, digest, _ = body
        chosen = self.file(file)
        known = chosen.length if length is None else length
        if not known:
            return
        start %= known
        content = self.content(start, min(max(size, 1), known - start), honest=honest)
        self.begin(
            Sending(
                chosen, self.workers[worker], NATIVE, start, content, len(content), digest, known
            )
        )

    @precondition(lambda self: len(self.sendings) < 4)
    @rule(worker=workers, file=which, off=offsets, body=BODIES, says=SAYS)
    def append(self, worker: int, file: int, off: int, body: Any, says: Any) -> None:
        """At the offset, or beside it."""
        (size, honest, digest, chunked), (dialect, length, is_all) = body, says
        chosen = self.file(file)
        start = max(chosen.prefix + off, 0)
        if length == -1:
            length = chosen.length
        content = self.content(start, size, honest=honest)
        self.begin(
            Sending(
                chosen,
                self.workers[worker],
                dialect,
                start,
                content,
                None if chunked else len(content),
                digest,
                length,
                is_all if dialect is DRAFT else None,
            )
        )

    @precondition(lambda self: len(self.sendings) < 4)
    @rule(worker=workers, file=which, size=sizes, says=SAYS)
    def create(self, worker: int, file: int, size: int, says: Any) -> None:
        """With the ticket of an upload that may be there already; its content is the file's."""
        dialect, length, is_all = says
        chosen = self.file(file)
        if length == -1:
            length = chosen.length
        content = CONTENT[:size]
        if dialect is DRAFT and length not in (None, *range(size, size + 1 if is_all else MOST)):
            return  # nobody could mean that
        self.begin(
            Sending(
                chosen,
                self.workers[worker],
                dialect,
                0,
                content,
                len(content),
                None,
                length,
                is_all if dialect is DRAFT else None,
                creates=True,
            )
        )

    def file(self, number: int) -> File:
        return self.files[number % len(self.files)]

    def content(self, start: int, size: int, *, honest: bool = True) -> bytes:
        self.number += 1
        lie = 0 if honest else 1 + self.number % 250
        return bytes((byte + lie) % 256 for byte in CONTENT[start : min(start + size, MOST)])

    def begin(self, sending: Sending) -> None:
        file, worker = sending.file, sending.worker
        before = (file.length, file.deferred)
        self.sendings.append(sending)
        others = [one for one in self.sendings if one.file is file and one is not sending]
        self.expect(sending)
        sending.call = worker.send(*self.request(sending))
        if worker.dead:
            file.in_doubt = True
            for other in others:
                other.disturbed = True
            # The claim may have been made or not.
            upload = self.store.find(file.id)
            assert (upload.length, upload.length_deferred) in (before, (file.length, file.deferred))
            file.length, file.deferred = upload.length, upload.length_deferred
            file.told = None
        elif sending.refused is None:
            file.told = None
            ends_all = sending.dialect is not NATIVE and sending.size != 0
            for other in others:
                is_ended = ends_all and other.worker is worker
                is_beyond = file.length is not None and max(other.gaps, default=-1) >= file.length
                other.disturbed |= is_ended or bool(other.gaps & sending.gaps)
                other.is_outgrown |= is_beyond
        elif sending.is_mistaken and file.state in TAKES_BYTES:
            for other in others:
                other.disturbed = True
            file.told = file.prefix
        self.look(sending)

    def request(self, sending: Sending) -> tuple[str, str, int | None, dict[str, str]]:
        headers: dict[str, str] = {}
        end = sending.start + len(sending.content)
        digest = sending.content + (b"" if sending.right_digest else b"!")
        if sending.dialect is NATIVE:
            headers["Content-Range"] = f"bytes {sending.start}-{end - 1}/{sending.length}"
        elif sending.length is not None:
            headers["Upload-Length"] = str(sending.length)
        elif sending.creates and sending.dialect is TUS:
            headers["Upload-Defer-Length"] = "1"
        if sending.dialect is TUS:
            headers["Tus-Resumable"] = "1.0.0"
            if sending.right_digest is not None:
                said = base64.b64encode(hashlib.sha1(digest).digest()).decode()
                headers["Upload-Checksum"] = f"sha1 {said}"
        elif sending.right_digest is not None:
            said = base64.b64encode(hashlib.sha256(digest).digest()).decode()
            headers["Content-Digest"] = f"sha-256=:{said}:"
        if sending.is_all is not None:
            headers["Upload-Complete"] = "?1" if sending.is_all else "?0"
        if sending.dialect is not NATIVE:
            headers["Content-Type"] = TYPES[sending.dialect]
            if not sending.creates:
                headers["Upload-Offset"] = str(sending.start)
        method = "PUT" if sending.dialect is NATIVE else "POST" if sending.creates else "PATCH"
        return method, sending.file.id, sending.size, headers

    # what is to be expected of them, by what is said of the protocols

    def expect(self, sending: Sending) -> None:
        file = sending.file
        if file.state is CANCELLED:
            sending.refused = {410}
        elif sending.dialect is NATIVE:
            self.expect_put(sending)
        elif sending.creates:
            self.expect_creation(sending)
        elif sending.start != file.prefix:
            outcome = None if file.state in TAKES_BYTES else file.outcome
            sending.refused = {outcome or 409}
            sending.is_mistaken = True
        else:
            self.expect_append(sending)
        says_only = sending.creates and not sending.content and sending.is_all is not True
        if sending.refused is None and file.state in TAKES_BYTES and not says_only:
            stop = MOST if file.length is None else file.length
            if sending.dialect is NATIVE:
                stop = sending.start + len(sending.content)
            sending.gaps = set(range(sending.start, stop)) - file.recorded

    def expect_put(self, sending: Sending) -> None:
        file = sending.file
        if file.length not in (None, sending.length):
            sending.refused = {409}
        elif file.end > sending.length:
            sending.refused = {400}
        elif file.length is None and sending.length > file.limit:
            sending.refused = {413}
        elif file.length is None:
            file.length, file.deferred = sending.length, False

    def expect_creation(self, sending: Sending) -> None:
        file = sending.file
        length = sending.size if sending.is_all else sending.length
        if file.state is not CREATED and None not in (length, file.length):
            if length != file.length:
                sending.refused = {409}
                return
        elif length is not None and file.state is not CREATED and file.end > length:
            sending.refused = {400}
            return
        is_beyond = sending.dialect is TUS and length is not None and sending.size > length
        if file.state is CREATED and is_beyond:  # nothing is declared by what cannot be right
            sending.refused = {413}
            return
        is_new = file.state is CREATED or (file.state is UPLOADING and file.length is None)
        if is_new and length is not None and length > file.limit:
            sending.refused = {413}
            return
        if file.state in TAKES_BYTES and (length is not None or file.state is CREATED):
            file.length, file.deferred = length, length is None
        if file.state not in TAKES_BYTES or file.is_whole:
            sending.is_dropped = True
        elif sending.dialect is TUS or sending.size or sending.is_all:
            self.expect_append(sending)

    def expect_append(self, sending: Sending) -> None:
        file = sending.file
        end, known = sending.end, file.length
        is_said = file.deferred or known is not None or sending.length is not None
        if sending.dialect is TUS and not is_said:
            sending.refused = {400}
            return
        said = {sending.length, end if sending.is_all else None, known} - {None}
        longest = known if known is not None else sending.length
        is_beyond = end is not None and longest is not None and end > longest
        if len(said) > 1 or is_beyond or min(said, default=MOST) < file.end:
            if sending.dialect is TUS:
                is_consistent = len(said) < 2 and min(said, default=MOST) >= file.end
                sending.refused = {413} if is_consistent else {400}
            elif file.state in TAKES_BYTES:
                sending.refused = {400}
                file.cancelled |= is_beyond
            else:
                sending.refused = {file.outcome or 400}
        elif known is None and max(said | {end or 0}) > file.limit:
            sending.refused = {413}
        elif file.state in TAKES_BYTES:
            file.length = min(said, default=None)
            file.deferred = file.length is None

    # and what comes of them

    @precondition(lambda self: self.sendings)
    @rule(blocks=st.lists(st.tuples(which, st.integers(1, 8)), min_size=1, max_size=8))
    def blocks_come(self, blocks: list[tuple[int, int]]) -> None:
        for number, size in blocks:
            if self.sendings:
                self.give(self.sendings[number % len(self.sendings)], size)

    @precondition(lambda self: self.sendings)
    @rule(number=which)
    def the_rest_comes(self, number: int) -> None:
        chosen = self.sendings[number % len(self.sendings)]
        while chosen in self.sendings:
            self.give(chosen, 99)

    def give(self, sending: Sending, size: int) -> None:
        block = sending.content[sending.sent : sending.sent + min(size, sending.call.asks)]
        sending.sent += len(block)
        sending.ended = not block
        if sending.is_too_long and sending.dialect is DRAFT and sending.refused is None:
            sending.file.cancelled |= sending.file.length is not None
        sending.call.go_on(block)
        self.look(sending)

    @precondition(lambda self: self.sendings)
    @rule(number=which)
    def cut(self, number: int) -> None:
        chosen = self.sendings[number % len(self.sendings)]
        chosen.ended = False  # chunks end with an empty one, and the line may break before that
        chosen.call.go_on(ConnectionResetError())
        self.look(chosen)

    # other requests

    @rule(worker=workers, file=which, dialect=offset_dialects)
    def ask_for_the_offset(self, worker: int, file: int, dialect: str) -> None:
        chosen = self.file(file)
        self.disturb(chosen)
        headers = {"Tus-Resumable": "1.0.0"} if dialect is TUS else {"Upload-Complete": "?0"}
        answer = self.ask(worker, "HEAD", chosen, headers=headers)
        if answer is None:
            return
        if chosen.outcome:
            assert answer.status == chosen.outcome
            assert "upload-offset" not in answer.headers
            return
        assert answer.status == (200 if dialect is TUS else 204)
        chosen.told = int(answer.headers["upload-offset"])
        assert chosen.told == chosen.prefix
        assert answer.headers.get("upload-length") == (
            None if chosen.length is None else str(chosen.length)
        )
        is_over = chosen.state not in TAKES_BYTES
        assert answer.headers["upload-complete"] == ("?1" if is_over else "?0")

    def query(self, worker: int, chosen: File) -> None:
        answer = self.ask(worker, "GET", chosen)
        if answer is not None:
            assert answer.status == 200
            facts = json.loads(answer.body)
            assert facts["state"] == chosen.state.value
            assert bytes_of(facts["received"]) == chosen.recorded

    @precondition(lambda self: len(self.files) > 1)
    @rule(worker=workers, file=which, dialect=st.sampled_from([NATIVE, TUS, DRAFT]))
    def cancel(self, worker: int, file: int, dialect: str) -> None:
        chosen = self.file(file)
        before = chosen.state
        if before not in (FINISHED, HANDING_OVER):
            chosen.cancelled = True
        self.disturb(chosen)
        headers = {TUS: {"Tus-Resumable": "1.0.0"}, DRAFT: {"Upload-Complete": "?0"}}
        answer = self.ask(worker, "DELETE", chosen, headers=headers.get(dialect, {}))
        if answer is None:
            return
        if chosen.cancelled:
            assert answer.status == (200 if dialect is NATIVE else 204)
            assert chosen.state is CANCELLED
        else:
            assert answer.status == (409 if dialect is NATIVE else 403)
            assert chosen.state is before

    def disturb(self, file: File) -> None:
        for sending in self.sendings:
            sending.disturbed |= sending.file is file

    def ask(self, worker: int, method: str, file: File, **more: Any) -> Answer | None:
        """None if the worker has died of it."""
        call = self.workers[worker].request(method, file.id, **more)
        assert call.asks is None
        died = self.workers[worker].dead
        self.look()
        if died:
            file.in_doubt = True
            return None
        assert call.error is None
        return call.result

    # the handover

    @rule(
        worker=workers,
        answers=st.lists(st.sampled_from([None, "done", RuntimeError, Refused]), max_size=3),
    )
    def look_after_what_is_due(self, worker: int, answers: list[Any]) -> None:
        for says in answers:
            if not self.work(self.workers[worker], says):
                break

    def work(self, worker: Worker, says: Any) -> bool:
        """Whether there was anything to do."""
        call = worker.look_after_what_is_due()
        if call.asks is not None:
            offered = call.asks
            file = next(file for file in self.files if file.id == offered.id)
            assert file.is_whole
            assert offered.path.read_bytes() == file.held[: file.length]
            assert offered.sha256 in (None, hashlib.sha256(file.held[: file.length]).hexdigest())
            assert not file.deliveries
            file.asked += 1
            file.deliveries += says in (None, "done")
            call.go_on(says if says in (None, "done") else says("no"))
            assert call.asks is None
        died = worker.dead
        self.look()
        assert died or call.error is None
        return bool(call.error is None and call.result)

    def retry(self, worker: int, file: File) -> None:
        if file.state is FAILED:
            self.workers[worker].call("retry_handover", file.id)
            self.look()

    # what must be so after every step

    def look(self, actor: Sending | None = None) -> None:
        for number, worker in enumerate(self.workers):
            if worker.dead:
                self.bury(worker)
                self.workers[number] = self.new_worker()
        for file in self.files:
            self.look_at(file, actor if actor and actor.file is file else None)
        if actor and actor in self.sendings and actor.call.asks is None:
            self.sendings.remove(actor)
            # What is whole by its length, though its last request has failed, is found out later:
            # chunks that are more, a line that breaks after it said the length, a wrong digest.
            is_wrong = actor.is_too_long or not actor.is_whole or actor.is_refuted
            actor.file.in_doubt |= actor.refused is None and is_wrong
            self.check_answer(actor)
            self.check_kept(actor)
        for file in self.files:
            if not file.in_doubt and all(one.file is not file for one in self.sendings):
                # Of an empty file whose length the web app has said somebody has to say so, too.
                assert not (file.state is UPLOADING and file.is_whole)

    def bury(self, worker: Worker) -> None:
        for sending in [one for one in self.sendings if one.worker is worker]:
            sending.file.in_doubt = True
            self.kill(sending.call)
            self.sendings.remove(sending)

    @staticmethod
    def kill(call: Stepped | None) -> None:
        while call is not None and call.asks is not None:
            call.go_on(Killed())

    def look_at(self, file: File, actor: Sending | None) -> None:
        upload = self.store.load(file.id)
        file.state, file.reason = upload.state, upload.reason
        received = bytes_of(upload.received)
        assert file.recorded <= received
        new = received - file.recorded
        if new:
            assert actor is not None
            assert new <= actor.covered & actor.gaps
            assert not actor.is_refuted
            for byte in new:
                file.held[byte] = actor.content[byte - actor.start]
            file.recorded |= new
        ends_here = actor and actor.is_all and actor.size is None and actor.is_whole
        if ends_here and actor.call.asks is None and upload.length == file.prefix:
            file.length = upload.length  # nobody could know that before
        assert (upload.length, upload.length_deferred) == (file.length, file.deferred)
        assert file.length is None or file.end <= file.length
        if file.state is CANCELLED:
            assert file.cancelled
            file.told = None
            for sending in self.sendings:
                sending.disturbed |= sending.file is file and sending is not actor
            return
        assert file.told in (None, file.prefix)
        if file.state not in TAKES_BYTES:
            assert file.is_whole
        if file.state is FINISHED:
            assert file.deliveries == 1
        elif file.recorded:
            content = (self.path / "files" / file.id).read_bytes()
            assert all(content[byte] == file.held[byte] for byte in file.recorded)
            assert file.state in TAKES_BYTES or len(content) == file.length

    def check_kept(self, sending: Sending) -> None:
        file = sending.file
        brought = sending.covered & sending.gaps
        if sending.refused is not None or sending.disturbed or sending.worker not in self.workers:
            return
        if file.state is CANCELLED or sending.is_outgrown:
            return
        if sending.is_refuted:
            assert not brought & file.recorded
        else:
            if sending.size is None and sending.is_too_long:
                brought = set()  # of the block that is too much nothing is kept
            assert brought <= file.recorded

    def check_answer(self, sending: Sending) -> None:
        file = sending.file
        if sending.worker not in self.workers:
            return
        assert sending.call.error is None
        answer: Answer = sending.call.result
        offset = answer.headers.get("upload-offset")
        if offset is not None and file.state in TAKES_BYTES:
            assert int(offset) <= file.prefix
            alone = all(one.file is not file or one.disturbed for one in self.sendings)
            if alone and not sending.disturbed and sending.refused is None:
                assert int(offset) == file.prefix
                file.told = int(offset)
        if answer.status in (200, 201, 202, 204):
            said = len(file.recorded) if offset is None else int(offset)
            assert set(range(said)) <= file.recorded or sending.dialect is NATIVE
            if not sending.creates:
                assert sending.covered <= file.recorded
                assert said >= sending.start + sending.sent or sending.dialect is NATIVE
        if sending.refused is not None:
            assert answer.status in sending.refused
            assert offset is None or sending.is_mistaken
            return
        if sending.disturbed or sending.is_outgrown:
            assert answer.status < 500
            return
        expected = {self.expected_status(sending)}
        if sending.is_dropped:  # as it was before that was read, or as it is now
            expected |= {201, 202, 422, 423} if sending.is_whole else {201, 202, 400, 422, 423}
        assert answer.status in expected

    def expected_status(self, sending: Sending) -> int:
        file, dialect = sending.file, sending.dialect
        if sending.is_too_long and dialect is not NATIVE:
            return 413 if dialect is TUS or file.length is None else 400
        if not sending.is_whole and not sending.is_dropped:
            return 400
        if sending.right_digest is False:
            return 460 if dialect is TUS else 422
        if dialect is NATIVE:
            return 200
        if sending.is_all and file.length != len(file.recorded):
            return 400  # it has said that this is all
        if file.state not in TAKES_BYTES and file.outcome:
            return file.outcome
        if dialect is TUS:
            return 201 if sending.creates else 204
        if file.state in TAKES_BYTES:
            return 201 if sending.creates else 204
        return 202 if file.state is not FINISHED else 201 if sending.creates else 200

    # the end

    def bring_to_an_end(self) -> None:
        """Every upload can be finished, from the offset that is told."""
        for worker in self.workers:
            worker.dead = True
        self.look()
        for number, file in enumerate(self.files):
            dialect = TUS if number % 2 else DRAFT
            while file.state in TAKES_BYTES:
                self.ask_for_the_offset(0, number, dialect)
                stop = min(file.told + 3, file.limit) if file.length is None else file.length
                content = CONTENT[file.told : stop]
                sending = Sending(
                    file,
                    self.workers[0],
                    dialect,
                    file.told,
                    content,
                    len(content),
                    None,
                    stop,
                    True if dialect is DRAFT else None,
                )
                self.begin(sending)
                assert sending.refused is None
                while sending in self.sendings:
                    self.give(sending, 99)
        while any(file.state not in (FINISHED, CANCELLED) for file in self.files):
            for file in self.files:
                self.retry(0, file)
            self.clock.at += 1000
            while self.work(self.workers[0], "done"):
                pass
        assert all(file.deliveries == (file.state is FINISHED) for file in self.files)


def bytes_of(pairs) -> set[int]:
    return {byte for start, stop in pairs for byte in range(start, stop)}


TestDialects = patience(Dialects.TestCase)
TestDialects.settings = effort(200, steps=20)
