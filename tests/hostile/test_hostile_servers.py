"""The corpus of hostile requests against the servers that people use, byte for byte.

Each server runs all of it, one request after the other, in one start: what a request breaks is seen
by the next, and by the upload at the end.
"""

from __future__ import annotations

import functools
import re

import pytest
import requests
import servers
from cases import load_corpus
from exchanges import send
from judging import CONTENT, MAX_CHUNK_BYTES, target
from waiting import wait_until
from webapp import web_app

CASES = load_corpus()
KINDS = {
    "gunicorn-sync": functools.partial(servers.gunicorn, worker_class="sync"),
    "gunicorn-gthread": servers.gunicorn,
    "waitress": servers.waitress,
    "uwsgi": servers.uwsgi,
    "cheroot": servers.cheroot,
    "wsgiref": servers.wsgiref,
}
# A line of ours, or a step of ours in the traceback of a server.
TROUBLE = re.compile(r"^\S+Z (?:ERROR|CRITICAL) |^.*/incoming_wsgi/\w+\.py\", line", re.MULTILINE)

# gunicorn warns of a request line that it cannot read, and repeats it.
REPEATED = re.compile(r"Invalid request from .*")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def web():
    with web_app() as web:
        yield web


@pytest.fixture(scope="module")
def aim(kind, web, tmp_path_factory):
    with target(tmp_path_factory.mktemp(kind), web.url) as aim:
        yield aim


@pytest.fixture(scope="module")
def server(kind, aim):
    environ = {
        "INCOMING_STORAGE_DIR": str(aim.storage),
        "INCOMING_CHUNK_BYTES": "1024",
        "INCOMING_MAX_CHUNK_BYTES": str(MAX_CHUNK_BYTES),
    }
    application = "incoming_wsgi.wsgi:application"
    with KINDS[kind](application, folder=aim.folder, environ=environ) as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_hostile_request_gets_a_clear_answer_and_harms_nothing(kind, server, aim, case):
    before, count = aim.prepare(case), aim.count()
    answer = send(server.port, case, aim.values(before))
    aim.judge(case.expected(kind), answer, before, count)


def test_afterwards_the_log_has_no_trouble_of_ours_and_no_ticket(server, aim):
    assert TROUBLE.findall(server.log) == []
    log = REPEATED.sub("", server.log)
    assert "event=cancelled" in log  # it is the right log
    assert [upload_id for upload_id in aim.ids if upload_id in log] == []


def test_afterwards_there_is_nothing_where_it_should_not_be(server, aim):
    aim.judge_folders()


def test_afterwards_an_upload_works(server, aim, web):
    form = {"signalFinishURL": web.url}
    upload_id = requests.post(f"{server.url}/backend/new_upload", form, timeout=30).text
    url = f"{server.url}/frontend/uploads/{upload_id}"
    declared = requests.post(url, json={"filename": "good.bin", "length": 1024}, timeout=30)
    assert declared.status_code == 200
    for start in (512, 0):
        headers = {"Content-Range": f"bytes {start}-{start + 511}/1024"}
        chunk = CONTENT[start : start + 512]
        assert requests.put(url, chunk, headers=headers, timeout=30).status_code == 200

    def mine():
        return [handover for handover in web.handovers if handover.form["id"] == upload_id]

    wait_until(mine, "the handover")
    assert [handover.content for handover in mine()] == [CONTENT]
