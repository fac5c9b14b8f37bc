"""A file of 5 GiB in the page: its memory stays what it was.

The file is sparse, so it costs no room on the disk where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from processes import resident_bytes
from uploading import App, Uploads, running_app
from waiting import wait_until

MIB = 1 << 20
GIB = 1 << 30
SIZE = 5 * GIB


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running_app(tmp_path) as app:
        yield app


def renderers(browser: Browser) -> dict[int, int]:
    """Resident bytes of the processes in which pages run, by process id."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return {
        process["id"]: resident_bytes(process["id"])
        for process in found
        if process["type"] == "renderer"
    }


@pytest.mark.timeout(900)
def test_a_file_of_5_gib_does_not_fill_the_page(
    app: App, page: Page, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.truncate(SIZE)
    uploads = Uploads(page, app.server.url)
    before = renderers(browser)
    uploads.start(path)
    most = 0

    def is_over() -> bool:
        nonlocal most
        page.wait_for_timeout(200)  # each look leaves something behind in the page as well
        # The browser keeps a renderer or two besides that of the page: the one that grows is it.
        now = renderers(browser)
        most = max(most, *(now.get(pid, 0) - size for pid, size in before.items()))
        return bool(uploads.get("upload.finished || upload.cancelled"))

    wait_until(is_over, "the end of the upload", 800)
    assert uploads.get("upload.finished"), uploads.state()
    arrived = app.arrived / "film.mp4"
    assert arrived.stat().st_size == SIZE
    arrived.unlink()
    print(f"the page has grown by {most / MIB:.1f} MiB")
    assert most < 100 * MIB
