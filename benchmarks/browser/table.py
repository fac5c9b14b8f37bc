"""The results of the browser's rows as the Markdown of docs/performance.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import circumstances
from prepare import Tools
from report import fill_in, machine_table
from summaries import median, quiet_rounds, used_rounds, was_measured

__all__ = ["circumstances_of_all", "publish", "table"]

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "performance.md"
MARKER = "browser"
CLIENTS = ("tus-js-client", "@uppy/core", "@uppy/tus")
# Of what the machine has for the other tables, what has a part in this one.
CONCERNED = ("Python", "SQLite", "incoming_wsgi", "gunicorn", "Node.js", "@tus/")


def circumstances_of_all(tools: Tools, folder: Path, *, chromium: str) -> dict[str, Any]:
    """With the versions of everybody concerned; `folder`: where uploads are stored."""
    found = circumstances(tools, folder)
    machine = found["machine"]
    versions = [each for each in machine["versions"].split(", ") if each.startswith(CONCERNED)]
    locked = json.loads((HERE / "package-lock.json").read_text())["packages"]
    versions += [f"{name} {locked[f'node_modules/{name}']['version']}" for name in CLIENTS]
    machine["versions"] = ", ".join([chromium.replace("/", " "), *versions])
    return found


def table(results: Mapping[str, Any]) -> str:
    heads = ["page", "MB/s (min–max)", "browser CPU s/GB", "server CPU s/GB", "requests"]
    heads.append("runs (quiet)")
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    failures = []
    for row in results["rows"]:
        if was_measured(row):
            lines.append(f"| {' | '.join(_cells(row))} |")
        if row["failures"]:
            failures.append(f"\n{row['title']}: failed, no figures.")
    return "\n".join(lines + failures)


def _cells(row: Mapping[str, Any]) -> list[str]:
    speeds = [figures["mb_s"] for figures in used_rounds(row)]
    return [
        row["title"],
        f"**{statistics.median(speeds):.0f}** ({min(speeds):.0f}–{max(speeds):.0f})",
        f"{median(row, 'browser_cpu_s_gb'):.2f}",
        f"{median(row, 'server_cpu_s_gb'):.2f}",
        f"{median(row, 'requests'):.0f}",
        f"{len(row['rounds'])} ({len(quiet_rounds(row))})",
    ]


def publish(results: Mapping[str, Any], page: Path = PAGE) -> None:
    """Write anew what docs/performance.md has of them."""
    part = f"{machine_table(results)}\n\n{table(results)}"
    page.write_text(fill_in(page.read_text(), {MARKER: part}))
