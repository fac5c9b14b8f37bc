"""From the rounds of a row to the figures of a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["QUIET", "Row", "Rows", "find", "quiet_rounds", "summary", "used_rounds"]

# Others may have had this part of one core in a run that counts as quiet.
QUIET = 0.15
ENOUGH = 3  # quiet runs: then the others are left out

Row = Mapping[str, Any]
Rows = Sequence[Row]
"""As running.py makes them: workload, key, title, rounds, failures."""


def find(rows: Rows, workload: str, key: str) -> Row | None:
    """None if it was not measured."""
    for row in rows:
        if (row["workload"], row["key"]) == (workload, key) and row["rounds"]:
            return row
    return None


def quiet_rounds(row: Row) -> list[Mapping[str, float]]:
    return [figures for figures in row["rounds"] if figures["others"] < QUIET]


def used_rounds(row: Row) -> Sequence[Mapping[str, float]]:
    """The quiet ones if there are enough of them, otherwise all."""
    quiet = quiet_rounds(row)
    return quiet if len(quiet) >= ENOUGH else row["rounds"]


def summary(row: Row, name: str) -> float:
    """The median of a figure; of the growth of resident memory, the largest."""
    rounds = used_rounds(row)
    if name == "rss_growth_mib":
        return max(figures["rss_peak_mib"] - figures["rss_idle_mib"] for figures in rounds)
    return statistics.median(figures[name] for figures in rounds)
