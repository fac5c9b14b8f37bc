"""A headless Chromium that sends a file from a page, and what that cost."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools import DevTools, Page

__all__ = ["Chromium", "Sending", "chromium", "cpu_seconds", "process_tree"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSECURE_HOST = "insecure.test"
"""A page from here is no secure context: it has no SHA-256, and the library goes without."""
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
OPTIONS += [f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1"]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sending:
    """What the page has told, and CPU seconds of the browser's processes by their kind."""

    seconds: float
    stored_as: str | None
    requests: list[list[float]]
    """Begin and end of each request, milliseconds since the start."""
    is_secure: bool
    browser_cpu_s: dict[str, float]


class Chromium:
    def __init__(self, devtools: DevTools) -> None:
        self._devtools = devtools
        self.version: str = devtools.call("Browser.getVersion")["product"]

    def send(self, url: str, path: Path, options: dict[str, Any]) -> Sending:
        """In a page of a fresh profile, which is closed at the end."""
        page = Page(self._devtools)
        try:
            page.open(url)
            page.choose("#file", path)
            before = self._cpu_seconds()
            told = page.evaluate(f"run({json.dumps(options)})")
            after = self._cpu_seconds()
            spent: dict[str, float] = {}
            for pid, seconds in after.items():
                kind = _kind(pid)
                spent[kind] = spent.get(kind, 0.0) + seconds - before.get(pid, 0.0)
        finally:
            page.close()
        return Sending(**told, browser_cpu_s=spent)

    def _cpu_seconds(self) -> dict[int, float]:
        """Of each process of the browser. What one had used that has ended is lost."""
        return {pid: cpu_seconds([pid]) for pid in process_tree(self._devtools.process.pid)}


@contextmanager
def chromium() -> Iterator[Chromium]:
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise SystemExit(f"none of {', '.join(NAMES)} is there, and CHROMIUM names none")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        devtools = DevTools([path, *OPTIONS, f"--user-data-dir={profile}"])
        try:
            yield Chromium(devtools)
        finally:
            devtools.close()


def process_tree(root: int) -> list[int]:
    """`root` and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return tree


def cpu_seconds(pids: list[int]) -> float:
    """User and system time; of those that have ended meanwhile none."""
    stats = filter(None, map(_stat, pids))
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS_PER_S


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state (the third) on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _kind(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    for kind in ("network", "storage"):
        if f"--utility-sub-type={kind}." in arguments:
            return kind
    _, found, rest = arguments.partition("--type=")
    return rest.split("\0")[0].split()[0] if found else "browser"
