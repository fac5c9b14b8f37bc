"""What grows with use and should not be felt: the store, uploads at once, the ranges of a file."""

from __future__ import annotations

import json
import statistics
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import starting
from dialects import Incoming, Run
from machine import circumstances
from plan import Piece, Request
from prepare import Tools
from running import Bench, drive, run_workload, write_plan
from starting import Running
from workloads import Workload

__all__ = ["FULL", "QUICK", "Extent", "measure"]

HERE = Path(__file__).parent
KIB = 1024
MIB = 1024 * KIB
RANGES = (10, 100, 1_000, 4_000)
AT_ONCE_CHUNK_BYTES, AT_ONCE_CHUNKS = MIB, 2
CHUNK_BYTES = 64 * KIB
REQUESTS = 100  # of each kind in a round


@dataclass(frozen=True)
class Extent:
    open: int
    finished: int
    at_once: tuple[int, ...]
    """Numbers of uploads."""

    @property
    def source_bytes(self) -> int:
        return max(self.at_once) * AT_ONCE_CHUNKS * AT_ONCE_CHUNK_BYTES


FULL = Extent(100_000, 1_000_000, at_once=(64, 512))
QUICK = Extent(1_000, 10_000, at_once=(4, 16))


def measure(bench: Bench, extent: Extent) -> dict[str, Any]:
    """Raises RuntimeError if an upload failed."""
    return {
        **circumstances(bench.tools, bench.tools.folder),
        "open": extent.open,
        "finished": extent.finished,
        "chunk_mib": AT_ONCE_CHUNK_BYTES // MIB,
        "full": compare_stores(bench, extent.open, extent.finished),
        "memory": [uploads_at_once(bench, count) for count in extent.at_once],
        "ranges": huge_file(bench),
    }


def compare_stores(bench: Bench, count_open: int, count_finished: int) -> dict[str, Any]:
    """Median milliseconds of each kind of request in an empty store and in a full one."""
    folders = {name: bench.folder / "growth" / name for name in ("empty", "full")}
    bench.say(f"filling a store with {count_open:,} open and {count_finished:,} finished uploads")
    store = folders["full"] / "incoming"
    store.mkdir(parents=True)
    _in_process(bench.tools, "fill_store", store, count_open, count_finished)
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        running = {}
        for name, folder in folders.items():
            running[name] = Running(starting.gunicorn("ours"), bench.tools, folder, {})
            stack.callback(running[name].stop)
        for each in running.values():
            each.wait_until_ready()
        for number in range(bench.size.rounds):
            for name in sorted(running, reverse=bool(number % 2)):
                for kind, took_ms in _ask_each(bench, running[name]).items():
                    found.setdefault(kind, {}).setdefault(name, []).append(took_ms)
                    bench.say(f"growth {number + 1} {name} {kind}: {took_ms:.3f} ms")
    return {
        kind: {
            "empty_ms": statistics.median(of["empty"]),
            "full_ms": statistics.median(of["full"]),
            "ratio": statistics.median(of["full"]) / statistics.median(of["empty"]),
        }
        for kind, of in found.items()
    }


def _ask_each(bench: Bench, running: Running) -> dict[str, float]:
    piece = Piece(0, 0, REQUESTS * CHUNK_BYTES, CHUNK_BYTES)
    chunks = Incoming().prepare(Run(running.port, [piece], bench.source))
    path = chunks[0].path
    kinds = {
        "create": [Request(0, f"POST /ticket?length={MIB}")] * REQUESTS,
        "chunk": chunks,
        "status": [Request(0, f"GET {path}")] * REQUESTS,
    }
    return {
        kind: 1000 * drive(bench, running, write_plan(running, 1, requests))["p50_s"]
        for kind, requests in kinds.items()
    }


def uploads_at_once(bench: Bench, count: int) -> dict[str, Any]:
    workload = Workload(
        f"at-once-{count}",
        "",
        connections=count,
        pieces=count,
        piece_bytes=AT_ONCE_CHUNKS * AT_ONCE_CHUNK_BYTES,
        contestants=(),
        chunk_bytes=AT_ONCE_CHUNK_BYTES,
    )
    (row,) = run_workload(bench, workload, ["ours-w1"], rounds=1)
    if row["failures"]:
        raise RuntimeError(row["failures"][0])
    figures = row["rounds"][0]
    return {
        "uploads": count,
        "rss_idle_mib": figures["rss_idle_mib"],
        "rss_peak_mib": figures["rss_peak_mib"],
    }


def huge_file(bench: Bench) -> list[dict[str, float]]:
    folder = bench.folder / "huge"
    bench.say("a file of 5 TiB in random order")
    found: list[dict[str, float]] = json.loads(
        _in_process(bench.tools, "huge_file", folder, *RANGES)
    )
    for each in found:
        bench.say(f"huge {each}")
    return found


def _in_process(tools: Tools, program: str, *arguments: object) -> str:
    command = [tools.python, HERE / "in_process" / f"{program}.py", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
