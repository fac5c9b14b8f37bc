"""A thread that makes the line of a `tcp_proxy` a bad one, at random."""

from __future__ import annotations

import random
import threading
from collections import Counter

from proxy import Proxy

__all__ = ["BadLine"]

TROUBLES = {"cut": 20, "cut_after": 35, "half_close": 15, "stall": 15, "limit": 10, "refuse": 5}


class BadLine:
    """`counts` says how often each trouble was made."""

    def __init__(self, proxy: Proxy, chosen: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self._proxy = proxy
        self._random = chosen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"bad line {proxy.port}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """From now on the line is good."""
        self._over.set()
        self._thread.join()
        self._proxy.cut_after(None)
        self._proxy.cut()

    def _run(self) -> None:
        while not self._over.wait(self._random.uniform(0.1, 1.2)):
            trouble = self._random.choices(list(TROUBLES), list(TROUBLES.values()))[0]
            self.counts[trouble] += 1
            getattr(self, f"_{trouble}")()

    def _cut(self) -> None:
        self._proxy.cut()

    def _cut_after(self) -> None:
        length = int(self._random.choice([10, 1_000, 100_000, 600_000]) * self._random.random())
        self._proxy.cut_after(length + 1, times=self._random.randint(1, 3))

    def _half_close(self) -> None:
        self._proxy.half_close(towards=self._random.choice(["server", "client"]))

    def _stall(self) -> None:
        self._proxy.stall()
        self._over.wait(self._random.uniform(0.1, 4))
        self._proxy.resume()

    def _limit(self) -> None:
        self._proxy.limit(self._random.uniform(50_000, 2_000_000))
        self._over.wait(self._random.uniform(0.1, 2))
        self._proxy.limit(None)

    def _refuse(self) -> None:
        self._proxy.refuse()
        self._over.wait(self._random.uniform(0.1, 1))
        self._proxy.accept()
