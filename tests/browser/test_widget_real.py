"""The element <incoming-upload> against a real server, over good lines and bad ones.

What each state looks like is tested with a fake library in test_widget.py; here everything is
real: the library in the bundle, two gunicorn workers, the files on disk. Whatever a test does,
nothing may offend the content security policy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect
from proxy import Proxy, tcp_proxy
from servers import gunicorn
from uploading import App, chunks_held, make_file
from waiting import wait_until

MIB = 1 << 20
NOTE_VIOLATIONS = """
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
        violations.push(`${violatedDirective} ${blockedURI}`));
"""

# Whether the element keeps the browser from doing with a dropped file as it likes.
DROP_IS_TAKEN = """() => ["dragover", "drop"].map((type) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["x"], "a.txt"));
    const event = new DragEvent(type, { dataTransfer, cancelable: true });
    return !document.querySelector("incoming-upload").dispatchEvent(event);
})"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    home = tmp_path / "app"
    home.mkdir()
    server = gunicorn(
        "widget_app:application",
        *("--workers", "2", "--pythonpath", str(Path(__file__).parent)),
        folder=tmp_path,
        environ={"UPLOADING_FOLDER": str(home)},
    )
    with server:
        yield App(server, home)


@pytest.fixture
def line(app: App) -> Iterator[Proxy]:
    """Between browser and server; 8 MiB/s, so that an upload can be caught in the middle."""
    with tcp_proxy(app.server.port) as proxy:
        proxy.limit(8 * MIB)
        yield proxy


@dataclass
class Widget:
    page: Page

    def choose(self, *paths: Path) -> None:
        self.page.get_by_label("Choose files").set_input_files(list(paths))

    def drop(self, *paths: Path) -> None:
        """As a person does it: paths on the disk, folders too, dragged in from outside."""
        box = self.page.locator("[part=zone]").bounding_box()
        assert box is not None
        session = self.page.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send(
                "Input.dispatchDragEvent",
                {
                    "type": kind,
                    "x": box["x"] + box["width"] / 2,
                    "y": box["y"] + 10,
                    "data": {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1},
                },
            )
        session.detach()

    @property
    def rows(self) -> Locator:
        return self.page.get_by_role("listitem")

    def row(self, name: str) -> Locator:
        return self.rows.filter(has=self.page.get_by_text(name, exact=True))

    def status(self, name: str) -> Locator:
        return self.row(name).locator("[part=status]")

    def bar(self, name: str) -> Locator:
        return self.page.get_by_role("progressbar", name=name, exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def percent(self, name: str) -> int:
        return int(self.bar(name).get_attribute("aria-valuenow") or 0)

    def wait_for_percent(self, name: str, percent: int) -> None:
        wait_until(lambda: self.percent(name) >= percent, f"{percent} % of {name}", 90)

    def wait_until_arrived(self, app: App, path: Path, *, relative_path: str = "") -> None:
        expect(self.status(path.name)).to_have_text(re.compile("^Uploaded · "))
        arrived = app.arrived / (relative_path or path.name)
        assert arrived.read_bytes() == path.read_bytes()

    def get(self, expression: str) -> Any:
        """Of JavaScript, with the element as `element`."""
        element = "const element = document.querySelector('incoming-upload')"
        return self.page.evaluate(f"() => {{ {element}; return {expression}; }}")


@pytest.fixture
def widget(page: Page, line: Proxy) -> Iterator[Widget]:
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: "Policy" in message.text and complaints.append(message.text),
    )
    page.on("dialog", lambda dialog: dialog.accept())
    page.add_init_script(NOTE_VIOLATIONS)
    page.goto(line.url)
    yield Widget(page)
    assert complaints == []
    assert page.evaluate("globalThis.violations") == []


@contextmanager
def switch(app: App, name: str, content: str = "") -> Iterator[None]:
    (app.folder / name).write_text(content)
    yield
    (app.folder / name).unlink()


def length_of(request: Request) -> int:
    """Of a chunk; 0 for other requests."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/\d+", request.headers.get("content-range", ""))
    return int(match[2]) - int(match[1]) + 1 if match else 0


# ---- several at once


def test_several_files_have_a_bar_each_and_a_total(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    paths = [make_file(tmp_path, f"photo {number}.jpg", 3 * MIB, number) for number in range(4)]

    widget.choose(*paths)

    expect(widget.page.get_by_role("progressbar")).to_have_count(5)
    expect(widget.status("photo 3.jpg")).to_have_text("Waiting for its turn · 3.15 MB")
    wait_until(lambda: 0 < widget.percent("All uploads") < 100, "a part of all")
    expect(widget.page.locator("[part=total-status]")).to_contain_text(" of 12.6 MB")
    line.limit(None)
    for path in paths:
        widget.wait_until_arrived(app, path)
        expect(widget.bar(path.name)).to_have_attribute("aria-valuenow", "100")
    expect(widget.page.locator("[part=total-files]")).to_have_text("4 of 4 files")
    expect(widget.bar("All uploads")).to_have_attribute("aria-valuenow", "100")


def make_folder(parent: Path) -> dict[str, Path]:
    """Relative path → file."""
    names = ["photos/b.jpg", "photos/day 1/a.jpg", "photos/day 1/Grüße/leer.txt", "photos/z.jpg"]
    files = {}
    for number, name in enumerate(names):
        (parent / name).parent.mkdir(parents=True, exist_ok=True)
        files[name] = make_file(parent, name, number * 1000, number)
    return files


@pytest.mark.parametrize("way", ["dropped", "chosen"])
def test_a_folder_arrives_with_its_paths(
    app: App, widget: Widget, tmp_path: Path, way: str
) -> None:
    files = make_folder(tmp_path)

    if way == "dropped":
        alone = make_file(tmp_path, "alone.txt", 10)
        files["alone.txt"] = alone
        widget.drop(tmp_path / "photos", alone)
    else:
        widget.page.get_by_label("Choose a folder").set_input_files(tmp_path / "photos")

    expect(widget.rows).to_have_count(len(files))
    for relative_path, path in files.items():
        widget.wait_until_arrived(app, path, relative_path=relative_path)
    arrived = [path for path in app.arrived.rglob("*") if path.is_file()]
    assert {path.relative_to(app.arrived).as_posix() for path in arrived} == set(files)
    expect(widget.row("a.jpg").locator("[part=folder]")).to_have_text("photos/day 1/")


def test_a_dropped_folder_of_many_files_is_read_to_its_end(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    """Chromium gives a hundred entries of a folder at a time."""
    line.limit(None)
    (tmp_path / "many").mkdir()
    for number in range(120):
        (tmp_path / "many" / f"{number}.txt").touch()

    widget.drop(tmp_path / "many")

    expect(widget.page.locator("[part=total-files]")).to_have_text("120 of 120 files")
    assert len(list((app.arrived / "many").iterdir())) == 120


def test_what_is_dropped_on_a_disabled_element_is_not_opened_in_place_of_the_page(
    app: App, widget: Widget, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "notes.txt", 1000)
    widget.get("element.disabled = true")
    expect(widget.page.get_by_label("Choose files")).to_be_disabled()

    widget.drop(path)
    assert widget.page.evaluate(DROP_IS_TAKEN) == [True, True]
    widget.get("element.disabled = false")
    widget.drop(path)

    widget.wait_until_arrived(app, path)
    expect(widget.rows).to_have_count(1)


# ---- the buttons


def test_an_upload_pauses_goes_on_and_is_cancelled(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    film, notes = make_file(tmp_path, "film.mp4", 24 * MIB), make_file(tmp_path, "notes.txt", MIB)
    widget.choose(film)
    widget.wait_for_percent("film.mp4", 10)

    widget.button("Pause film.mp4").click()
    expect(widget.status("film.mp4")).to_have_text(
        re.compile(r"^Paused · [\d.]+\sMB of 25\.2\sMB$")
    )
    before = widget.percent("film.mp4")
    line.limit(None)
    widget.choose(notes)
    widget.wait_until_arrived(app, notes)
    assert widget.percent("film.mp4") == before < 100

    widget.button("Resume film.mp4").click()
    widget.wait_until_arrived(app, film)

    line.limit(4 * MIB)
    other = make_file(tmp_path, "other.mp4", 24 * MIB)
    widget.choose(other)
    widget.wait_for_percent("other.mp4", 5)
    widget.button("Cancel other.mp4").click()
    expect(widget.status("other.mp4")).to_have_text("Cancelled")
    widget.button("Remove from the list other.mp4").click()
    expect(widget.row("other.mp4")).to_have_count(0)
    assert sorted(path.name for path in app.arrived.iterdir()) == ["film.mp4", "notes.txt"]


def test_with_the_keyboard_alone(app: App, widget: Widget, line: Proxy, tmp_path: Path) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    page = widget.page

    with page.expect_file_chooser() as chooser:  # before Tab: it takes Chromium a moment to listen
        page.keyboard.press("Tab")
        expect(page.get_by_label("Choose files")).to_be_focused()
        page.keyboard.press("Enter")
    chooser.value.set_files(path)
    widget.wait_for_percent("film.mp4", 5)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose a folder")).to_be_focused()
    page.keyboard.press("Tab")
    expect(widget.button("Pause film.mp4")).to_be_focused()
    page.keyboard.press("Space")
    expect(widget.button("Resume film.mp4")).to_be_focused()
    expect(widget.status("film.mp4")).to_have_text(re.compile("^Paused"))
    page.keyboard.press("Enter")
    expect(widget.button("Pause film.mp4")).to_be_focused()
    page.keyboard.press("Tab")
    expect(widget.button("Cancel film.mp4")).to_be_focused()
    page.keyboard.press("Enter")
    expect(widget.status("film.mp4")).to_have_text("Cancelled")
    expect(widget.row("film.mp4")).to_be_focused()
    page.keyboard.press("Tab")
    expect(widget.button("Remove from the list film.mp4")).to_be_focused()
    page.keyboard.press("Space")
    expect(widget.rows).to_have_count(0)
    expect(page.get_by_label("Choose files")).to_be_focused()


# ---- a reload


def begin_and_reload(widget: Widget, path: Path, *, dropped: bool = False) -> None:
    with chunks_held(widget.page, path.stat().st_size // 2):
        (widget.drop if dropped else widget.choose)(path)
        widget.wait_for_percent(path.name, 20)
        widget.page.reload()
    expect(widget.status(path.name)).to_have_text(re.compile("^Unfinished · "))


def test_after_a_reload_it_goes_on_with_the_same_file_and_no_other(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 64 * MIB)
    (tmp_path / "others").mkdir()
    wrong = make_file(tmp_path / "others", "film.mp4", 64 * MIB - 1)
    begin_and_reload(widget, path)
    expect(widget.status("film.mp4")).to_have_text(
        re.compile(r"^Unfinished · \d\d% stored · choose this file again · kept until ")
    )
    line.limit(None)
    stored = widget.get("incoming.resumable().then(([one]) => one.bytes_acked)")
    assert stored > 0.2 * 64 * MIB
    sent: list[int] = []
    widget.page.on("request", lambda request: sent.append(length_of(request)))

    for chosen in (wrong, path):
        with widget.page.expect_file_chooser() as chooser:
            widget.button("Continue film.mp4").click()
        chooser.value.set_files(chosen)
        if chosen is wrong:
            expect(widget.status("film.mp4")).to_contain_text(re.compile("another|not the same"))
            assert sent == [0] * len(sent), "nothing of another file is sent"

    widget.wait_until_arrived(app, path)
    assert 0 < sum(sent) <= 64 * MIB - stored, "what the server had is not sent again"
    expect(widget.rows).to_have_count(1)
    widget.page.reload()
    expect(widget.page.get_by_label("Choose files")).to_be_enabled()
    assert widget.get("incoming.resumable()") == []
    expect(widget.rows).to_have_count(0)


def test_a_server_that_could_not_be_asked_is_asked_again(
    widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    line.limit(None)
    path = make_file(tmp_path, "film.mp4", 64 * MIB)
    begin_and_reload(widget, path, dropped=True)
    unreachable = "**/frontend/uploads/*"
    widget.page.route(unreachable, lambda route: route.abort())

    widget.page.reload()
    expect(widget.status("film.mp4")).to_have_text("Unfinished")
    widget.page.unroute(unreachable)

    expect(widget.status("film.mp4")).to_have_text(re.compile("^Unfinished · "))


def test_a_file_that_is_dropped_again_goes_on_without_a_click(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 64 * MIB)
    begin_and_reload(widget, path)
    ticket = widget.get("incoming.resumable().then(([one]) => one.upload_id)")

    widget.drop(path)

    line.limit(None)
    widget.wait_until_arrived(app, path)
    expect(widget.rows).to_have_count(1)
    assert widget.get("element.uploads.map((one) => one.upload_id)") == [ticket]


def test_of_two_files_that_only_their_paths_tell_apart_the_right_one_goes_on(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    """Same name, same length, same time."""
    for seed, name in enumerate(("a", "b")):
        (tmp_path / "takes" / name).mkdir(parents=True)
        path = make_file(tmp_path / "takes" / name, "film.mp4", 16 * MIB, seed)
        os.utime(path, (1e9, 1e9))
    with chunks_held(widget.page, MIB):
        widget.drop(tmp_path / "takes")
        wait_until(lambda: widget.get("Object.keys(localStorage).length") == 2, "a note of each")
        widget.page.reload()
    expect(widget.button("Continue film.mp4")).to_have_count(2)
    first, second = widget.rows.locator("[part=folder]").all_inner_texts()

    (tmp_path / first / "film.mp4").unlink()
    line.limit(None)
    widget.drop(tmp_path / "takes")

    rows = widget.rows
    expect(rows.nth(1).locator("[part=status]")).to_have_text(re.compile("^Uploaded"))
    expect(rows.nth(0).locator("[part=status]")).to_have_text(re.compile("^Unfinished"))
    expect(rows.nth(1).locator("[part=folder]")).to_have_text(second)
    path = tmp_path / second / "film.mp4"
    assert (app.arrived / second / "film.mp4").read_bytes() == path.read_bytes()


def test_a_dropped_file_leaves_a_handle_and_need_not_be_chosen_again(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 64 * MIB)
    begin_and_reload(widget, path, dropped=True)
    expect(widget.status("film.mp4")).not_to_contain_text("choose this file")

    widget.button("Continue film.mp4").click()

    line.limit(None)
    widget.wait_until_arrived(app, path)


def test_a_handle_that_brings_no_file_is_followed_by_the_file_chooser(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 64 * MIB)
    begin_and_reload(widget, path, dropped=True)
    path.rename(tmp_path / "away.mp4")
    widget.button("Continue film.mp4").click()
    expect(widget.status("film.mp4")).to_have_text(
        "It was changed, moved or deleted: choose it again."
    )
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "away.mp4").rename(tmp_path / "elsewhere" / "film.mp4")

    with widget.page.expect_file_chooser() as chooser:
        widget.button("Continue film.mp4").click()
    chooser.value.set_files(tmp_path / "elsewhere" / "film.mp4")

    line.limit(None)
    widget.wait_until_arrived(app, tmp_path / "elsewhere" / "film.mp4")


def test_what_is_discarded_is_gone_here_and_on_the_server(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    begin_and_reload(widget, make_file(tmp_path, "film.mp4", 64 * MIB))
    parts = [path for path in (app.folder / "incoming").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in parts) > 4 * MIB

    widget.button("Discard film.mp4").click()

    expect(widget.rows).to_have_text([])  # and if there is one, the failure says what it reads
    expect(widget.page.get_by_label("Choose files")).to_be_focused()
    assert widget.get("incoming.resumable()") == []
    wait_until(
        lambda: all(
            path.stat().st_size < 4 * MIB
            for path in (app.folder / "incoming").rglob("*")
            if path.is_file()
        ),
        "the end of what was stored",
    )


# ---- the server, and who may send


def test_a_server_that_is_killed_is_waited_for_and_the_row_says_so(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    widget.choose(path)
    widget.wait_for_percent("film.mp4", 20)

    app.server.kill()
    expect(widget.status("film.mp4")).to_have_text("The connection is lost. Trying again…")
    expect(widget.row("film.mp4")).to_have_attribute("data-tone", "waits")
    before = widget.percent("film.mp4")
    app.server.start()
    line.limit(None)

    widget.wait_until_arrived(app, path)
    assert before >= 20


def test_somebody_who_is_signed_out_signs_in_again_and_goes_on(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    widget.choose(path)
    widget.wait_for_percent("film.mp4", 10)

    with switch(app, "signed_out"):
        expect(widget.status("film.mp4")).to_have_text("Sign in again, then continue.")
        assert widget.percent("film.mp4") >= 10
    line.limit(None)
    widget.button("Resume film.mp4").click()

    widget.wait_until_arrived(app, path)


@pytest.mark.parametrize("status", [404, 413, 422])
def test_the_words_of_an_app_that_gives_no_ticket_are_shown(
    app: App, widget: Widget, tmp_path: Path, status: int
) -> None:
    path = make_file(tmp_path, "notes.txt", 1000)
    with switch(app, "refusal", f"{status} At most 5 GB, please"):
        widget.choose(path)
        expect(widget.status("notes.txt")).to_have_text("At most 5 GB, please")
        expect(widget.button("Try again notes.txt")).to_be_visible(timeout=3000)
        expect(widget.page.get_by_role("alert").last).to_have_text(
            "notes.txt: At most 5 GB, please"
        )
        widget.button("Try again notes.txt").click()
        expect(widget.status("notes.txt")).to_have_text("At most 5 GB, please")

    widget.button("Try again notes.txt").click()

    widget.wait_until_arrived(app, path)
    expect(widget.rows).to_have_count(1)


def test_an_app_that_is_down_for_a_moment_is_asked_for_the_ticket_again(
    app: App, widget: Widget, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "notes.txt", 1000)
    with switch(app, "refusal", "503 Back in a minute"):
        widget.choose(path)
        expect(widget.status("notes.txt")).to_have_text("The server has a problem. Trying again…")

    widget.wait_until_arrived(app, path)


def test_somebody_who_may_have_no_ticket_signs_in_and_goes_on(
    app: App, widget: Widget, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "notes.txt", 1000)
    with switch(app, "refusal", "401 Who are you?"):
        widget.choose(path)
        expect(widget.status("notes.txt")).to_have_text("Sign in again, then continue.")

    widget.button("Resume notes.txt").click()

    widget.wait_until_arrived(app, path)


# ---- the file


def test_a_file_that_changed_on_disk_is_chosen_again(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    widget.choose(path)
    widget.wait_for_percent("film.mp4", 10)

    make_file(tmp_path, "film.mp4", 12 * MIB, seed=1)
    expect(widget.status("film.mp4")).to_have_text(
        "It was changed, moved or deleted: choose it again."
    )
    line.limit(None)
    with widget.page.expect_file_chooser() as chooser:
        widget.button("Choose again film.mp4").click()
    chooser.value.set_files(path)

    widget.wait_until_arrived(app, path)
    expect(widget.rows).to_have_count(1)


# ---- the page and its form


def test_leaving_is_asked_about_only_while_something_would_be_lost(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    asked: list[str] = []
    widget.page.on("dialog", lambda dialog: asked.append(dialog.type))
    with switch(app, "closed"):
        widget.choose(make_file(tmp_path, "notes.txt", 1000))
        expect(widget.status("notes.txt")).to_have_text(
            re.compile("^Waiting for the application: ")
        )
        widget.page.reload()
        assert asked == [], "the server brings it to its end"
    wait_until(lambda: (app.arrived / "notes.txt").exists(), "the handover")

    widget.choose(make_file(tmp_path, "small.txt", 1000))
    widget.wait_until_arrived(app, tmp_path / "small.txt")
    widget.page.reload()
    assert asked == [], "it has arrived"

    widget.choose(make_file(tmp_path, "film.mp4", 24 * MIB))
    widget.wait_for_percent("film.mp4", 5)
    widget.button("Pause film.mp4").click()
    expect(widget.status("film.mp4")).to_have_text(re.compile("^Paused"))
    widget.page.reload()
    assert asked == ["beforeunload"]


def test_a_form_waits_for_the_files_and_gets_their_tickets(
    app: App, widget: Widget, line: Proxy, tmp_path: Path
) -> None:
    paths = [make_file(tmp_path, name, 4 * MIB) for name in ("a.bin", "b.bin")]
    widget.choose(*paths)
    widget.wait_for_percent("All uploads", 1)

    widget.button("Send the form").click()
    assert widget.page.url == f"{line.url}/", "not while something is on its way"
    expect(widget.page.get_by_label("Choose files")).to_be_focused()
    line.limit(None)
    for path in paths:
        widget.wait_until_arrived(app, path)
    tickets = widget.get("element.uploads.map((one) => one.upload_id)")
    widget.button("Send the form").click()

    widget.page.wait_for_url("**/form")
    assert widget.page.locator("body").inner_text().split() == tickets
    assert len(set(tickets)) == 2
