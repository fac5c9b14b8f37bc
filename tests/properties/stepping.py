"""Workers in this process that go step by step, and die at any call that a test chooses.

A `Stepped` call has a thread of its own, and only one of all threads runs at a time: it stops where
it waits for the world outside (the next block of a body, the app's answer) until it is told how
that goes on. A `Worker` is an Incoming whose storage and ticket store hand every call on, until the
one of which it dies: from then on nothing that it does has an effect, as after a SIGKILL. What
the kernel does then is done here too: files are closed, locks are gone, transactions rolled back.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from webob import Request

from incoming_wsgi import Incoming
from incoming_wsgi.storage.file import FileStorage
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore

__all__ = ["Answer", "Clock", "Killed", "Stepped", "Worker"]

DEATHS = ("before", "within", "after")  # a call: within is only for a write, which stores a half


class Killed(BaseException):
    """The worker is dead. Nothing may catch this."""


class Clock:
    """Stands for the module `time` in the rooms that ask for the time."""

    def __init__(self) -> None:
        self.at = 1_000_000_000.0

    def time(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Stepped:
    """`asks` is what the call waits for; None when it is over, with its `result` or `error`."""

    _here = threading.local()

    def __init__(self, call: Callable[[], Any]) -> None:
        self.asks: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.lease: Any = None  # of housekeeping's work
        self._questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()
        self._wait()

    @classmethod
    def ask(cls, question: Any) -> Any:
        """In the thread: what the test says, or raised if it is an exception."""
        stepped: Stepped = cls._here.stepped
        stepped._questions.put(question)
        answer = stepped._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def go_on(self, answer: Any) -> None:
        self._answers.put(answer)
        self._wait()

    def _run(self, call: Callable[[], Any]) -> None:
        Stepped._here.stepped = self
        try:
            self.result = call()
        except BaseException as exc:  # noqa: BLE001 - Killed among them
            self.error = exc
        self._questions.put(None)

    def _wait(self) -> None:
        self.asks = self._questions.get(timeout=60)
        if self.asks is None:
            self._thread.join()


class Answer:
    """Of a WSGI app."""

    def __init__(self, app: Any, request: Request) -> None:
        status, headers, pieces = request.call_application(app)
        self.status = int(status.split()[0])
        self.headers = {name.lower(): value for name, value in headers}
        self.body = b"".join(pieces)


class Input:
    """A `wsgi.input` that asks the test for each block."""

    def read(self, size: int) -> bytes:
        block: bytes = Stepped.ask(size)
        return block


class Worker:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.dead = False
        self._left: int | None = None
        self._how = ""
        self.incoming = Incoming(
            folder,
            storage=_Mortal(self, FileStorage(folder)),  # type: ignore[arg-type]
            tickets=_Mortal(self, SQLiteTicketStore(folder / "incoming.db")),  # type: ignore[arg-type]
            on_finished=Stepped.ask,
            background=False,
            **settings,
        )

    def die_at_call(self, number: int, how: str) -> None:
        """The calls of storage and ticket store are counted from here on, 0 is the next."""
        self._left, self._how = number, how

    @property
    def will_die(self) -> bool:
        return self._left is not None

    def call(self, method: str, *args: Any, **kwargs: Any) -> Stepped:
        """A method of `Incoming`."""
        return Stepped(lambda: getattr(self.incoming, method)(*args, **kwargs))

    def put(self, upload_id: str, length: int, headers: dict[str, str]) -> Stepped:
        return self.send("PUT", upload_id, length, headers)

    def send(
        self, method: str, upload_id: str, length: int | None, headers: dict[str, str]
    ) -> Stepped:
        """Without a length it comes in chunks, of which the server knows the end."""
        request = Request.blank(f"/frontend/uploads/{upload_id}", method=method, headers=headers)
        request.environ["wsgi.input"] = Input()
        if length is None:
            request.environ.pop("CONTENT_LENGTH", None)
            request.environ["HTTP_TRANSFER_ENCODING"] = "chunked"
            request.environ["wsgi.input_terminated"] = True
        else:
            request.environ["CONTENT_LENGTH"] = str(length)
        return Stepped(lambda: Answer(self.incoming, request))

    def request(self, method: str, upload_id: str, **more: Any) -> Stepped:
        request = Request.blank(f"/frontend/uploads/{upload_id}", method=method, **more)
        return Stepped(lambda: Answer(self.incoming, request))

    def look_after_what_is_due(self) -> Stepped:
        """Asks with what `on_finished` is given. The result is whether there was anything."""
        housekeeping = self.incoming._housekeeping

        def work() -> bool:
            lease = housekeeping.lease_due()
            if lease is not None:
                stepped.lease = lease
                housekeeping.look_after(lease)
            return lease is not None

        # The thread must not be faster than the name `stepped`.
        stepped = Stepped(lambda: Stepped.ask("begin") and work())
        stepped.go_on(True)
        return stepped

    def renew(self, job: Stepped) -> None:
        self.incoming._housekeeping.renew(job.lease)

    def _pass_on(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self.dead:
            raise Killed
        fatal = self._left == 0
        if self._left is not None:
            self._left -= 1
        if fatal and (self._how == "before" or (self._how == "within" and name != "write")):
            self.dead = True
            raise Killed
        if fatal and self._how == "within":
            position, block, permit = args
            args = (position, memoryview(block)[: len(block) // 2], permit)
        result = call(*args, **kwargs)
        if name == "open_writer":
            result = _Mortal(self, result)
        if fatal:
            self.dead = True
            if name == "open_writer":
                result.__exit__()
            raise Killed
        return result


class _Mortal:
    """Hands every call on to `inner`, as long as the worker lives."""

    def __init__(self, worker: Worker, inner: Any) -> None:
        self._worker = worker
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._worker._pass_on(name, value, args, kwargs)

    def __enter__(self) -> _Mortal:
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.close()  # the kernel does it for who is dead
