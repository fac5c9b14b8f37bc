"""A thread that kills, stops and restarts the server's processes and the web app, at random."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress

from processes import workers
from servers import Server

__all__ = ["Killer"]

DEEDS = {
    "kill_worker": 45,
    "freeze_worker": 15,
    "end_worker": 8,
    "kill_master": 10,
    "end_master": 7,
    "kill_app": 15,
}


class Killer:
    """`counts` says how often each was done, `kills` when the server was hit (monotonic seconds).

    A worker is frozen for `freeze_s` at most. The thread starts again what it ends as a whole;
    gunicorn does that for its workers.
    """

    def __init__(
        self, server: Server, app: Server, chosen: random.Random, *, freeze_s: float
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.kills: list[float] = []
        self._server = server
        self._app = app
        self._random = chosen
        self._freeze_s = freeze_s
        self._over = threading.Event()
        self._frozen: dict[int, float] = {}
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="killer")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Everything runs when this returns. Raises what ended the thread early."""
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._over.wait(self._random.uniform(0.2, 2)):
                deed = self._random.choices(list(DEEDS), list(DEEDS.values()))[0]
                getattr(self, f"_{deed}")()
                self.counts[deed] += 1
                self._thaw(by=time.monotonic())
        except BaseException as exc:  # noqa: BLE001 - raised by `stop`
            self._failure = exc
        finally:
            self._thaw(by=math.inf)

    def _kill_worker(self) -> None:
        self._signal_worker(signal.SIGKILL)

    def _end_worker(self) -> None:
        self._signal_worker(signal.SIGTERM)

    def _freeze_worker(self) -> None:
        pid = self._signal_worker(signal.SIGSTOP)
        if pid is not None:
            self._frozen[pid] = time.monotonic() + self._random.uniform(0, self._freeze_s)

    def _thaw(self, by: float) -> None:
        for pid in [pid for pid, until in self._frozen.items() if until <= by]:
            del self._frozen[pid]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _signal_worker(self, number: signal.Signals) -> int | None:
        alive = workers(self._server.pid)
        if not alive:
            return None  # both on their way
        pid = self._random.choice(alive)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            self._hit()
        return pid

    def _kill_master(self) -> None:
        self._hit()
        self._server.kill()
        self._over.wait(self._random.uniform(0, 1))
        self._server.start()

    def _end_master(self) -> None:
        self._hit()
        self._server.stop()
        self._server.kill()  # what it has left behind
        self._server.start()

    def _kill_app(self) -> None:
        self._app.kill()
        self._over.wait(self._random.uniform(0, 2))
        self._app.start()

    def _hit(self) -> None:
        self.kills.append(time.monotonic())
