"""A headless Chromium that sends a file from a page, and what that cost."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools import DevTools, Page

__all__ = ["INSECURE_HOST", "Chromium", "ReadyPage", "Sending", "chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSECURE_HOST = "insecure.test"
"""A page from here is no secure context: it has no SHA-256, and the library goes without."""
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
OPTIONS += [f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1"]


@dataclass(frozen=True)
class Sending:
    """What the page has told, and CPU seconds of the browser's processes by their kind."""

    seconds: float
    stored_as: str | None
    requests: list[list[float]]
    """Begin and end of each request, milliseconds since the start."""
    is_secure: bool
    browser_cpu_s: dict[str, float]


class ReadyPage:
    """Its scripts have run and its file is chosen."""

    def __init__(self, devtools: DevTools, page: Page) -> None:
        self._devtools = devtools
        self._page = page

    def send(self, options: dict[str, Any]) -> Sending:
        before = self._cpu_seconds()
        told = self._page.evaluate(f"run({json.dumps(options)})")
        spent: Counter[str] = Counter()
        for process, seconds in self._cpu_seconds().items():
            spent[process[1]] += seconds - before.get(process, 0.0)
        return Sending(**told, browser_cpu_s=dict(spent))

    def _cpu_seconds(self) -> dict[tuple[int, str], float]:
        """Of each process of the browser, by its id and kind. Of one that has ended it is lost."""
        told = self._devtools.call("SystemInfo.getProcessInfo")["processInfo"]
        return {(each["id"], each["type"]): each["cpuTime"] for each in told}


class Chromium:
    def __init__(self, devtools: DevTools) -> None:
        self._devtools = devtools
        self.version: str = devtools.call("Browser.getVersion")["product"]

    @contextmanager
    def page(self, url: str, path: Path) -> Iterator[ReadyPage]:
        """In a fresh profile, which ends with it."""
        page = Page(self._devtools)
        try:
            page.open(url)
            page.choose("#file", path)
            yield ReadyPage(self._devtools, page)
        finally:
            page.close()


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
