"""The commands of docs/http.md, one after the other as they stand there, but for the ports."""

from __future__ import annotations

import hmac
import json
import re
import subprocess
from pathlib import Path

import requests
from servers import gunicorn
from webapp import reply, web_app

from incoming_wsgi.signing import sign

DOCUMENT = Path(__file__).parents[1] / "docs" / "http.md"


def test_the_example_of_a_signature_is_right():
    text = " ".join(DOCUMENT.read_text().split())
    key, time, body, digest = re.search(
        r"with the key `(\w+)`, the time `(\d+)` and the body `(\S+)` the digest is `(\w+)`", text
    ).groups()
    assert hmac.digest(key.encode(), f"{time}.{body}".encode(), "sha256").hex() == digest
    assert sign(body.encode(), key, int(time)) == f"t={time},v1={digest}"


def test_the_commands_of_the_document_do_what_it_says(tmp_path):
    text = DOCUMENT.read_text()
    commands = "\n".join(re.findall(r"```sh\n(.+?)```", text, re.DOTALL))
    commands += re.search(r"`(curl [^`]+/health)`", text)[1]
    # curl prints the answers without line breaks.
    commands = re.sub(r"(?<!\\)\n(?! )", "\necho\n", commands)
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    with (
        gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ) as server,
        web_app(reply()) as app,
    ):
        commands = commands.replace("http://127.0.0.1:4000", server.url)
        commands = commands.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{app.port}")
        done = subprocess.run(
            ["bash", "-euc", commands], capture_output=True, text=True, check=True, timeout=60
        )
        [tried] = app.wait_for(1)
        ticket = tried.form["id"]
        url = f"{server.url}/frontend/uploads/{ticket}"
        content_range = {"Content-Range": "bytes 0-2/3"}
        folder = {"length": 3, "relative_path": "a/b.txt"}
        requests.post(url, json=folder, timeout=30).raise_for_status()
        requests.put(url, b"abc", headers=content_range, timeout=30).raise_for_status()
        _, handover = app.wait_for(2)

    said = [line for line in done.stdout.splitlines() if line]
    assert said[:2] == ["nothing to finish: the upload is CREATED", "ok"]
    record, refused, answered, health = said[2:]
    assert json.loads(record)["signal_finish_url"].endswith("/upload_finished")
    assert json.loads(refused)["code"] == "wrong_state"
    assert answered == "done"
    assert json.loads(health) == {"status": "ok"}
    assert tried.form["filename"] == "/no/such/file"
    assert handover.content == b"abc"
    # The table of the fields is that of the handover; the last two come with tus or a digest alone.
    fields = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text.split("## The handover")[1], re.M)
    listed = re.findall(r"\w+", " ".join(fields[: fields.index("`sha256`") + 1]))
    assert sorted(listed) == sorted([*handover.form, "metadata", "sha256"])
