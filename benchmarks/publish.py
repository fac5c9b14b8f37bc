"""Results as JSON, and what docs/ has of them: tables in two pages, and a chart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chart import Panel, draw
from contestants import SINKS, by_key
from report import (
    fill_in,
    growth_tables,
    instructions_table,
    machine_table,
    made,
    server_table,
    tables,
    target_table,
)
from summaries import Rows, best
from workloads import WORKLOADS, Workload

__all__ = ["RESULTS", "TITLES", "load", "publish", "save"]

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
TITLES = {workload.name: workload.title for workload in WORKLOADS}
IN_CHART = ("one8m", "par8m", "small")


def _panel(rows: Rows, workload: Workload) -> Panel:
    keys = [key for key in workload.contestants if by_key[key].in_chart]
    limit = best(rows, workload.name, SINKS, "mb_s")
    if limit is not None:
        keys = [key for key in keys if key not in SINKS or key == limit["key"]]
    if workload.small:
        units = "uploads/s  ·  server CPU ms each"
        return Panel(
            workload.name, workload.title, tuple(keys), "uploads_s", "cpu_ms_upload", units
        )
    return Panel(workload.name, workload.title, tuple(keys))


def save(name: str, results: dict[str, Any], folder: Path = RESULTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def load(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def publish(results: Path = RESULTS, docs: Path = DOCS) -> None:
    """Write anew what the pages of `docs` have of the results that are there."""
    parts = {}
    throughput, growth = load("throughput", results), load("growth", results)
    instructions = load("instructions", results)
    if throughput is not None:
        rows = throughput["rows"]
        parts["machine"] = machine_table(throughput)
        parts["targets"] = target_table(rows, growth)
        parts["tables"] = tables(rows, TITLES)
        panels = [_panel(rows, each) for each in WORKLOADS if each.name in IN_CHART]
        (docs / "performance.svg").write_text(draw(rows, panels))
        _write(docs / "deploy.md", {"figures": server_table(rows)})
    of = throughput["commit"] if throughput is not None else None
    if growth is not None:
        parts["growth"] = f"{growth_tables(growth)}\n\n{made(growth, of)}"
    if instructions is not None:
        parts["instructions"] = f"{instructions_table(instructions)}\n\n{made(instructions, of)}"
    _write(docs / "performance.md", parts)


def _write(page: Path, parts: Mapping[str, str]) -> None:
    page.write_text(fill_in(page.read_text(), parts))
