"""The corpus of hostile requests against the app itself: clear answers, and no harm done."""

from __future__ import annotations

import pytest
from cases import load_corpus
from exchanges import call
from judging import CONTENT, target
from webapp import web_app
from webtest import TestApp

CASES = [case for case in load_corpus() if not case.is_raw]


@pytest.fixture(scope="module")
def aim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    with web_app() as web, target(folder, web.url, backend_api=True) as aim:
        yield aim


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_hostile_request_gets_a_clear_answer_and_harms_nothing(aim, case, caplog):
    before, count = aim.prepare(case), aim.count()
    answer = call(aim.incoming, case, aim.values(before))
    aim.judge(case.expected("app"), answer, before, count)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    assert before.id not in caplog.text


def test_afterwards_there_is_nothing_where_it_should_not_be(aim):
    aim.judge_folders()


def test_afterwards_an_upload_works(aim):
    upload_id = aim.incoming.new_upload(signal_finish_url=aim.callback)
    aim.ids.append(upload_id)
    headers = {"Content-Range": "bytes 0-1023/1024"}
    TestApp(aim.incoming).put(f"/frontend/uploads/{upload_id}", CONTENT, headers=headers)
    assert aim.incoming.status(upload_id).is_complete
