"""The table as Markdown, all figures as JSON, and what machine and versions they are of."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rows import Row

__all__ = ["Turn", "write_report"]

HERE = Path(__file__).resolve().parent
GB = 1e9
MB = 1e6


@dataclass(frozen=True)
class Turn:
    row: str
    bytes: int
    seconds: float
    requests: int
    browser_cpu_s: dict[str, float]
    """By kind of process."""
    server_cpu_s: float

    @property
    def mb_per_s(self) -> float:
        return self.bytes / MB / self.seconds

    @property
    def browser_s_per_gb(self) -> float:
        return sum(self.browser_cpu_s.values()) / (self.bytes / GB)

    @property
    def server_s_per_gb(self) -> float:
        return self.server_cpu_s / (self.bytes / GB)

    def __str__(self) -> str:
        return (
            f"{self.row}: {self.mb_per_s:.0f} MB/s, CPU s/GB: "
            f"browser {self.browser_s_per_gb:.2f}, server {self.server_s_per_gb:.2f}"
        )


def write_report(
    turns: Sequence[Turn],
    rows: Sequence[Row],
    options: argparse.Namespace,
    *,
    chromium_version: str,
) -> None:
    """Into `options.output`, and beside it with the suffix .json; the table to stdout as well."""
    table = _table(turns, rows)
    conditions = {
        "date": datetime.date.today().isoformat(),
        "machine": _machine(),
        "load_average_at_the_end": os.getloadavg(),
        "file_mib": options.mib,
        "rounds": options.rounds,
        "workers": options.workers,
        "versions": _versions(chromium_version),
    }
    output: Path = options.output
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(f"{table}\n\n{_caption(conditions)}\n")
    figures = {"conditions": conditions, "turns": [asdict(turn) for turn in turns]}
    output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    print(table)


def _table(turns: Sequence[Turn], rows: Sequence[Row]) -> str:
    lines = [
        "| page | MB/s median (min–max) | browser CPU s/GB | server CPU s/GB | requests |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        mine = [turn for turn in turns if turn.row == row.name]

        def median(figure: Callable[[Turn], float], mine: list[Turn] = mine) -> float:
            return statistics.median(map(figure, mine))

        speeds = [turn.mb_per_s for turn in mine]
        span = f"{min(speeds):.0f}–{max(speeds):.0f}"
        lines.append(
            f"| {row.name} | **{statistics.median(speeds):.0f}** ({span}) "
            f"| {median(lambda turn: turn.browser_s_per_gb):.2f} "
            f"| {median(lambda turn: turn.server_s_per_gb):.2f} "
            f"| {median(lambda turn: turn.requests):.0f} |"
        )
    return "\n".join(lines)


def _caption(conditions: dict[str, object]) -> str:
    versions = conditions["versions"]
    assert isinstance(versions, dict)
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"{conditions['date']}, {conditions['machine']}; a file of {conditions['file_mib']} MiB in "
        f"memory, {conditions['rounds']} rounds, gunicorn gthread with {conditions['workers']} "
        f"worker(s) of 8 threads. {told}."
    )


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB, Linux {platform.release()}"


def _versions(chromium_version: str) -> dict[str, str]:
    lock = json.loads((HERE / "package-lock.json").read_text())["packages"]
    names = ("tus-js-client", "@uppy/core", "@uppy/tus", "@tus/server", "@tus/file-store")
    return {
        "Chromium": chromium_version.partition("/")[2],
        "Python": platform.python_version(),
        "incoming_wsgi": version("incoming_wsgi"),
        "gunicorn": version("gunicorn"),
        **{name: lock[f"node_modules/{name}"]["version"] for name in names},
    }
