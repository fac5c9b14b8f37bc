"""The results of the browser's rows as the Markdown of docs/performance.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import describe
from prepare import Tools
from report import fill_in, machine_table
from summaries import quiet_rounds, summary, used_rounds

__all__ = ["describe_all", "publish", "table"]

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "performance.md"
MARKER = "browser"
CLIENTS = ("tus-js-client", "@uppy/core", "@uppy/tus")
# Of what the machine has for the other tables, what has a part in this one.
CONCERNED = ("Python", "SQLite", "incoming_wsgi", "gunicorn", "Node.js", "@tus/")


def describe_all(tools: Tools, folder: Path, *, chromium: str) -> dict[str, str]:
    """The machine, and the versions of everybody concerned; `folder`: where uploads are stored."""
    machine = describe(tools, folder)
    versions = [each for each in machine["versions"].split(", ") if each.startswith(CONCERNED)]
    locked = json.loads((HERE / "package-lock.json").read_text())["packages"]
    versions += [f"{name} {locked[f'node_modules/{name}']['version']}" for name in CLIENTS]
    return {**machine, "versions": ", ".join([chromium.replace("/", " "), *versions])}


def table(results: Mapping[str, Any]) -> str:
    heads = ["page", "MB/s (min–max)", "browser CPU s/GB", "server CPU s/GB", "requests"]
    heads.append("runs (quiet)")
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    failures = []
    for row in results["rows"]:
        if row["rounds"]:
            lines.append(f"| {' | '.join(_cells(row))} |")
        if row["failures"]:
            failures.append(f"\n{row['title']}: {len(row['failures'])} runs failed.")
    return "\n".join(lines + failures)


def _cells(row: Mapping[str, Any]) -> list[str]:
    speeds = [figures["mb_s"] for figures in used_rounds(row)]
    return [
        row["title"],
        f"**{statistics.median(speeds):.0f}** ({min(speeds):.0f}–{max(speeds):.0f})",
        f"{summary(row, 'browser_cpu_s_gb'):.2f}",
        f"{summary(row, 'server_cpu_s_gb'):.2f}",
        f"{summary(row, 'requests'):.0f}",
        f"{len(row['rounds'])} ({len(quiet_rounds(row))})",
    ]


def publish(results: Mapping[str, Any], page: Path = PAGE) -> None:
    """Write anew what docs/performance.md has of them."""
    part = f"{machine_table(results)}\n\n{table(results)}"
    page.write_text(fill_in(page.read_text(), {MARKER: part}))
