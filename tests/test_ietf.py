"""The IETF's draft on the wire: what a client of each version sends, and what it gets."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from waiting import wait_until
from webtest import TestApp, TestRequest

from incoming_wsgi import Incoming, Refused
from incoming_wsgi.states import Event

CONTENT = bytes(range(256)) * 4
PARTIAL = "application/partial-upload"
TYPE = "https://iana.org/assignments/http-problem-types#"


def digest(content: bytes) -> str:
    """As RFC 9530 spells it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


class Site:
    """A web app with its uploads, and clients of the draft. `answers` are what the app says, one
    after the other, the last of them for ever: None takes the file, an exception is raised."""

    def __init__(self, folder, **settings) -> None:
        self.answers: list[object] = [None]
        self.taken: list[bytes] = []
        self.uploads: list = []
        self.cancelled: list[str | None] = []
        self.incoming = Incoming(
            folder,
            **{
                "on_finished": self._take,
                "on_cancelled": lambda upload: self.cancelled.append(upload.reason),
                "handover_retry_s": 60,
                **settings,
            },
        )
        self.app = TestApp(self.incoming)
        self._folder = folder

    def _take(self, upload):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        self.taken.append(upload.path.read_bytes())
        self.uploads.append(upload)
        return answer

    def ticket(self, **terms) -> str:
        return f"/frontend/uploads/{self.incoming.new_upload(**terms)}"

    def send(self, method, url, content=b"", *, version=None, **headers):
        """Headers with _ for -; those that are None are left out. The status is not checked."""
        if version is not None:
            headers["Upload_Draft_Interop_Version"] = str(version)
        return self.app.request(
            url,
            method=method,
            body=content,
            headers={
                name.replace("_", "-"): value
                for name, value in headers.items()
                if value is not None
            },
            status="*",
        )

    def create(self, url, content=b"", *, complete="?0", method="POST", **headers):
        return self.send(method, url, content, Upload_Complete=complete, **headers)

    def append(self, url, offset, content=b"", *, complete="?0", **headers):
        headers = {"Content_Type": PARTIAL, **headers}
        return self.send(
            "PATCH", url, content, Upload_Offset=str(offset), Upload_Complete=complete, **headers
        )

    def head(self, url, **headers):
        return self.send("HEAD", url, **{"version": 8, **headers})

    def stream(self, method, url, source, *, length=None, **headers):
        """A body in chunks, as a server hands it over that has read them; with `length` one that is
        announced to have so many bytes."""
        request = TestRequest.blank(url, method=method)
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        environ = request.environ
        environ.pop("CONTENT_LENGTH", None)
        if length is None:
            environ.update({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True})
        else:
            environ["CONTENT_LENGTH"] = str(length)
        environ["wsgi.input"] = source if hasattr(source, "read") else io.BytesIO(source)
        return request.get_response(self.incoming)

    def state(self, url) -> str:
        return self.incoming.status(url.rpartition("/")[2]).state.value

    @property
    def files(self) -> list[str]:
        return os.listdir(self._folder / "files")

    def record(self, url):
        return self.incoming.status(url.rpartition("/")[2])


@pytest.fixture
def make_site(tmp_path) -> Iterator:
    made = []

    def make(**settings) -> Site:
        made.append(Site(tmp_path / f"incoming-{len(made)}", **settings))
        return made[-1]

    yield make
    for site in made:
        site.incoming.close()


@pytest.fixture
def site(make_site) -> Site:
    return make_site()


@pytest.fixture
def url(site) -> str:
    return site.ticket()


def problem(response, status, code, *, type_="about:blank"):
    """The members that this kind has besides."""
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    members = response.json
    assert (members.pop("status"), members.pop("code")) == (status, code)
    assert members.pop("type") == type_
    assert members.pop("detail")
    assert members.pop("title")
    return members


def limits(response) -> dict[str, int]:
    pairs = (member.split("=") for member in response.headers["Upload-Limit"].split(", "))
    return {key: int(value) for key, value in pairs}


# creation


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "place", ["/frontend/uploads/", "/frontend/uploads", "/0.1/frontend/uploads/"]
)
def test_a_careful_creation_gives_the_address_at_once(site, url, method, place):
    upload_id = url.rpartition("/")[2]
    response = site.create(place, method=method, Upload_Length="1024", Upload_Ticket=upload_id)
    assert response.status_code == 201
    assert response.headers["Upload-Complete"] == "?0"
    assert response.headers["Upload-Offset"] == "0"
    assert response.headers["Cache-Control"] == "no-store"
    assert limits(response)["max-age"] > 0
    location = response.headers["Location"]
    assert location == (f"uploads/{upload_id}" if place.endswith("uploads") else upload_id)
    assert site.record(url).length == 1024


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_tickets_own_address_is_where_its_upload_is_created(site, url, method):
    response = site.create(url, method=method)
    assert response.status_code == 201
    assert url.endswith("/" + response.headers["Location"])
    assert site.record(url).length is None


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("version", [None, 3, 4, 5, 6, 7, 8, 9, 10, "x"])
def test_all_at_once_is_answered_by_the_web_app(site, url, method, version):
    field, value = ("Upload_Incomplete", "?0") if version == 3 else ("Upload_Complete", "?1")
    response = site.send(
        method, url, CONTENT, version=version, **{field: value}, Content_Type="text/plain"
    )
    assert response.status_code == 201
    assert response.headers[field.replace("_", "-")] == value
    assert response.headers["Upload-Offset"] == "1024"
    assert response.headers["Upload-State"] == "FINISHED"
    assert url.endswith("/" + response.headers["Location"])
    assert response.content_type == "application/json"
    assert (response.json["state"], response.json["length"]) == ("FINISHED", 1024)
    assert url.endswith("/" + response.json["id"])
    assert site.taken == [CONTENT]


def test_content_may_begin_with_the_creation(site, url):
    response = site.create(url, CONTENT[:300])
    assert (response.status_code, response.headers["Upload-Complete"]) == (201, "?0")
    assert response.headers["Upload-Offset"] == "300"
    response = site.append(url, 300, CONTENT[300:], complete="?1")
    assert (response.status_code, response.headers["Upload-Complete"]) == (200, "?1")
    assert site.taken == [CONTENT]


def test_a_creation_is_repeated_without_harm(site, url):
    site.create(url, CONTENT[:300], Upload_Length="1024")
    response = site.create(url, Upload_Length="1024")
    assert (response.status_code, response.headers["Upload-Offset"]) == (201, "300")
    response = site.create(url, CONTENT, complete="?1")
    assert (response.status_code, response.headers["Upload-Complete"]) == (201, "?1")
    response = site.create(url, CONTENT, complete="?1")
    assert (response.status_code, response.json["state"]) == (201, "FINISHED")
    assert site.taken == [CONTENT]


def test_before_bytes_have_come_another_file_may_be_created(site, url):
    site.create(url, Upload_Length="1024")
    assert site.create(url, Upload_Length="300").status_code == 201
    assert site.append(url, 0, CONTENT[:300], complete="?1").status_code == 200
    assert site.taken == [CONTENT[:300]]


@pytest.mark.parametrize(("complete", "length"), [("?1", None), ("?1", "0"), ("?0", "0")])
def test_an_empty_file_is_complete_when_it_is_created(site, url, complete, length):
    """Also with `?0`: for tus-js-client the answer to that is the end of an empty file. The draft
    lets a server end an upload, with `?1` in its answer."""
    response = site.create(url, complete=complete, Upload_Length=length)
    assert (response.status_code, response.headers["Upload-Complete"]) == (201, "?1")
    assert site.taken == [b""]
    response = site.append(url, 0, complete="?1")
    assert (response.status_code, response.headers["Upload-Complete"]) == (200, "?1")
    assert site.taken == [b""]


@pytest.mark.parametrize("field", [None, "1", "true", "?2", "?1, ?1", ""])
@pytest.mark.parametrize("action", ["creation", "append"])
def test_who_does_not_say_whether_it_is_the_end_is_refused(site, url, field, action):
    if action == "creation":
        response = site.create(url, CONTENT, complete=field, version=8)
    else:
        response = site.append(url, 0, CONTENT, complete=field)
    problem(response, 400, "bad_request")
    assert response.headers["Upload-Complete"] == "?0"
    assert site.state(url) == "CREATED"


def test_parameters_of_a_field_are_passed_over(site, url):
    response = site.create(url, b"abc", complete="?1;a=b", Upload_Length="3;unit=byte")
    assert (response.status_code, site.taken) == (201, [b"abc"])


@pytest.mark.parametrize("length", ["x", "-3", "3.0", "1000000000000000", "3, 3"])
def test_a_length_that_is_none_is_as_if_not_said(site, url, length):
    response = site.create(url, b"abc", Upload_Length=length)
    assert (response.status_code, site.record(url).length) == (201, None)


@pytest.mark.parametrize(
    ("headers", "filename", "content_type"),
    [
        ({}, None, None),
        ({"Content_Disposition": 'inline; filename="a b.txt"'}, "a b.txt", None),
        (
            {
                "Content_Disposition": "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.txt",
                "Content_Type": "text/plain; charset=utf-8",
            },
            "größe.txt",
            "text/plain; charset=utf-8",
        ),
        ({"Content_Disposition": "inline; filename=a b.txt"}, None, None),
        ({"Content_Type": PARTIAL}, None, None),
        # tus-js-client
        (
            {
                "Upload_Metadata": "filename YS50eHQ=,filetype dGV4dC9wbGFpbg==",
                "Content_Type": PARTIAL,
            },
            "a.txt",
            "text/plain",
        ),
    ],
)
def test_what_is_said_of_the_file_reaches_the_app(site, url, headers, filename, content_type):
    site.create(url, b"abc", complete="?1", **headers)
    (upload,) = site.uploads
    assert (upload.filename, upload.content_type) == (filename, content_type)


def test_an_upload_is_created_by_the_app_that_allows_it(make_site):
    asked = []

    def allow(environ, metadata, length):
        asked.append((dict(metadata), length))
        return made.incoming.new_upload() if environ.get("HTTP_AUTHORIZATION") == "yes" else None

    made = make_site(authorize_creation=allow)
    headers = {
        "Content_Disposition": "inline; filename=a.txt",
        "Content_Type": "text/plain",
        "Upload_Length": "5",
    }
    problem(made.create("/frontend/uploads/", **headers), 403, "forbidden")
    response = made.create("/frontend/uploads/", Authorization="yes", **headers)
    assert response.status_code == 201
    assert made.head("/frontend/uploads/" + response.headers["Location"]).status_code == 204
    assert asked == [({"filename": "a.txt", "filetype": "text/plain"}, 5)] * 2


def test_without_a_ticket_nothing_is_created(site):
    response = site.create("/frontend/uploads/")
    assert (
        "Upload-Ticket" in problem(response, 403, "forbidden") or "Upload-Ticket" in response.text
    )
    assert response.headers["Upload-Complete"] == "?0"
    problem(site.create("/frontend/uploads/unknown"), 404, "unknown_upload")


def test_the_tickets_types_hold(site):
    url = site.ticket(accept="image/*")
    problem(
        site.create(url, b"abc", complete="?1", Content_Type="text/plain"), 415, "type_not_allowed"
    )
    assert site.create(url, b"abc", complete="?1", Content_Type="image/png").status_code == 201


@pytest.mark.parametrize("action", ["create", "append"])
def test_coded_content_is_refused(site, url, action):
    send = (
        site.create
        if action == "create"
        else lambda url, *args, **headers: site.append(url, 0, *args, **headers)
    )
    problem(send(url, b"abc", Content_Encoding="gzip"), 400, "bad_request")
    assert send(url, b"abc", Content_Encoding="identity").status_code in (201, 204)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_uploads_made_of_others_are_of_tus_alone(site, url, method):
    response = site.send(method, url, Upload_Complete="?0", Upload_Concat="partial")
    problem(response, 400, "bad_request")
    assert site.state(url) == "CREATED"


# offsets


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_the_offset_is_told_with_all_that_is_known(site, url, method):
    site.create(url, CONTENT[:300], Upload_Length="1024")
    response = site.send(method, url, version=8)
    assert (response.status_code, response.body) == (204, b"")
    assert response.headers["Upload-Offset"] == "300"
    assert response.headers["Upload-Complete"] == "?0"
    assert response.headers["Upload-Length"] == "1024"
    assert response.headers["Cache-Control"] == "no-store"
    assert set(limits(response)) == {"max-size", "max-age"}


def test_a_length_that_nobody_has_said_is_not_told(site, url):
    site.create(url, CONTENT[:300])
    response = site.head(url)
    assert "Upload-Length" not in response.headers
    assert (response.headers["Upload-Offset"], response.headers["Upload-Complete"]) == ("300", "?0")


@pytest.mark.parametrize("method", ["HEAD", "GET", "PATCH", "DELETE"])
def test_of_an_unknown_upload_no_offset_is_told(site, method):
    response = site.send(
        method,
        "/frontend/uploads/unknown",
        version=8,
        **(
            {"Content_Type": PARTIAL, "Upload_Complete": "?0", "Upload_Offset": "0"}
            if method == "PATCH"
            else {}
        ),
    )
    assert response.status_code == 404
    assert "Upload-Offset" not in response.headers


def test_what_was_cut_off_is_kept_and_is_no_end(site, url):
    site.create(url, Upload_Length="1024")
    response = site.stream(
        "PATCH",
        url,
        CONTENT[:300],
        length=1024,
        Upload_Complete="?1",
        Upload_Offset="0",
        Content_Type=PARTIAL,
    )
    problem(response, 400, "incomplete_body")
    assert response.headers["Upload-Complete"] == "?0"
    response = site.head(url)
    assert (response.headers["Upload-Offset"], response.headers["Upload-Complete"]) == ("300", "?0")
    assert site.append(url, 300, CONTENT[300:], complete="?1").status_code == 200
    assert site.taken == [CONTENT]


def test_a_newer_question_ends_an_older_append(site, url):
    """An offset that was told stays true."""
    site.create(url)
    heads = []

    class Slow:
        def __init__(self):
            self.blocks = [CONTENT[:300], CONTENT[300:600], b""]

        def read(self, size=-1):
            if len(self.blocks) == 2:
                heads.append(site.head(url).headers["Upload-Offset"])
            return self.blocks.pop(0)

    response = site.stream(
        "PATCH", url, Slow(), Upload_Complete="?0", Upload_Offset="0", Content_Type=PARTIAL
    )
    problem(response, 409, "superseded")
    assert response.headers["Upload-Complete"] == "?0"
    assert "Upload-Offset" not in response.headers
    assert site.head(url).headers["Upload-Offset"] == heads[0]


# appends


def test_appends_make_the_file_and_each_answer_has_the_offset(site, url):
    site.create(url, Upload_Length="1024")
    for start in (0, 256, 512):
        response = site.append(url, start, CONTENT[start : start + 256])
        assert (response.status_code, response.body) == (204, b"")
        assert response.headers["Upload-Offset"] == str(start + 256)
        assert response.headers["Upload-Complete"] == "?0"
    response = site.append(url, 768, CONTENT[768:], complete="?1")
    assert (response.status_code, response.headers["Upload-Complete"]) == (200, "?1")
    assert response.headers["Upload-Offset"] == "1024"
    assert response.json["bytes_received"] == 1024
    assert site.taken == [CONTENT]


def test_an_upload_whose_length_is_reached_is_complete_and_that_is_said(site, url):
    """tus-js-client, in its modes for the draft, may never say so itself."""
    site.create(url, Upload_Length="1024")
    response = site.append(url, 0, CONTENT[:1000])
    assert (response.status_code, response.headers["Upload-Complete"]) == (204, "?0")
    response = site.append(url, 1000, CONTENT[1000:])
    assert (response.status_code, response.headers["Upload-Complete"]) == (200, "?1")
    assert (response.json["state"], site.taken) == ("FINISHED", [CONTENT])


def test_the_end_makes_the_length_of_a_file_that_had_none(site, url):
    site.create(url)
    site.append(url, 0, CONTENT[:300])
    assert site.append(url, 300, complete="?1").status_code == 200
    assert (site.taken, site.record(url).length) == ([CONTENT[:300]], 300)


@pytest.mark.parametrize("length", [None, "1024"])
def test_a_body_of_unknown_size_ends_the_file_where_it_ends(site, url, length):
    site.create(url, CONTENT[:24], Upload_Length=length)
    response = site.stream(
        "PATCH", url, CONTENT[24:], Upload_Complete="?1", Upload_Offset="24", Content_Type=PARTIAL
    )
    assert (response.status_code, response.headers["Upload-Complete"]) == (200, "?1")
    assert site.taken == [CONTENT]


def test_a_creation_of_unknown_size_ends_where_it_ends(site, url):
    response = site.stream("POST", url, CONTENT, Upload_Complete="?1")
    assert (response.status_code, response.headers["Upload-Complete"]) == (201, "?1")
    assert site.taken == [CONTENT]


@pytest.mark.parametrize("offset", ["0", "299", "301", "1024"])
def test_an_append_at_another_offset_changes_nothing_and_is_told_the_right_one(site, url, offset):
    site.create(url, CONTENT[:300], Upload_Length="1024")
    response = site.append(url, offset, b"x" * 10)
    members = problem(response, 409, "offset_mismatch", type_=TYPE + "mismatching-upload-offset")
    assert (members["expected-offset"], members["provided-offset"]) == (300, int(offset))
    assert response.headers["Upload-Offset"] == "300"
    assert response.headers["Upload-Complete"] == "?0"
    site.append(url, 300, CONTENT[300:], complete="?1")
    assert site.taken == [CONTENT]


@pytest.mark.parametrize("offset", [None, "x", "-1", "?0", "0, 0", ""])
def test_an_append_without_an_offset_is_refused(site, url, offset):
    response = site.send(
        "PATCH", url, b"abc", Upload_Complete="?0", Content_Type=PARTIAL, Upload_Offset=offset
    )
    problem(response, 400, "bad_request")
    assert site.state(url) == "CREATED"


@pytest.mark.parametrize("version", [None, 6, 7, 8, 9, 99])
@pytest.mark.parametrize("media_type", [None, "application/octet-stream", "text/plain"])
def test_newer_versions_have_a_media_type_for_what_is_appended(site, url, version, media_type):
    response = site.append(url, 0, b"abc", version=version, Content_Type=media_type)
    problem(response, 415, "wrong_media_type")
    assert response.headers["Accept-Patch"] == PARTIAL
    assert site.state(url) == "CREATED"
    response = site.append(
        url, 0, b"abc", version=version, Content_Type="Application/Partial-Upload; a=b"
    )
    assert response.status_code == 204


def test_content_for_a_wrong_digest_is_not_appended(site, url):
    site.create(url, CONTENT[:300])
    response = site.append(url, 300, CONTENT[300:600], Content_Digest=digest(b"another"))
    problem(response, 422, "digest_mismatch")
    assert response.headers["Upload-Complete"] == "?0"
    assert site.head(url).headers["Upload-Offset"] == "300"
    right = digest(CONTENT[300:])
    assert (
        site.append(url, 300, CONTENT[300:], complete="?1", Content_Digest=right).status_code == 200
    )
    assert site.taken == [CONTENT]


def test_content_that_was_cut_off_before_its_digest_was_proved_does_not_count(site, url):
    site.create(url)
    response = site.stream(
        "PATCH",
        url,
        CONTENT[:300],
        length=1024,
        Upload_Complete="?0",
        Upload_Offset="0",
        Content_Type=PARTIAL,
        Content_Digest=digest(CONTENT),
    )
    problem(response, 400, "incomplete_body")
    assert site.head(url).headers["Upload-Offset"] == "0"


# lengths


@pytest.mark.parametrize(
    ("complete", "said", "size"),
    [
        ("?0", "1000", 10),
        ("?1", None, 700),
        ("?1", "1000", 700),
        ("?1", "1023", 723),
        ("?1", "1024", 700),
    ],
)
def test_lengths_that_do_not_agree_are_refused_and_nothing_changes(site, url, complete, said, size):
    site.create(url, CONTENT[:300], Upload_Length="1024")
    response = site.append(
        url, 300, CONTENT[300 : 300 + size], complete=complete, Upload_Length=said
    )
    problem(response, 400, "inconsistent_length", type_=TYPE + "inconsistent-upload-length")
    assert response.headers["Upload-Complete"] == "?0"
    response = site.head(url)
    assert (response.status_code, response.headers["Upload-Offset"]) == (204, "300")
    assert response.headers["Upload-Length"] == "1024"


@pytest.mark.parametrize("length", ["2", "4"])
def test_a_creation_whose_lengths_do_not_agree_creates_nothing(site, url, length):
    response = site.create(url, b"abc", complete="?1", Upload_Length=length)
    problem(response, 400, "inconsistent_length", type_=TYPE + "inconsistent-upload-length")
    assert (site.state(url), site.record(url).length) == ("CREATED", None)


def test_a_creation_with_more_content_than_its_length_creates_nothing(site, url):
    response = site.create(url, b"abc", Upload_Length="2")
    problem(response, 400, "inconsistent_length", type_=TYPE + "inconsistent-upload-length")
    assert (site.state(url), site.record(url).length) == ("CREATED", None)


@pytest.mark.parametrize("complete", ["?0", "?1"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_for_which_more_is_sent_than_its_length_is_over(site, url, complete, chunked):
    site.create(url, CONTENT[:300], Upload_Length="400")
    if chunked:
        headers = {"Upload_Complete": complete, "Upload_Offset": "300", "Content_Type": PARTIAL}
        response = site.stream("PATCH", url, b"x" * 101, **headers)
    else:
        response = site.append(url, 300, b"x" * 101, complete=complete)
    problem(response, 400, "inconsistent_length", type_=TYPE + "inconsistent-upload-length")
    assert response.headers["Upload-Complete"] == "?0"
    response = site.head(url)
    assert response.status_code == 410
    assert "400 bytes" in unquote(response.headers["Upload-Reason"])
    assert "Upload-Offset" not in response.headers
    assert site.append(url, 300, b"x").status_code == 410
    assert site.files == []
    (reason,) = wait_until(lambda: site.cancelled, "the note to the app")
    assert "400 bytes" in reason


def test_a_file_that_was_completed_meanwhile_is_not_given_up(make_site):
    """By a newer request, after too much had been sent and before that was answered."""
    site = make_site(background=False)
    url = site.ticket()
    site.create(url, CONTENT, complete="?1")
    site.incoming._engine.invalidate(url.rpartition("/")[2], reason="too much")
    assert site.state(url) == "COMPLETE"
    site.incoming.do_housekeeping()
    assert site.taken == [CONTENT]


def test_too_much_at_another_offset_does_no_harm(site, url):
    site.create(url, CONTENT[:300], Upload_Length="400")
    assert site.append(url, 0, b"x" * 500).status_code == 409
    assert site.head(url).headers["Upload-Offset"] == "300"


@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_too_large_is_refused_with_the_limits(make_site, chunked):
    site = make_site(max_length_bytes=500)
    url = site.ticket()
    response = site.create(url, Upload_Length="501")
    problem(response, 413, "file_too_large")
    assert limits(response) == {"max-size": 500}
    site.create(url, CONTENT[:300])
    if chunked:
        headers = {"Upload_Complete": "?0", "Upload_Offset": "300", "Content_Type": PARTIAL}
        response = site.stream("PATCH", url, CONTENT[300:501], **headers)
    else:
        response = site.append(url, 300, CONTENT[300:501])
    problem(response, 413, "file_too_large")
    assert (limits(response), response.headers["Upload-Complete"]) == ({"max-size": 500}, "?0")
    assert site.append(url, 300, CONTENT[300:500], complete="?1").status_code == 200


# the web app's answer


def test_the_final_answer_is_given_again(site, url):
    site.create(url, Upload_Length="1024")
    first = site.append(url, 0, CONTENT, complete="?1")
    again = site.append(url, 1024, complete="?1")
    assert (again.status_code, again.json) == (200, first.json)
    assert again.headers["Upload-Complete"] == "?1"
    chunked = {"Upload_Complete": "?1", "Upload_Offset": "1024", "Content_Type": PARTIAL}
    assert site.stream("PATCH", url, b"", **chunked).status_code == 200
    assert site.taken == [CONTENT]


@pytest.mark.parametrize(
    ("complete", "content", "headers"),
    [("?0", b"x", {}), ("?1", b"x", {}), ("?0", b"x", {"Upload_Length": "1024"})],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_nothing_else_can_be_appended_to_a_complete_upload(
    site, url, complete, content, headers, chunked
):
    site.create(url, CONTENT, complete="?1")
    if chunked:
        fields = {"Upload_Complete": complete, "Upload_Offset": "1024", "Content_Type": PARTIAL}
        response = site.stream("PATCH", url, content, **fields, **headers)
    else:
        response = site.append(url, 1024, content, complete=complete, **headers)
    problem(response, 400, "wrong_state", type_=TYPE + "completed-upload")
    assert response.headers["Upload-Complete"] == "?0"
    assert (site.state(url), site.taken) == ("FINISHED", [CONTENT])


def test_an_append_within_a_complete_upload_is_told_its_offset(site, url):
    site.create(url, CONTENT, complete="?1")
    response = site.append(url, 300, CONTENT[300:], complete="?1")
    assert (response.status_code, response.headers["Upload-Offset"]) == (409, "1024")
    assert response.headers["Upload-Complete"] == "?0"


def test_a_file_that_is_refused_is_a_final_answer_with_the_reason(site, url):
    site.answers = [Refused("it has a virus, ß")]
    response = site.create(url, CONTENT, complete="?1")
    assert problem(response, 422, "not_taken")["reason"] == "it has a virus, ß"
    assert response.headers["Upload-Complete"] == "?1"
    assert unquote(response.headers["Upload-Reason"]) == "it has a virus, ß"
    for response in (
        site.append(url, 1024, complete="?1"),
        site.append(url, 1024, b"x"),
        site.append(url, 0, b"x"),
        site.create(url, CONTENT, complete="?1"),
        site.head(url),
        site.send("GET", url, version=8),
    ):
        assert (response.status_code, response.headers["Upload-Complete"]) == (422, "?1")
        assert not {"Upload-Offset", "Location"} & set(response.headers)
        assert unquote(response.headers["Upload-Reason"]) == "it has a virus, ß"


def test_a_file_that_was_not_taken_yet_is_no_final_answer(site, url):
    site.answers = [OSError("the disk of the app is full"), None]
    first = site.create(url, CONTENT, complete="?1")
    problem(first, 423, "not_taken_yet")
    for response in (first, site.append(url, 1024, complete="?1"), site.head(url)):
        assert (response.status_code, response.headers["Upload-Complete"]) == (423, "?0")
        assert response.headers["Retry-After"] == "2"
        assert not {"Upload-Offset", "Location"} & set(response.headers)
    assert site.taken == []


def test_while_the_app_is_silent_the_answer_is_that_it_was_accepted(make_site):
    site = make_site(background=False)
    url = site.ticket()
    response = site.create(url, CONTENT, complete="?1")
    assert (response.status_code, response.headers["Upload-Complete"]) == (202, "?1")
    assert (response.json["state"], response.headers["Upload-State"]) == ("COMPLETE", "COMPLETE")
    response = site.append(url, 1024, complete="?1")
    assert (response.status_code, response.headers["Upload-Complete"]) == (202, "?1")
    assert site.head(url).headers["Upload-Complete"] == "?1"
    site.incoming.do_housekeeping()
    response = site.append(url, 1024, complete="?1")
    assert (response.status_code, response.json["state"]) == (200, "FINISHED")


def test_a_cancelled_upload_is_gone(site, url):
    site.create(url, CONTENT[:300])
    site.incoming.cancel_upload(url.rpartition("/")[2])
    for response in (
        site.append(url, 300, b"x"),
        site.create(url),
        site.head(url),
        site.send("GET", url, version=8),
    ):
        assert (response.status_code, response.headers["Upload-Complete"]) == (410, "?0")
        assert not {"Upload-Offset", "Location"} & set(response.headers)


# digests of the whole


def test_the_digest_of_the_file_is_told_to_who_wants_it(site, url):
    site.create(url, Upload_Length="1024", Want_Repr_Digest="sha-512=3, sha-256=1")
    response = site.append(url, 0, CONTENT, complete="?1")
    assert response.headers["Repr-Digest"] == digest(CONTENT)
    assert response.json["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert site.uploads[0].sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert site.append(url, 1024, complete="?1").headers["Repr-Digest"] == digest(CONTENT)


@pytest.mark.parametrize("wanted", [None, "sha-256=0", "sha-512=9", "sha-256", "sha-256=1 x"])
def test_who_does_not_want_the_digest_gets_none(site, url, wanted):
    response = site.create(url, CONTENT, complete="?1", Want_Repr_Digest=wanted)
    assert "Repr-Digest" not in response.headers
    assert not site.record(url).wants_sha256


def test_who_does_not_want_the_digest_gets_none_though_it_is_known(site, url):
    response = site.create(url, CONTENT, complete="?1", Content_Digest=digest(CONTENT))
    assert response.json["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert "Repr-Digest" not in response.headers
    assert "Repr-Digest" not in site.head(url).headers


@pytest.mark.parametrize("other", ["", "md5=:YQ==:, "])
def test_a_file_that_has_another_digest_than_was_said_never_reaches_the_app(site, url, other):
    response = site.create(url, CONTENT, complete="?1", Repr_Digest=other + digest(b"another"))
    reason = problem(response, 422, "not_taken")["reason"]
    assert hashlib.sha256(b"another").hexdigest() in reason
    assert response.headers["Upload-Complete"] == "?1"
    assert site.taken == []


def test_a_file_that_has_the_digest_that_was_said_is_taken(site, url):
    assert site.create(url, CONTENT, complete="?1", Repr_Digest=digest(CONTENT)).status_code == 201
    assert site.taken == [CONTENT]


def test_a_digest_that_cannot_be_read_is_refused(site, url):
    problem(site.create(url, CONTENT, complete="?1", Repr_Digest="sha-256=x"), 400, "bad_request")
    assert site.state(url) == "CREATED"


# cancellation


def test_an_upload_can_be_cancelled_and_that_repeated(site, url):
    site.create(url, CONTENT[:300])
    for _ in range(2):
        response = site.send("DELETE", url, version=8)
        assert (response.status_code, response.body) == (204, b"")
    assert site.head(url).status_code == 410
    wait_until(lambda: site.cancelled, "the note to the app")
    assert site.cancelled == ["cancelled by the user"]


def test_what_the_app_has_cannot_be_cancelled(site, url):
    site.create(url, CONTENT, complete="?1")
    response = site.send("DELETE", url, version=8)
    problem(response, 403, "wrong_state")
    assert site.state(url) == "FINISHED"


def test_what_the_app_is_being_given_can_perhaps_be_cancelled_later(make_site):
    site = make_site(background=False)
    url = site.ticket()
    site.create(url, CONTENT, complete="?1")
    upload_id = url.rpartition("/")[2]
    site.incoming._tickets.transition(upload_id, Event.HAND_OVER, lambda _: {})
    problem(site.send("DELETE", url, version=8), 423, "wrong_state")


# versions


def complete_fields(response) -> dict[str, str]:
    names = ("Upload-Complete", "Upload-Incomplete")
    return {name: response.headers[name] for name in names if name in response.headers}


def test_version_3_says_the_opposite(site, url):
    """The request of Apple's URLSession, and of the first tusd."""
    three = {"version": 3, "Content_Type": None}
    response = site.send("POST", url, Upload_Incomplete="?1", Upload_Length="1024", **three)
    assert (response.status_code, complete_fields(response)) == (201, {"Upload-Incomplete": "?1"})
    response = site.send(
        "PATCH", url, CONTENT[:300], Upload_Incomplete="?1", Upload_Offset="0", **three
    )
    assert (response.status_code, complete_fields(response)) == (204, {"Upload-Incomplete": "?1"})
    response = site.send("HEAD", url, version=3)
    assert (response.status_code, complete_fields(response)) == (204, {"Upload-Incomplete": "?1"})
    response = site.send("PATCH", url, b"x", Upload_Incomplete="?1", Upload_Offset="0", **three)
    assert (response.status_code, complete_fields(response)) == (409, {"Upload-Incomplete": "?1"})
    response = site.send(
        "PATCH", url, CONTENT[300:], Upload_Incomplete="?0", Upload_Offset="300", **three
    )
    assert (response.status_code, complete_fields(response)) == (200, {"Upload-Incomplete": "?0"})
    response = site.send("HEAD", url, version=3)
    assert complete_fields(response) == {"Upload-Incomplete": "?0"}
    assert site.taken == [CONTENT]


def test_version_3_knows_no_upload_complete(site, url):
    problem(site.create(url, CONTENT, complete="?1", version=3), 400, "bad_request")


def test_who_says_incomplete_and_no_version_speaks_version_3(site, url):
    response = site.send("POST", url, CONTENT, Upload_Incomplete="?0")
    assert (response.status_code, complete_fields(response)) == (201, {"Upload-Incomplete": "?0"})


@pytest.mark.parametrize("field", ["Upload-Complete", "Upload-Incomplete"])
def test_version_4_is_answered_in_the_field_that_it_uses(site, url, field):
    no, yes = ("?0", "?1") if field == "Upload-Complete" else ("?1", "?0")
    name = field.replace("-", "_")
    response = site.send("POST", url, version=4, **{name: no})
    assert (response.status_code, complete_fields(response)) == (201, {field: no})
    response = site.send("PATCH", url, CONTENT, version=4, Upload_Offset="0", **{name: yes})
    assert (response.status_code, complete_fields(response)) == (200, {field: yes})
    expected = {"Upload-Complete": "?1", "Upload-Incomplete": "?0"}
    assert complete_fields(site.send("HEAD", url, version=4)) == expected


@pytest.mark.parametrize("version", [5, 6, 7, 8, 9, 10, 99])
def test_newer_versions_say_upload_complete(site, url, version):
    media_type = None if version == 5 else PARTIAL
    response = site.create(url, version=version)
    assert (response.status_code, complete_fields(response)) == (201, {"Upload-Complete": "?0"})
    response = site.append(url, 0, CONTENT[:300], version=version, Content_Type=media_type)
    assert (response.status_code, complete_fields(response)) == (204, {"Upload-Complete": "?0"})
    assert complete_fields(site.head(url, version=version)) == {"Upload-Complete": "?0"}
    assert (
        site.append(
            url, 300, CONTENT[300:], complete="?1", version=version, Content_Type=media_type
        ).status_code
        == 200
    )
    assert complete_fields(site.head(url, version=version)) == {"Upload-Complete": "?1"}
    problem(site.send("POST", url, Upload_Incomplete="?1", version=version), 400, "bad_request")


# which requests are of the draft


def test_a_request_of_tus_is_none_of_the_draft(site, url):
    site.create(url, CONTENT[:300], Upload_Length="1024")
    response = site.send(
        "PATCH",
        url,
        CONTENT[300:],
        version=8,
        Tus_Resumable="1.0.0",
        Upload_Complete="?0",
        Upload_Offset="300",
        Content_Type="application/offset+octet-stream",
    )
    assert (response.status_code, response.headers["Tus-Resumable"]) == (204, "1.0.0")
    assert site.taken == [CONTENT]


def test_an_unmarked_request_is_none_of_the_draft(site, url):
    site.create(url, CONTENT[:300])
    assert site.app.get(url).json["received"] == [[0, 300]]
    response = site.app.head(url)
    assert "ETag" in response.headers
    assert (response.headers["Upload-Offset"], response.headers["Upload-Complete"]) == ("300", "?0")


def test_the_media_type_alone_marks_a_request(site, url):
    response = site.send("PATCH", url, b"abc", Content_Type=PARTIAL, Upload_Offset="0")
    problem(response, 400, "bad_request")
    assert "Upload-Complete" in response.json["detail"]


def test_a_method_can_stand_in_a_header(site, url):
    headers = {"Upload_Complete": "?0", "Upload_Offset": "0", "Content_Type": PARTIAL}
    response = site.send("POST", url, b"abc", X_HTTP_Method_Override="PATCH", **headers)
    assert (response.status_code, response.headers["Upload-Offset"]) == (204, "3")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
def test_where_uploads_are_created_nothing_else_is_done(site, method):
    response = site.send(method, "/frontend/uploads/", version=8)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, PUT, OPTIONS")


@pytest.mark.parametrize("path", ["/frontend/uploads/", None])
def test_the_limits_can_be_found_out(make_site, path):
    site = make_site(max_length_bytes=5000)
    url = path or site.ticket(max_length_bytes=300)
    response = site.app.options(url)
    assert response.status_code == 200
    assert limits(response)["max-size"] == (5000 if path else 300)
    assert ("max-age" in limits(response)) == (path is None)
    assert response.headers["Accept-Patch"] == PARTIAL
    assert response.headers["Tus-Version"] == "1.0.0"


def test_the_draft_can_be_turned_off(make_site):
    site = make_site(ietf_draft=False)
    url = site.ticket()
    headers = {"Upload_Complete": "?1", "Upload_Draft_Interop_Version": "8"}
    # as a request of the native protocol, and one of tus
    problem(site.send("POST", url, b"abc", **headers), 400, "bad_request")
    problem(site.send("PUT", url, b"abc", **headers), 400, "bad_request")
    problem(site.append(url, 0, b"abc"), 412, "version_not_supported")
    assert site.send("GET", url, **headers).json["state"] == "CREATED"
    for response in (
        site.send("HEAD", url, **headers),
        site.send("HEAD", url, Tus_Resumable="1.0.0"),
        site.app.options(url),
        site.app.options("/frontend/uploads/"),
    ):
        assert response.status_code == 200
        assert not {"Upload-Complete", "Upload-Limit", "Accept-Patch"} & set(response.headers)


def test_who_may_do_it_is_asked_for_each_action(make_site):
    asked = []
    site = make_site(authorize=lambda environ, upload, action: asked.append(action) or allowed)
    allowed = True
    url = site.ticket()
    site.create(url)
    site.append(url, 0, b"abc")
    site.head(url)
    site.send("DELETE", url, version=8)
    assert asked == ["declare", "store", "query", "cancel"]
    allowed = False
    for response in (site.create(url), site.append(url, 3, b"x"), site.head(url)):
        assert response.status_code == 403


def test_what_native_has_begun_and_tus_continued_the_draft_ends(site, url):
    site.app.put(
        url,
        CONTENT[:300],
        headers={"Content-Range": "bytes 0-299/1024", "Content-Type": "application/octet-stream"},
    )
    tus = {
        "Tus_Resumable": "1.0.0",
        "Upload_Offset": "300",
        "Content_Type": "application/offset+octet-stream",
    }
    assert site.send("PATCH", url, CONTENT[300:600], **tus).headers["Upload-Offset"] == "600"
    assert site.head(url).headers["Upload-Offset"] == "600"
    assert site.append(url, 600, CONTENT[600:], complete="?1").status_code == 200
    assert site.taken == [CONTENT]
