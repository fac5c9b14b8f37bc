"""What was wanted, and what the results say.

A target is a quotient of two rows of one table, taken in each round, or one figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contestants import SINKS
from summaries import Rows, best, find, growth_mib, quotients

__all__ = ["TARGETS", "Target", "measured"]


@dataclass(frozen=True)
class Target:
    what: str
    wanted: float
    workload: str
    figure: str
    ours: str
    theirs: tuple[str, ...] = ()
    """The best of them counts."""
    at_most: bool = False
    unit: str = ""

    def is_met(self, value: float) -> bool:
        return value <= self.wanted if self.at_most else value >= self.wanted


def _speed(workload: str, ours: str, theirs: str, wanted: float, what: str) -> Target:
    return Target(what, wanted, workload, "mb_s", ours, _or_other_sink(theirs))


def _cpu(workload: str, ours: str, theirs: str, wanted: float, what: str) -> Target:
    others = _or_other_sink(theirs)
    return Target(what, wanted, workload, "cpu_s_gb", ours, others, at_most=True)


def _or_other_sink(theirs: str) -> tuple[str, ...]:
    return SINKS if theirs in SINKS else (theirs,)


def _on_server(name: str, title: str) -> Target:
    return _speed("servers", f"ours-{name}", f"naive-{name}", 0.9, f"{title}: to the naive loop")


ONE = "one connection, 1 worker: to "
FOUR = "four connections, 2 workers: to "
ONE_CPU = "CPU s/GB, one connection, 1 worker: to "
FOUR_CPU = "CPU s/GB, four connections, 2 workers: to "
SMALL = "10 KiB files in one request, 2 workers: to "

TARGETS = (
    _speed("one8m", "ours-w1", "sink", 0.70, ONE + "the C sink"),
    _speed("one8m", "ours-w1", "nginx", 1.1, ONE + "nginx"),
    _speed("one8m", "ours-w1", "tus-node", 3.5, ONE + "@tus/server"),
    _speed("par8m", "ours-w2", "sink", 0.75, FOUR + "the C sink"),
    _speed("par8m", "ours-w2", "nginx", 1.0, FOUR + "nginx"),
    _speed("par8m", "ours-w2", "tus-node", 3.0, FOUR + "@tus/server"),
    _cpu("one8m", "ours-w1", "sink", 1.5, ONE_CPU + "the C sink"),
    _cpu("one8m", "ours-w1", "nginx", 1.15, ONE_CPU + "nginx"),
    _cpu("one8m", "ours-w1", "tus-node", 0.22, ONE_CPU + "@tus/server"),
    _cpu("par8m", "ours-w2", "sink", 1.5, FOUR_CPU + "the C sink"),
    _cpu("par8m", "ours-w2", "nginx", 1.15, FOUR_CPU + "nginx"),
    _cpu("par8m", "ours-w2", "tus-node", 0.22, FOUR_CPU + "@tus/server"),
    _speed("one8m", "ours-sha256", "ours-w1", 0.75, "SHA-256 of each chunk checked: to without"),
    Target(
        SMALL + "@tus/server's create + send",
        3,
        "small",
        "uploads_s",
        "small-w2",
        ("small-tus-node",),
    ),
    Target(
        SMALL + "an app that only reads the body",
        0.3,
        "small",
        "uploads_s",
        "small-w2",
        ("empty-w2",),
    ),
    Target(
        "memory growth, 64 uploads at once",
        8,
        "conc64",
        "rss_growth_mib",
        "ours-w1",
        at_most=True,
        unit=" MiB",
    ),
    _speed(
        "one8m",
        "ours-disk",
        "sink-sync",
        0.85,
        'durability="disk": to a C sink syncing as often',
    ),
    _on_server("uwsgi", "uWSGI"),
    _on_server("granian", "granian"),
    _on_server("waitress-tuned", "waitress, tuned"),
    _on_server("wsgiref", "wsgiref"),
    *(
        Target(
            f"{what} with 100,000 open and 1,000,000 finished uploads: time, to an empty store",
            1.2,
            "growth",
            "ratio",
            what,
            at_most=True,
        )
        for what in ("create", "chunk", "status")
    ),
)


def measured(target: Target, rows: Rows, growth: Mapping[str, Any] | None) -> list[float]:
    """The quotient of each round, or the one figure; nothing if a row it needs was not measured."""
    if target.workload == "growth":
        return [] if growth is None else [float(growth["full"][target.ours]["ratio"])]
    ours = find(rows, target.workload, target.ours)
    if ours is None:
        return []
    if not target.theirs:
        return [growth_mib(ours)]
    theirs = best(rows, target.workload, target.theirs, target.figure, least=target.at_most)
    return [] if theirs is None else quotients(ours, theirs, target.figure)
