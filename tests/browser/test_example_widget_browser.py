"""Example 3 in a real browser: files and a folder arrive, and the page lists them as they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from example_widget import Widget, start
from playwright import sync_api as playwright
from proxy import tcp_proxy
from uploading import make_file

MIB = 1 << 20


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Widget]:
    with ExitStack() as stack:
        yield start(getattr(request, "param", "gunicorn"), tmp_path, stack)


@pytest.fixture
def complaints(page: playwright.Page) -> Iterator[list[str]]:
    """What the console says; a violation of the page's content security policy is said there."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    yield found
    assert found == []


def status(page: playwright.Page, name: str) -> playwright.Locator:
    row = page.locator("[part=row]").filter(has=page.get_by_text(name, exact=True))
    return row.locator("[part=status]")


@pytest.mark.parametrize("example", ["gunicorn", "wsgiref"], indirect=True)
def test_files_and_a_folder_arrive_and_are_listed(
    example: Widget, page: playwright.Page, complaints: list[str], tmp_path: Path
) -> None:
    lengths = {"Grüße 你好 <b>.bin": 3 * MIB + 1, "film.mp4": 8 * MIB, "empty.txt": 0}
    files = {name: make_file(tmp_path, name, length) for name, length in lengths.items()}
    (tmp_path / "photos" / "day 1").mkdir(parents=True)
    for name in ("photos/a.jpg", "photos/day 1/b.jpg"):
        files[name] = make_file(tmp_path, name, 1000)
    page.goto(example.app.url)

    page.get_by_label("Choose files").set_input_files([files[name] for name in lengths])
    page.get_by_label("Choose a folder").set_input_files(tmp_path / "photos")

    links = page.locator("#uploads").get_by_role("link")
    playwright.expect(links).to_have_count(5)
    assert set(links.all_text_contents()) == set(files) == example.arrived()
    for name, path in files.items():
        with page.expect_download() as download:
            links.filter(has_text=name).click()
        assert Path(download.value.path()).read_bytes() == path.read_bytes()


def test_a_file_is_listed_while_another_is_paused(
    example: Widget, page: playwright.Page, complaints: list[str], tmp_path: Path
) -> None:
    film = make_file(tmp_path, "film.mp4", 16 * MIB)
    with tcp_proxy(example.app.port) as line:
        line.limit(2 * MIB)
        page.goto(line.url)
        page.get_by_label("Choose files").set_input_files(film)
        page.get_by_role("button", name="Pause film.mp4").click()
        line.limit(None)

        page.get_by_label("Choose files").set_input_files(make_file(tmp_path, "notes.txt", 10))

        links = page.locator("#uploads").get_by_role("link")
        playwright.expect(links).to_have_text(["notes.txt"])
        page.get_by_role("button", name="Resume film.mp4").click()
        playwright.expect(links).to_have_count(2)
        assert (example.uploads / "film.mp4").read_bytes() == film.read_bytes()


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_element_has_the_colours_of_the_page(
    example: Widget,
    page: playwright.Page,
    complaints: list[str],
    tmp_path: Path,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    """A picture of each is left in the folder of the test."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(example.app.url)
    page.get_by_label("Choose files").set_input_files(make_file(tmp_path, "notes.txt", 10))
    link = page.locator("#uploads").get_by_role("link")
    playwright.expect(link).to_have_count(1)
    playwright.expect(status(page, "notes.txt")).to_have_text("Uploaded · 10 byte")
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)

    accent = {"light": "rgb(11, 107, 203)", "dark": "rgb(88, 166, 255)"}[scheme]
    playwright.expect(link).to_have_css("color", accent)
    playwright.expect(page.locator("[part~=choose-files]")).to_have_css("background-color", accent)
    card = page.locator("#uploads").evaluate("node => getComputedStyle(node).backgroundColor")
    playwright.expect(page.locator("[part=zone]")).to_have_css("background-color", card)
    playwright.expect(page.locator("[part=zone]")).to_have_css("border-top-style", "dashed")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
