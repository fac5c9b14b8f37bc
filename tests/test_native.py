"""The native dialect on the wire: what a client sends and what it gets."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import threading

import pytest
from webtest import TestApp

from incoming_wsgi import Incoming, Settings, StorageFull
from incoming_wsgi.states import Event
from incoming_wsgi.storage.file import FileStorage

CONTENT = bytes(range(256)) * 4  # 1024 bytes, no two blocks of 256 shifted alike


@pytest.fixture
def taken():
    return []


@pytest.fixture
def incoming(tmp_path, taken):
    def take(upload):
        taken.append((upload.id, upload.path.read_bytes()))

    incoming = Incoming(
        tmp_path / "incoming",
        on_finished=take,
        background=False,
        max_chunk_bytes=4096,
        chunk_bytes=1024,
    )
    yield incoming
    incoming.close()


@pytest.fixture
def app(incoming):
    return TestApp(incoming)


@pytest.fixture
def ticket(incoming):
    return incoming.new_upload()


@pytest.fixture
def url(ticket):
    return f"/frontend/uploads/{ticket}"


def declare(app, url, length=1024, filename="a.bin", **more):
    return app.post_json(url, {"filename": filename, "length": length, **more})


def put(app, url, start, stop, length=1024, content=None, status=200, **headers):
    body = CONTENT[start:stop] if content is None else content
    headers = {
        "Content-Range": f"bytes {start}-{stop - 1}/{length}",
        "Content-Type": "application/octet-stream",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return app.put(url, body, headers=headers, status=status)


def problem(response, code):
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    assert response.json["status"] == response.status_code
    assert response.json["detail"]
    return response.json


def sha256(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


# the description


def test_a_new_ticket_describes_itself(app, url, ticket):
    response = app.get(url)
    assert response.headers["Cache-Control"] == "no-store"
    seen = response.json
    assert seen.pop("expires_at").endswith("Z")
    assert len(seen.pop("file_tag")) == 16
    assert seen == {
        "id": ticket,
        "state": "CREATED",
        "filename": None,
        "relative_path": None,
        "length": None,
        "received": [],
        "bytes_received": 0,
        "chunk_bytes": 1024,
        "max_chunk_bytes": 4096,
        "send_ahead": 4,
        "sha256": None,
        "reason": None,
        "notified": False,
    }


@pytest.mark.parametrize("version", ["", "/0.1"])
def test_the_version_segment_may_be_left_out(app, url, version):
    assert app.get(version + url).json["state"] == "CREATED"


def test_head_is_get_without_a_body(app, url):
    assert app.head(url).body == b""


# asking again


def ask_again(app, url, tag, **more):
    return app.get(url, headers={"If-None-Match": tag}, **more)


def test_who_has_the_answer_already_is_told_so_and_no_more(app, url):
    first = app.get(url)
    tag = first.headers["ETag"]
    assert tag[0] == tag[-1] == '"'  # a strong one
    for method in (app.get, app.head):
        again = method(url, headers={"If-None-Match": tag})
        assert (again.status_code, again.body) == (304, b"")
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "no-store"
        assert "Content-Type" not in again.headers
        assert "Content-Length" not in again.headers
        assert method(url).headers["ETag"] == tag


@pytest.mark.parametrize("known", ["*", " * ", "W/{tag}", '"a", {tag}', '"a",W/{tag} , "b"'])
def test_the_tag_is_found_in_every_spelling(app, url, known):
    tag = app.get(url).headers["ETag"]
    assert ask_again(app, url, known.format(tag=tag)).status_code == 304


@pytest.mark.parametrize("known", ["", ",", "{bare}", '"{bare}', "w/{tag}", '"a", "b"', '"a", *'])
def test_what_is_not_the_tag_is_answered_in_full(app, url, known):
    tag = app.get(url).headers["ETag"]
    answer = ask_again(app, url, known.format(tag=tag, bare=tag.strip('"')))
    assert (answer.status_code, answer.json["state"]) == (200, "CREATED")


def test_whatever_changes_in_the_answer_the_tag_is_another(app, incoming, url, ticket):
    tags = []

    def changed() -> None:
        # Until now the last one stood for the answer; the next is the one of this answer.
        if tags:
            assert ask_again(app, url, tags[-1]).status_code == 200
        tags.append(app.get(url).headers["ETag"])
        assert ask_again(app, url, tags[-1]).status_code == 304

    changed()
    declare(app, url)
    changed()
    declare(app, url, filename="b.bin")
    changed()
    declare(app, url, filename="b.bin", relative_path="c/b.bin")
    changed()
    put(app, url, 0, 256)
    changed()
    put(app, url, 512, 768)
    changed()
    app.delete(url)
    changed()  # cancelled, and the app does not know yet
    incoming.do_housekeeping()
    assert app.get(url).json["notified"] is True
    assert len(set(tags)) == len(tags)


def test_an_answer_with_digests_has_a_tag_of_its_own(app, url):
    put(app, url, 0, 256, Content_Digest=sha256(CONTENT[:256]))
    tag = app.get(url).headers["ETag"]
    answer = ask_again(app, f"{url}?digests=1", tag)
    assert [digest["stop"] for digest in answer.json["digests"]] == [256]
    assert ask_again(app, f"{url}?digests=1", answer.headers["ETag"]).status_code == 304


def test_every_process_gives_the_same_tag(app, url, tmp_path):
    put(app, url, 0, 256)
    code = """if True:
        import sys
        from webtest import TestApp
        from incoming_wsgi import Incoming
        folder, url = sys.argv[1:]
        incoming = Incoming(
            folder, on_finished=lambda upload: None, background=False,
            max_chunk_bytes=4096, chunk_bytes=1024,
        )
        print(TestApp(incoming).get(url).headers["ETag"])
    """
    command = [sys.executable, "-c", code, str(tmp_path / "incoming"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == app.get(url).headers["ETag"]


def test_a_tag_says_nothing_of_what_the_answer_does_not_say(app, incoming):
    """Two uploads of which the same can be said, but for the id, have the same tag."""
    tags = set()
    for secret in ("one", "two"):
        url = f"/frontend/uploads/{incoming.new_upload(secret=secret, owner=secret)}"
        app.delete(url)
        tags.add(app.get(url).headers["ETag"])
    assert len(tags) == 1


def test_what_changes_an_upload_is_not_conditional(app, url):
    assert put(app, url, 0, 256, If_None_Match="*").json["received"] == [[0, 256]]


@pytest.mark.parametrize("name", ["unknown", "..", "a/b", "%2e%2e", "x" * 5000])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_ticket_is_404_whatever_is_asked(app, name, method):
    response = app.request(
        f"/frontend/uploads/{name}",
        method=method,
        body=b"{}",
        headers={"Content-Range": "bytes 0-1/2"},
        status="*",
    )
    problem(response, "unknown_upload")
    assert response.status_code == 404


@pytest.mark.parametrize("method", ["TRACE"])
def test_other_methods_are_refused_with_those_that_work(app, url, method):
    response = app.request(url, method=method, status=405)
    problem(response, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, POST, PUT, DELETE, OPTIONS"


# declaring


def test_declaring_says_which_file_will_come(app, url):
    seen = declare(
        app, url, filename="Grüße.txt", type="text/plain", last_modified=1700000000123
    ).json
    assert (seen["filename"], seen["length"], seen["state"]) == ("Grüße.txt", 1024, "CREATED")


def test_a_name_that_comes_after_the_first_byte_is_not_lost(app, url, incoming):
    put(app, url, 0, 256)
    declare(app, url, filename="late.bin", last_modified=5)
    assert app.get(url).json["filename"] == "late.bin"
    body = {"filename": "later.bin", "length": 1024}
    problem(app.post_json(url, body, status=409), "file_changed")


def test_until_a_byte_is_stored_another_file_may_be_declared(app, url):
    declare(app, url, length=10, filename="wrong.txt")
    assert declare(app, url).json["length"] == 1024


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("length", {"length": 1025}),
        ("filename", {"filename": "b.bin"}),
        ("last_modified", {"last_modified": 6}),
    ],
)
def test_later_it_must_be_the_same_file(app, url, what, changed):
    declare(app, url, last_modified=5)
    put(app, url, 0, 256)
    assert declare(app, url, last_modified=5).json["received"] == [[0, 256]]
    body = {"filename": "a.bin", "length": 1024, "last_modified": 5, **changed}
    response = app.post_json(url, body, status=409)
    assert problem(response, "file_changed")["what"] == what
    assert app.get(url).json["received"] == [[0, 256]]


def test_where_the_file_was_in_a_folder_is_kept_as_it_came(app, url, incoming, ticket):
    sent = "../Urlaub\\Tag 1//" + "x" * 4075 + ".jpg"
    assert len(sent) == 4096
    answers = [
        declare(app, url, relative_path=sent),
        app.get(url),
        put(app, url, 0, 256),
        app.delete(url),
    ]
    assert [answer.json["relative_path"] for answer in answers] == [sent] * 4
    assert incoming.status(ticket).relative_path == sent


def test_a_relative_path_that_comes_after_the_first_byte_is_not_lost(app, url):
    put(app, url, 0, 256)
    assert declare(app, url, relative_path="late/a.bin").json["relative_path"] == "late/a.bin"


def test_the_first_relative_path_stays_and_another_is_no_other_file(app, url):
    declare(app, url, relative_path="first/a.bin")
    put(app, url, 0, 256)
    for later in ({"relative_path": "second/a.bin"}, {"relative_path": ""}, {}):
        assert declare(app, url, **later).json["relative_path"] == "first/a.bin"
    put(app, url, 256, 1024)
    assert declare(app, url, relative_path="third/a.bin").json["relative_path"] == "first/a.bin"


def test_until_a_byte_is_stored_another_relative_path_may_be_declared(app, url):
    first = declare(app, url, relative_path="wrong/a.bin").json
    second = declare(app, url, relative_path="right/a.bin").json
    assert second["relative_path"] == "right/a.bin"
    assert second["file_tag"] == first["file_tag"]  # it is the same file
    # Another file, of no folder: the old one's place is not its own.
    assert declare(app, url, filename="b.bin").json["relative_path"] is None


def test_a_file_of_no_folder_may_say_so_as_browsers_do(app, url):
    assert declare(app, url, relative_path="").json["relative_path"] is None


def test_an_empty_file_is_complete_at_once(app, url, incoming, taken, ticket):
    assert declare(app, url, length=0).json["state"] == "COMPLETE"
    incoming.do_housekeeping()
    assert taken == [(ticket, b"")]
    assert app.get(url).json["state"] == "FINISHED"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"length": "5"}',
        b'{"length": -1}',
        b'{"length": true}',
        b'{"length": 1.5}',
        b'{"filename": "x"}',
        b'{"length": 1, "filename": 7}',
        b'{"length": 1, "last_modified": "now"}',
        b'{"length": 1, "last_modified": 1e999}',
        b'{"length": 1, "relative_path": ["a", "b"]}',
        b'{"length": 1, "relative_path": "' + b"x" * 4097 + b'"}',
        b'{"length": NaN}',
        b'{"length": 1, "filename": "' + b"x" * 5000 + b'"}',
        b"[" * 60000,
    ],
)
def test_a_bad_declaration_is_a_clear_error(app, url, body):
    problem(app.post(url, body, content_type="application/json", status=400), "bad_request")
    assert app.get(url).json["length"] is None


def test_a_huge_declaration_is_refused(app, url):
    problem(app.post(url, b" " * 70000, status=413), "too_large")


def test_half_a_character_in_a_name_is_replaced(app, url):
    app.post(url, b'{"length": 1, "filename": "a\\ud83d.txt"}', content_type="application/json")
    assert app.get(url).json["filename"] == "a?.txt"


def test_a_file_larger_than_the_ticket_allows_is_refused_with_the_limit(app, incoming):
    url = f"/frontend/uploads/{incoming.new_upload(max_length_bytes=100)}"
    response = app.post_json(url, {"filename": "a", "length": 101}, status=413)
    assert problem(response, "file_too_large")["max_length_bytes"] == 100
    assert declare(app, url, length=100).json["length"] == 100


@pytest.mark.parametrize("length", [2**63, 10**30])
def test_a_length_beyond_all_disks_is_refused(app, url, length):
    response = app.post_json(url, {"filename": "a", "length": length}, status=413)
    problem(response, "file_too_large")


# storing


def test_ranges_in_any_order_make_the_file(app, url, incoming, taken, ticket):
    declare(app, url)
    assert put(app, url, 512, 768).json["received"] == [[512, 768]]
    assert put(app, url, 0, 256).json["received"] == [[0, 256], [512, 768]]
    assert put(app, url, 256, 512).json["received"] == [[0, 768]]
    last = put(app, url, 768, 1024).json
    assert (last["state"], last["received"], last["bytes_received"]) == (
        "COMPLETE",
        [[0, 1024]],
        1024,
    )
    incoming.do_housekeeping()
    assert taken == [(ticket, CONTENT)]


def test_a_put_alone_is_enough(app, url, incoming, taken, ticket):
    assert put(app, url, 0, 1024).json["state"] == "COMPLETE"
    incoming.do_housekeeping()
    assert taken == [(ticket, CONTENT)]


def test_of_very_many_ranges_the_answer_to_a_chunk_tells_those_near_it(app, url):
    def put_byte(at):
        return put(app, url, at, at + 1, length=4000, content=b"x").json

    every_other = [[at, at + 1] for at in range(0, 2000, 2)]
    for start, _ in every_other:
        answer = put_byte(start)
    assert answer["received"] == every_other  # a thousand
    assert "received_near" not in answer
    answer = put_byte(3000)
    assert (answer["received"], answer["received_near"]) == ([[3000, 3001]], [3000, 3001])
    assert (answer["bytes_received"], answer["state"]) == (1001, "UPLOADING")
    put_byte(3998)
    answer = put_byte(501)  # it joins its neighbours, which are told as they are now
    assert (answer["received"], answer["received_near"]) == ([[500, 503]], [501, 502])
    # Whoever asks is told all of it, whatever he asks with.
    whole = [*every_other[:250], [500, 503], *every_other[252:], [3000, 3001], [3998, 3999]]
    for answer in (app.get(url), declare(app, url, length=4000), app.delete(url)):
        assert answer.json["received"] == whole
        assert "received_near" not in answer.json


def test_what_is_stored_never_changes(app, url, incoming, taken, ticket):
    declare(app, url)
    put(app, url, 0, 512)
    # Other bytes for a range that is stored in part: only what was missing is taken.
    put(app, url, 256, 768, content=b"\xee" * 256 + CONTENT[512:768])
    put(app, url, 0, 256, content=b"\xee" * 256)
    put(app, url, 768, 1024)
    put(app, url, 0, 1024, content=b"\xee" * 1024)  # after the last byte, too
    incoming.do_housekeeping()
    assert taken == [(ticket, CONTENT)]


def test_repeats_are_harmless_in_every_state(app, url, incoming, taken):
    declare(app, url)
    first = put(app, url, 0, 1024).json
    assert put(app, url, 0, 1024).json == first
    assert declare(app, url).json == first
    incoming.do_housekeeping()
    assert put(app, url, 512, 1024).json["state"] == "FINISHED"
    assert declare(app, url).json["state"] == "FINISHED"
    incoming.do_housekeeping()
    assert len(taken) == 1


def test_another_length_in_a_content_range_is_another_file(app, url):
    declare(app, url)
    problem(put(app, url, 0, 256, length=2000, status=409), "file_changed")


def test_a_range_beyond_the_length_is_416(app, url):
    declare(app, url)
    response = put(app, url, 1000, 1030, content=b"x" * 30, status=416)
    assert problem(response, "range_not_satisfiable")["length"] == 1024


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes 0-3",
        "bytes 0-3/*",
        "bytes */1024",
        "bytes=0-3/1024",
        "bytes 3-0/1024",
        "bytes -1-3/1024",
        "bytes 0-3/1024, bytes 4-7/1024",
        "bytes 0-x/1024",
        "items 0-3/1024",
        "bytes 0-99999999999999999999999/1024",
        "bytes ٠-٣/1024".encode().decode("latin-1"),
    ],
)
def test_a_content_range_that_cannot_be_read_is_a_clear_error(app, url, value):
    headers = {} if value is None else {"Content-Range": value}
    problem(app.put(url, b"abcd", headers=headers, status=400), "bad_request")


def test_content_range_and_content_length_must_agree(app, url):
    declare(app, url)
    for content in (b"x" * 255, b"x" * 257):
        problem(put(app, url, 0, 256, content=content, status=400), "bad_request")
    assert app.get(url).json["received"] == []


def test_a_chunk_above_the_maximum_is_refused_with_the_limit(app, url):
    declare(app, url, length=10000)
    response = put(app, url, 0, 5000, length=10000, content=b"x" * 5000, status=413)
    assert problem(response, "chunk_too_large")["max_chunk_bytes"] == 4096


def test_two_pages_that_declare_different_files_of_one_length_cannot_mix_them(app, url):
    first = declare(app, url, filename="a.bin").json["file_tag"]
    second = declare(app, url, filename="b.bin").json["file_tag"]
    assert first != second
    response = put(app, url, 0, 256, If_Match=f'"{first}"', status=409)
    problem(response, "file_changed")
    put(app, url, 256, 512, If_Match=f'"{second}"')
    seen = app.get(url).json
    assert (seen["filename"], seen["received"]) == ("b.bin", [[256, 512]])
    # Any tag, and none, is for clients that know that they are alone.
    put(app, url, 0, 256, If_Match="*")


def test_once_bytes_were_sent_no_other_file_can_be_declared(app, url):
    """Even if none of them could be kept: they may be on their way again."""
    declare(app, url)
    put(app, url, 900, 1000, Content_Digest=sha256(b"wrong"), status=422)
    response = app.post_json(url, {"filename": "a.bin", "length": 100}, status=409)
    assert problem(response, "file_changed")["what"] == "length"
    put(app, url, 0, 1024)
    assert app.get(url).json["state"] == "COMPLETE"


def test_a_length_that_the_app_gave_is_a_limit(app, incoming):
    url = f"/frontend/uploads/{incoming.new_upload(length=100, filename='given.bin')}"
    assert app.get(url).json["length"] == 100
    body = {"filename": "x.exe", "length": 101}
    problem(app.post_json(url, body, status=413), "file_too_large")


@pytest.mark.parametrize("value", ["abc", '"a", "b"', 'W/"a"', ""])
def test_a_tag_that_cannot_be_read_is_a_clear_error(app, url, value):
    declare(app, url)
    problem(put(app, url, 0, 256, If_Match=value, status=400), "bad_request")


# digests


def test_a_right_digest_is_kept_with_its_chunk(app, url):
    declare(app, url)
    put(app, url, 0, 256, Content_Digest=sha256(CONTENT[:256]))
    put(app, url, 256, 512)
    assert app.get(url + "?digests=1").json["digests"] == [
        {"start": 0, "stop": 256, "sha256": hashlib.sha256(CONTENT[:256]).hexdigest()}
    ]
    assert "digests" not in app.get(url).json


def test_of_very_many_digests_some_are_told_from_the_first_to_the_last(app, url, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.dialects.native.MAX_DIGESTS", 4)
    declare(app, url)
    for start in range(0, 1024, 64):
        put(app, url, start, start + 32, Content_Digest=sha256(CONTENT[start : start + 32]))
    told = app.get(url + "?digests=1").json["digests"]
    assert [digest["start"] for digest in told] == [0, 320, 640, 960]


def test_a_digest_is_kept_only_for_bytes_that_came_with_it(app, incoming, url):
    """The first part came before, in a request that was cut, and may have been corrupt."""
    declare(app, url)
    environ = {
        "wsgi.input": Input(b"\xee" * 100),
        "CONTENT_LENGTH": "256",
        "HTTP_CONTENT_RANGE": "bytes 0-255/1024",
    }
    raw(incoming, url, **environ)
    put(app, url, 0, 256, Content_Digest=sha256(CONTENT[:256]))
    assert "digests" not in app.get(url + "?digests=1").json


def test_a_wrong_digest_records_nothing(app, url):
    declare(app, url)
    response = put(app, url, 0, 256, Content_Digest=sha256(b"something else"), status=422)
    seen = problem(response, "digest_mismatch")
    assert seen["expected"] == hashlib.sha256(b"something else").hexdigest()
    assert seen["computed"] == hashlib.sha256(CONTENT[:256]).hexdigest()
    assert app.get(url).json["received"] == []
    assert put(app, url, 0, 256).json["received"] == [[0, 256]]


def test_a_repeat_with_a_wrong_digest_does_not_spoil_good_bytes(app, url, incoming, taken, ticket):
    declare(app, url)
    put(app, url, 0, 512)
    response = put(
        app, url, 0, 512, content=b"\xee" * 512, Content_Digest=sha256(CONTENT[:512]), status=422
    )
    problem(response, "digest_mismatch")
    put(app, url, 512, 1024)
    incoming.do_housekeeping()
    assert taken == [(ticket, CONTENT)]


def test_sha512_is_checked_too(app, url):
    declare(app, url)
    digest = base64.b64encode(hashlib.sha512(CONTENT[:256]).digest()).decode()
    put(app, url, 0, 256, Content_Digest=f"sha-512=:{digest}:")
    bad = base64.b64encode(hashlib.sha512(b"").digest()).decode()
    problem(
        put(app, url, 256, 512, Content_Digest=f"sha-512=:{bad}:", status=422), "digest_mismatch"
    )


def test_algorithms_for_others_are_ignored(app, url):
    declare(app, url)
    assert put(app, url, 0, 256, Content_Digest="md5=:AAAA:, sha=:BBBB:").json["received"]


@pytest.mark.parametrize("value", ["sha-256=abc", "sha-256", "sha-256=:a:", ","])
def test_a_digest_that_cannot_be_read_is_a_clear_error(app, url, value):
    declare(app, url)
    problem(put(app, url, 0, 256, Content_Digest=value, status=400), "bad_request")


# cancelling


def test_cancelling_deletes_the_bytes_and_keeps_the_reason(app, url, incoming, ticket):
    declare(app, url)
    put(app, url, 0, 512)
    seen = app.delete(url + "?reason=Changed%20my%20mind%20%E2%98%BA").json
    assert (seen["state"], seen["reason"]) == ("CANCELLED", "Changed my mind ☺")
    assert not FileStorage(incoming._tickets.path.parent).exists(ticket, 1024)
    again = app.delete(url + "?reason=again").json
    assert again["reason"] == "Changed my mind ☺"


def test_a_write_to_a_cancelled_upload_is_410_and_asking_is_not(app, url):
    declare(app, url)
    put(app, url, 0, 512)
    app.delete(url + "?reason=enough")
    assert problem(put(app, url, 512, 1024, status=410), "upload_gone")["reason"] == "enough"
    body = {"filename": "a.bin", "length": 1024}
    assert problem(app.post_json(url, body, status=410), "upload_gone")["reason"] == "enough"
    assert app.get(url).json["state"] == "CANCELLED"


def test_what_is_finished_cannot_be_cancelled(app, url, incoming, taken):
    put(app, url, 0, 1024)
    incoming.do_housekeeping()
    problem(app.delete(url, status=409), "wrong_state")
    assert app.get(url).json["state"] == "FINISHED"


def test_bytes_that_are_no_text_are_no_reason(app, url):
    problem(app.delete(url + "?reason=%FF", status=400), "bad_request")


# bodies


class Input:
    """A wsgi.input that ends early, or breaks, after `content`."""

    def __init__(self, content: bytes, error: Exception | None = None) -> None:
        self.content = content
        self.error = error

    def read(self, size: int) -> bytes:
        if not self.content and self.error:
            raise self.error
        block, self.content = self.content[:size], self.content[size:]
        return block


def raw(incoming, url, method="PUT", **environ):
    """One request without a client library between."""
    from webob import Request

    request = Request.blank(url, method=method, environ=environ)
    return request.get_response(incoming)


@pytest.mark.parametrize("error", [None, OSError("gone"), ConnectionResetError(), ValueError("x")])
@pytest.mark.parametrize("digest", [None, sha256(CONTENT[:512])])
def test_what_arrived_is_kept_however_the_body_ends(app, incoming, url, error, digest):
    declare(app, url)
    environ = {
        "wsgi.input": Input(CONTENT[:300], error),
        "CONTENT_LENGTH": "512",
        "HTTP_CONTENT_RANGE": "bytes 0-511/1024",
    }
    if digest:
        environ["HTTP_CONTENT_DIGEST"] = digest
    response = raw(incoming, url, **environ)
    seen = json.loads(response.body)
    assert (response.status_code, seen["code"]) == (400, "incomplete_body")
    assert (seen["announced"], seen["arrived"]) == (512, 300)
    assert app.get(url).json["received"] == [[0, 300]]


def test_a_worker_that_is_stopped_in_the_middle_keeps_what_arrived(app, incoming, url):
    declare(app, url)

    class Stopped(Input):
        def read(self, size: int) -> bytes:
            if not self.content:
                raise SystemExit(1)  # what gunicorn does to a worker that takes too long
            return super().read(size)

    environ = {
        "wsgi.input": Stopped(CONTENT[:300]),
        "CONTENT_LENGTH": "512",
        "HTTP_CONTENT_RANGE": "bytes 0-511/1024",
    }
    with pytest.raises(SystemExit):
        raw(incoming, url, **environ)
    assert app.get(url).json["received"] == [[0, 300]]


@pytest.mark.parametrize("value", ["9" * 5000, "-5", "1e3", "12,12", " 7", "+5", "0x10", "٣"])
def test_a_content_length_that_is_no_number_is_refused(incoming, url, value):
    response = raw(incoming, url, CONTENT_LENGTH=value)
    assert (response.status_code, json.loads(response.body)["code"]) == (400, "bad_request")


def test_a_chunk_without_a_length_is_411(incoming, url):
    response = raw(
        incoming,
        url,
        HTTP_TRANSFER_ENCODING="chunked",
        HTTP_CONTENT_RANGE="bytes 0-3/4",
        **{"wsgi.input": Input(b"4\r\nabcd\r\n0\r\n\r\n")},
    )
    assert (response.status_code, json.loads(response.body)["code"]) == (411, "length_required")


@pytest.mark.parametrize(
    ("method", "path", "range_"),
    [
        ("PUT", "/frontend/uploads/unknown", "bytes 0-2047/2048"),
        ("PUT", None, "nonsense"),
        ("PUT", "/nowhere", ""),
        ("POST", "/frontend/incoming.js", ""),
        ("PATCH", None, ""),
    ],
)
def test_the_body_of_a_refused_request_is_drained(incoming, url, method, path, range_):
    source = Input(b"x" * 2048)
    response = raw(
        incoming,
        path or url,
        method=method,
        CONTENT_LENGTH="2048",
        HTTP_CONTENT_RANGE=range_,
        **{"wsgi.input": source},
    )
    assert response.status_code >= 400
    assert source.content == b""


def test_no_more_than_one_maximum_chunk_is_drained(incoming, url):
    source = Input(b"x" * 20000)
    response = raw(
        incoming,
        url,
        CONTENT_LENGTH="20000",
        HTTP_CONTENT_RANGE="bytes 0-19999/20000",
        **{"wsgi.input": source},
    )
    assert response.status_code == 413
    assert len(source.content) == 20000 - 4096


def test_a_full_disk_is_507_with_what_was_stored_acknowledged(app, incoming, url, monkeypatch):
    declare(app, url)
    put(app, url, 0, 256)
    from incoming_wsgi.storage import _writer

    def full(*_):
        raise StorageFull("No space left on device")

    monkeypatch.setattr(_writer.FileWriter, "write", full)
    response = put(app, url, 256, 512, status=507)
    problem(response, "storage_full")
    assert int(response.headers["Retry-After"]) > 0
    monkeypatch.undo()
    assert app.get(url).json["received"] == [[0, 256]]
    assert put(app, url, 256, 512).json["received"] == [[0, 512]]


def test_a_file_system_that_takes_no_such_file_is_413(app, incoming, url, monkeypatch):
    def too_far(*_):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr("incoming_wsgi.storage.file.os.pwrite", too_far)
    declare(app, url)
    problem(put(app, url, 0, 256, status=413), "file_too_large")


def test_an_upload_whose_stored_bytes_are_lost_ends_and_says_so(app, incoming, url, ticket):
    declare(app, url)
    put(app, url, 0, 512)
    (incoming._tickets.path.parent / "files" / ticket).unlink()
    response = put(app, url, 512, 1024, status=410)
    assert "lost on the server" in problem(response, "upload_gone")["reason"]
    seen = app.get(url).json
    assert (seen["state"], seen["reason"]) == (
        "CANCELLED",
        "what was stored of the file is lost on the server",
    )


def test_a_slow_request_does_not_call_a_file_lost_that_the_app_has_taken(
    app, incoming, url, taken, ticket, monkeypatch
):
    """Two requests see that nothing is missing; the app has the file before the slower looks."""
    declare(app, url)
    put(app, url, 0, 512)
    storage, seal = incoming._engine._storage, incoming._engine._storage.seal

    def be_slow(*arguments):
        monkeypatch.setattr(storage, "seal", seal)
        put(app, url, 0, 1024)  # the faster one: completes it
        incoming._tickets.transition(ticket, Event.HAND_OVER, lambda _: {"attempt": 1})
        storage.locate(ticket).unlink()  # taken
        incoming._tickets.transition(ticket, Event.DELAY, lambda _: {"due_at": 0.0})  # answer lost
        return seal(*arguments)

    monkeypatch.setattr(storage, "seal", be_slow)
    assert put(app, url, 512, 1024).json["state"] == "COMPLETE"
    incoming.do_housekeeping()
    assert app.get(url).json["state"] == "FINISHED"
    assert taken == []


def test_a_cancel_right_before_the_last_byte_is_sealed_is_410(app, incoming, url, monkeypatch):
    declare(app, url)
    put(app, url, 0, 512)
    seal = incoming._engine._storage.seal

    def cancel_first(*arguments):
        app.delete(url + "?reason=now")
        return seal(*arguments)

    monkeypatch.setattr(incoming._engine._storage, "seal", cancel_first)
    assert problem(put(app, url, 512, 1024, status=410), "upload_gone")["reason"] == "now"
    assert list((incoming._tickets.path.parent / "files").iterdir()) == []


def test_a_cancel_before_the_first_block_leaves_no_file(app, incoming, url, monkeypatch):
    declare(app, url)
    open_writer = incoming._engine._storage.open_writer

    def cancel_first(*arguments, **options):
        app.delete(url + "?reason=now")
        return open_writer(*arguments, **options)

    monkeypatch.setattr(incoming._engine._storage, "open_writer", cancel_first)
    environ = {
        "wsgi.input": Input(b""),  # the client is gone
        "CONTENT_LENGTH": "512",
        "HTTP_CONTENT_RANGE": "bytes 0-511/1024",
    }
    raw(incoming, url, **environ)
    assert app.get(url).json["state"] == "CANCELLED"
    assert list((incoming._tickets.path.parent / "files").iterdir()) == []


def test_a_ticket_store_that_is_busy_for_too_long_is_503(tmp_path, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.tickets._database.BUSY_TIMEOUT_S", 0.1)
    incoming = Incoming(tmp_path / "busy", on_finished=lambda upload: None, background=False)
    app = TestApp(incoming)
    url = f"/frontend/uploads/{incoming.new_upload()}"
    other = sqlite3.connect(tmp_path / "busy" / "incoming.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    response = app.post_json(url, {"filename": "a", "length": 4}, status=503)
    problem(response, "unavailable")
    assert str(tmp_path) not in response.text
    assert int(response.headers["Retry-After"]) > 0
    other.execute("ROLLBACK")
    other.close()
    declare(app, url)
    incoming.close()


@pytest.mark.parametrize("server", ["uwsgi.version", "mod_wsgi.version"])
def test_servers_that_lose_the_running_read_are_read_in_small_blocks(app, incoming, url, server):
    class Lossy(Input):
        """What has not been read when the client goes away is gone, and the read fails."""

        def read(self, size: int) -> bytes:
            if size > len(self.content):
                raise OSError("the client is gone")
            return super().read(size)

    length = 3 * 1024 * 1024
    incoming._web._settings = incoming._web._dialects._native._settings = Settings()
    environ = {
        "wsgi.input": Lossy(b"x" * 1_000_000),
        "CONTENT_LENGTH": str(length),
        "HTTP_CONTENT_RANGE": f"bytes 0-{length - 1}/{length}",
        server: (2, 0),
    }
    assert raw(incoming, url, **environ).status_code == 400
    assert app.get(url).json["received"] == [[0, 15 * 64 * 1024]]


# cross-origin


def test_pages_of_any_origin_may_upload(app, url):
    response = app.options(
        url,
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-range,content-type,content-digest",
        },
    )
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    for header in ("content-range", "content-type", "content-digest"):
        assert header in allowed
    for method in ("PUT", "DELETE"):
        assert method in response.headers["Access-Control-Allow-Methods"]
    assert int(response.headers["Access-Control-Max-Age"]) > 0


def test_preflights_succeed_for_unknown_uploads_too(app):
    # Else the browser never sends the request whose 404 the page needs to see.
    assert app.options("/frontend/uploads/unknown").status_code == 200


@pytest.mark.parametrize("path", ["/frontend/uploads/unknown", "/frontend/incoming.js"])
def test_every_answer_of_the_frontend_can_be_read_across_origins(app, path):
    response = app.get(path, headers={"Origin": "https://app.example"}, status="*")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert {"ETag", "Retry-After"} <= set(
        response.headers["Access-Control-Expose-Headers"].split(", ")
    )


def test_no_origins_is_the_same_origin_alone(tmp_path):
    incoming = Incoming(
        tmp_path / "other", on_finished=lambda upload: None, background=False, allow_origins=None
    )
    url = f"/frontend/uploads/{incoming.new_upload()}"
    answer = TestApp(incoming).get(url, headers={"Origin": "https://app.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    incoming.close()


def test_a_list_of_origins_narrows_it(tmp_path):
    incoming = Incoming(
        tmp_path / "other",
        on_finished=lambda upload: None,
        background=False,
        allow_origins=["https://app.example"],
    )
    app = TestApp(incoming)
    url = f"/frontend/uploads/{incoming.new_upload()}"
    good = app.get(url, headers={"Origin": "https://app.example"})
    assert good.headers["Access-Control-Allow-Origin"] == "https://app.example"
    bad = app.get(url, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in bad.headers
    assert good.headers["Vary"] == bad.headers["Vary"] == "Origin"
    incoming.close()


# the app's own rights


def test_authorize_is_asked_for_every_action(tmp_path):
    asked = []

    def authorize(environ, upload, action):
        asked.append((upload.owner, action))
        return environ.get("REMOTE_USER") == upload.owner

    incoming = Incoming(
        tmp_path / "other", on_finished=lambda upload: None, background=False, authorize=authorize
    )
    url = f"/frontend/uploads/{incoming.new_upload(owner='ann')}"
    ann = TestApp(incoming, extra_environ={"REMOTE_USER": "ann"})
    eve = TestApp(incoming, extra_environ={"REMOTE_USER": "eve"})
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        assert eve.request(url, method=method, status="*").status_code == 403
    assert asked == [("ann", a) for a in ("query", "query", "declare", "store", "cancel")]
    declare(ann, url)
    put(ann, url, 0, 1024)
    assert ann.get(url).json["state"] == "COMPLETE"
    incoming.close()


# the browser library


# what else goes on in the process


def test_asking_for_its_health_changes_nothing(app, url, tmp_path):
    def content() -> dict[str, bytes]:
        files = (path for path in (tmp_path / "incoming").rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}

    put(app, url, 0, 256)
    before = content()
    for _ in range(3):
        assert app.get("/health").json == {"status": "ok"}
    # But for the index of the log, where SQLite notes who is reading.
    assert {name for name, data in content().items() if before.get(name) != data} <= {
        str(tmp_path / "incoming" / "incoming.db-shm")
    }


def test_the_library_can_be_revalidated(app):
    response = app.get("/0.1/frontend/incoming.js")
    assert response.content_type == "text/javascript"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert b"Uploader" in response.body
    again = app.get(
        "/0.1/frontend/incoming.js", headers={"If-None-Match": response.headers["ETag"]}
    )
    assert (again.status_code, again.body) == (304, b"")


@pytest.mark.parametrize(
    "name", ["package.json", "build.mjs.bak", "src/uploader.js", "../setup.py", "__init__.py", ""]
)
def test_nothing_but_the_library_is_served(app, name):
    app.get(f"/frontend/{name}", status=404)


# trouble inside


def test_trouble_inside_is_for_the_log_and_not_for_the_browser(app, incoming, url, caplog):
    declare(app, url)
    with incoming._tickets._database.using() as connection:
        connection.execute("DROP TABLE claims")
    response = put(app, url, 0, 256, status=500)
    assert problem(response, "ticket_store_error")
    assert "incoming.db" not in response.text
    assert "claims" not in response.text
    assert "no such table: claims" in caplog.text


@pytest.mark.parametrize("path", ["/", "/frontend/", "/frontend/x.js", "/backend/new_upload"])
def test_a_mistyped_address_is_not_called_an_unknown_ticket(app, path):
    response = app.get(path, status=404)
    assert "nothing at this address" in response.text


# two at once


def test_a_block_that_an_older_request_is_writing_does_not_land_on_the_newers_bytes(
    app, incoming, url, taken, ticket, monkeypatch
):
    """The older has asked, may write, and is held up by the disk; only then the newer begins."""
    declare(app, url)
    held, go_on = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def slow_disk(descriptor, block, position):
        if bytes(block[:1]) == b"\xee":
            held.set()
            assert go_on.wait(10)
        return pwrite(descriptor, block, position)

    monkeypatch.setattr("incoming_wsgi.storage.file.os.pwrite", slow_disk)
    statuses = {}

    def send(name, content):
        page = TestApp(incoming)
        statuses[name] = put(page, url, 0, 1024, content=content, status="*").status_code

    older = threading.Thread(target=send, args=("older", b"\xee" * 1024))
    older.start()
    assert held.wait(10)
    newer = threading.Thread(target=send, args=("newer", CONTENT))
    newer.start()
    newer.join(0.3)  # long enough for one that does not wait
    go_on.set()
    older.join(10)
    newer.join(10)
    assert statuses["newer"] == 200
    incoming.do_housekeeping()
    assert taken == [(ticket, CONTENT)]


# durability


@pytest.mark.parametrize(
    ("durability", "expected"), [("disk", ["sync", "record"]), ("process", ["record"])]
)
def test_with_durability_disk_bytes_are_synced_before_they_are_recorded(
    tmp_path, monkeypatch, durability, expected
):
    incoming = Incoming(
        tmp_path / "other", on_finished=lambda u: None, background=False, durability=durability
    )
    app = TestApp(incoming)
    url = f"/frontend/uploads/{incoming.new_upload()}"
    declare(app, url)
    events = []
    fdatasync, record = os.fdatasync, incoming._tickets.record_ranges

    def watch_sync(descriptor):
        events.append("sync")
        fdatasync(descriptor)

    def watch_record(*arguments, **keywords):
        events.append("record")
        return record(*arguments, **keywords)

    monkeypatch.setattr("incoming_wsgi.storage.file.os.fdatasync", watch_sync)
    monkeypatch.setattr(incoming._tickets, "record_ranges", watch_record)
    put(app, url, 0, 256)
    assert events == expected
    with incoming._tickets._database.using() as connection:
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    assert synchronous == {"disk": 2, "process": 1}[durability]
    incoming.close()
