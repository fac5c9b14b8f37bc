"""Example 1, run as its readers run it: mounted under gunicorn and wsgiref, and beside a server.

Pages are read and files sent as a browser would; that a browser really does it is tested in
browser/test_example_simple_browser.py.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from example_apps import stand_alone, state
from example_simple import Simple, backend, start
from waiting import wait_until


@pytest.fixture(params=["gunicorn", "wsgiref", "beside"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Simple]:
    with ExitStack() as stack:
        yield start(request.param, tmp_path, stack)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Simple]:
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Simple]:
    with ExitStack() as stack:
        yield start("beside", tmp_path, stack)


def test_a_file_arrives_under_its_name_and_can_be_downloaded(example: Simple) -> None:
    example.upload(b"Guten Tag, " * 1000, "Grüße 你好.txt")

    assert os.listdir(example.uploads) == ["Grüße 你好.txt"]
    links = example.open_page().links
    assert list(links) == ["Grüße 你好.txt"]
    answer = requests.get(links["Grüße 你好.txt"], timeout=30)
    assert answer.content == b"Guten Tag, " * 1000
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_the_page_names_the_library_where_it_is(example: Simple) -> None:
    page = example.open_page()

    assert page.script_url == f"{example.incoming.url}/incoming/0.1/frontend/incoming.js"
    answer = requests.get(page.script_url, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")


def test_every_page_has_a_ticket_of_its_own_and_is_not_kept(mounted: Simple) -> None:
    tickets = {mounted.open_page().ticket for _ in range(5)}

    assert len(tickets) == 5
    answer = requests.get(mounted.app.url, timeout=30)
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_empty_file_arrives(example: Simple) -> None:
    example.upload(b"", "nothing.bin")

    assert (example.uploads / "nothing.bin").read_bytes() == b""


@pytest.mark.parametrize(
    "filename",
    [
        "<b>.txt",
        "<script>alert(1)</script>.html".replace("/", "⁄"),
        'it\'s "quoted" & 100% #1?.txt',
        "{{7*7}} % if x: .txt",
        "%2e%2e.txt",
        " spaces ",
        ".hidden",
    ],
)
def test_a_name_is_only_ever_a_name(mounted: Simple, filename: str) -> None:
    mounted.upload(b"content", filename)

    assert os.listdir(mounted.uploads) == [filename]
    links = mounted.open_page().links
    assert list(links) == [filename]
    assert requests.get(links[filename], timeout=30).content == b"content"


def test_an_uploaded_page_is_saved_and_not_shown(mounted: Simple) -> None:
    mounted.upload(b"<script>alert(1)</script>", "page.html")

    answer = requests.get(f"{mounted.app.url}/uploads/page.html", timeout=30)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="page.html"'


def test_files_of_one_name_all_arrive_even_at_the_same_time(example: Simple) -> None:
    contents = [bytes([65 + number]) * 1000 for number in range(6)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda content: example.upload(content, "photo.jpg"), contents))

    assert sorted(path.name for path in example.uploads.iterdir()) == [
        "photo (2).jpg",
        "photo (3).jpg",
        "photo (4).jpg",
        "photo (5).jpg",
        "photo (6).jpg",
        "photo.jpg",
    ]
    assert sorted(path.read_bytes() for path in example.uploads.iterdir()) == contents


@pytest.mark.parametrize(
    "filename",
    ["ü" * 125 + ".jpeg", "x" * 255, "." + "x" * 254],
    ids=["with a suffix", "without one", "only suffix"],
)
def test_a_second_file_of_the_longest_name_arrives(mounted: Simple, filename: str) -> None:
    assert len(filename.encode()) == 255  # ext4 and others take no more
    mounted.upload(b"first", filename)

    mounted.upload(b"second", filename)

    assert (mounted.uploads / filename).read_bytes() == b"first"
    assert sorted(path.read_bytes() for path in mounted.uploads.iterdir()) == [b"first", b"second"]


def test_the_same_handover_again_is_done_and_changes_nothing(
    mounted: Simple, tmp_path: Path
) -> None:
    incoming_file = tmp_path / "complete"
    incoming_file.write_bytes(b"content")
    fields = {"id": "ticket", "filename": str(incoming_file), "filenameFromBrowser": "file.txt"}

    answers = [mounted.call_back(**fields) for _ in range(2)]

    assert [answer.text for answer in answers] == ["done", "done"]
    assert os.listdir(mounted.uploads) == ["file.txt"]


def test_a_move_that_was_cut_short_is_completed(mounted: Simple, tmp_path: Path) -> None:
    incoming_file = tmp_path / "complete"
    incoming_file.write_bytes(b"content")
    (mounted.uploads / "file.txt").write_bytes(b"somebody else's")
    os.link(incoming_file, mounted.uploads / "file (2).txt")  # and then the app was killed

    answer = mounted.call_back(filename=str(incoming_file), filenameFromBrowser="file.txt")

    assert answer.text == "done"
    assert sorted(os.listdir(mounted.uploads)) == ["file (2).txt", "file.txt"]
    assert not incoming_file.exists()


@pytest.mark.parametrize("secret", [None, "", "guessed", "gerät"])
def test_nobody_without_the_secret_gets_a_file_moved(
    mounted: Simple, tmp_path: Path, secret: str | None
) -> None:
    private = tmp_path / "private.txt"
    private.write_text("private")
    form = {
        "id": mounted.open_page().ticket,  # which every visitor knows
        "cancelled": "no",
        "filename": str(private),
        "filenameFromBrowser": "mine.txt",
    }
    if secret is not None:
        form["signalFinishSecret"] = secret

    answer = requests.post(mounted.app.url + "/api/backend/upload_finished", data=form, timeout=30)

    assert answer.status_code == 404
    assert private.read_text() == "private"
    assert os.listdir(mounted.uploads) == []


@pytest.mark.parametrize("path", ["..%2Fsecret", "%2e%2e/secret", "..%5Csecret", ".."])
def test_no_address_leads_out_of_the_uploads_folder(mounted: Simple, path: str) -> None:
    # http.client sends the path as it stands; requests would tidy it first.
    connection = http.client.HTTPConnection("127.0.0.1", mounted.app.port, timeout=30)
    connection.request("GET", f"/uploads/{path}")
    answer = connection.getresponse()

    assert answer.status in (403, 404)
    assert (mounted.folder / "secret").read_bytes() not in answer.read()
    connection.close()


def test_the_secret_is_for_its_owner_alone(mounted: Simple) -> None:
    assert (mounted.folder / "secret").stat().st_mode & 0o777 == 0o600
    assert len((mounted.folder / "secret").read_text()) >= 32


def test_a_cancelled_upload_is_logged_with_its_reason(example: Simple) -> None:
    page = example.open_page()
    url = urljoin(page.script_url, f"uploads/{page.ticket}")

    requests.delete(url, params={"reason": "changed\nmy mind"}, timeout=30).raise_for_status()

    line = rf"Upload {page.ticket[:8]} was cancelled: 'changed\nmy mind'"
    wait_until(lambda: line in example.app.log, "the line in the log")
    assert os.listdir(example.uploads) == []


def test_a_ticket_survives_a_crash_of_the_app(mounted: Simple) -> None:
    page = mounted.open_page()
    url = urljoin(page.script_url, f"uploads/{page.ticket}")
    facts = {"filename": "file.txt", "length": 6}
    requests.post(url, json=facts, timeout=30).raise_for_status()
    first = {"Content-Range": "bytes 0-2/6"}
    requests.put(url, b"abc", headers=first, timeout=30).raise_for_status()

    mounted.app.kill()
    mounted.app.start()

    second = {"Content-Range": "bytes 3-5/6"}
    requests.put(url, b"def", headers=second, timeout=30).raise_for_status()
    wait_until(lambda: state(url) == "FINISHED", "the handover")
    assert (mounted.uploads / "file.txt").read_bytes() == b"abcdef"


def test_a_file_waits_for_an_app_that_is_down(beside: Simple) -> None:
    page = beside.open_page()
    url = urljoin(page.script_url, f"uploads/{page.ticket}")
    beside.app.kill()
    facts = {"filename": "file.txt", "length": 3}
    requests.post(url, json=facts, timeout=30).raise_for_status()
    whole = {"Content-Range": "bytes 0-2/3"}
    requests.put(url, b"abc", headers=whole, timeout=30).raise_for_status()
    # The first attempt has been made, and has failed.
    wait_until(lambda: requests.get(url, timeout=30).json()["reason"], "an attempt")

    beside.app.start()

    wait_until(lambda: state(url) == "FINISHED", "the handover")
    assert (beside.uploads / "file.txt").read_bytes() == b"abc"


def test_a_visitor_reads_that_the_incoming_server_is_down(beside: Simple) -> None:
    beside.incoming.kill()

    answer = requests.get(beside.app.url, timeout=30)

    assert answer.status_code == 503
    assert "The upload server cannot be reached." in answer.text


def test_a_visitor_reads_what_the_incoming_server_refused(tmp_path: Path) -> None:
    # Any web app will do that is no Incoming server.
    with backend(tmp_path) as other:
        host = f"127.0.0.1:{other.port}"
        with backend(tmp_path, "--internal_incoming_host", host) as app:
            answer = requests.get(app.url, timeout=30)

    assert answer.status_code == 500
    assert "The upload server gave no ticket: 404" in answer.text


@pytest.mark.parametrize("server", ["gunicorn", "wsgiref"])
def test_it_says_where_to_look_and_nothing_else(tmp_path: Path, server: str) -> None:
    with backend(tmp_path, "--server", server, "--public_app_host", "files.example") as app:
        requests.get(app.url, timeout=30).raise_for_status()

        assert app.log == "Open http://files.example/\n"


def test_public_names_are_for_the_browser_and_internal_ones_for_the_servers(
    tmp_path: Path,
) -> None:
    options = ["--public_incoming_host", "uploads.example:8443"]
    with stand_alone(tmp_path) as incoming:
        options += ["--internal_incoming_host", f"127.0.0.1:{incoming.port}"]
        with backend(tmp_path, *options) as app:
            html = requests.get(app.url, timeout=30).text

    assert '"//uploads.example:8443/incoming/0.1/frontend/incoming.js"' in html
