"""Example 3, run as its readers run it, under gunicorn and wsgiref.

Files are sent as the element would. That a browser really does it is tested in
browser/test_example_widget_browser.py.
"""

from __future__ import annotations

import http.client
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from example_widget import Widget, backend, start


@pytest.fixture(params=["gunicorn", "wsgiref"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Widget]:
    with ExitStack() as stack:
        yield start(request.param, tmp_path, stack)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Widget]:
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


def test_files_arrive_in_their_folders_and_can_be_downloaded(example: Widget) -> None:
    files = {
        "photos/day 1/Grüße 100% #1?.jpg": b"first" * 1000,
        "photos/<b>.jpg": b"second",
        "empty.txt": b"",
    }
    for name, content in files.items():
        example.upload(content, name)

    assert example.arrived() == set(files)
    html = requests.get(example.app.url, timeout=30).text
    links = re.findall(r'<a href="(/uploads/.+?)" download>(.+?)</a>', html)
    assert [text for _, text in links] == [
        "empty.txt",
        "photos/&lt;b&gt;.jpg",
        "photos/day 1/Grüße 100% #1?.jpg",
    ], "newest first"
    for (address, _), content in zip(links, reversed(files.values()), strict=True):
        answer = requests.get(example.app.url + address, timeout=30)
        assert answer.content == content
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Content-Type"] == "application/octet-stream"


def test_a_second_file_of_a_name_does_not_replace_the_first(mounted: Widget) -> None:
    for content in (b"first", b"second"):
        mounted.upload(content, "photos/a.jpg")

    assert mounted.arrived() == {"photos/a.jpg", "photos/a (2).jpg"}
    assert (mounted.uploads / "photos" / "a.jpg").read_bytes() == b"first"


def test_only_what_has_arrived_can_be_fetched(mounted: Widget) -> None:
    mounted.upload(b"content", "file.txt")
    secret = mounted.folder / "secret.txt"
    secret.write_text("private")
    # http.client sends the path as it stands; requests would tidy it first.
    connection = http.client.HTTPConnection("127.0.0.1", mounted.app.port, timeout=30)
    for path in ("/uploads/../secret.txt", "/uploads/..%2Fsecret.txt", f"/uploads/{secret}"):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert b"private" not in answer.read()
        assert answer.status in (403, 404), path
    for path in ("/backend.py", "/page.html", "/page.js/../backend.py"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404, path
    connection.close()


def test_after_a_crash_nothing_is_lost_and_more_can_come(mounted: Widget) -> None:
    mounted.upload(b"content", "file.txt")

    mounted.app.kill()
    mounted.app.start()

    mounted.upload(b"other", "file.txt")
    assert mounted.arrived() == {"file.txt", "file (2).txt"}


def test_the_page_needs_nothing_but_its_own_host_and_nothing_inline(mounted: Widget) -> None:
    answer = requests.get(mounted.app.url, timeout=30)

    policy = answer.headers["Content-Security-Policy"]
    assert policy == "default-src 'self'; img-src data:"
    html = answer.text
    assert html.count("<script") == html.count("<script src=") == 2
    assert "<style" not in html
    assert " style=" not in html
    assert re.search(r" on\w+=", html) is None
    for address in re.findall(r'(?:src|href)="(/.+?)"', html):
        assert requests.get(mounted.app.url + address, timeout=30).status_code == 200, address


@pytest.mark.parametrize("server", ["gunicorn", "wsgiref"])
def test_it_says_where_to_look_and_nothing_else(tmp_path: Path, server: str) -> None:
    with backend(tmp_path, "--server", server, "--public_app_host", "files.example") as app:
        requests.get(app.url, timeout=30).raise_for_status()

        assert app.log == "Open http://files.example/\n"


@pytest.mark.parametrize("option", ["--internal_incoming_host", "--public_incoming_host"])
def test_another_incoming_server_is_refused_with_words(tmp_path: Path, option: str) -> None:
    command = backend(tmp_path, option, "uploads.example").command
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    assert result.returncode == 2
    assert "Here Incoming is a part of the app. See examples 1 and 2." in result.stderr
