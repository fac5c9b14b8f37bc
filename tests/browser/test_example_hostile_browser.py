"""Names that are code, in the pages of the examples: a browser shows them and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import example_dynamic
import example_simple
import example_widget
import pytest
from example_apps import Example
from playwright import sync_api as playwright

# No slash, which cannot be in a name on disk, and no need of one.
NAMES = [
    "<img src=x onerror=alert(1)>.html",
    '"><svg onload=alert(1)>.svg',
    "' onmouseover='alert(1)' x='.txt",
    "{{7*7}} &lt;b&gt; <b>.txt",
    "javascript:alert(1)",
]


@pytest.fixture
def alerts(page: playwright.Page) -> Iterator[list[str]]:
    """Whatever runs says so."""
    said: list[str] = []

    def hear(dialog: playwright.Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", hear)
    yield said
    assert said == []


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def chosen(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"<script>alert(1)</script>")
    return path


def assert_shown_and_not_run(page: playwright.Page, example: Example, links: str) -> None:
    """As the page has become, and as a new visitor gets it."""
    for _ in range(2):
        playwright.expect(page.locator(links)).to_have_count(len(NAMES))
        assert set(page.locator(links).all_text_contents()) == set(NAMES)
        assert page.locator("img, b, [onmouseover], [onerror], [onload]").count() == 0
        for link in page.locator(links).all():
            link.hover()
            with page.expect_download() as download:
                link.click()
            assert Path(download.value.path()).read_bytes() == b"<script>alert(1)</script>"
        page.goto(example.app.url)


def test_simple(page, alerts, tmp_path, stack) -> None:
    example = example_simple.start("gunicorn", tmp_path, stack)
    page.goto(example.app.url)
    chooser = page.get_by_label("File to upload")
    for name in NAMES:
        playwright.expect(chooser).to_be_enabled()  # the page has a new ticket
        chooser.set_input_files(chosen(tmp_path, name))
        playwright.expect(page.locator("#message")).to_have_text(f"{name} has arrived.")
    assert_shown_and_not_run(page, example, "#uploads a")


def test_dynamic(page, alerts, tmp_path, stack) -> None:
    example = example_dynamic.start("gunicorn", tmp_path, stack)
    page.goto(example.app.url)
    page.locator("#files").set_input_files([chosen(tmp_path, name) for name in NAMES])
    playwright.expect(page.locator("#uploads h2")).to_have_count(len(NAMES))
    assert set(page.locator("#uploads h2").all_text_contents()) == set(NAMES)
    assert_shown_and_not_run(page, example, "#arrived a")


def test_dynamic_shows_a_reason_as_text(page, alerts, tmp_path, stack) -> None:
    example = example_dynamic.start("gunicorn", tmp_path, stack)
    page.goto(example.app.url)
    # Held up before its first byte.
    page.route("**/frontend/uploads/*", lambda route: None, times=1)
    page.locator("#files").set_input_files(chosen(tmp_path, NAMES[0]))
    page.get_by_label("Reason for cancelling").fill(NAMES[1])
    page.get_by_role("button", name="Cancel").click()
    playwright.expect(page.locator(".outcome")).to_have_text(f"It was cancelled: {NAMES[1]}")
    assert page.locator("img, svg").count() == 0


def test_widget(page, alerts, tmp_path, stack) -> None:
    example = example_widget.start("gunicorn", tmp_path, stack)
    page.goto(example.app.url)
    files = [chosen(tmp_path, name) for name in NAMES]
    page.get_by_label("Choose files").set_input_files(files)
    playwright.expect(page.locator("#uploads a")).to_have_count(len(NAMES))
    for name in NAMES:
        assert page.locator("[part=row]").filter(has_text=name).count() == 1
    assert_shown_and_not_run(page, example, "#uploads a")
