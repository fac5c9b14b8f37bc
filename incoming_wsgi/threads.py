"""Threads that do one piece of work after the other, as many as are needed at once.

A thread that has nothing to do waits for a while before it ends: a new one costs more than most of
what it is for. All are daemons. Belongs to one process: after a fork make another.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

__all__ = ["Threads"]

IDLE_S = 5.0

Work = Callable[[], object]
Inbox = queue.SimpleQueue[Work | None]


class Threads:
    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[Inbox] = []  # of the threads that wait; who came last goes first
        self._is_closed = False

    def run(self, work: Work) -> None:
        """Begin `work`, which must not raise, at once. Raises RuntimeError if there is no thread
        for it and the system gives no more."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is not None:
            inbox.put(work)
            return
        inbox = queue.SimpleQueue()
        inbox.put(work)
        threading.Thread(target=self._live, args=(inbox,), name=self._name, daemon=True).start()

    def close(self) -> None:
        """What is under way goes on; then the threads end."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _live(self, inbox: Inbox) -> None:
        while (work := self._wait(inbox)) is not None:
            work()
            del work  # and what it holds
            with self._lock:
                if self._is_closed:
                    return
                self._idle.append(inbox)

    def _wait(self, inbox: Inbox) -> Work | None:
        """None when it is time to end."""
        try:
            return inbox.get(timeout=IDLE_S)
        except queue.Empty:
            with self._lock:
                if inbox in self._idle:
                    self._idle.remove(inbox)
                    return None
        return inbox.get()  # somebody has just chosen this thread
