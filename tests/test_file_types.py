"""Which files a ticket takes: the words of HTML's accept."""

from __future__ import annotations

import pytest
from webtest import TestApp

from incoming_wsgi import Incoming
from incoming_wsgi.errors import BadRequest
from incoming_wsgi.file_types import accepts, is_accept


@pytest.mark.parametrize(
    ("accept", "filename", "content_type", "expected"),
    [
        (".pdf", "a.pdf", None, True),
        (".pdf", "A.PDF", None, True),
        (".PDF", "a.pdf", None, True),
        (".pdf", "a.pdf.exe", "application/pdf", False),
        (".pdf", "pdf", None, False),
        (".tar.gz", "a.tar.gz", None, True),
        (".pdf", None, None, False),
        ("image/*", "a.bin", "image/png", True),
        ("image/*", "a.png", "imageX/png", False),
        ("image/*", "a.png", None, False),
        ("image/png", "a", "image/png; charset=binary", True),
        ("image/png", "a", "IMAGE/PNG", True),
        ("image/png", "a", "image/pngx", False),
        (".pdf, image/*", "a.bin", "image/gif", True),
        (".pdf, image/*", "a.pdf", "", True),
        (".pdf, image/*", "a.txt", "text/plain", False),
    ],
)
def test_one_part_must_fit(accept, filename, content_type, expected):
    assert accepts(accept, filename, content_type) is expected


@pytest.mark.parametrize("text", ["", ",", ".pdf,", "pdf", "*", "image", "a/b/c", ".a b", ".", "/"])
def test_what_is_no_list_of_types_is_refused(tmp_path, text):
    assert not is_accept(text)
    incoming = Incoming(tmp_path, on_finished=lambda upload: None, background=False)
    with pytest.raises(BadRequest, match="accept is"):
        incoming.new_upload(accept=text)
    incoming.close()


@pytest.fixture
def incoming(tmp_path):
    incoming = Incoming(
        tmp_path, on_finished=lambda upload: None, background=False, backend_api=True
    )
    yield incoming
    incoming.close()


def test_another_file_is_refused_before_a_byte_and_the_right_one_is_taken(incoming):
    app = TestApp(incoming)
    url = f"/frontend/uploads/{incoming.new_upload(accept='.pdf, image/*')}"
    file = {"filename": "a.exe", "length": 3, "type": "application/octet-stream"}
    problem = app.post_json(url, file, status=415).json
    assert (problem["code"], problem["accept"]) == ("type_not_allowed", ".pdf, image/*")
    assert "a.exe" in problem["detail"]
    assert app.get(url).json["length"] is None
    app.post_json(url, {**file, "filename": "a.pdf"})
    app.put(url, b"all", headers={"Content-Range": "bytes 0-2/3"})


def test_who_does_not_say_what_he_sends_is_refused_too(incoming, tmp_path):
    app = TestApp(incoming)
    ticket = incoming.new_upload(accept=".pdf")
    url = f"/frontend/uploads/{ticket}"
    headers = {"Content-Range": "bytes 0-2/3"}
    assert app.put(url, b"all", headers=headers, status=415).json["code"] == "type_not_allowed"
    assert not (tmp_path / "files" / ticket).exists()


def test_a_name_that_the_app_gave_counts(incoming):
    url = f"/frontend/uploads/{incoming.new_upload(accept='.pdf', filename='a.pdf')}"
    TestApp(incoming).put(url, b"all", headers={"Content-Range": "bytes 0-2/3"})


def test_the_backend_functions_have_both_limits(incoming):
    app = TestApp(incoming, extra_environ={"REMOTE_ADDR": "127.0.0.1"})
    form = {"signalFinishURL": "http://app.example/", "accept": ".pdf", "idleTimeoutS": "60"}
    upload = incoming.status(app.post("/backend/new_upload", form).text)
    assert (upload.accept, upload.idle_timeout_s) == (".pdf", 60)
    for name, wrong in (("accept", "pdf"), ("idleTimeoutS", "soon"), ("idleTimeoutS", "0")):
        answer = app.post("/backend/new_upload", {**form, name: wrong}, status=400)
        assert wrong in answer.text
