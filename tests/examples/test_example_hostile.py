"""The examples and names that mean harm: nothing but text in a page, nothing but a file on disk."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin

import example_dynamic
import example_simple
import example_widget
import pytest
import requests
from example_apps import Example
from example_dynamic import Dynamic
from example_simple import Simple
from example_widget import Widget
from servers import Server

NAMES = [
    "<script>alert(1)</script>.html",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</a></li></ul><h1>x",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;&#34;",
    "{{1+1}} % import os",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\boot.ini",
    "C:\\x\\..\\y.txt",
    "..",
    ".",
    "../",
    "a/../..",
    "nul\0.html",
    "line\r\nSet-Cookie: x=1\r\n\r\n<b>",
    "exe.\u202egpj",
    "\u2066x\u2069\u200f.txt",
    "half \ud800 a character",
    "x" * 300 + ".html",
    "é" * 200 + ".txt",
    "%2e%2e%2fx",
    "?a=b#c",
    "-rf *",
    "~root",
    "",
    "   ",
]
EVIL_PATHS = [f"{name}/{other}" for name, other in zip(NAMES, NAMES[7:], strict=False)]


class Tags(HTMLParser):
    """The tags of a page with the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: set[tuple[str, tuple[str, ...]]] = set()
        self.hrefs: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, tuple(sorted(name for name, _ in attrs))))
        if tag == "a":
            self.hrefs += [value or "" for name, value in attrs if name == "href"]


def page_of(example: Example) -> Tags:
    return Tags(requests.get(example.app.url + "/", timeout=30).text)


def assert_only_saved(address: str, content: bytes) -> None:
    answer = requests.get(address, timeout=30)
    assert answer.content == content
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="')
    assert answer.headers["Content-Disposition"].count('"') == 2
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


def status(server: Server, path: str) -> tuple[int, bytes]:
    """Of the path as it stands: `requests` would tidy it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path)
    with connection.getresponse() as answer:
        found = answer.status, answer.read()
    connection.close()
    return found


def outside(folder: Path) -> set[Path]:
    """Every file that is not where uploaded files belong."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_relative_to(folder / "uploads")
        and not path.is_relative_to(folder / "incoming")
    }


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def simple(tmp_path: Path, stack: ExitStack) -> Simple:
    return example_simple.start("gunicorn", tmp_path, stack)


@pytest.fixture
def dynamic(tmp_path: Path, stack: ExitStack) -> Dynamic:
    return example_dynamic.start("gunicorn", tmp_path, stack)


@pytest.fixture
def widget(tmp_path: Path, stack: ExitStack) -> Widget:
    return example_widget.start("gunicorn", tmp_path, stack)


def test_simple(simple: Simple) -> None:
    simple.upload(b"first", "harmless")
    plain, files = page_of(simple).seen, outside(simple.folder)
    contents = {}
    for number, name in enumerate(NAMES):
        contents[b"content %d" % number] = name
        simple.upload(b"content %d" % number, name)

    page = page_of(simple)
    assert page.seen == plain
    assert outside(simple.folder) == files
    assert len(page.hrefs) == len(NAMES) + 1
    found = set()
    for href in page.hrefs:
        assert href.startswith("/uploads/")
        assert "/" not in href.removeprefix("/uploads/")
        content = requests.get(urljoin(simple.app.url, href), timeout=30).content
        assert_only_saved(urljoin(simple.app.url, href), content)
        found.add(content)
    assert found == {b"first", *contents}
    assert all(path.parent == simple.uploads for path in simple.uploads.rglob("*"))


def test_dynamic(dynamic: Dynamic) -> None:
    files = outside(dynamic.folder)
    contents = {}
    for number, name in enumerate(NAMES):
        # A query is UTF-8: half a character cannot be there.
        ticket = dynamic.request_upload(name.encode(errors="replace").decode())
        url = dynamic.upload_url(ticket)
        example_dynamic.example_apps.send(url, b"content %d" % number, name)
        example_dynamic.wait_until_finished(url)
        contents[ticket] = b"content %d" % number

    answer = requests.get(f"{dynamic.app.url}/api/frontend/uploads", timeout=30)
    assert answer.headers["Content-Type"] == "application/json"
    assert outside(dynamic.folder) == files
    arrived = answer.json()["uploads"]
    assert {upload["id"] for upload in arrived} == set(contents)
    for upload in arrived:
        assert not set(upload["filename"]) & set("/\\\0\r\n\u202e\u2066")
        assert len(upload["filename"].encode()) <= 255
        name = requests.utils.quote(upload["filename"], safe="")
        assert_only_saved(
            f"{dynamic.app.url}/uploads/{upload['id']}/{name}", contents[upload["id"]]
        )
    assert all(
        path.parent.parent == dynamic.uploads
        for path in dynamic.uploads.rglob("*")
        if path.is_file()
    )


def test_widget(widget: Widget) -> None:
    widget.upload(b"first", "harmless/file")
    plain, files = page_of(widget).seen, outside(widget.folder)
    contents = {b"first"}
    for number, path in enumerate(EVIL_PATHS):
        contents.add(b"content %d" % number)
        widget.upload(b"content %d" % number, path.encode(errors="replace").decode())

    page = page_of(widget)
    assert page.seen == plain
    assert outside(widget.folder) == files
    found = set()
    for href in page.hrefs:
        assert href.startswith("/uploads/")
        assert ".." not in unquote(href).split("/")
        content = requests.get(urljoin(widget.app.url, href), timeout=30).content
        assert_only_saved(urljoin(widget.app.url, href), content)
        found.add(content)
    assert found == contents


LEADING_OUT = [
    "..",
    "../",
    "../secret",
    "%2e%2e/secret",
    "..%2fsecret",
    "..%5csecret",
    "....//secret",
    "x/../../secret",
    "x/%2e%2e/%2e%2e/secret",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "secret%00.txt",
    "%00",
    "x%ff%fe",
    "x" * 3000,
    "%c0%ae%c0%ae/secret",
]


@pytest.mark.parametrize("kind", [example_simple, example_dynamic, example_widget])
def test_no_address_leads_out_of_the_uploads_folder(kind, tmp_path, stack) -> None:
    example = kind.start("gunicorn", tmp_path, stack)
    (example.folder / "secret").write_text("private matter")
    for path in LEADING_OUT:
        for base in ("/uploads/", "/uploads/x/", "/"):
            code, body = status(example.app, base + path)
            assert code in (400, 403, 404), base + path
            assert b"private matter" not in body
            assert b"root:" not in body
            # What was asked for is shown as text, if at all.
            assert b"<script" not in status(example.app, f"{base}<script>{path}")[1]


def test_what_a_visitor_asks_for_is_not_code_in_the_answer(dynamic: Dynamic) -> None:
    evil = '"><script>alert(1)</script>'
    address = f"{dynamic.app.url}/api/frontend/request_upload"
    answer = requests.get(address, params={"filename": evil, evil: evil}, timeout=30)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "<" not in answer.text
    form = {"id": evil, "cancelled": evil, "filename": evil, "secret": evil}
    answer = requests.post(f"{dynamic.app.url}/api/backend/upload_finished", form, timeout=30)
    assert answer.status_code == 404
    assert "<script" not in answer.text
    assert json.loads(requests.get(f"{dynamic.app.url}/api/frontend/uploads", timeout=30).text) == {
        "uploads": []
    }
