"""Uppy's tus plugin in Chromium, against gunicorn: the page keeps its uploader, and gets tickets.

The page is at one port and its uploads go to another, through a line with faults: another origin,
so that each request has been asked for before by a preflight.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx import nginx
from playwright.sync_api import Page, Request
from proxy import Proxy, tcp_proxy
from servers import Server, gunicorn
from tools import missing
from uploading import make_file
from waiting import wait_until

HERE = Path(__file__).parent / "uppy"
ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "clients.md"
MIB = 1 << 20
# When a line is cut, what is between browser and server is lost: in buffers of sockets.
LOST = 4 * MIB


def bundle(entry: Path, target: Path) -> None:
    """One script of all that `entry` imports. What it exports is the global `recipe`."""
    esbuild = ROOT / "node_modules" / ".bin" / "esbuild"
    if not (ROOT / "node_modules" / "@uppy" / "tus").is_dir():
        missing("Uppy is not installed: npm ci")
    subprocess.run(
        [
            esbuild,
            entry,
            "--bundle",
            "--global-name=recipe",
            "--log-level=warning",
            f"--outfile={target}",
        ],
        env={**os.environ, "NODE_PATH": str(ROOT / "node_modules")},
        check=True,
        timeout=60,
    )


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("uppy") / "page.js"
    bundle(HERE / "page.js", target)
    return target


class App:
    """The app with its pages, of which each test has one."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.arrived = folder / "arrived"

    def noted(self, what: str) -> list[dict[str, Any]]:
        """What the app has written down: `tickets`, `asked`, `taken`, `cancelled`."""
        file = self.folder / what
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def has_taken(self, *paths: Path) -> None:
        """Each of the files once, and nothing else."""
        assert sorted(each["filename"] for each in self.noted("taken")) == sorted(
            path.name for path in paths
        )
        for path in paths:
            assert (self.arrived / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.fixture
def app(tmp_path: Path, script: Path) -> Iterator[App]:
    home = tmp_path / "app"
    home.mkdir()
    shutil.copy(script, home)
    server = gunicorn(
        "uppy_app:application",
        *("--workers", "2", "--pythonpath", str(HERE)),
        folder=tmp_path,
        environ={"UPPY_FOLDER": str(home)},
    )
    with server:
        yield App(server, home)


@pytest.fixture
def line(app: App) -> Iterator[Proxy]:
    """To the uploads alone; 4 MiB/s, so that an upload can be caught in the middle."""
    with tcp_proxy(app.server.port) as proxy:
        proxy.limit(4 * MIB)
        yield proxy


class Uploads:
    """The page."""

    def __init__(self, page: Page, app: App, line: Proxy) -> None:
        self.page = page
        self.line = line
        self._endpoint = f"{line.url}/incoming/frontend/uploads/"
        page.goto(app.server.url)

    def start(self, *paths: Path, way: str = "header", **options: object) -> None:
        self.page.locator("#file").set_input_files(list(paths))
        self.page.evaluate(
            "([endpoint, way, options]) => start(endpoint, way, options)",
            [self._endpoint, way, options],
        )

    def get(self, expression: str) -> Any:
        return self.page.evaluate(f"() => {expression}")

    def run(self, script: str) -> None:
        self.page.evaluate(f"() => {{ {script} }}")

    def wait_for(self, expression: str, timeout_s: float = 60.0) -> None:
        """What Uppy has said is told if it does not come true."""
        try:
            wait_until(lambda: self.get(f"Boolean({expression})"), expression, timeout_s)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; {self.get('[succeeded, failed]')}") from None

    def wait_until_passed(self, length: int) -> None:
        """Until so many bytes have come to the server, and headers among them."""
        wait_until(lambda: self.line.bytes_up > length, f"{length} bytes")

    def wait_until_arrived(self, app: App, *paths: Path) -> None:
        """Uppy says so of each file, and has said nothing else; the app has them, each once."""
        self.wait_for(f"succeeded.length + failed.length >= {len(paths)}")
        assert self.get("failed") == []
        assert sorted(self.get("succeeded")) == sorted(path.name for path in paths)
        app.has_taken(*paths)


def offsets_of(request: Request) -> list[int]:
    """Where its bytes begin, if it has any."""
    return [int(request.headers["upload-offset"])] if request.method == "PATCH" else []


@pytest.fixture
def uploads(page: Page, app: App, line: Proxy) -> Uploads:
    return Uploads(page, app, line)


# What a page may set. Lines are cut in the middle of all of them below.
OPTIONS: dict[str, dict[str, object]] = {
    "one request": {},
    "chunks": {"chunkSize": MIB},
    "data in the creation": {"uploadDataDuringCreation": True},
    "chunks from the creation on": {"uploadDataDuringCreation": True, "chunkSize": MIB},
    "length comes later": {"uploadLengthDeferred": True, "chunkSize": MIB},
    "length comes with the only request": {"uploadLengthDeferred": True},
    "method in a header": {"overridePatchMethod": True, "chunkSize": MIB},
    "parts in parallel": {"parallelUploads": 3},
}


@pytest.mark.parametrize("options", OPTIONS)
def test_a_file_arrives(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, options: str
) -> None:
    path = make_file(tmp_path, "Größe 1.mp4", 5 * MIB)
    line.limit(None)
    uploads.start(path, **OPTIONS[options])

    uploads.wait_until_arrived(app, path)
    [taken] = app.noted("taken")
    [ticket] = app.noted("tickets")
    assert taken["id"] == ticket["id"]
    assert taken["content_type"] == "video/mp4"
    assert taken["relative_path"] is None
    assert "ticket" not in taken["metadata"]


@pytest.mark.parametrize("way", ["header", "metadata", "endpoint", "uploadUrl"])
def test_each_way_to_bring_a_ticket(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, way: str
) -> None:
    path = make_file(tmp_path, "film.mp4", 3 * MIB)
    line.limit(None)
    uploads.start(path, way=way)

    uploads.wait_for("succeeded.length + failed.length")
    assert uploads.get("failed") == []
    [taken] = app.noted("taken")
    assert [taken["id"]] == [ticket["id"] for ticket in app.noted("tickets")]
    # Nobody has told its name to a ticket that was not created.
    assert taken["filename"] == (None if way == "uploadUrl" else "film.mp4")
    [arrived] = app.arrived.iterdir()
    assert arrived.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("options", OPTIONS)
def test_a_line_that_is_cut_in_the_middle_costs_no_byte_that_was_stored(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, options: str
) -> None:
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    uploads.start(path, **OPTIONS[options])
    for passed in (6 * MIB, 12 * MIB):
        uploads.wait_until_passed(passed)
        line.cut()

    uploads.wait_until_arrived(app, path)
    # Without a Location the client begins again, and what was stored is not written again.
    if options != "data in the creation":
        assert line.bytes_up < 16 * MIB + 2 * LOST
    assert len(app.noted("tickets")) == 1


def test_the_server_is_killed_and_started_again(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    uploads.start(path)
    uploads.wait_until_passed(8 * MIB)

    app.server.kill()
    app.server.start()

    uploads.wait_until_arrived(app, path)
    assert line.bytes_up < 16 * MIB + LOST


@pytest.mark.parametrize(
    ("way", "options"),
    [
        ("header", "one request"),
        ("header", "chunks"),
        ("header", "parts in parallel"),
        ("metadata", "one request"),
    ],
)
def test_after_a_reload_the_same_file_goes_on(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, way: str, options: str
) -> None:
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    uploads.start(path, way=way, **OPTIONS[options])
    uploads.wait_until_passed(8 * MIB)

    uploads.page.reload()
    offsets: list[int] = []
    uploads.page.on("request", lambda request: offsets.extend(offsets_of(request)))
    uploads.start(path, way=way, **OPTIONS[options])

    uploads.wait_until_arrived(app, path)
    firsts = offsets[: 3 if options == "parts in parallel" else 1]
    assert all(offset > 0 for offset in firsts)
    assert sum(firsts) > 8 * MIB - LOST
    first, _ = app.noted("tickets")
    assert [taken["id"] for taken in app.noted("taken")] == [first["id"]]


@pytest.mark.parametrize("options", ["one request", "chunks", "parts in parallel"])
def test_a_pause(app: App, uploads: Uploads, line: Proxy, tmp_path: Path, options: str) -> None:
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    uploads.start(path, **OPTIONS[options])
    uploads.wait_until_passed(8 * MIB)

    running = line.running
    uploads.run("uppy.pauseAll()")
    wait_until(lambda: line.running < running, "the end of a connection")
    assert line.bytes_up < 16 * MIB
    uploads.run("uppy.resumeAll()")

    uploads.wait_until_arrived(app, path)
    assert line.bytes_up < 16 * MIB + LOST


def test_a_file_that_is_removed_is_cancelled_and_the_app_is_told(
    app: App, uploads: Uploads, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    uploads.start(path)
    uploads.wait_until_passed(8 * MIB)

    uploads.run("uppy.removeFile(uppy.getFiles()[0].id)")

    [ticket] = app.noted("tickets")
    wait_until(lambda: app.noted("cancelled"), "the call of the app")
    assert app.noted("cancelled") == [ticket]
    # The same file chosen again is a new upload.
    uploads.start(path)
    uploads.wait_until_arrived(app, path)


def test_many_files_at_once_have_a_ticket_each(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path
) -> None:
    paths = [make_file(tmp_path, f"photo {number}.jpg", MIB, number) for number in range(12)]
    line.limit(None)
    uploads.start(*paths)

    uploads.wait_until_arrived(app, *paths)
    tickets = {ticket["id"] for ticket in app.noted("tickets")}
    assert len(tickets) == 12
    assert {taken["id"] for taken in app.noted("taken")} == tickets


# ---- what the app says of a file that is complete


@pytest.mark.parametrize("options", ["one request", "chunks", "parts in parallel"])
def test_a_refusal_is_an_error_with_the_reason_and_never_a_success(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, options: str
) -> None:
    (app.folder / "refused").write_text("it has a virus")
    path = make_file(tmp_path, "film.mp4", 3 * MIB)
    line.limit(None)
    uploads.start(path, **OPTIONS[options])

    uploads.wait_for("failed.length + succeeded.length")
    [failed] = uploads.get("failed")
    assert failed["status"] == 422
    assert "it has a virus" in json.loads(failed["text"])["detail"]
    assert uploads.get("succeeded") == []
    assert len(app.noted("asked")) == 1
    # Neither does trying again help: the app is not asked a second time.
    uploads.run("uppy.retryAll()")
    uploads.wait_for("failed.length === 2")
    assert "it has a virus" in uploads.get("failed[1].text")
    assert uploads.get("succeeded") == []
    assert len(app.noted("asked")) == 1


def test_a_refusal_whose_answer_was_lost_is_an_error_with_the_reason(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path
) -> None:
    (app.folder / "slow").touch()
    path = make_file(tmp_path, "film.mp4", 3 * MIB)
    line.limit(None)
    lost: list[str] = []
    uploads.page.on("requestfailed", lambda request: lost.append(request.url))
    uploads.start(path)
    wait_until(lambda: app.noted("asked"), "the call of the app")

    # A connection that is only cut Chromium replaces by itself, and sends the request again.
    line.refuse()
    wait_until(lambda: uploads.get("true") and lost, "the loss of the answer")
    (app.folder / "refused").write_text("it has a virus")
    (app.folder / "slow").unlink()
    line.accept()

    uploads.wait_for("failed.length + succeeded.length")
    assert uploads.get("succeeded") == []
    [failed] = uploads.get("failed")
    assert failed["status"] == 422
    assert "it has a virus" in failed["text"]
    assert len(app.noted("asked")) == 1
    assert line.bytes_up < 4 * MIB  # the file was sent once


@pytest.mark.parametrize("options", ["one request", "parts in parallel"])
def test_while_the_app_is_down_there_is_no_success_and_afterwards_there_is_one(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, options: str
) -> None:
    (app.folder / "closed").touch()
    path = make_file(tmp_path, "film.mp4", 3 * MIB)
    line.limit(None)
    locked = []
    uploads.page.on("response", lambda answer: locked.append(answer.status == 423))
    uploads.start(path, **OPTIONS[options])
    wait_until(lambda: uploads.get("1") and any(locked), "an answer that says locked")
    assert uploads.get("succeeded") == []

    (app.folder / "closed").unlink()

    uploads.wait_until_arrived(app, path)


@pytest.mark.parametrize("options", ["chunks", "data in the creation", "parts in parallel"])
def test_without_a_ticket_if_the_app_makes_one_on_the_spot(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, options: str
) -> None:
    (app.folder / "open").touch()
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    uploads.start(path, way="none", **OPTIONS[options])
    uploads.wait_until_passed(8 * MIB)
    if options != "data in the creation":  # without Location and ticket it would be a new upload
        line.cut()

    uploads.wait_until_arrived(app, path)
    tickets = {ticket["id"] for ticket in app.noted("tickets")}
    assert {taken["id"] for taken in app.noted("taken")} <= tickets
    assert len(tickets) == (4 if options == "parts in parallel" else 1)


def test_without_a_right_nothing_is_created(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", MIB)
    uploads.start(path, way="none")

    uploads.wait_for("failed.length + succeeded.length")
    [failed] = uploads.get("failed")
    assert failed["status"] == 403
    assert "you may not upload this" in failed["text"]
    assert app.noted("tickets") == []


# ---- the recipes of the document, as they stand there but for the addresses


def recipe(name: str, app: App, url: str, more: str = "") -> None:
    """As `/recipe.js` of the app. `more` comes after it, in the same module."""
    found = re.search(
        rf"<!-- recipe: {name} -->\n```js\n(.*?)^```$", DOCUMENT.read_text(), re.S | re.M
    )
    assert found is not None, name
    entry = app.folder / "entry.js"
    entry.write_text(found[1].replace("https://uploads.example.com", url) + more)
    bundle(entry, app.folder / "recipe.js")


class Recipe:
    """A page with the script of a recipe."""

    def __init__(self, page: Page, app: App) -> None:
        self.page = page
        self.app = app
        self.load()

    def load(self) -> None:
        self.page.goto(self.app.server.url)
        self.page.add_script_tag(url="/recipe.js")

    def start(self, path: Path, script: str) -> None:
        self.page.locator("#file").set_input_files(path)
        self.page.evaluate(
            f"() => {{ const [file] = document.getElementById('file').files; {script} }}"
        )


UPPY = (
    "recipe.uppy.addFile({ name: file.name, type: file.type, data: file }); recipe.uppy.upload();"
)


def test_the_recipe_for_uppy(app: App, page: Page, line: Proxy, tmp_path: Path) -> None:
    recipe("Uppy", app, line.url, "export { uppy };")
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    used = Recipe(page, app)
    used.start(path, UPPY)
    wait_until(lambda: line.bytes_up > 8 * MIB, "half of it")

    used.load()
    used.start(path, UPPY)

    wait_until(lambda: page.evaluate("recipe.uppy.getState().totalProgress") == 100, "its end")
    wait_until(lambda: app.noted("taken"), "the app")
    app.has_taken(path)
    assert line.bytes_up < 16 * MIB + LOST


def test_the_recipe_for_uppy_passes_the_nginx_of_the_document(
    app: App, page: Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 20 * MIB)
    directives = "client_max_body_size 16m; proxy_request_buffering off;"
    with nginx(app.server.port, folder=tmp_path, directives=directives) as front:
        recipe("Uppy", app, front.url, "export { uppy };")
        Recipe(page, app).start(path, UPPY)

        wait_until(lambda: app.noted("taken"), "the app")
    app.has_taken(path)


def test_the_recipe_for_uppy_shows_why_a_file_is_refused(
    app: App, page: Page, line: Proxy, tmp_path: Path
) -> None:
    (app.folder / "refused").write_text("it has a virus")
    recipe("Uppy", app, line.url, "export { uppy };")
    used = Recipe(page, app)
    used.start(make_file(tmp_path, "film.mp4", MIB), UPPY)

    wait_until(
        lambda: any(
            "it has a virus" in info["message"]
            for info in page.evaluate("recipe.uppy.getState().info")
        ),
        "the reason",
    )


def test_the_recipe_for_tus_js_client(app: App, page: Page, line: Proxy, tmp_path: Path) -> None:
    recipe("tus-js-client", app, line.url)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    path = make_file(tmp_path, "film.mp4", 16 * MIB)
    used = Recipe(page, app)
    used.start(path, "recipe.upload(file);")
    wait_until(lambda: line.bytes_up > 8 * MIB, "half of it")

    used.load()
    used.start(path, "recipe.upload(file);")

    # Playwright tells of the console while it waits for the page.
    wait_until(lambda: page.evaluate("1") and "film.mp4 has arrived" in said, "the end of it")
    app.has_taken(path)
    assert line.bytes_up < 16 * MIB + LOST


def test_the_recipe_for_tus_js_client_tells_why_a_file_is_refused(
    app: App, page: Page, line: Proxy, tmp_path: Path
) -> None:
    (app.folder / "refused").write_text("it has a virus")
    recipe("tus-js-client", app, line.url)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    used = Recipe(page, app)
    used.start(make_file(tmp_path, "film.mp4", MIB), "recipe.upload(file);")

    wait_until(
        lambda: page.evaluate("1") and any("it has a virus" in text for text in said), "the reason"
    )
