"""What axe-core says of the element and of the examples' pages, light and dark, in each state."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from socket import create_server
from typing import Literal

import example_dynamic
import example_widget
import pytest
from accessibility import violations
from example_apps import EXAMPLES, STRICT
from example_simple import start
from playwright import sync_api as playwright
from proxy import tcp_proxy
from servers import Server, free_port, serving
from test_widget import DROP, STATES, Element, answer
from uploading import chunks_held
from waiting import wait_until

MIB = 1 << 20
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture
def example(tmp_path):
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_example_1_is_accessible_before_and_during_and_after_an_upload(
    example, page, tmp_path, scheme
):
    (tmp_path / "photo.jpg").write_bytes(bytes(MIB))
    page.emulate_media(color_scheme=scheme)
    with tcp_proxy(example.app.port) as proxy:
        page.goto(proxy.url)
        assert violations(page) == []

        proxy.stall()
        page.get_by_label("File to upload").set_input_files(tmp_path / "photo.jpg")
        playwright.expect(page.get_by_label("File to upload")).to_be_disabled()
        assert violations(page) == []
        proxy.resume()

        playwright.expect(page.locator("#message")).to_have_text("photo.jpg has arrived.")
        playwright.expect(page.locator("#uploads a")).to_have_text(["photo.jpg"])
        assert violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_example_1_is_accessible_when_it_tells_an_error(example, page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.route("**/incoming.js", lambda route: route.abort())
    page.goto(example.app.url)
    playwright.expect(page.locator("#message.error")).to_contain_text("cannot be reached")
    assert violations(page) == []


# ---- the element, over the fake library


@pytest.fixture(scope="module")
def fake_url():
    with serving(answer) as address:
        yield f"{address}/widget/page.html"


@pytest.fixture(params=SCHEMES)
def element(request, page, fake_url):
    """In a list that shows all of its rows, with bars that are at once where they belong."""
    page.emulate_media(color_scheme=request.param, reduced_motion="reduce")
    element = Element(page, fake_url)
    # For axe: what the test page lacks is not the element's fault.
    page.evaluate("document.querySelector('main').prepend(document.createElement('h1'))")
    page.evaluate("document.querySelector('h1').textContent = 'Uploads'")
    return element


def show_whole(element, attributes, **properties):
    element.show(attributes, **properties)
    element.page.evaluate("element.style.setProperty('--incoming-list-height', 'none')")


@pytest.mark.parametrize("width", [1100, 390])
def test_the_element_is_accessible_in_every_state(element, width):
    element.page.set_viewport_size({"width": width, "height": 900})
    resumables = [
        {"upload_id": "a", "filename": "Interview.wav", "relative_path": "tapes/Interview.wav"},
        {"upload_id": "b", "filename": "holiday.mov", "has_file_handle": True},
        {"upload_id": "c", "filename": "archive.zip", "in_another_tab": True},
    ]
    show_whole(element, "multiple folders", resumables=resumables)
    playwright.expect(element.page.get_by_role("listitem")).to_have_count(3)
    element.add(*(f"{state}.bin" for state in STATES))
    for number, (changes, _, _) in enumerate(STATES.values()):
        element.become(number, **changes)

    playwright.expect(element.page.get_by_role("listitem")).to_have_count(3 + len(STATES))
    assert violations(element.page) == []


def test_the_element_is_accessible_while_it_waits_for_files(element):
    show_whole(element, "")
    assert violations(element.page) == []

    element.page.evaluate("element.disabled = true")
    playwright.expect(element.page.get_by_label("Choose a file")).to_be_disabled()
    assert violations(element.page) == []


def test_the_element_is_accessible_when_it_takes_a_drop_and_when_it_does_not(element):
    show_whole(element, "multiple folders accept=.pdf")
    element.page.evaluate(
        """() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["x"], "a.pdf"));
            element.dispatchEvent(new DragEvent("dragenter", { dataTransfer, bubbles: true }));
        }"""
    )
    playwright.expect(element.page.locator("[part=zone].over")).to_be_visible()
    assert violations(element.page) == []

    element.page.evaluate(DROP, [["b.exe"], ""])
    playwright.expect(element.page.locator("[part=notice]")).to_contain_text("b.exe is not")
    assert violations(element.page) == []


def test_the_element_is_accessible_with_the_focus_on_each_of_its_controls(element):
    show_whole(element, "multiple folders")
    element.add("a.bin", "b.bin")
    element.become(0, phase="failed", error_code="no_ticket", error_msg="Ask Ada first.")
    names = set()
    for _ in range(20):
        element.page.keyboard.press("Tab")
        name = element.page.evaluate(
            "element.shadowRoot.activeElement?.closest('button, label')?.textContent.trim()"
        )
        if name is None:
            break
        names.add(name)
        assert violations(element.page) == []
    assert {"Choose files", "Choose a folder", "Pause all", "Try again"} <= names


# ---- the other examples, and the page that leads to them


@pytest.mark.parametrize("scheme", SCHEMES)
def test_example_2_is_accessible_before_and_during_and_after_an_upload(page, tmp_path, scheme):
    (tmp_path / "photo.jpg").write_bytes(bytes(MIB))
    (tmp_path / "film.mp4").write_bytes(bytes(8 * MIB))
    page.emulate_media(color_scheme=scheme)
    with ExitStack() as stack:
        example = example_dynamic.start("gunicorn", tmp_path, stack)
        proxy = stack.enter_context(tcp_proxy(example.app.port))
        page.goto(proxy.url)
        assert violations(page) == []

        proxy.limit(MIB // 4)  # so slow that no machine is too slow to pause in time
        files = [tmp_path / "photo.jpg", tmp_path / "film.mp4"]
        page.get_by_label("Files to upload").set_input_files(files)
        cards = page.locator("section.upload")
        playwright.expect(cards).to_have_count(2)
        film = cards.filter(has_text="film.mp4")
        film.get_by_role("button", name="Pause").click()
        playwright.expect(page.get_by_role("button", name="Go on")).to_have_count(1)
        for summary in page.locator("summary").all():
            summary.click()
        assert violations(page) == []

        proxy.limit(None)
        page.get_by_role("button", name="Go on").click()
        playwright.expect(page.locator("#arrived").get_by_role("link")).to_have_count(2)
        playwright.expect(cards.get_by_role("status")).to_have_text(["It has arrived."] * 2)
        assert violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_example_2_is_accessible_when_it_offers_what_was_begun(page, tmp_path, scheme):
    (tmp_path / "film.mp4").write_bytes(bytes(16 * MIB))
    page.emulate_media(color_scheme=scheme)
    page.on("dialog", lambda dialog: dialog.accept())
    with ExitStack() as stack:
        example = example_dynamic.start("gunicorn", tmp_path, stack)
        page.goto(example.app.url)
        with chunks_held(page, 4 * MIB):
            page.get_by_label("Files to upload").set_input_files(tmp_path / "film.mp4")
            acked = page.locator("[data-property=bytes_acked]")
            wait_until(lambda: int(acked.text_content() or 0) > 0, "a part of the film")
            page.reload()

        playwright.expect(page.locator("#left-over li")).to_have_count(1)
        assert violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_example_3_is_accessible_before_and_during_and_after_an_upload(page, tmp_path, scheme):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(bytes(MIB))
    (tmp_path / "film.mp4").write_bytes(bytes(8 * MIB))
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    with ExitStack() as stack:
        example = example_widget.start("gunicorn", tmp_path, stack)
        proxy = stack.enter_context(tcp_proxy(example.app.port))
        page.goto(proxy.url)
        playwright.expect(page.get_by_label("Choose files")).to_be_enabled()
        assert violations(page) == []

        proxy.limit(MIB // 4)  # so slow that no machine is too slow to pause in time
        page.get_by_label("Choose files").set_input_files(tmp_path / "film.mp4")
        page.get_by_label("Choose a folder").set_input_files(tmp_path / "photos")
        page.get_by_role("button", name="Pause film.mp4").click()
        playwright.expect(page.get_by_role("button", name="Resume film.mp4")).to_be_visible()
        assert violations(page) == []

        proxy.limit(None)
        page.get_by_role("button", name="Resume film.mp4").click()
        playwright.expect(page.locator("#uploads").get_by_role("link")).to_have_count(2)
        playwright.expect(page.locator("[part=total-files]")).to_have_text("2 of 2 files")
        assert violations(page) == []


@pytest.fixture(scope="module")
def index_url(tmp_path_factory):
    """Of `python examples`, where one of the examples could not be started."""
    folder = tmp_path_factory.mktemp("index")
    port = free_port()
    command = [sys.executable, str(EXAMPLES), "--port", str(port), "--folder", str(folder)]
    with ExitStack() as stack:
        with suppress(OSError):  # then somebody else has it
            stack.enter_context(create_server(("127.0.0.1", 4001)))
        server = Server(command, port=port, folder=folder, environ=STRICT)
        yield stack.enter_context(server).url


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_that_leads_to_the_examples_is_accessible(page, index_url, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(index_url)
    trouble = page.locator("section", has=page.get_by_text("Not started: port 4001 is taken."))
    playwright.expect(trouble).to_have_count(1)
    assert violations(page) == []


# ---- what finds the faults


BAD = """<!DOCTYPE html><html lang="en"><title>Bad</title><main><h1>Bad</h1>
<p style="color: #999; background: #fff">Pale</p>
<div style="display: flex"><button id="tiny" style="width: 8px; height: 8px; padding: 0"
aria-label="a"></button><button style="width: 8px; height: 8px; padding: 0" aria-label="b"></button>
</div><input></main></html>"""


def test_faults_are_found_and_named_under_a_strict_content_security_policy(page):
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    page.route(
        "http://bad.test/",
        lambda route: route.fulfill(body=BAD, headers={**policy, "Content-Type": "text/html"}),
    )
    page.goto("http://bad.test/")
    found = violations(page)
    assert {line.split()[0] for line in found} == {"color-contrast", "label", "target-size"}
    assert any("#tiny" in line for line in found)
