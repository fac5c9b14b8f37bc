"""All contestants of a workload side by side, driven one after the other, round after round.

Started once; the order of each round is another, so that nobody always runs behind the same one. In
the first round what was stored is compared with the source. Nothing is deleted before the end: ext4
makes files slowly for minutes after many have been deleted. They are cut to nothing and moved away.
"""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contestants import Contestant, by_key
from dialects import Run
from measuring import Meter, resident_mib
from plan import Piece, Request, deal_out, to_plan
from prepare import Tools
from source import Source, WrongContent
from starting import Running
from warm import Pool
from workloads import Workload

__all__ = ["Bench", "Size", "drive", "in_turn", "run_workload", "write_plan"]

GB = 1e9
SLOW_SHARE = 0.25
WARM_UP_BYTES = 10 * 1024
HANDED_OVER_S = 120.0  # how long an app may take for what is complete
# A run of more CPU than so many times the row's least had cold memory, and is made again.
COLD = 1.5
AGAIN = 2
FAILURES = (OSError, RuntimeError, ValueError, http.client.HTTPException, WrongContent)


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
    plan.write_bytes(to_plan(connections, requests))
    return plan


def drive(bench: Bench, running: Running, plan: Path) -> dict[str, Any]:
    """What load.c says. Raises RuntimeError, with the server's log, if anything was refused."""
    command = [bench.tools.program("load"), str(running.port), str(bench.source.path), str(plan)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{running.folder.name}: {done.stderr}\n{running.log[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def in_turn(workload: str, number: int, keys: Sequence[str]) -> list[str]:
    """The order of a round: by chance, but the same in each run."""
    return random.Random(f"{workload} {number}").sample(keys, len(keys))


def run_workload(
    bench: Bench, workload: Workload, keys: Sequence[str], *, rounds: int | None = None
) -> list[dict[str, Any]]:
    """For each of `keys` a row: the figures of each round, or what failed and no figures at all.

    One that fails does not end the run: the others are not to be measured again for it.
    """
    rows = [
        {
            "workload": workload.name,
            "key": key,
            "title": by_key[key].title,
            "rounds": [],
            "again": 0,
            "failures": [],
        }
        for key in keys
    ]
    with ExitStack() as stack:
        sides = {}
        for key, row in zip(keys, rows, strict=True):
            sides[key] = _Side(bench, workload, by_key[key], row)
            stack.callback(sides[key].stop)
        for side in sides.values():
            side.get_ready()
        for number in range(rounds or bench.size.rounds):
            for key in in_turn(workload.name, number, keys):
                if not sides[key].has_failed:
                    said = sides[key].take_turn(check=number == 0)
                    bench.say(f"{workload.name} {number + 1} {key}: {said}")
    return rows


class _Side:
    """One contestant at work on one workload."""

    def __init__(
        self, bench: Bench, workload: Workload, contestant: Contestant, row: dict[str, Any]
    ) -> None:
        self._contestant = contestant
        self._row = row
        self._bench = bench
        self._workload = workload
        self._folder = bench.folder / workload.name / contestant.key
        self._trash = self._folder.parent / f"{contestant.key}.trash"
        self._pool = Pool()
        environ = {"BENCHMARK_SETTINGS": json.dumps(contestant.settings)}
        self._running = Running(contestant.command, bench.tools, self._folder, environ)
        self._trash.mkdir()

    @property
    def has_failed(self) -> bool:
        return bool(self._row["failures"])

    def get_ready(self) -> None:
        """Wait until it has come up, and send one small upload: what a server makes at its first
        is not what an upload costs. If it fails, its row says why."""
        try:
            self._running.wait_until_ready()
            self._send([Piece(0, 0, WARM_UP_BYTES, WARM_UP_BYTES)], check=False)
        except FAILURES as exc:
            self._bench.say(f"{self._contestant.key}: {self._fail(exc)}")

    def stop(self) -> None:
        self._pool.release()
        self._running.stop()

    def take_turn(self, *, check: bool) -> str:
        """One run; its figures go into the row. What is to be said of it."""
        try:
            figures = self._run(check=check)
            for _ in range(AGAIN):
                if not self._was_cold(figures):
                    break
                self._row["again"] += 1
                figures = self._run(check=False)
        except FAILURES as exc:
            return self._fail(exc)
        self._row["rounds"].append(figures)
        return _brief(figures)

    def _fail(self, exc: Exception) -> str:
        """It does no more, and what it did counts for nothing."""
        self._row["failures"].append(str(exc))
        self._row["rounds"].clear()
        self.stop()
        return f"FAILED: {exc}"

    def _was_cold(self, figures: dict[str, Any]) -> bool:
        if self._workload.small or not self._row["rounds"]:
            return False
        least: float = min(each["cpu_s_gb"] for each in self._row["rounds"])
        return figures["cpu_s_gb"] > COLD * least

    def _run(self, *, check: bool) -> dict[str, Any]:
        pieces = self._pieces()
        self._pool.hold(sum(piece.length for piece in pieces))
        return self._figures(*self._send(pieces, check=check), pieces)

    def _send(
        self, pieces: Sequence[Piece], *, check: bool
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the client says, and what it cost the server."""
        dialect, running = self._contestant.dialect, self._running
        run = Run(running.port, pieces, self._bench.source)
        idle_mib = resident_mib(running.pids)
        taken = self._taken()
        try:
            requests = dialect.prepare(run)
            plan = write_plan(running, self._workload.connections, requests)
            self._pool.release()
            meter = Meter(running.pids)
            client = drive(self._bench, running, plan)
            if self._contestant.hands_over:
                self._wait_for("files taken", taken + len(pieces), self._taken)
                client["ended"] = time.monotonic()
            cost = meter.stop(client_cpu_s=client["cpu_s"])
            if check and self._contestant.stores:
                dialect.finish(run)
                parts = list(dialect.parts(pieces))
                self._wait_for("files", len(parts), lambda: len(self._files()))
                run.source.compare(self._files(), parts)
            else:
                dialect.drop(run)
        finally:
            self._clear_away()
        return client, {**asdict(cost), "rss_idle_mib": idle_mib}

    def _pieces(self) -> list[Piece]:
        workload, size = self._workload, self._bench.size
        share = SLOW_SHARE if self._contestant.slow else 1
        if workload.piece_bytes is None:
            count, length = workload.pieces, int(size.bytes * workload.share) // workload.pieces
            # Of all the same, and whole: fewer bytes are not to be smaller requests.
            chunk_bytes = min(workload.chunk_bytes, length)
            length = max(1, int(length * share) // chunk_bytes) * chunk_bytes
        else:
            count = max(workload.connections, int(workload.pieces * size.small_files * share))
            length, chunk_bytes = workload.piece_bytes, workload.chunk_bytes
        return deal_out(count, length, connections=workload.connections, chunk_bytes=chunk_bytes)

    def _taken(self) -> int:
        """How many files the app has been called for."""
        taken = self._folder / "taken"
        return taken.stat().st_size if taken.exists() else 0

    def _wait_for(self, what: str, wanted: int, count: Callable[[], int]) -> None:
        deadline = time.monotonic() + HANDED_OVER_S
        while (found := count()) < wanted:
            if time.monotonic() > deadline:
                raise WrongContent(f"{found} of {wanted} {what}: {self._running.log[-3000:]}")
            time.sleep(0.001)

    def _files(self) -> list[Path]:
        found = (self._folder / "files").iterdir()
        return [path for path in found if self._contestant.dialect.is_file(path)]

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
