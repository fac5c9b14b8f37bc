"""The original's backend functions over HTTP, to the letter; and who may call them."""

from __future__ import annotations

import uuid

import pytest
from webob import Request
from webtest import TestApp
from webtest.app import AppError

from incoming_wsgi import Incoming
from incoming_wsgi.states import Event, UploadState
from incoming_wsgi.testing.tickets import changes_nothing

LOOPBACK = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}
URL = "http://127.0.0.1:9/api/backend/upload_finished"


@pytest.fixture
def incoming(tmp_path):
    incoming = Incoming(tmp_path / "incoming", backend_api=True, background=False)
    yield incoming
    incoming.close()


@pytest.fixture
def app(incoming):
    return TestApp(incoming, extra_environ=LOOPBACK)


def new_upload(app, **parameters) -> str:
    return app.post("/backend/new_upload", {"signalFinishURL": URL, **parameters}).text


def advance(incoming, upload_id, *events):
    for event in events:
        incoming._tickets.transition(upload_id, event, changes_nothing)


# new_upload


@pytest.mark.parametrize("version", ["", "0.1/"])
def test_the_ticket_is_the_whole_body_of_the_answer(app, version):
    response = app.post(f"/{version}backend/new_upload", {"signalFinishURL": URL})
    assert response.content_type == "text/plain"
    assert str(uuid.UUID(response.text)) == response.text


def test_parameters_may_stand_in_the_query(app, incoming):
    response = app.post(f"/backend/new_upload?signalFinishURL={URL}%3Fa%3D1&backendSecret=s")
    upload = incoming.status(response.text)
    assert upload.signal_finish_url == f"{URL}?a=1"
    assert upload.secret == "s"


def test_a_form_value_wins_over_the_query(app, incoming):
    upload_id = app.post(
        "/backend/new_upload?backendSecret=query&signalFinishURL=no",
        {"signalFinishURL": URL, "backendSecret": "form"},
    ).text
    assert incoming.status(upload_id).secret == "form"


def test_multipart_forms_work_too(app, incoming):
    response = app.post(
        "/backend/new_upload",
        {"signalFinishURL": URL, "backendSecret": "ü"},
        content_type="multipart/form-data; boundary=b",
        upload_files=[("ignored", "x.txt", b"file")],
    )
    assert incoming.status(response.text).secret == "ü"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain; charset=bogus",
        "text/plain; charset=zlib",
        "multipart/mixed; boundary=C",
        "application/x-www-form-urlencoded",
    ],
)
def test_a_multipart_form_with_an_odd_part_is_never_trouble_of_the_server(app, kind):
    body = (
        f'--b\r\nContent-Disposition: form-data; name="signalFinishURL"\r\n\r\n{URL}\r\n'
        '--b\r\nContent-Disposition: form-data; name="x"\r\n'
        f"Content-Type: {kind}\r\n\r\ny\r\n--b--\r\n"
    )
    response = app.post(
        "/backend/new_upload",
        body,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        expect_errors=True,
    )
    assert response.status_code in (200, 400)


@pytest.mark.parametrize("name", ["backendSecret", "signalFinishSecret"])
@pytest.mark.parametrize("secret", ["plain", "with spaces", "a&b=c+d%20e", "ßecret 你", "\"'"])
def test_any_text_is_a_secret_under_both_names(app, incoming, name, secret):
    upload_id = new_upload(app, **{name: secret})
    assert incoming.status(upload_id).secret == secret
    other = "signalFinishSecret" if name == "backendSecret" else "backendSecret"
    assert app.post("/backend/cancel_upload", {"id": upload_id, other: secret}).text == "ok"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(text, True) for text in ("1", "t", "T", "TRUE", "true", "True", "")]
    + [(text, False) for text in ("0", "f", "F", "FALSE", "false", "False")],
)
def test_remove_file_when_finished_has_the_originals_spellings(app, incoming, text, expected):
    upload_id = new_upload(app, removeFileWhenFinished=text, destType="")
    assert incoming.status(upload_id).remove_file_when_finished is expected


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"signalFinishURL": ""}, "signalFinishURL"),
        ({"signalFinishURL": "/api/finished"}, "signalFinishURL"),
        ({"signalFinishURL": "ftp://host/x"}, "signalFinishURL"),
        ({"signalFinishURL": "http://"}, "signalFinishURL"),
        ({"signalFinishURL": "http:///path"}, "signalFinishURL"),
        ({"signalFinishURL": "http://[::1"}, "signalFinishURL"),
        ({"signalFinishURL": "http://host:99999/"}, "signalFinishURL"),
        ({"signalFinishURL": "http://a..b/x"}, "signalFinishURL"),
        ({"signalFinishURL": "http://" + "a" * 64 + ".example/"}, "signalFinishURL"),
        ({"signalFinishURL": "http://ü..de/"}, "signalFinishURL"),
        ({"signalFinishURL": "http://exa mple/"}, "signalFinishURL"),
        ({"signalFinishURL": "http://a\0b/"}, "signalFinishURL"),
        ({"signalFinishURL": "http://*/"}, "signalFinishURL"),
        ({"signalFinishURL": "http://a%zz:1/"}, "signalFinishURL"),
        ({"removeFileWhenFinished": "yes"}, "removeFileWhenFinished"),
        ({"destType": "ceph"}, "destType"),
        ({"length": "-1"}, "length"),
        ({"length": "1e3"}, "length"),
        ({"length": "9" * 5000}, "length"),
        ({"maxLengthBytes": str(2**63)}, "maxLengthBytes"),
    ],
)
def test_a_bad_parameter_is_named(app, parameters, named):
    response = app.post("/backend/new_upload", {"signalFinishURL": URL, **parameters}, status=400)
    assert response.content_type == "text/plain"
    assert named in response.text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4001/api/finished?x=1",
        "https://user:pass@app.example:8443/",
        "http://[::1]:4001/",
        "http://my_app/finished",
        "http://127.0.0.1:4001/a b",
        "http://grüße.example./",
        "HTTP://APP.example/",
    ],
)
def test_urls_that_can_be_called_are_taken_as_they_are(app, incoming, url):
    upload_id = app.post("/backend/new_upload", {"signalFinishURL": url}).text
    assert incoming.status(upload_id).signal_finish_url == url


@pytest.mark.parametrize("charset", ["UTF-8", "ISO-8859-1", "us-ascii", "nonsense"])
def test_forms_are_utf8_whatever_charset_they_name(app, incoming, charset):
    response = app.post(
        "/backend/new_upload",
        b"signalFinishURL=http%3A%2F%2Fx%2F&backendSecret=%C3%9F",
        content_type=f"application/x-www-form-urlencoded; charset={charset}",
    )
    assert incoming.status(response.text).secret == "ß"


def test_a_missing_url_is_named(app):
    assert "signalFinishURL" in app.post("/backend/new_upload", status=400).text


def test_unknown_parameters_are_ignored(app):
    assert len(new_upload(app, colour="blue")) == 36


def test_bytes_that_are_not_utf8_are_a_clear_error(app):
    app.post(
        "/backend/new_upload",
        b"signalFinishURL=http%3A%2F%2Fx%2F&backendSecret=%FF",
        content_type="application/x-www-form-urlencoded",
        status=400,
    )
    app.post("/backend/new_upload?backendSecret=%FF", {"signalFinishURL": URL}, status=400)


def test_length_and_filename_may_be_given_for_clients_that_do_not_declare(app, incoming):
    upload = incoming.status(new_upload(app, length="123", filename="a.bin"))
    assert (upload.length, upload.filename) == (123, "a.bin")


# cancel_upload and finish_upload


@pytest.mark.parametrize("function", ["cancel_upload", "finish_upload"])
def test_the_id_is_checked_before_the_secret(app, function):
    upload_id = new_upload(app, backendSecret="s")
    url = f"/backend/{function}"
    assert app.post(url, {}, status=400).text == "id not given"
    assert app.post(url, {"id": "", "backendSecret": "s"}, status=400).text == "id not given"
    assert app.post(url, {"id": "nobody", "backendSecret": "s"}, status=400).text == "id unknown"
    wrong = "backendSecret not given or wrong"
    assert app.post(url, {"id": upload_id}, status=403).text == wrong
    assert app.post(url, {"id": upload_id, "backendSecret": "S"}, status=403).text == wrong


@pytest.mark.parametrize("function", ["cancel_upload", "finish_upload"])
def test_a_secret_for_a_ticket_without_one_is_wrong(app, function):
    upload_id = new_upload(app)
    app.post(f"/backend/{function}", {"id": upload_id, "backendSecret": "x"}, status=403)


def test_cancelling_works_until_the_handover_and_may_be_repeated(app, incoming):
    upload_id = new_upload(app)
    app.post_json(f"/frontend/uploads/{upload_id}", {"filename": "a", "length": 4})
    app.put(f"/frontend/uploads/{upload_id}", b"ab", headers={"Content-Range": "bytes 0-1/4"})
    for _ in range(2):
        assert app.post("/backend/cancel_upload", {"id": upload_id}).text == "ok"
    seen = app.get(f"/frontend/uploads/{upload_id}").json
    assert (seen["state"], seen["reason"]) == ("CANCELLED", "Cancelled by request")
    # The app asked for it and need not be told.
    assert seen["notified"] is True
    assert list((incoming._tickets.path.parent / "files").iterdir()) == []


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([Event.COMPLETE, Event.HAND_OVER], "HANDING_OVER"),
        ([Event.COMPLETE, Event.HAND_OVER, Event.WAIT], "AWAITING_CONFIRMATION"),
        ([Event.COMPLETE, Event.HAND_OVER, Event.FINISH], "FINISHED"),
    ],
)
def test_it_is_too_late_to_cancel_what_is_being_handed_over_or_over(app, incoming, events, state):
    upload_id = new_upload(app)
    advance(incoming, upload_id, *events)
    response = app.post("/backend/cancel_upload", {"id": upload_id}, status=412)
    assert state in response.text
    assert incoming.status(upload_id).state is UploadState(state)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [Event.STORE],
        [Event.COMPLETE],
        [Event.COMPLETE, Event.HAND_OVER, Event.DELAY],
        [Event.CANCEL],
        [Event.COMPLETE, Event.HAND_OVER, Event.FINISH],
        [Event.COMPLETE, Event.HAND_OVER, Event.GIVE_UP],
    ],
)
def test_finishing_what_does_not_wait_for_it_is_refused_and_harmless(app, incoming, events):
    upload_id = new_upload(app)
    advance(incoming, upload_id, *events)
    before = incoming.status(upload_id)
    app.post("/backend/finish_upload", {"id": upload_id}, status=412)
    assert incoming.status(upload_id) == before


def test_finishing_is_ok_once(app, incoming):
    upload_id = new_upload(app)
    advance(incoming, upload_id, Event.COMPLETE, Event.HAND_OVER, Event.WAIT)
    assert app.post("/backend/finish_upload", {"id": upload_id}).text == "ok"
    app.post("/backend/finish_upload", {"id": upload_id}, status=412)


def test_cancelling_works_after_a_restart(app, incoming, tmp_path):
    upload_id = new_upload(app, backendSecret="s")
    incoming.close()
    again = Incoming(tmp_path / "incoming", backend_api=True, background=False)
    other = TestApp(again, extra_environ=LOOPBACK)
    form = {"id": upload_id, "backendSecret": "s"}
    assert other.post("/backend/cancel_upload", form).text == "ok"
    again.close()


@pytest.mark.parametrize("function", ["new_upload", "cancel_upload", "finish_upload"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_functions_are_post_only(app, function, method):
    url = f"/backend/{function}"
    response = app.request(url, method=method, environ=LOOPBACK, status=405)
    assert response.headers["Allow"] == "POST"


# the record


def test_the_backend_may_read_the_record_without_the_secret(app):
    upload_id = new_upload(app, backendSecret="s3cret", owner="ann")
    response = app.get(f"/backend/uploads/{upload_id}")
    assert response.json["state"] == "CREATED"
    assert response.json["owner"] == "ann"
    assert "s3cret" not in response.text
    unknown = app.get("/backend/uploads/unknown", status=404)
    assert unknown.content_type == "application/problem+json"
    assert unknown.json["code"] == "unknown_upload"


def test_the_record_says_where_the_file_was_as_the_client_said(app):
    upload_id = new_upload(app)
    assert app.get(f"/backend/uploads/{upload_id}").json["relative_path"] is None
    said = {"filename": "b.txt", "length": 4, "relative_path": "../a\\b.txt"}
    app.post_json(f"/frontend/uploads/{upload_id}", said)
    assert app.get(f"/backend/uploads/{upload_id}").json["relative_path"] == "../a\\b.txt"


def test_a_failed_upload_can_be_handed_over_again(app, incoming):
    upload_id = new_upload(app)
    app.post(f"/backend/uploads/{upload_id}/retry", status=409)
    advance(incoming, upload_id, Event.COMPLETE, Event.HAND_OVER, Event.GIVE_UP)
    assert app.post(f"/backend/uploads/{upload_id}/retry").json["state"] == "COMPLETE"
    app.get(f"/backend/uploads/{upload_id}/retry", status=405)


# who may


def test_it_is_closed_inside_an_app_unless_switched_on(tmp_path):
    incoming = Incoming(tmp_path / "other", background=False)
    app = TestApp(incoming, extra_environ=LOOPBACK)
    app.post("/backend/new_upload", {"signalFinishURL": URL}, status=404)
    incoming.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_peers_on_this_machine_may_call(app, address):
    app.post(
        "/backend/new_upload", {"signalFinishURL": URL}, extra_environ={"REMOTE_ADDR": address}
    )


@pytest.mark.parametrize(
    "host",
    ["", "127.0.0.1", "127.8.9.10:80", "[::1]", "[::1]:80", "LocalHost:80", "in.localhost"],
)
def test_they_may_call_this_machine_by_every_name_that_is_its_own(app, host):
    form = {"signalFinishURL": URL}
    app.post("/backend/new_upload", form, extra_environ={"HTTP_HOST": host})


def test_a_request_without_a_host_may_be_from_this_machine(incoming):
    environ = Request.blank("/backend/new_upload", POST={"signalFinishURL": URL}).environ
    environ.update(LOOPBACK)
    del environ["HTTP_HOST"]
    assert Request(environ).get_response(incoming).status_code == 200


@pytest.mark.parametrize(
    "environ",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": "::ffff:192.0.2.7"},
        {"REMOTE_ADDR": ""},  # a Unix socket
        {"REMOTE_ADDR": "localhost"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_X_FORWARDED_HOST": "app.example"},  # Apache, Caddy, Traefik
        {"HTTP_X_CLUSTER_CLIENT_IP": "192.0.2.7"},  # Zeus, Rackspace
        {"HTTP_X_ENVOY_EXTERNAL_ADDRESS": "192.0.2.7"},
        {"HTTP_X_VARNISH": "32770"},
        {"HTTP_CF_RAY": "230b030023ae2822-SJC"},  # Cloudflare
        {"HTTP_CDN_LOOP": "cloudflare"},
        {"HTTP_FASTLY_CLIENT_IP": "192.0.2.7"},
        {"HTTP_X_AZURE_CLIENTIP": "192.0.2.7"},
        {"HTTP_X_ORIGINAL_FORWARDED_FOR": "192.0.2.7"},  # ingress-nginx
        # an nginx without any setting: its name for what is behind it, and the old protocol
        {"HTTP_HOST": "127.0.0.1:4000", "SERVER_PROTOCOL": "HTTP/1.0"},
        {"HTTP_HOST": "incoming_server"},
        # the Host that somebody elsewhere asked for, and pages of a name that points here
        {"HTTP_HOST": "app.example"},
        {"HTTP_HOST": "app.example:4000"},
        {"HTTP_HOST": "192.0.2.1"},
        {"HTTP_HOST": "127.0.0.1.evil.example"},
        {"HTTP_HOST": "localhost.evil.example"},
        {"HTTP_HOST": "notlocalhost"},
        {"HTTP_HOST": "localhost, app.example"},
        {"HTTP_HOST": "user@localhost"},
        {"HTTP_HOST": "[::1]app.example"},
        {"HTTP_HOST": "[2001:db8::1]:80"},
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_SEC_FETCH_SITE": "same-origin"},
        {"HTTP_REFERER": "http://127.0.0.1:4000/"},
    ],
)
def test_nobody_else_may_call(app, incoming, environ):
    with pytest.raises(AppError, match="403"):
        app.post(
            "/backend/new_upload",
            {"signalFinishURL": URL},
            extra_environ={**LOOPBACK, **environ},
        )
    assert incoming._tickets.count_by_state() == {}


def test_a_program_that_speaks_http_1_0_reads_what_to_do(app):
    environ = {"SERVER_PROTOCOL": "HTTP/1.0"}
    form = {"signalFinishURL": URL}
    answer = app.post("/backend/new_upload", form, extra_environ=environ, status=403)
    assert "speak HTTP/1.1; only this machine, or a bearer token, may use" in answer.text


@pytest.mark.parametrize("path", ["cancel_upload", "finish_upload", "uploads/{id}", "nothing"])
def test_from_elsewhere_all_of_it_looks_alike(app, path):
    upload_id = new_upload(app)
    method = "GET" if path.startswith("uploads") else "POST"
    url = f"/backend/{path.format(id=upload_id)}"
    elsewhere = {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}
    answer = app.request(url, method=method, environ={**LOOPBACK, **elsewhere}, status=403)
    assert upload_id not in answer.text


def test_the_bearer_token_opens_it_from_anywhere(tmp_path):
    incoming = Incoming(
        tmp_path / "other", backend_api=True, backend_token="t0ken", background=False
    )
    app = TestApp(incoming, extra_environ={"REMOTE_ADDR": "192.0.2.7"})

    def status(authorization: str) -> int:
        headers = {"Authorization": authorization} if authorization else {}
        form = {"signalFinishURL": URL}
        return app.post("/backend/new_upload", form, headers=headers, status="*").status_code

    assert status("Bearer t0ken") == 200
    assert status("bearer t0ken") == 200
    for wrong in ("", "Bearer", "Bearer ", "Bearer t0ke", "Bearer t0kens", "Basic t0ken", "t0ken"):
        assert status(wrong) == 403, wrong
    incoming.close()


def test_it_never_answers_cors(app):
    response = app.post("/backend/new_upload", {"signalFinishURL": URL})
    assert not [name for name in response.headers if name.lower().startswith("access-control")]
    response = app.options("/backend/new_upload", status="*")
    assert response.status_code >= 400
    assert not [name for name in response.headers if name.lower().startswith("access-control")]
