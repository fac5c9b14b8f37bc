"""Example 2 in a real browser: several files at once, pause, cancel, and all that is known of them.

The page's Content-Security-Policy holds for Playwright too: no `wait_for_function` with a text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from example_dynamic import Dynamic, start
from playwright import sync_api as playwright
from uploading import chunks_held
from waiting import wait_until

MIB = 1 << 20
TYPES = Path(__file__).parents[2] / "static" / "incoming.d.ts"


@pytest.fixture(params=["gunicorn", "wsgiref", "beside"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dynamic]:
    with ExitStack() as stack:
        yield start(request.param, tmp_path, stack)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Dynamic]:
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


def complete_library(page: playwright.Page, resumable: str) -> None:
    """Let `incoming.resumable` of the browser library be this function of JavaScript."""

    def answer(route: playwright.Route) -> None:
        original = route.fetch()
        route.fulfill(
            response=original,
            body=f"{original.text()}\nincoming = {{ ...incoming, resumable: {resumable} }};",
        )

    page.route("**/incoming.js", answer)


def make_file(folder: Path, name: str, length: int) -> Path:
    path = folder / name
    path.write_bytes(random.Random(name).randbytes(length))
    return path


def limit_speed(page: playwright.Page, bytes_per_s: int) -> None:
    """Of what the page sends; -1 for no limit."""
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1}
    conditions["uploadThroughput"] = bytes_per_s
    session = page.context.new_cdp_session(page)
    session.send("Network.emulateNetworkConditions", conditions)


def card(page: playwright.Page, name: str) -> playwright.Locator:
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.locator("section.upload").filter(has=heading)


def shown(place: playwright.Locator, name: str) -> str:
    return str(place.locator(f'[data-property="{name}"]').text_content())


def expect_shown(place: playwright.Locator, name: str, text: str) -> None:
    playwright.expect(place.locator(f'[data-property="{name}"]')).to_have_text(text)


def stored(place: playwright.Locator) -> float:
    return float(place.get_by_label("Stored").evaluate("bar => bar.value"))


def test_several_files_at_once_arrive(
    example: Dynamic, page: playwright.Page, tmp_path: Path
) -> None:
    lengths = {"Grüße 你好 <b>.bin": 3 * MIB + 1, "film.mp4": 8 * MIB, "empty.txt": 0}
    paths = [make_file(tmp_path, name, length) for name, length in lengths.items()]
    page.goto(example.app.url)

    page.get_by_label("Files to upload").set_input_files(paths)

    for path in paths:
        playwright.expect(card(page, path.name).get_by_role("status")).to_have_text(
            "It has arrived."
        )
    links = page.locator("#arrived").get_by_role("link")
    playwright.expect(links).to_have_count(3)
    for path in paths:
        with page.expect_download() as download:
            links.filter(has_text=path.name).click()
        assert Path(download.value.path()).read_bytes() == path.read_bytes()
    assert {facts["length"] for facts in example.arrived()} == set(lengths.values())


def test_every_property_of_an_uploader_is_shown(
    mounted: Dynamic, page: playwright.Page, tmp_path: Path
) -> None:
    described = TYPES.read_text().partition("export interface Uploader extends")[2]
    described = described.partition("\n}\n")[0]
    names = set(re.findall(r"^  readonly (\w+):", described, re.MULTILINE))
    page.goto(mounted.app.url)

    page.get_by_label("Files to upload").set_input_files(make_file(tmp_path, "notes.txt", 2000))

    place = card(page, "notes.txt")
    expect_shown(place, "finished", "true")
    terms = place.locator("dt").all_text_contents()
    # Which ticket, which folder, and a promise: not for people.
    assert set(terms) == names - {"upload_id", "relative_path", "done"}
    assert len(set(terms)) == len(terms)
    known = {
        "filename": "notes.txt",
        "state_msg": "Finished",
        "bytes_total": "2000",
        "bytes_tx": "2000",
        "bytes_acked": "2000",
        "bytes_ahead": "0",
        "frac_complete": "1",
        "chunks_tx_now": "1",
        "chunks_acked_now": "1",
        "chunks_ahead": "0",
        "paused": "false",
        "can_pause": "false",
        "cancelling": "false",
        "cancelled": "false",
        "can_cancel": "false",
        "cancel_msg": "–",
        "error_code": "–",
        "error_msg": "–",
    }
    assert {name: shown(place, name) for name in known} == known


def test_an_upload_pauses_and_goes_on_while_another_one_is_sent(
    mounted: Dynamic, page: playwright.Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    page.goto(mounted.app.url)
    limit_speed(page, 8 * MIB)
    page.get_by_label("Files to upload").set_input_files(path)
    film = card(page, "film.mp4")
    wait_until(lambda: stored(film) > 0.1, "a tenth of the film")

    film.get_by_role("button", name="Pause").click()
    expect_shown(film, "paused", "true")
    expect_shown(film, "connected", "false")
    before = stored(film)
    limit_speed(page, -1)
    page.get_by_label("Files to upload").set_input_files(make_file(tmp_path, "notes.txt", MIB))
    playwright.expect(card(page, "notes.txt").get_by_role("status")).to_have_text("It has arrived.")
    assert stored(film) == before < 1

    film.get_by_role("button", name="Go on").click()
    playwright.expect(film.get_by_role("status")).to_have_text("It has arrived.")
    playwright.expect(film.locator("form")).to_be_hidden()
    ticket = mounted.arrived()[0]["id"]
    assert (mounted.uploads / ticket / "film.mp4").read_bytes() == path.read_bytes()


def test_a_cancelled_upload_ends_with_its_reason_and_the_app_is_told(
    example: Dynamic, page: playwright.Page, tmp_path: Path
) -> None:
    page.goto(example.app.url)
    limit_speed(page, MIB)
    page.get_by_label("Files to upload").set_input_files(make_file(tmp_path, "film.mp4", 16 * MIB))
    film = card(page, "film.mp4")
    expect_shown(film, "connected", "true")

    film.get_by_label("Reason for cancelling").fill("the wrong film")
    film.get_by_role("button", name="Cancel").click()

    playwright.expect(film.get_by_role("status")).to_have_text("It was cancelled: the wrong film")
    expect_shown(film, "cancelled", "true")
    expect_shown(film, "cancel_msg", "the wrong film")
    wait_until(lambda: "was cancelled: 'the wrong film'" in example.app.log, "the line in the log")
    assert example.arrived() == []


def test_a_refused_ticket_is_said(mounted: Dynamic, page: playwright.Page, tmp_path: Path) -> None:
    page.goto(mounted.app.url)
    page.route(
        "**/api/frontend/request_upload?*",
        lambda route: route.fulfill(status=503, body="No tickets today."),
    )

    page.get_by_label("Files to upload").set_input_files(make_file(tmp_path, "notes.txt", 10))

    playwright.expect(page.locator("#message.error")).to_have_text(
        "notes.txt cannot be uploaded: No tickets today."
    )


@pytest.mark.parametrize(
    ("fulfil", "reason"),
    [
        (lambda route: route.abort(), "Failed to fetch"),
        (lambda route: route.fulfill(status=500, body="The store is away."), "The store is away."),
    ],
    ids=["no answer", "an error"],
)
def test_a_list_that_cannot_be_read_is_said(
    mounted: Dynamic, page: playwright.Page, tmp_path: Path, fulfil, reason
) -> None:
    page.route("**/api/frontend/uploads", fulfil, times=1)

    page.goto(mounted.app.url)

    playwright.expect(page.locator("#message.error")).to_have_text(
        f"The list of what has arrived cannot be read: {reason}"
    )
    page.get_by_label("Files to upload").set_input_files(make_file(tmp_path, "notes.txt", 10))
    playwright.expect(page.locator("#arrived a")).to_have_text("notes.txt")


def test_the_page_says_that_the_library_cannot_be_loaded(
    mounted: Dynamic, page: playwright.Page
) -> None:
    page.route("**/incoming.js", lambda route: route.abort())

    page.goto(mounted.app.url)

    playwright.expect(page.locator("#message")).to_have_text(
        "The upload server cannot be reached. Please reload this page in a minute."
    )
    playwright.expect(page.get_by_label("Files to upload")).to_be_disabled()


def test_a_person_is_asked_before_an_upload_is_left(
    mounted: Dynamic, page: playwright.Page, tmp_path: Path
) -> None:
    page.goto(mounted.app.url)
    # Chunks are on their way as long as the test wants.
    page.route("**/frontend/uploads/*", lambda route: None)
    page.get_by_label("Files to upload").set_input_files(make_file(tmp_path, "film.mp4", MIB))
    playwright.expect(card(page, "film.mp4")).to_be_visible()
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))

    page.reload()

    assert asked == ["beforeunload"]


BEGUN = """
async () => ["film.mp4", "notes.txt", "elsewhere.txt"].map((filename) => ({
  upload_id: "TICKET", filename, relative_path: null, bytes_total: 4194304, bytes_acked: 1048576,
  expires_at: new Date(0), in_another_tab: filename === "elsewhere.txt", has_file_handle: false,
  matches: (file) => file.name === filename,
  async resume(file) {
    if (file.name !== filename) throw new Error("This is another file.");
    return incoming.Uploader("TICKET", file);
  },
  async discard(reason) { document.title = `${filename}: ${reason}`; },
}))
"""


def test_what_an_earlier_page_has_begun_goes_on_or_is_discarded(
    mounted: Dynamic, page: playwright.Page, tmp_path: Path
) -> None:
    complete_library(page, BEGUN.replace("TICKET", mounted.request_upload("film.mp4")))
    page.goto(mounted.app.url)
    rows = page.locator("#left-over li")
    playwright.expect(rows).to_have_count(3)
    film, notes, elsewhere = (rows.filter(has_text=name) for name in ("film", "notes", "elsewhere"))
    playwright.expect(film).to_contain_text("1,048,576 of 4,194,304 bytes are stored, until ")
    playwright.expect(elsewhere).to_contain_text("is being sent in another tab")
    playwright.expect(elsewhere.get_by_role("button", name="Discard")).to_be_hidden()

    other = make_file(tmp_path, "other.txt", 10)
    film.get_by_label("Choose the file again").set_input_files(other)
    playwright.expect(page.locator("#message.error")).to_have_text(
        "film.mp4: This is another file."
    )
    film.get_by_label("Choose the file again").set_input_files(
        make_file(tmp_path, "film.mp4", 4 * MIB)
    )
    playwright.expect(card(page, "film.mp4").get_by_role("status")).to_have_text("It has arrived.")
    notes.get_by_role("button", name="Discard").click()

    playwright.expect(rows).to_have_count(1)
    assert page.title() == "notes.txt: The visitor does not want to go on"


def test_after_a_reload_the_same_file_goes_on(
    mounted: Dynamic, page: playwright.Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    page.goto(mounted.app.url)
    page.on("dialog", lambda dialog: dialog.accept())

    with chunks_held(page, 8 * MIB):
        page.get_by_label("Files to upload").set_input_files(path)
        acked = card(page, "film.mp4").locator("[data-property=bytes_acked]")
        wait_until(lambda: int(acked.text_content() or 0) > 4 * MIB, "a part of the film")
        page.reload()
    row = page.locator("#left-over li")
    playwright.expect(row).to_contain_text("film.mp4")
    row.get_by_label("Choose the file again").set_input_files(path)

    playwright.expect(card(page, "film.mp4").get_by_role("status")).to_have_text("It has arrived.")
    playwright.expect(row).to_have_count(0)
