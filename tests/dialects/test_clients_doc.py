"""The recipes of docs/clients.md that run outside of a browser, as they stand there but for the
addresses. Those for pages are in browser/test_uppy.py.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from proxy import Proxy, tcp_proxy
from servers import Server, gunicorn
from waiting import wait_until

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "clients.md").read_text()
RECIPES = dict(re.findall(r"^<!-- recipe: ([^\n]+) -->\n```\w+\n(.*?)^```$", DOCUMENT, re.M | re.S))
APP = ROOT / "tests" / "browser" / "uppy"
MIB = 1 << 20
# When a line is cut, what is between client and server is lost: in buffers of sockets.
LOST = 4 * MIB
TUS = {"Tus-Resumable": "1.0.0"}


class App:
    def __init__(self, server: Server, folder: Path, line: Proxy) -> None:
        self.url = server.url
        self.folder = folder
        self.line = line
        self.work = folder / "work"
        self.work.mkdir()
        self.film = self.work / "film.mp4"
        self.film.write_bytes(random.Random(1).randbytes(12 * MIB))

    def recipe(self, name: str) -> str:
        text = RECIPES[name].replace("https://app.example.com", self.url)
        return text.replace("https://uploads.example.com", self.line.url)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.work, capture_output=True, text=True, timeout=60)

    def noted(self, what: str) -> list[dict[str, Any]]:
        file = self.folder / what
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def has_taken_the_film(self) -> None:
        [taken] = self.noted("taken")
        assert taken["filename"] == "film.mp4"
        assert (self.folder / "arrived" / "film.mp4").read_bytes() == self.film.read_bytes()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    home = tmp_path / "app"
    home.mkdir()
    server = gunicorn(
        "uppy_app:application",
        *("--pythonpath", str(APP)),
        folder=tmp_path,
        environ={"UPPY_FOLDER": str(home)},
    )
    with server, tcp_proxy(server.port) as line:
        yield App(server, home, line)


@pytest.mark.parametrize("way", ["curl tus", "curl draft"])
def test_curl(app: App, way: str) -> None:
    done = app.run("bash", "-euo", "pipefail", "-c", app.recipe(way))

    assert done.returncode == 0, done
    app.has_taken_the_film()


@pytest.mark.parametrize("way", ["curl tus", "curl draft"])
def test_curl_goes_on_after_a_cut(app: App, way: str) -> None:
    app.line.cut_after(8 * MIB, times=1)
    again = app.recipe(f"{way}, after a cut")

    done = app.run("bash", "-c", f"{app.recipe(way)}\necho cut: $?\nset -euo pipefail\n{again}")

    assert done.returncode == 0, done
    assert re.search(r"^cut: [1-9]", done.stdout, re.M), done
    app.has_taken_the_film()
    assert app.line.bytes_up < 12 * MIB + LOST


@pytest.mark.parametrize("way", ["curl tus", "curl draft"])
def test_curl_shows_why_a_file_is_refused(app: App, way: str) -> None:
    (app.folder / "refused").write_text("it has a virus")

    done = app.run("bash", "-euo", "pipefail", "-c", app.recipe(way))

    assert done.returncode == 22, done
    assert "it has a virus" in done.stdout


def test_tuspy(app: App) -> None:
    app.line.cut_after(8 * MIB, times=1)

    done = app.run(sys.executable, "-c", app.recipe("tuspy"))

    assert done.returncode == 0, done
    app.has_taken_the_film()
    assert 12 * MIB < app.line.bytes_up < 12 * MIB + LOST


def test_tuspy_and_why_a_file_is_refused(app: App) -> None:
    (app.folder / "refused").write_text("it has a virus")
    [question] = re.findall(r"`(requests\.get\(uploader\.url\)[^`]+)`", DOCUMENT)
    head, call, tail = app.recipe("tuspy").partition("uploader.upload()")
    assert (call, tail.strip()) == ("uploader.upload()", "")
    program = f"{head}try:\n    uploader.upload()\nfinally:\n    print({question})\n"
    program = program.replace("retries=5", "retries=0")

    done = app.run(sys.executable, "-c", program)

    assert done.returncode == 1, done
    assert "it has a virus" in done.stdout
    assert "TusUploadFailed" in done.stderr


def test_tuspy_without_a_creation_if_the_ticket_knows_the_length(app: App) -> None:
    known = {"length": str(12 * MIB), "filename": "film.mp4"}
    ticket = requests.post(f"{app.url}/tickets", params=known).text
    url = f"{app.line.url}/incoming/frontend/uploads/{ticket}"

    program = (
        "from tusclient.uploader import Uploader\n"
        f"Uploader('film.mp4', url='{url}', chunk_size={5 * MIB}).upload()"
    )

    done = app.run(sys.executable, "-c", program)

    assert done.returncode == 0, done
    app.has_taken_the_film()


def test_requests_as_those_of_the_java_client(app: App) -> None:
    """Which cannot be run here: chunked coding with an expectation, and an empty request at the end
    of a file whose length is a multiple of 10 MiB."""
    content = random.Random(2).randbytes(10 * MIB)
    ticket = requests.post(f"{app.url}/tickets").text
    with requests.Session() as session:
        session.headers.update({**TUS, "Upload-Ticket": ticket})
        name = b64encode(b"film.mp4").decode()
        created = session.post(
            f"{app.line.url}/incoming/frontend/uploads/",
            headers={"Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"},
        )
        assert created.status_code == 201
        url = requests.compat.urljoin(created.url, created.headers["Location"])
        for offset, body in ((0, content), (len(content), b"")):
            answer = session.patch(
                url,
                data=iter([body] if body else []),
                headers={
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                    "Expect": "100-continue",
                },
            )
            assert answer.status_code == 204
            assert answer.headers["Upload-Offset"] == str(len(content))

    wait_until(lambda: app.noted("taken"), "the app")
    assert (app.folder / "arrived" / "film.mp4").read_bytes() == content


@pytest.mark.parametrize(
    "said",
    [
        {"Upload-Draft-Interop-Version": "3", "Upload-Incomplete": "?0"},
        {"Upload-Draft-Interop-Version": "5", "Upload-Complete": "?1"},
        {"Upload-Draft-Interop-Version": "6", "Upload-Complete": "?1"},
        {"Upload-Draft-Interop-Version": "8", "Upload-Complete": "?1"},
    ],
    ids=lambda said: said["Upload-Draft-Interop-Version"],
)
def test_requests_as_those_of_urlsession(app: App, said: dict[str, str]) -> None:
    """Which cannot be run here. Its upload begins anew after a cut."""
    ticket = requests.post(f"{app.url}/tickets").text
    url = f"{app.line.url}/incoming/frontend/uploads/{ticket}"
    headers = {**said, "Content-Disposition": 'attachment; filename="film.mp4"'}
    app.line.cut_after(8 * MIB, times=1)

    with pytest.raises(requests.ConnectionError):
        requests.post(url, data=app.film.read_bytes(), headers=headers)
    assert app.noted("asked") == []
    answer = requests.post(url, data=app.film.read_bytes(), headers=headers)

    assert answer.status_code in (200, 201)
    app.has_taken_the_film()


def test_requests_as_those_of_tuskit(app: App) -> None:
    """Which cannot be run here. To it any answer with an offset is a success, and it repeats."""
    (app.folder / "refused").write_text("it has a virus")
    ticket = requests.post(f"{app.url}/tickets").text
    headers = {**TUS, "Upload-Ticket": ticket}
    created = requests.post(
        f"{app.line.url}/incoming/frontend/uploads/", headers={**headers, "Upload-Length": "4"}
    )
    url = requests.compat.urljoin(created.url, created.headers["Location"])
    patch = {**headers, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}

    answers = [requests.patch(url, data=b"film", headers=patch) for _ in range(3)]
    answers.append(requests.head(url, headers=headers))

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422]
    assert not any("Upload-Offset" in answer.headers for answer in answers)
    assert len(app.noted("asked")) == 1


def test_every_recipe_says_whether_it_is_run() -> None:
    rows = re.findall(r"^\| .+ \| \[(.+)\]\(#.+\) \| (.+) \|$", DOCUMENT, re.M)
    run = {heading for heading, how in rows if "**not run**" not in how}
    assert run == {"Uppy", "tus-js-client", "tuspy", "curl"}
    headings = dict(rows)
    for heading in headings:
        assert f"\n## {heading}\n" in DOCUMENT
