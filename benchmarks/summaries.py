"""From the rounds of rows to the figures of a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "QUIET",
    "Row",
    "Rows",
    "best",
    "find",
    "growth_mib",
    "median",
    "quiet_rounds",
    "quotients",
    "used_rounds",
    "was_measured",
]

# Others may have had this part of one core in a run that counts as quiet,
QUIET = 0.15
# or so many seconds of it: in a short run less is only how coarsely the kernel counts.
UNCERTAIN_S = 0.03
ENOUGH = 3  # quiet runs: then the others are left out

Figures = Mapping[str, float]
Row = Mapping[str, Any]
Rows = Sequence[Row]
"""As running.py makes them: workload, key, title, rounds, again, failures."""


def was_measured(row: Row) -> bool:
    """Once failed, nothing of it counts."""
    return bool(row["rounds"]) and not row["failures"]


def find(rows: Rows, workload: str, key: str) -> Row | None:
    """None if it was not measured."""
    for row in rows:
        if (row["workload"], row["key"]) == (workload, key) and was_measured(row):
            return row
    return None


def best(
    rows: Rows, workload: str, keys: Iterable[str], name: str, *, least: bool = False
) -> Row | None:
    """Of those that were measured the one with the highest median, or the lowest."""
    found = [row for key in keys if (row := find(rows, workload, key)) is not None]
    pick = min if least else max
    return pick(found, key=lambda row: median(row, name), default=None)


def is_quiet(figures: Figures) -> bool:
    return figures["others"] < max(QUIET, UNCERTAIN_S / figures["took_s"])


def quiet_rounds(row: Row) -> list[Figures]:
    return [figures for figures in row["rounds"] if is_quiet(figures)]


def used_rounds(row: Row) -> Sequence[Figures]:
    """The quiet ones if there are enough of them, otherwise all."""
    quiet = quiet_rounds(row)
    return quiet if len(quiet) >= ENOUGH else row["rounds"]


def median(row: Row, name: str) -> float:
    return statistics.median(figures[name] for figures in used_rounds(row))


def quotients(ours: Row, theirs: Row, name: str) -> list[float]:
    """Of each round, or of those in which both were quiet if there are enough of them."""
    pairs = list(zip(ours["rounds"], theirs["rounds"], strict=True))
    quiet = [pair for pair in pairs if all(map(is_quiet, pair))]
    used = quiet if len(quiet) >= ENOUGH else pairs
    return [mine[name] / other[name] for mine, other in used]


def growth_mib(row: Row) -> float:
    """From before the first round to the highest peak of all: memory grows once."""
    rounds = row["rounds"]
    peak: float = max(figures["rss_peak_mib"] for figures in rounds)
    idle: float = rounds[0]["rss_idle_mib"]
    return peak - idle
