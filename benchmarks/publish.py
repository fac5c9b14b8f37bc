"""Results as JSON, and docs/performance.md and its chart made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chart import Panel, draw
from report import (
    fill_in,
    growth_tables,
    instructions_table,
    machine_table,
    tables,
    target_table,
)
from workloads import WORKLOADS, Workload

__all__ = ["RESULTS", "load", "publish", "save"]

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
TITLES = {workload.name: workload.title for workload in WORKLOADS}
# What only shows how the figures come about is in the tables, not in the chart.
HIDDEN = ("drop", "sink-recv", "sink-sync-end", "empty-uwsgi")


def _panel(workload: Workload) -> Panel:
    keys = tuple(key for key in workload.contestants if key not in HIDDEN)
    if workload.small:
        units = "uploads/s  ·  server CPU ms each"
        return Panel(workload.name, workload.title, keys, "uploads_s", "cpu_ms_upload", units)
    return Panel(workload.name, workload.title, keys)


PANELS = [_panel(each) for each in WORKLOADS if each.name in ("one8m", "par8m", "small")]


def save(name: str, results: dict[str, Any], folder: Path = RESULTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def load(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def publish(results: Path = RESULTS, docs: Path = DOCS) -> None:
    """Write anew what docs/performance.md has of the results that are there."""
    parts = {}
    throughput, growth = load("throughput", results), load("growth", results)
    instructions = load("instructions", results)
    if throughput is not None:
        parts["machine"] = machine_table(throughput)
        parts["targets"] = target_table(throughput["rows"], growth)
        parts["tables"] = tables(throughput["rows"], TITLES)
        (docs / "performance.svg").write_text(draw(throughput["rows"], PANELS))
    if growth is not None:
        parts["growth"] = growth_tables(growth)
    if instructions is not None:
        parts["instructions"] = instructions_table(instructions)
    page = docs / "performance.md"
    page.write_text(fill_in(page.read_text(), parts))
