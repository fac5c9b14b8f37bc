"""A real Chromium, driven by Playwright.

Without one these tests are left out and say so, except in continuous integration.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tools import program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
# A pause between two attempts at a handover, the lease of a killed process and the page's own
# questions may follow one another: nothing that is awaited here takes longer on a busy machine.
PATIENCE_MS = 60_000

if not os.environ.get("CI"):
    pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)  # set_default_timeout of a page does not reach it
    names = ("chromium", "chromium-browser", "google-chrome")
    path = program(*names, variable="CHROMIUM")
    with sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a fresh profile. A JavaScript error that nobody catches fails the test."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    yield page
    page.close()
    assert mistakes == []
