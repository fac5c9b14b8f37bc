"""All contestants of a workload side by side, driven one after the other, round after round.

Started once; the order is rotated each round, so that nobody always runs behind the same one. In
the first round what was stored is compared with the source. Nothing is deleted before the end: ext4
makes files slowly for minutes after many have been deleted. They are cut to nothing and moved away.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contestants import Contestant, by_key
from dialects import Piece, Request, Run, split
from measuring import Meter
from prepare import Tools
from servers import Running
from source import Source, WrongContent
from warm import Pool
from workloads import Workload

__all__ = ["Bench", "Size", "drive", "run_workload", "write_plan"]

GB = 1e9
SLOW_SHARE = 0.25
HANDED_OVER_S = 120.0  # how long an app may take for what is complete


@dataclass(frozen=True)
class Size:
    rounds: int
    bytes: int
    small_files: float = 1.0
    """The part of the small files of a workload that is sent."""


@dataclass(frozen=True)
class Bench:
    tools: Tools
    folder: Path
    source: Source
    size: Size
    say: Callable[[str], None]


def write_plan(running: Running, connections: int, requests: Sequence[Request]) -> Path:
    """For load.c."""
    plan = running.folder / "plan"
    parts = (request.to_plan() for request in requests)
    plan.write_bytes(b"connections %d\n" % connections + b"".join(parts))
    return plan


def drive(bench: Bench, running: Running, plan: Path) -> dict[str, Any]:
    """What load.c says. Raises RuntimeError, with the server's log, if anything was refused."""
    command = [bench.tools.program("load"), str(running.port), str(bench.source.path), str(plan)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{running.folder.name}: {done.stderr}\n{running.log[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run_workload(
    bench: Bench, workload: Workload, keys: Sequence[str], *, rounds: int | None = None
) -> list[dict[str, Any]]:
    """For each of `keys` a row: the figures of each round, and what failed instead of one.

    One that fails does not end the run: the others are not to be measured again for it.
    """
    rows = [
        {
            "workload": workload.name,
            "key": key,
            "title": by_key[key].title,
            "rounds": [],
            "failures": [],
        }
        for key in keys
    ]
    with ExitStack() as stack:
        sides = []
        for key, row in zip(keys, rows, strict=True):
            sides.append(_Side(bench, workload, by_key[key], row))
            stack.callback(sides[-1].stop)
        sides = [side for side in sides if side.is_ready()]
        for number in range(rounds or bench.size.rounds):
            order = [(number + place) % len(sides) for place in range(len(sides))]
            # Backwards every other time.
            for place in order if number % 2 == 0 else reversed(order):
                said = sides[place].take_turn(check=number == 0)
                bench.say(f"{workload.name} {number + 1} {sides[place].contestant.key}: {said}")
    return rows


class _Side:
    """One contestant at work on one workload."""

    def __init__(
        self, bench: Bench, workload: Workload, contestant: Contestant, row: dict[str, Any]
    ) -> None:
        self.contestant = contestant
        self._row = row
        self._bench = bench
        self._workload = workload
        self._folder = bench.folder / workload.name / contestant.key
        self._trash = self._folder.parent / f"{contestant.key}.trash"
        self._taken = 0
        self._pool = Pool()
        environ = {"BENCHMARK_SETTINGS": json.dumps(contestant.settings)}
        self.running = Running(contestant.command, bench.tools, self._folder, environ)
        self._trash.mkdir()

    def is_ready(self) -> bool:
        """Whether it has come up; if not, its row says why."""
        try:
            self.running.wait_until_ready()
        except RuntimeError as exc:
            self._row["failures"].append(str(exc))
            self._bench.say(f"{self.contestant.key}: {exc}")
        return not self._row["failures"]

    def stop(self) -> None:
        self.running.stop()

    def take_turn(self, *, check: bool) -> str:
        """One run; its figures go into the row. What is to be said of it."""
        try:
            figures = self._run(check=check)
        except (OSError, RuntimeError, WrongContent) as exc:
            self._row["failures"].append(str(exc))
            return f"FAILED: {exc}"
        finally:
            self._clear_away()
        self._row["rounds"].append(figures)
        return _brief(figures)

    def _run(self, *, check: bool) -> dict[str, Any]:
        pieces = self._pieces()
        dialect, source = self.contestant.dialect, self._bench.source
        run = Run(self.running.port, pieces, source)
        self._pool.hold(sum(piece.length for piece in pieces))
        requests = dialect.prepare(run)
        plan = write_plan(self.running, self._workload.connections, requests)
        self._pool.release()
        meter = Meter(self.running.pids)
        client = drive(self._bench, self.running, plan)
        if self.contestant.hands_over:
            client["ended"] = self._wait_until_taken(len(pieces))
        cost = meter.stop(client_cpu_s=client["cpu_s"])
        if check and self._is_stored():
            dialect.finish(run)
            self._wait_for_files(len(list(dialect.parts(pieces))))
            source.compare(self._files(), dialect.parts(pieces))
        else:
            dialect.drop(run)
        return self._figures(client, asdict(cost), pieces)

    def _pieces(self) -> list[Piece]:
        workload, size = self._workload, self._bench.size
        share = workload.share * (SLOW_SHARE if self.contestant.slow else 1)
        if workload.piece_bytes is None:
            count, total = workload.pieces, int(size.bytes * share)
        else:
            count = max(workload.connections, int(workload.pieces * size.small_files * share))
            total = count * workload.piece_bytes
        return split(
            total,
            pieces=count,
            connections=workload.connections,
            chunk_bytes=workload.chunk_bytes,
        )

    def _wait_until_taken(self, count: int) -> float:
        """When the app had been called for all of them."""
        self._taken += count
        deadline = time.monotonic() + HANDED_OVER_S
        taken = self._folder / "taken"
        while taken.stat().st_size < self._taken:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.contestant.key}: {self.running.log[-3000:]}")
            time.sleep(0.001)
        return time.monotonic()

    def _is_stored(self) -> bool:
        return not self.contestant.key.startswith(("drop", "empty"))

    def _wait_for_files(self, count: int) -> None:
        """What is handed over after the clock comes when it comes."""
        deadline = time.monotonic() + HANDED_OVER_S
        while len(self._files()) < count:
            if time.monotonic() > deadline:
                raise WrongContent(f"{self.contestant.key}: {self.running.log[-3000:]}")
            time.sleep(0.01)

    def _files(self) -> list[Path]:
        found = (self._folder / "files").iterdir()
        return [path for path in found if self.contestant.dialect.is_file(path)]

    def _clear_away(self) -> None:
        for path in list((self._folder / "files").iterdir()):
            if path.is_dir():  # tuspyserver's locks
                continue
            with path.open("r+b") as file:
                file.truncate(0)
            path.rename(self._trash / f"{time.monotonic_ns()}-{path.name}")

    def _figures(
        self, client: dict[str, Any], cost: dict[str, Any], pieces: Sequence[Piece]
    ) -> dict[str, Any]:
        took_s = client["ended"] - client["began"]
        total = sum(piece.length for piece in pieces)
        if self._workload.small:
            rate = {
                "uploads_s": len(pieces) / took_s,
                "cpu_ms_upload": 1000 * cost["cpu_s"] / len(pieces),
                "client_cpu_ms_upload": 1000 * client["cpu_s"] / len(pieces),
            }
        else:
            rate = {
                "mb_s": total / 1e6 / took_s,
                "cpu_s_gb": cost["cpu_s"] / (total / GB),
                "client_cpu_s_gb": client["cpu_s"] / (total / GB),
            }
        return {
            **rate,
            "took_s": took_s,
            "bytes": total,
            "p50_ms": 1000 * client["p50_s"],
            "p99_ms": 1000 * client["p99_s"],
            "rss_idle_mib": cost["rss_idle_mib"],
            "rss_peak_mib": cost["rss_peak_mib"],
            "others": cost["others"],
        }


def _brief(figures: dict[str, Any]) -> str:
    if "mb_s" in figures:
        rate = f"{figures['mb_s']:.0f} MB/s, {figures['cpu_s_gb']:.2f} CPU s/GB"
    else:
        rate = f"{figures['uploads_s']:.0f} uploads/s, {figures['cpu_ms_upload']:.2f} CPU ms each"
    return f"{rate}, others {figures['others']:.2f}"
