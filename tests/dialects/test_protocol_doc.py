"""The commands of docs/protocol.md, one after the other as they stand there, but for the ports."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from servers import gunicorn
from webapp import web_app

from incoming_wsgi import errors

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
TEXT = DOCUMENT.read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    environ = {"INCOMING_STORAGE_DIR": str(folder / "storage")}
    with (
        gunicorn("incoming_wsgi.wsgi:application", folder=folder, environ=environ) as server,
        web_app() as app,
    ):
        yield server, app


def run(site, section: str) -> list[str]:
    """The answers to the commands of a section, which come after those of the introduction."""
    server, app = site
    introduction, *rest = TEXT.split("\n## ")
    text = next(part for part in rest if part.startswith(section + "\n"))
    commands = "\n".join(re.findall(r"```sh\n(.+?)```", introduction + text, re.DOTALL))
    commands = re.sub(r"^((?:printf.*)?curl)", r"echo =====; \1", commands, flags=re.MULTILINE)
    commands = commands.replace("http://127.0.0.1:4000", server.url)
    commands = commands.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{app.port}")
    done = subprocess.run(
        ["bash", "-euc", commands], capture_output=True, text=True, check=True, timeout=60
    )
    return [answer.strip() for answer in done.stdout.split("=====\n")[1:]]


def read(answer: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of what `curl -i` prints, without interim answers."""
    head, _, body = answer.rpartition("HTTP/1.1 ")[2].partition("\n\n")
    status, *lines = head.splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[0]), headers, body


def test_the_native_commands_do_what_the_document_says(site):
    declared, put, asked, status, last, cancelled = run(site, "Native")
    views = [json.loads(view) for view in (declared, put, asked, last)]
    assert [view["received"] for view in views] == [[], [[6, 11]], [[6, 11]], [[0, 11]]]
    assert status == "304"
    assert json.loads(cancelled)["state"] == "CANCELLED"
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", TEXT.split("same JSON:")[1], re.MULTILINE)
    listed = re.findall(r"\w+", " ".join(table[: table.index("`digests`") + 1]))
    assert set(listed) - set(views[0]) == {"received_near", "digests"}
    assert set(views[0]) <= set(listed)


def test_the_commands_of_tus_do_what_the_document_says(site):
    answers = [read(answer) for answer in run(site, "tus 1.0.0")]
    assert [status for status, _, _ in answers] == [200, 201, 204, 200, 204]
    _, options, _ = answers[0]
    named = re.search(r"these extensions: (.+?)\.\n? ?Not", TEXT, re.DOTALL)[1]
    assert options["Tus-Extension"].split(",") == re.findall(r"`([a-z-]+)`", named)
    offsets = [headers.get("Upload-Offset") for _, headers, _ in answers[1:]]
    assert offsets == ["0", "6", "6", "11"]
    assert answers[-1][1]["Upload-State"] == "FINISHED"


def test_the_commands_of_the_draft_do_what_the_document_says(site):
    answers = [read(answer) for answer in run(site, "The IETF draft")]
    assert [status for status, _, _ in answers] == [201, 204, 200, 200, 200]
    assert [headers["Upload-Complete"] for _, headers, _ in answers] == ["?0"] * 3 + ["?1"] * 2
    assert [headers["Upload-Offset"] for _, headers, _ in answers] == ["0", "6", "6", "11", "11"]
    assert {json.loads(body)["state"] for _, _, body in answers[3:]} == {"FINISHED"}


def test_the_file_arrives_by_each_of_them(site):
    _, app = site
    before = len(app.handovers)
    for section in ("Native", "tus 1.0.0", "The IETF draft"):
        run(site, section)
    # One more is the cancellation of the native commands.
    handovers = app.wait_for(before + 4)[before:]
    arrived = [handover for handover in handovers if handover.form["cancelled"] == "no"]
    assert [handover.content for handover in arrived] == [b"hello world"] * 3
    assert {handover.form["filenameFromBrowser"] for handover in arrived} == {"hello.txt"}


def test_every_error_that_a_client_may_meet_is_in_the_table():
    table = TEXT.split("\n## Errors\n")[1]
    codes = set(re.findall(r"`([a-z_]+)`", table))
    inside = {"lease_lost", "wrong_secret", "wrong_signature", "too_late", "bytes_lost"}
    inside |= {"conflict"}  # of the backend, or never given to anybody
    known = {getattr(errors, name).code for name in errors.__all__}
    assert known - inside <= codes
