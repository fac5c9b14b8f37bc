"""Example 1 in a real browser: what a person sees who uploads a file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from example_apps import stand_alone
from example_simple import Simple, backend, start
from playwright import sync_api as playwright

MIB = 1 << 20


@pytest.fixture(params=["gunicorn", "wsgiref", "beside"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Simple]:
    with ExitStack() as stack:
        yield start(request.param, tmp_path, stack)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Simple]:
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


def make_file(folder: Path, name: str, length: int, seed: int = 0) -> Path:
    path = folder / name
    path.write_bytes(random.Random(seed).randbytes(length))
    return path


def expect_text(page: playwright.Page, selector: str, text: str) -> None:
    playwright.expect(page.locator(selector)).to_have_text(text)


def limit_speed(page: playwright.Page, bytes_per_s: int) -> None:
    """Of what the page sends; -1 for no limit."""
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1}
    conditions["uploadThroughput"] = bytes_per_s
    session = page.context.new_cdp_session(page)
    session.send("Network.emulateNetworkConditions", conditions)


def listed(page: playwright.Page) -> list[str]:
    return page.locator("#uploads a").all_text_contents()


def test_a_selected_file_arrives_and_is_in_the_list(
    example: Simple, page: playwright.Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "Grüße 你好 <b>.bin", 10 * MIB + 1)
    page.goto(example.app.url)

    page.get_by_label("File to upload").set_input_files(path)

    expect_text(page, "#message", "Grüße 你好 <b>.bin has arrived.")
    expect_text(page, "#numbers", "10,485,761 of 10,485,761 bytes (100 %) – Finished")
    playwright.expect(page.get_by_role("link")).to_have_text(["Grüße 你好 <b>.bin"])
    assert (example.uploads / path.name).read_bytes() == path.read_bytes()
    with page.expect_download() as download:
        page.get_by_role("link").click()
    assert Path(download.value.path()).read_bytes() == path.read_bytes()


def test_one_file_after_another_needs_no_reload(
    example: Simple, page: playwright.Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "photo.jpg", 3 * MIB)
    page.goto(example.app.url)

    for names in (["photo.jpg"], ["photo (2).jpg", "photo.jpg"]):
        playwright.expect(page.get_by_label("File to upload")).to_be_enabled()
        page.get_by_label("File to upload").set_input_files(path)
        playwright.expect(page.locator("#uploads a")).to_have_count(len(names))
        assert sorted(listed(page)) == names


def test_an_upload_goes_on_when_the_server_has_been_killed(
    mounted: Simple, page: playwright.Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 32 * MIB)
    page.goto(mounted.app.url)
    limit_speed(page, 8 * MIB)
    page.get_by_label("File to upload").set_input_files(path)
    page.wait_for_function("document.getElementById('bar').value > 0.1")

    mounted.app.kill()
    page.wait_for_function(
        "document.getElementById('numbers').textContent.includes(' – Trying again: ')"
    )
    playwright.expect(page.get_by_label("File to upload")).to_be_disabled()
    limit_speed(page, -1)
    mounted.app.start()

    expect_text(page, "#message", "film.mp4 has arrived.")
    assert (mounted.uploads / "film.mp4").read_bytes() == path.read_bytes()


def test_a_file_that_cannot_be_taken_is_said_and_another_one_can_be_selected(
    page: playwright.Page, tmp_path: Path
) -> None:
    with stand_alone(tmp_path, INCOMING_MAX_LENGTH_BYTES=str(MIB)) as server:
        host = f"127.0.0.1:{server.port}"
        with backend(tmp_path, "--internal_incoming_host", host) as app:
            page.goto(app.url)
            chooser = page.get_by_label("File to upload")

            chooser.set_input_files(make_file(tmp_path, "big.bin", MIB + 1))
            message = page.locator("#message.error")
            playwright.expect(message).to_contain_text("Trouble with big.bin: ")
            playwright.expect(chooser).to_be_enabled()
            chooser.set_input_files(make_file(tmp_path, "small.bin", MIB))

            expect_text(page, "#message", "small.bin has arrived.")
            playwright.expect(page.locator("#message.error")).to_have_count(0)


def test_the_page_says_that_the_library_cannot_be_loaded(
    mounted: Simple, page: playwright.Page
) -> None:
    page.route("**/incoming.js", lambda route: route.abort())

    page.goto(mounted.app.url)

    expect_text(
        page,
        "#message",
        "The upload server cannot be reached. Please reload this page in a minute.",
    )
    playwright.expect(page.get_by_label("File to upload")).to_be_disabled()


def test_a_file_can_be_downloaded_during_an_upload(
    mounted: Simple, page: playwright.Page, tmp_path: Path
) -> None:
    mounted.upload(b"there already", "first.txt")
    page.goto(mounted.app.url)
    # Chunks are on their way as long as the test wants.
    page.route("**/frontend/uploads/*", lambda route: None)
    page.get_by_label("File to upload").set_input_files(make_file(tmp_path, "film.mp4", MIB))
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))

    with page.expect_download() as download:
        page.get_by_role("link").click()

    assert Path(download.value.path()).read_bytes() == b"there already"
    assert asked == []


def test_a_person_is_asked_before_an_upload_is_given_up(
    mounted: Simple, page: playwright.Page, tmp_path: Path
) -> None:
    page.goto(mounted.app.url)
    # Chunks are on their way as long as the test wants.
    page.route("**/frontend/uploads/*", lambda route: None)
    page.get_by_label("File to upload").set_input_files(make_file(tmp_path, "film.mp4", MIB))
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))

    page.reload()

    assert asked == ["beforeunload"]
