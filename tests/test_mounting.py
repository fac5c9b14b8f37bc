"""The application under others' roofs: mount points, the WSGI validator, frameworks, forks."""

from __future__ import annotations

import copy
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from waiting import wait_until
from webob import Request
from webtest import TestApp

from incoming_wsgi import Incoming


@pytest.fixture
def incoming(tmp_path):
    incoming = Incoming(tmp_path / "incoming", on_finished=lambda upload: None, background=False)
    yield incoming
    incoming.close()


def parent(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"parent {environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]


def call(app, method, script_name, path_info, body=b"", **environ):
    """One request through wsgiref's validator: status, headers, body."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)),
        **environ,
    }
    setup_testing_defaults(environ)
    request = Request(environ)
    request.body_file_raw.write(body)
    request.body_file_raw.seek(0)
    seen = {}

    def start_response(status, headers, exc_info=None):
        seen.update(status=int(status.split()[0]), headers=dict(headers))
        return lambda _: None

    result = validator(app)(environ, start_response)
    try:
        content = b"".join(result)
    finally:
        result.close()
    return seen["status"], seen["headers"], content


@pytest.mark.parametrize("script_name", ["", "/incoming", "/outer/in"])
@pytest.mark.parametrize("path_info", ["", "/", "/0.1", "/0.1/", "/frontend", "/frontend/"])
def test_paths_without_anything_there_are_404_at_any_mount_point(incoming, script_name, path_info):
    if not script_name and not path_info:
        path_info = "/"
    status, _, _ = call(incoming, "GET", script_name, path_info)
    assert status == 404


@pytest.mark.parametrize("script_name", ["", "/incoming", "/outer/in"])
@pytest.mark.parametrize("version", ["", "/0.1"])
def test_every_method_is_correct_wsgi_at_any_mount_point(incoming, script_name, version):
    path = f"{version}/frontend/uploads/{incoming.new_upload()}"

    def status(method, body=b"", **environ):
        return call(incoming, method, script_name, path, body, **environ)[0]

    assert status("OPTIONS") == 200
    assert status("POST", b'{"filename": "a", "length": 4}') == 200
    assert status("PUT", b"ab", HTTP_CONTENT_RANGE="bytes 0-1/4") == 200
    assert status("GET") == 200
    assert status("HEAD") == 200
    assert status("DELETE") == 200
    assert status("PUT", b"cd", HTTP_CONTENT_RANGE="bytes 2-3/4") == 410
    assert status("PATCH", b"cd") == 412  # it does not say which protocol it speaks
    assert call(incoming, "GET", script_name, version + "/health")[0] == 200
    assert call(incoming, "GET", script_name, version + "/frontend/incoming.js")[0] == 200
    assert call(incoming, "POST", script_name, version + "/backend/new_upload")[0] == 404


def test_the_environ_is_left_as_it_was(incoming):
    environ = Request.blank("/in/frontend/uploads/x").environ
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/in", "/frontend/uploads/x"
    before = copy.copy(environ)
    Request(environ).get_response(incoming)
    assert {name: environ[name] for name in before} == before


def test_no_answer_has_a_header_that_servers_refuse(incoming):
    path = f"/frontend/uploads/{incoming.new_upload()}"
    for method in ("GET", "OPTIONS", "PUT", "DELETE"):
        _, headers, _ = call(incoming, method, "", path)
        assert not {"connection", "transfer-encoding", "keep-alive"} & {
            name.lower() for name in headers
        }
        assert all(value.isascii() for value in headers.values())


# wrap


@pytest.mark.parametrize("prefix", ["/incoming", "incoming", "/incoming/", "/a/b"])
def test_wrap_takes_whole_segments_of_its_prefix_and_nothing_else(incoming, prefix):
    app = TestApp(incoming.wrap(parent, prefix=prefix))
    mount = "/" + prefix.strip("/")
    url = f"{mount}/frontend/uploads/{incoming.new_upload()}"
    assert app.get(url).json["state"] == "CREATED"
    app.get(mount, status=404)
    app.get(mount + "/", status=404)
    for path in ("/", mount + "x", "/frontend/uploads/x", mount[:-1]):
        assert app.get(path).text == f"parent |{path}"


def test_wrap_works_below_another_mount_and_leaves_the_environ(incoming):
    inner = incoming.wrap(parent)
    outer = Request.blank(f"/incoming/frontend/uploads/{incoming.new_upload()}")
    outer.environ["SCRIPT_NAME"] = "/shop"
    before = dict(outer.environ)
    response = outer.get_response(inner)
    assert response.json["state"] == "CREATED"
    assert {name: outer.environ[name] for name in before} == before


def test_wrap_needs_a_path(incoming):
    with pytest.raises(ValueError, match="prefix"):
        incoming.wrap(parent, prefix="/")


# frameworks


def test_bottle_can_mount_it(incoming):
    import bottle

    root = bottle.Bottle()
    root.mount("/incoming/", incoming)
    app = TestApp(root)
    url = f"/incoming/frontend/uploads/{incoming.new_upload()}"
    app.post_json(url, {"filename": "Grüße.txt", "length": 2})
    app.put(url, b"ab", headers={"Content-Range": "bytes 0-1/2"})
    assert app.get(url).json["state"] == "COMPLETE"
    assert app.get("/incoming/0.1/frontend/incoming.js").content_type == "text/javascript"


# construction


def test_nothing_runs_before_the_first_request(tmp_path):
    import threading

    before = threading.active_count()
    incoming = Incoming(tmp_path / "other", on_finished=lambda upload: None)
    assert threading.active_count() == before
    TestApp(incoming).get("/health")
    assert threading.active_count() == before + 1
    incoming.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("name", ["on_finished", "on_cancelled", "authorize"])
def test_a_callback_that_cannot_be_called_is_refused_at_once(tmp_path, name):
    with pytest.raises(TypeError, match=f"{name} must be a function"):
        Incoming(tmp_path / "other", **{name: "take_file"})


def test_a_misspelt_setting_is_refused_at_once(tmp_path):
    with pytest.raises(TypeError, match="chunk_size"):
        Incoming(tmp_path / "other", chunk_size=1)


def test_two_processes_may_embed_the_same_folder(tmp_path, incoming):
    other = Incoming(tmp_path / "incoming", on_finished=lambda upload: None, background=False)
    upload_id = incoming.new_upload()
    assert other.status(upload_id).id == upload_id
    other.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_it_works_in_a_process_forked_after_the_first_request(incoming):
    import os

    app = TestApp(incoming)
    url = f"/frontend/uploads/{incoming.new_upload()}"
    app.post_json(url, {"filename": "a", "length": 4})
    app.put(url, b"ab", headers={"Content-Range": "bytes 0-1/4"})
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            answer = app.put(url, b"cd", headers={"Content-Range": "bytes 2-3/4"}).json
            code = 0 if answer["state"] == "COMPLETE" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert app.get(url).json["state"] == "COMPLETE"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_the_thread_is_started_again_in_a_forked_process(tmp_path):
    import os

    incoming = Incoming(tmp_path / "other", on_finished=lambda upload: None)
    app = TestApp(incoming)
    app.get("/health")  # the thread of this process runs
    url = f"/frontend/uploads/{incoming.new_upload()}"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            app.put(url, b"ab", headers={"Content-Range": "bytes 0-1/2"})
            wait_until(lambda: app.get(url).json["state"] == "FINISHED", "FINISHED", 10)
            code = 0
        finally:
            os._exit(code)
    # This process must not be the one that finishes it.
    incoming.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
