"""One upload of the harness, and what its clients have been promised of it.

Whatever the server acknowledges is noted here at once; an answer that takes back what was
acknowledged before its request is a loss, and is noted too.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from incoming_wsgi.ranges import RangeSet

__all__ = ["Job"]

SIZES = (
    (1, lambda chosen: 0),
    (2, lambda chosen: chosen.randint(1, 100)),
    (2, lambda chosen: 65536 + chosen.randint(-1, 1)),
    (6, lambda chosen: chosen.randint(100, 1 << 20)),
    (5, lambda chosen: chosen.randint(1 << 20, 5 << 20)),
)


@dataclass(eq=False)
class Job:
    """Made by `Job.choose`. `kind`: which client sends it. `keep`: the file is to stay in the
    storage. Times are of `time.monotonic`, `finished_at` is of `time.time`."""

    number: int
    kind: str
    keep: bool
    content: bytes  # until its end
    length: int
    source: Path
    random: random.Random
    sha256: str = ""
    upload_id: str = ""
    url: str = ""  # over the bad line
    direct_url: str = ""
    cancelled: bool = False  # somebody has asked for that, answered or not
    state: str = ""  # the final one, when it has been seen
    finished_at: float | None = None
    acknowledgements: list[float] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    client_kills: int = 0
    lies: int = 0
    refused_digests: int = 0
    _stored: RangeSet = field(default_factory=RangeSet)
    _told: int = 0
    _most: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def choose(number: int, seed: str, folder: Path) -> Job:
        chosen = random.Random(f"{seed}/job/{number}")
        (size,) = chosen.choices([size for _, size in SIZES], [weight for weight, _ in SIZES])
        content = chosen.randbytes(size(chosen))
        (kind,) = chosen.choices(["object", "process", "raw", "offset"], [5, 1, 4, 4])
        source = folder / f"{number}.bin"
        source.write_bytes(content)
        return Job(
            number=number,
            kind=kind,
            keep=chosen.random() < 0.3,
            content=content,
            length=len(content),
            source=source,
            random=chosen,
            sha256=hashlib.sha256(content).hexdigest(),
        )

    @property
    def is_over(self) -> bool:
        return bool(self.state)

    @property
    def stored(self) -> RangeSet:
        """What has been acknowledged so far."""
        with self._lock:
            return self._stored

    def acknowledged(self, received: RangeSet, before: RangeSet) -> None:
        """An answer says `received`; `before` had been acknowledged when it was asked for."""
        with self._lock:
            if any(not received.covers(start, stop) for start, stop in before):
                self.losses.append(f"{before} was acknowledged, and then only {received}")
            for start, stop in received:
                if not self._stored.covers(start, stop):
                    self._stored = self._stored.add(start, stop)
            self._note(self._stored.total_bytes)

    def acknowledged_total(self, total: int) -> None:
        """The same for the one client, making one request after the other, that says no more than
        how many bytes are stored."""
        with self._lock:
            if total < self._told:
                self.losses.append(f"{self._told} bytes were acknowledged, and then only {total}")
            self._told = total
            self._note(total)

    def _note(self, total: int) -> None:
        if total > self._most:
            self._most = total
            self.acknowledgements.append(time.monotonic())
