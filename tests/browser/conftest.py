"""Real browsers: a Chromium, driven by Playwright, and a Firefox.

Without one its tests are left out and say so, except in continuous integration.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from firefox import Firefox, running_firefox
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


@pytest.fixture(scope="session")
def one_firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with running_firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


@pytest.fixture
def firefox(one_firefox: Firefox) -> Iterator[Firefox]:
    """An empty tab, in the profile of all tests: what a page keeps, it keeps for its own port.

    A JavaScript error that nobody catches fails the test.
    """
    one_firefox.new_tab()
    one_firefox.take_mistakes()
    yield one_firefox
    one_firefox.new_tab()
    assert one_firefox.take_mistakes() == []
