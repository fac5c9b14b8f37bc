"""Late writers: a request stalls in the middle of its chunk, another one stores and is told so,
and then the first wakes up and sends different bytes.

A liar's bytes are the file's own as long as nobody else has stored the range, since until then the
server can only believe it.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

from jobs import Job
from raw_put import RawPut, query

__all__ = ["Liars"]

LONGEST_S = 10.0


class Liars:
    """At most `most` at once: a stalled request holds a thread of the server."""

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)
        self._threads: list[threading.Thread] = []

    def join_in(self, job: Job, *, seed: str) -> None:
        """Lie about this job, if there is a liar left."""
        if job.length < 1000 or not self._free.acquire(blocking=False):
            return
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(
            target=self._run, args=(job, random.Random(seed)), name=f"liar {job.number}"
        )
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, job: Job, chosen: random.Random) -> None:
        try:
            with suppress(OSError):
                _lie_about(job, chosen)
        finally:
            self._free.release()


def _lie_about(job: Job, chosen: random.Random) -> None:
    content, deadline = job.content, time.monotonic() + LONGEST_S
    time.sleep(chosen.uniform(0, 0.3))
    said = query(job.direct_url)
    gaps = said[1].missing(0, job.length) if said else ()
    if not gaps:
        return
    start, stop = chosen.choice(gaps)
    stop = min(stop, start + 600_000)
    half = (start + stop) // 2
    url = chosen.choice([job.url, job.direct_url])
    with RawPut(url, start, stop, job.length) as put:
        put.send(content[start:half])
        while not _is_stored(job, half, stop):
            if time.monotonic() > deadline or job.is_over:
                put.send(content[half:stop])  # nobody else wants it
                return
            time.sleep(chosen.uniform(0.05, 0.5))
        time.sleep(chosen.uniform(0, 2))  # it may be complete, being handed over, or finished
        put.send(bytes(byte ^ 0xFF for byte in content[half:stop]))
        job.lies += 1
        put.answer()  # 200 or 409, as others took it all or a part; nobody believes it either way


def _is_stored(job: Job, start: int, stop: int) -> bool:
    before = job.stored
    said = query(job.direct_url)
    if said is None or said[0] == "CANCELLED":
        return False
    job.acknowledged(said[1], before)
    return said[1].covers(start, stop)
