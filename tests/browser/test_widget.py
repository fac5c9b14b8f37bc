"""The element <incoming-upload> in a real browser, over a library that does what the test says.

Every state in both colour schemes and on a small screen is left as a picture in the folder of the
test. The page has the strictest content security policy that lets its own scripts run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect
from servers import serving
from webob import Request, Response
from webob.static import DirectoryApp

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "src": DirectoryApp(str(ROOT / "static" / "src")),
    "widget": DirectoryApp(str(Path(__file__).parent / "widget")),
    "style.css": DirectoryApp(str(ROOT / "examples")),
}

# What each state shows: the changes of the uploader, the status, and the buttons.
STATES: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "queued": ({}, "Waiting for its turn · 4 GB", ["Pause", "Cancel"]),
    "connecting": ({"phase": "connecting"}, "Connecting…", ["Pause", "Cancel"]),
    "uploading": (
        {
            "phase": "uploading",
            "bytes_acked": 1.5e9,
            "bytes_tx": 2e9,
            "bytes_per_s": 12.5e6,
            "seconds_left": 200,
        },
        "1.5 GB of 4 GB · 12.5 MB/s · 4 min left",
        ["Pause", "Cancel"],
    ),
    "paused": (
        {"phase": "paused", "bytes_acked": 1e9},
        "Paused · 1 GB of 4 GB",
        ["Resume", "Cancel"],
    ),
    "trouble": (
        {"phase": "connecting", "bytes_acked": 1e9, "trouble_code": "network_error"},
        "The connection is lost. Trying again…",
        ["Pause", "Cancel"],
    ),
    "bad gateway": (
        {"phase": "connecting", "trouble_code": "http_502", "trouble_msg": "status 502"},
        "The server has a problem. Trying again…",
        ["Pause", "Cancel"],
    ),
    "unknown trouble": (
        {"phase": "connecting", "trouble_code": "flood", "trouble_msg": "The cellar is wet"},
        "The cellar is wet",
        ["Pause", "Cancel"],
    ),
    "signed out": (
        {"phase": "paused", "bytes_acked": 1e9, "trouble_code": "http_401"},
        "Sign in again, then continue.",
        ["Resume", "Cancel"],
    ),
    "handing over": (
        {"phase": "handing_over", "handing_over": True, "bytes_acked": 4e9},
        "Waiting for the application…",
        [],
    ),
    "app waits": (
        {
            "phase": "handing_over",
            "handing_over": True,
            "bytes_acked": 4e9,
            "trouble_code": "app_waits",
            "trouble_msg": "the archive is locked",
        },
        "Waiting for the application: the archive is locked",
        [],
    ),
    "cancelling": ({"phase": "cancelling"}, "Cancelling…", []),
    "finished": (
        {"phase": "finished", "bytes_acked": 4e9},
        "Uploaded · 4 GB",
        ["Remove from the list"],
    ),
    "cancelled": (
        {"phase": "cancelled", "cancel_msg": "The meeting is over"},
        "Cancelled: The meeting is over",
        ["Remove from the list"],
    ),
    "failed": (
        {"phase": "failed", "error_code": "handover_failed", "error_msg": "no"},
        "no",
        ["Try again", "Remove from the list"],
    ),
    "unreadable": (
        {"phase": "failed", "error_code": "file_unreadable", "error_msg": "no"},
        "It was changed, moved or deleted: choose it again.",
        ["Choose again", "Remove from the list"],
    ),
    "too large": (
        {"phase": "failed", "error_code": "file_too_large", "error_msg": "no"},
        "It is larger than this server takes.",
        ["Remove from the list"],
    ),
    "no ticket": (
        {"phase": "failed", "error_code": "no_ticket", "error_msg": "Ask Ada first."},
        "Ask Ada first.",
        ["Try again", "Remove from the list"],
    ),
}


def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
    request = Request(environ)
    folder = request.path_info.split("/")[1]
    if folder != "style.css":
        request.path_info_pop()
    # Browsers ask for a favicon.ico, and there is none.
    response = request.get_response(FOLDERS[folder]) if folder in FOLDERS else Response(status=204)
    if response.content_type != "text/javascript" and request.path.endswith(".js"):
        response.content_type = "text/javascript"
    response.headers["Content-Security-Policy"] = "default-src 'self'"
    return response(environ, start_response)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(answer) as address:
        yield f"{address}/widget/page.html"


class Element:
    """The element of the page, and the library behind it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(url)
        page.wait_for_function("typeof show === 'function'")

    def show(self, attributes: str = "multiple", **properties: Any) -> None:
        """`attributes` as in HTML: 'multiple accept=.pdf'."""
        pairs = [word.partition("=") for word in f"ticket-url=/tickets {attributes}".split()]
        given = {name: value for name, _, value in pairs}
        self.page.evaluate("([a, p]) => show(a, p)", [given, properties])

    def add(self, *names: str, size: float = 4e9) -> None:
        script = "([names, size]) => element.add_files(names.map((name) => file(name, size)))"
        self.page.evaluate(script, [list(names), size])

    def become(self, number: int, **changes: Any) -> None:
        self.page.evaluate("([n, c]) => fake.uploaders[n].become(c) && null", [number, changes])

    def calls(self, number: int) -> list[str]:
        found: list[str] = self.page.evaluate("(n) => fake.uploaders[n].calls", number)
        return found

    @property
    def events(self) -> list[str]:
        found: list[str] = self.page.evaluate("events.map(([type]) => type)")
        return found

    def row(self, name: str) -> Any:
        text = self.page.get_by_text(name, exact=True)
        return self.page.get_by_role("listitem").filter(has=text)

    def buttons(self, name: str) -> list[str]:
        found = self.row(name).get_by_role("button").all()
        return [button.inner_text().strip() for button in found]

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def focused(self) -> str:
        """The accessible name, or what is like it, of what has the focus."""
        script = """() => {
          const found = element.shadowRoot.activeElement;
          const ids = found?.getAttribute("aria-labelledby")?.split(" ") ?? [];
          const names = ids.map((id) => element.shadowRoot.getElementById(id).textContent);
          return names.join(" ") || found?.localName || "nothing";
        }"""
        found: str = self.page.evaluate(script)
        return found


@pytest.fixture
def element(page: Page, url: str) -> Element:
    return Element(page, url)


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_its_words_and_its_buttons(element: Element, state: str) -> None:
    changes, status, buttons = STATES[state]
    element.show()
    element.add("film.mp4")

    element.become(0, **changes)

    expect(element.row("film.mp4").locator("[part=status]")).to_have_text(status)
    assert element.buttons("film.mp4") == buttons


@pytest.mark.parametrize("width", [760, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_in_a_picture(
    browser: Browser, url: str, tmp_path: Path, scheme: Any, width: int
) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    violations: list[str] = []
    page.on("console", lambda message: violations.append(message.text))
    element = Element(page, url)
    resumables = [
        {"upload_id": "a", "filename": "Interview.wav", "expires_at": None},
        {"upload_id": "b", "filename": "holiday.mov", "has_file_handle": True},
        {"upload_id": "c", "filename": "archive.zip", "in_another_tab": True},
    ]
    element.show("multiple folders", resumables=resumables)
    expect(page.get_by_role("listitem")).to_have_count(3)
    page.evaluate("element.style.setProperty('--incoming-list-height', 'none')")

    element.add(*(f"{state}.bin" for state in STATES))
    for number, (changes, _, _) in enumerate(STATES.values()):
        element.become(number, **changes)

    expect(page.get_by_role("listitem")).to_have_count(3 + len(STATES))
    page.wait_for_timeout(500)  # for the bars to come to rest
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations == []
    page.close()


def test_a_chosen_file_is_uploaded_with_a_ticket_of_the_url(
    element: Element, tmp_path: Path
) -> None:
    element.show()
    path = tmp_path / "report.pdf"
    path.write_bytes(b"content")

    element.page.get_by_label("Choose files").set_input_files(path)

    expect(element.row("report.pdf")).to_be_visible()
    assert element.calls(0) == ["start"]
    assert element.page.evaluate("fake.ticket_urls") == ["/tickets"]
    assert element.events == ["incoming-added"]


def test_a_function_gives_the_tickets_and_the_server_can_be_named(element: Element) -> None:
    element.show("multiple server-url=https://up.example/incoming")
    tickets = "() => { element.tickets = async (file) => `ticket of ${file.name}` }"
    element.page.evaluate(tickets)
    element.add("report.pdf")

    ticket = "(async () => await fake.uploaders[0].ticket(fake.uploaders[0].file))()"
    assert element.page.evaluate(ticket) == "ticket of report.pdf"
    configured = element.page.evaluate("fake.configured")
    assert configured == [{"server_url": "https://up.example/incoming"}]


def test_what_was_set_before_the_element_was_defined_is_not_lost(element: Element) -> None:
    element.page.evaluate(
        """() => {
          const other = document.implementation.createHTMLDocument();
          globalThis.element = other.createElement("incoming-upload"); // not defined there
          Object.assign(element, {
            tickets: () => "mine", multiple: true, accept: ".pdf", texts: { choose_files: "Les" },
          });
          document.body.append(element);
        }"""
    )

    label = element.page.get_by_label("Les")
    expect(label).to_have_attribute("accept", ".pdf")
    element.add("a.pdf")
    assert element.page.evaluate("fake.uploaders[0].ticket()") == "mine"


def test_a_page_that_forgot_the_tickets_reads_what_is_missing(element: Element) -> None:
    element.show()
    element.page.evaluate("element.removeAttribute('ticket-url')")
    element.add("report.pdf")

    asked = "(async () => fake.uploaders[0].ticket().catch((error) => error.message))()"
    assert "neither ticket-url nor tickets" in element.page.evaluate(asked)


def test_a_chosen_folder_keeps_its_paths(element: Element, tmp_path: Path) -> None:
    (tmp_path / "photos" / "day 1").mkdir(parents=True)
    for name in ("a.jpg", "day 1/b.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    element.show("multiple folders")

    element.page.get_by_label("Choose a folder").set_input_files(tmp_path / "photos")

    expect(element.page.get_by_role("listitem")).to_have_count(2)
    paths = element.page.evaluate("element.uploads.map((one) => one.relative_path).sort()")
    assert paths == ["photos/a.jpg", "photos/day 1/b.jpg"]
    expect(element.row("b.jpg").locator("[part=folder]")).to_have_text("photos/day 1/")


DROP = """async ([names, type]) => {
  const transfer = new DataTransfer();
  for (const name of names) transfer.items.add(new File(["x"], name, { type }));
  const options = { bubbles: true, cancelable: true, composed: true, dataTransfer: transfer };
  for (const type of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(new DragEvent(type, options));
  }
}"""


def test_files_can_be_dropped(element: Element) -> None:
    element.show()

    element.page.evaluate(DROP, [["a.txt", "b.txt"], "text/plain"])

    expect(element.page.get_by_role("listitem")).to_have_count(2)
    assert element.page.evaluate("fake.uploaders.map((one) => one.filename)") == ["a.txt", "b.txt"]


def test_what_is_not_accepted_is_said_and_not_sent(element: Element) -> None:
    element.show("multiple accept=image/*,.pdf")

    element.page.evaluate(DROP, [["a.PDF", "b.exe"], ""])

    expect(element.page.get_by_text("b.exe is not of a kind that is taken here.")).to_be_visible()
    expect(element.page.get_by_role("listitem")).to_have_count(1)


def test_without_multiple_a_new_file_takes_the_place_of_the_one_before(element: Element) -> None:
    element.show("")
    element.add("old.pdf")
    element.page.evaluate(DROP, [["a.txt", "b.txt"], ""])
    expect(element.page.get_by_text("Only one file can be uploaded here.")).to_be_visible()

    element.page.evaluate(DROP, [["new.pdf"], ""])

    expect(element.page.get_by_role("listitem")).to_have_count(1)
    expect(element.row("new.pdf")).to_be_visible()
    assert element.calls(0) == ["start", "cancel"]


def test_a_disabled_element_takes_nothing(element: Element) -> None:
    element.show("multiple disabled")

    element.page.evaluate(DROP, [["a.txt"], ""])

    expect(element.page.get_by_label("Choose files")).to_be_disabled()
    expect(element.page.get_by_role("listitem")).to_have_count(0)
    element.page.evaluate("element.disabled = false")
    expect(element.page.get_by_label("Choose files")).to_be_enabled()


def test_the_buttons_do_what_they_say_and_keep_the_focus(element: Element) -> None:
    element.show()
    element.add("a.pdf", "b.pdf")
    element.become(0, phase="uploading")

    element.button("Pause a.pdf").focus()
    element.page.keyboard.press("Enter")
    expect(element.button("Resume a.pdf")).to_be_focused()
    element.page.keyboard.press("Enter")
    expect(element.button("Pause a.pdf")).to_be_focused()
    assert element.calls(0) == ["start", "pause", "unpause"]

    element.button("Cancel a.pdf").focus()
    element.page.keyboard.press("Enter")
    assert element.focused() == "li"  # there is no button any more: the row has it
    element.become(0, phase="cancelled")
    expect(element.row("a.pdf").locator("[part=status]")).to_have_text("Cancelled")

    element.button("Remove from the list a.pdf").focus()
    element.page.keyboard.press("Enter")
    expect(element.row("a.pdf")).to_have_count(0)
    expect(element.button("Cancel b.pdf")).to_be_focused()


def test_another_try_is_a_new_upload_of_the_same_file(element: Element) -> None:
    element.show()
    element.add("a.pdf")
    element.become(0, phase="failed", error_code="http_500", error_msg="no")

    element.button("Try again a.pdf").click()

    assert element.page.evaluate("fake.uploaders[0].file === fake.uploaders[1].file")
    assert element.calls(1) == ["start"]
    expect(element.page.get_by_role("listitem")).to_have_count(1)


def test_a_file_that_changed_is_chosen_again(element: Element, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"new")
    element.show()
    element.add("a.pdf")
    element.become(0, phase="failed", error_code="file_unreadable", error_msg="no")

    with element.page.expect_file_chooser() as chooser:
        element.button("Choose again a.pdf").click()
    chooser.value.set_files(path)

    expect(element.button("Pause a.pdf")).to_be_visible()
    assert element.page.evaluate("fake.uploaders[1].file.size") == 3


def test_an_unfinished_upload_goes_on_when_its_file_is_added_again(element: Element) -> None:
    element.show("multiple", resumables=[{"filename": "film.mp4"}])
    status = element.row("film.mp4").locator("[part=status]")
    expect(status).to_have_text("Unfinished · 40% stored · choose this file again")

    element.add("other.mp4", "film.mp4")

    expect(element.page.get_by_role("listitem")).to_have_count(2)
    expect(element.button("Pause film.mp4")).to_be_visible()
    assert element.page.evaluate("fake.resumables[0].calls") == ["resume film.mp4"]
    assert element.page.evaluate("element.uploads.map((one) => one.upload_id)") == [
        "resumable",
        None,
    ]


def test_what_the_server_has_given_up_meanwhile_begins_anew(element: Element) -> None:
    element.show("multiple", resumables=[{"filename": "film.mp4"}])
    expect(element.row("film.mp4")).to_be_visible()
    element.page.evaluate(
        """() => {
          fake.resumables[0].resume = async () => {
            throw Object.assign(new Error(), { code: "unknown_upload" });
          };
        }"""
    )

    element.add("film.mp4")

    expect(element.button("Pause film.mp4")).to_be_visible()
    expect(element.page.get_by_role("listitem")).to_have_count(1)
    assert element.calls(0) == ["start"]


def test_continue_asks_for_the_file_and_takes_no_other(element: Element, tmp_path: Path) -> None:
    for name in ("wrong.mp4", "film.mp4"):
        (tmp_path / name).write_bytes(b"x")
    element.show("multiple", resumables=[{"filename": "film.mp4"}])

    for name in ("wrong.mp4", "film.mp4"):
        with element.page.expect_file_chooser() as chooser:
            element.button("Continue film.mp4").click()
        chooser.value.set_files(tmp_path / name)
        if name == "wrong.mp4":
            text = "another file"
            expect(element.row("film.mp4").locator("[part=status]")).to_have_text(text)

    expect(element.button("Pause film.mp4")).to_be_visible()


def test_continue_needs_no_file_where_the_browser_kept_a_handle(element: Element) -> None:
    element.show("multiple", resumables=[{"filename": "film.mp4", "has_file_handle": True}])

    element.button("Continue film.mp4").click()

    expect(element.button("Pause film.mp4")).to_be_visible()
    assert element.page.evaluate("fake.resumables[0].calls") == ["resume"]


def test_discard_takes_it_off_the_list_and_the_focus_to_the_chooser(element: Element) -> None:
    element.show("multiple", resumables=[{"filename": "film.mp4"}])

    element.button("Discard film.mp4").click()

    expect(element.page.get_by_role("listitem")).to_have_count(0)
    assert element.focused() == "input"


def test_a_look_that_ends_after_a_later_one_changes_nothing(element: Element) -> None:
    """Every page looks twice when it loads, and the first answer may be the last to come."""
    element.show("multiple", resumables=[{"filename": "film.mp4"}])
    expect(element.row("film.mp4")).to_be_visible()
    element.page.evaluate(
        """() => {
          fake.answer = new Promise((resolve) => { globalThis.answer = resolve; });
          document.dispatchEvent(new Event("visibilitychange"));
          fake.answer = Promise.resolve();
        }"""
    )
    element.button("Discard film.mp4").click()
    expect(element.page.get_by_role("listitem")).to_have_text([])

    # All that waits for it has happened when the browser answers again.
    element.page.evaluate("answer()")

    assert element.page.get_by_role("listitem").count() == 0


def test_what_this_page_is_sending_is_not_offered_as_unfinished(element: Element) -> None:
    element.show()
    element.add("film.mp4")
    element.become(0, phase="uploading", upload_id="mine")

    element.page.evaluate(
        """() => {
          fake.resumables = [new Resumable({ upload_id: "mine" }),
                             new Resumable({ upload_id: "other", filename: "other.mp4" })];
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )

    expect(element.row("other.mp4")).to_be_visible()
    expect(element.row("film.mp4")).to_have_count(1)


def test_many_are_one_in_total_and_can_be_paused_together(element: Element) -> None:
    element.show()
    element.add("a.bin", "b.bin", "c.bin", size=1e9)
    element.become(0, phase="finished", bytes_acked=1e9)
    element.become(1, phase="uploading", bytes_acked=5e8, bytes_per_s=1e7)

    expect(element.page.locator("[part=total-files]")).to_have_text("1 of 3 files")
    status = element.page.locator("[part=total-status]")
    expect(status).to_have_text("1.5 GB of 3 GB · 10 MB/s · 3 min left")
    bar = element.page.get_by_role("progressbar", name="All uploads")
    expect(bar).to_have_attribute("aria-valuenow", "50")
    element.button("Pause all").click()
    expect(element.button("Resume all")).to_be_visible()
    assert [element.calls(number)[1:] for number in range(3)] == [[], ["pause"], ["pause"]]
    element.button("Clear list").click()
    expect(element.page.get_by_role("listitem")).to_have_count(2)
    element.button("Cancel all").click()
    assert element.calls(1)[-1] == "cancel"


def test_each_bar_has_the_name_of_its_file_and_says_where_it_is(element: Element) -> None:
    element.show()
    element.add("a.bin", size=1e5)
    element.become(0, phase="uploading", bytes_acked=29e3, bytes_tx=50e3)

    bar = element.page.get_by_role("progressbar", name="a.bin")
    expect(bar).to_have_attribute("aria-valuenow", "29")
    expect(bar).to_have_attribute("aria-valuetext", "29% · 29\u00a0kB of 100\u00a0kB")


def test_little_is_said_aloud(element: Element) -> None:
    element.show()
    polite, alert = element.page.get_by_role("status"), element.page.get_by_role("alert").last
    element.add(*(f"{number}.bin" for number in range(5)), size=100)
    expect(polite).to_have_text("Uploading 5 files")

    for number in range(5):
        element.become(number, phase="uploading", bytes_acked=50)
    element.become(0, phase="failed", error_code="x", error_msg="The disk is full.")
    expect(alert).to_have_text("0.bin: The disk is full.")
    for number in range(1, 5):
        element.become(number, phase="finished", bytes_acked=100)

    expect(polite).to_have_text("4 files are uploaded")


def test_events_tell_the_page_what_came_of_each_and_of_all(element: Element) -> None:
    element.show()
    element.add("a", "b", "c")
    element.become(0, phase="finished")
    element.become(1, phase="failed", error_code="x")
    element.become(2, phase="cancelled")

    assert element.events[3:] == [
        "incoming-finished",
        "incoming-error",
        "incoming-cancelled",
        "incoming-all-over",
    ]
    lengths = "Object.entries(events.at(-1)[1]).map(([key, list]) => [key, list.length])"
    assert element.page.evaluate(lengths) == [["finished", 1], ["failed", 1], ["cancelled", 1]]


def test_a_form_gets_the_ids_and_waits_for_them(element: Element) -> None:
    element.show("multiple required name=upload")
    valid = "document.querySelector('form').checkValidity()"
    entries = "new FormData(document.querySelector('form')).getAll('upload')"
    assert not element.page.evaluate(valid)  # required
    element.add("a", "b")
    element.become(0, phase="finished", upload_id="id-a")
    assert not element.page.evaluate(valid)  # one is on its way

    element.become(1, phase="finished", upload_id="id-b")

    assert element.page.evaluate(valid)
    assert element.page.evaluate(entries) == ["id-a", "id-b"]
    element.page.evaluate("document.querySelector('form').reset()")
    assert element.page.evaluate(entries) == []
    expect(element.page.get_by_role("listitem")).to_have_count(0)


def test_the_page_is_kept_from_being_left_only_while_something_would_be_lost(
    element: Element,
) -> None:
    leaving = """() => {
      const event = new Event("beforeunload", { cancelable: true });
      dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    element.show()
    assert not element.page.evaluate(leaving)
    element.add("a")
    assert element.page.evaluate(leaving)
    element.become(0, phase="paused")
    assert element.page.evaluate(leaving)
    element.become(0, phase="handing_over", handing_over=True)
    assert not element.page.evaluate(leaving)


def test_texts_numbers_and_direction_are_those_of_the_page(element: Element) -> None:
    element.page.evaluate("() => { document.documentElement.lang = 'de' }")
    texts = {
        "choose_files": "Dateien wählen",
        "amount": "{stored} von {total}",
        "files_finished": {"one": "{finished} von {count} Datei", "other": "{count} Dateien"},
    }
    element.show("multiple", texts=texts)
    element.add("a", "b", size=2e9)
    element.become(0, phase="uploading", bytes_acked=1.5e9)

    expect(element.page.get_by_label("Dateien wählen")).to_be_visible()
    expect(element.row("a").locator("[part=status]")).to_have_text("1,5 GB von 2 GB")
    expect(element.page.locator("[part=total-files]")).to_have_text("2 Dateien")

    element.page.evaluate("() => { document.documentElement.dir = 'rtl' }")
    bar = element.row("a").locator("[part~=bar]").bounding_box()
    stored = element.row("a").locator("[part=bar-stored]")
    element.page.wait_for_timeout(400)
    box = stored.bounding_box()
    assert bar is not None
    assert box is not None
    assert round(box["x"] + box["width"]) == round(bar["x"] + bar["width"])


def test_a_thousand_files_stay_quick(element: Element) -> None:
    element.show()
    names = [f"{number}.bin" for number in range(1000)]

    spent_ms = element.page.evaluate(
        """async (names) => {
          const start = performance.now();
          await element.add_files(names.map((name) => file(name, 1e6)));
          element.shadowRoot.querySelector("[part=list]").getBoundingClientRect();
          const added = performance.now() - start;
          for (const one of fake.uploaders) one.become({ phase: "uploading" });
          for (const one of fake.uploaders) one.become({ phase: "uploading", bytes_acked: 5e5 });
          await new Promise((resolve) => setTimeout(resolve, 300));
          return [added, performance.now() - start - 300];
        }""",
        names,
    )
    print(f"a thousand rows: {spent_ms} ms")
    assert max(spent_ms) < 5000
    expect(element.page.locator("[part=total-files]")).to_have_text("0 of 1,000 files")


def test_a_name_is_only_ever_a_name(element: Element) -> None:
    element.show()
    element.add("<img src=x onerror=alert(1)>.png")
    expect(element.row("<img src=x onerror=alert(1)>.png")).to_be_visible()
