"""Bad lines, stopped servers, reloads, second tabs: nothing is lost or sent from zero again."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx import nginx
from playwright.sync_api import Browser, Page, Request
from proxy import Proxy, tcp_proxy
from uploading import App, Uploads, chunks_held, make_file, running_app

MIB = 1 << 20


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running_app(tmp_path) as app:
        yield app


@pytest.fixture
def line(app: App) -> Iterator[Proxy]:
    """Between browser and server; 4 MiB/s, so that an upload can be caught in the middle."""
    with tcp_proxy(app.server.port) as proxy:
        proxy.limit(4 * MIB)
        yield proxy


@pytest.fixture
def uploads(page: Page, line: Proxy) -> Iterator[Uploads]:
    uploads = Uploads(page, line.url)
    yield uploads
    assert uploads.violations == []


def length_of(request: Request) -> int:
    """Of a chunk; 0 for other requests."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/\d+", request.headers.get("content-range", ""))
    return int(match[2]) - int(match[1]) + 1 if match else 0


# ---- the line


def test_offline_and_back_again(
    app: App, uploads: Uploads, line: Proxy, page: Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 48 * MIB)
    uploads.start(path)
    uploads.wait_for("upload.frac_complete > 0.2")

    page.context.set_offline(True)
    line.cut()  # Chromium lets running requests go on
    uploads.wait_for("upload.phase === 'connecting' && upload.trouble_code === 'network_error'")
    assert uploads.get("[upload.paused, upload.cancelled, upload.error_code]") == [
        False,
        False,
        None,
    ]
    stored = uploads.get("upload.bytes_acked")
    page.context.set_offline(False)

    uploads.wait_until_arrived(app, path)
    assert stored > 0.2 * 48 * MIB
    # Nothing of what was stored has been sent again: 48 MiB, what was cut off, and headers.
    assert line.bytes_up < 48 * MIB + 20 * MIB


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_line_that_is_cut_again_and_again(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    path = make_file(tmp_path, "film.mp4", 32 * MIB, seed)
    uploads.start(path)
    for _ in range(6):
        uploads.wait_for("upload.phase === 'uploading'")
        goal = uploads.get("upload.bytes_acked") + chance.randrange(1, 2 * MIB)
        uploads.wait_for(f"upload.bytes_acked >= {goal} || upload.bytes_tx >= {goal}")
        fault = chance.choice(["cut", "towards client", "towards server"])
        if fault == "cut":
            line.cut()
        else:
            line.half_close(towards=fault.rpartition(" ")[2])

    uploads.wait_until_arrived(app, path)
    assert "error" not in uploads.get("upload.told")


def test_connections_that_are_cut_after_some_kilobytes_bring_the_file_all_the_same(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 4 * MIB)
    line.limit(None)
    line.cut_after(700_000, times=8)
    uploads.start(path)

    uploads.wait_until_arrived(app, path)


@pytest.mark.timeout(180)
def test_a_line_on_which_nothing_passes_is_noticed_and_the_request_replaced(
    app: App, uploads: Uploads, line: Proxy, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    uploads.start(path)
    uploads.wait_for("upload.frac_complete > 0.2")

    line.stall()
    uploads.wait_for("upload.trouble_code === 'stalled'", 60)
    line.resume()

    uploads.wait_until_arrived(app, path)


# ---- the server


def test_the_server_is_killed_and_started_again(app: App, uploads: Uploads, tmp_path: Path) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    uploads.start(path)
    uploads.wait_for("upload.frac_complete > 0.2")

    app.server.kill()
    uploads.wait_for("upload.phase === 'connecting' && upload.trouble_code !== null")
    app.server.start()

    uploads.wait_until_arrived(app, path)


def test_an_app_that_is_closed_is_waited_for_and_the_page_says_why(
    app: App, uploads: Uploads, tmp_path: Path
) -> None:
    (app.folder / "closed").touch()
    path = make_file(tmp_path, "report.pdf", MIB)
    uploads.start(path)
    uploads.wait_for("upload.handing_over && upload.trouble_code === 'app_waits'")
    assert uploads.get("upload.state_msg").startswith("Waiting for the application: ")

    (app.folder / "closed").unlink()

    uploads.wait_until_arrived(app, path)


def test_somebody_who_is_signed_out_in_the_middle_goes_on_after_signing_in(
    app: App, uploads: Uploads, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    uploads.start(path)
    uploads.wait_for("upload.frac_complete > 0.2")

    (app.folder / "signed_out").touch()
    uploads.wait_for("upload.paused")
    assert uploads.get("upload.trouble_code") == "forbidden"
    assert "sign in again" in uploads.get("upload.state_msg")
    stored = uploads.get("upload.bytes_acked")
    (app.folder / "signed_out").unlink()
    uploads.run("upload.pause('unpause')")

    uploads.wait_until_arrived(app, path)
    assert stored >= 0.2 * 24 * MIB


# ---- nginx in front, as it is installed


def test_nginx_with_its_default_limits_is_no_obstacle(app: App, page: Page, tmp_path: Path) -> None:
    path = make_file(tmp_path, "film.mp4", 20 * MIB)
    with nginx(app.server.port, folder=tmp_path) as front:
        uploads = Uploads(page, front.url)
        answers: list[int] = []
        page.on("response", lambda response: answers.append(response.status))
        uploads.start(path)
        uploads.wait_until_arrived(app, path)

    # It grew once, beyond what nginx takes, and never again.
    assert 1 <= answers.count(413) <= 2
    assert uploads.get("upload.told").count("error") == 0


def test_a_proxy_whose_server_is_down_is_waited_for(app: App, page: Page, tmp_path: Path) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    with (
        nginx(app.server.port, folder=tmp_path) as front,
        tcp_proxy(front.port) as line,
    ):
        line.limit(4 * MIB)
        uploads = Uploads(page, line.url)
        uploads.start(path)
        uploads.wait_for("upload.frac_complete > 0.2")

        app.server.kill()
        uploads.wait_for("upload.trouble_code === 'http_502'")
        app.server.start()

        uploads.wait_until_arrived(app, path)


# ---- the page


def test_after_a_reload_the_same_file_goes_on_from_what_is_missing(
    app: App, uploads: Uploads, page: Page, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 24 * MIB)
    with chunks_held(page, 16 * MIB):
        uploads.start(path)
        uploads.wait_for("upload.frac_complete > 0.4")
        ticket = uploads.get("upload.upload_id")
        page.reload()

    sent: list[int] = []
    page.on("request", lambda request: sent.append(length_of(request)))
    [found] = uploads.get(
        "incoming.resumable().then((all) => all.map((one) => "
        "[one.upload_id, one.filename, one.bytes_total, one.bytes_acked, one.in_another_tab]))"
    )
    assert found[:3] == [ticket, "film.mp4", 24 * MIB]
    assert 0.4 * 24 * MIB < found[3] < 24 * MIB
    assert found[4] is False
    uploads.choose(path)
    uploads.run(
        "const [file] = document.getElementById('file').files;"
        "return incoming.resumable().then(([one]) => one.resume(file))"
        ".then((uploader) => { window.upload = uploader.start(); })"
    )

    uploads.wait_until_arrived(app, path)
    assert sum(sent) <= 24 * MIB - found[3], "what the server had is not sent again"
    assert uploads.get("incoming.resumable().then((all) => all.length)") == 0


def test_with_a_file_handle_it_goes_on_without_choosing_again(
    app: App, uploads: Uploads, page: Page, tmp_path: Path
) -> None:
    # A file of the browser's own, which needs no permission; others ask the person.
    make_handle = """
        const folder = await navigator.storage.getDirectory();
        const file_handle = await folder.getFileHandle("film.mp4", { create: true });
    """
    with chunks_held(page, 16 * MIB):
        page.evaluate(
            f"""async () => {{
                {make_handle}
                const stream = await file_handle.createWritable();
                await stream.write(new Uint8Array(24 << 20).fill(7));
                await stream.close();
                const ticket = await (await fetch("/ticket", {{ method: "POST" }})).text();
                const file = await file_handle.getFile();
                window.upload = incoming.Uploader(ticket, file, {{ file_handle }}).start();
            }}"""
        )
        uploads.wait_for("upload.frac_complete > 0.4")
        page.reload()

    has_handle = page.evaluate(
        """async () => {
            const [one] = await incoming.resumable();
            window.upload = (await one.resume()).start();
            return one.has_file_handle;
        }"""
    )

    assert has_handle is True
    uploads.wait_for("upload.finished")
    assert (app.arrived / "film.mp4").read_bytes() == b"\x07" * (24 * MIB)


def test_of_two_tabs_the_second_takes_over_and_the_first_says_so(
    app: App, line: Proxy, browser: Browser, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 48 * MIB)
    with browser.new_context() as context:
        first = Uploads(context.new_page(), line.url)
        second = Uploads(context.new_page(), line.url)
        with chunks_held(first.page, 16 * MIB):
            first.start(path)
            first.wait_for("upload.frac_complete > 0.1")
            ticket = first.get("upload.upload_id")
            assert second.get("incoming.resumable().then(([one]) => one.in_another_tab)") is True

            line.limit(2 * MIB)
            second.start(path, ticket=ticket)
            first.wait_for("upload.paused")
        assert (
            first.get("upload.state_msg") == "Paused: This upload goes on in another tab or window"
        )
        # More than the first could send: none of its chunks is longer than 8 MiB.
        second.wait_for("upload.frac_complete > 0.5")
        first.run("upload.pause('unpause')")
        second.wait_for("upload.paused")

        line.limit(None)
        first.wait_until_arrived(app, path)
        second.run("upload.pause('unpause')")
        second.wait_for("upload.finished")
    assert [entry.name for entry in app.arrived.iterdir()] == ["film.mp4"]


def test_five_files_at_once_go_three_at_a_time(app: App, uploads: Uploads, tmp_path: Path) -> None:
    paths = [make_file(tmp_path, f"photo {number}.jpg", 3 * MIB, number) for number in range(5)]
    uploads.choose(*paths)
    for number in range(5):
        uploads.make(f"upload{number}", file=number)
    uploads.run(
        "window.most = 0;"
        "window.all = [upload0, upload1, upload2, upload3, upload4];"
        "for (const one of all) one.addEventListener('progress', () => {"
        "  most = Math.max(most, all.filter(({ phase }) => phase === 'uploading').length); });"
        "for (const one of all) one.start();"
    )
    assert uploads.get("all.map(({ phase }) => phase)").count("queued") == 2

    for number, path in enumerate(paths):
        uploads.wait_until_arrived(app, path, name=f"upload{number}")
    assert uploads.get("most") == 3
