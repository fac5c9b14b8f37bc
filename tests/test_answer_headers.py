"""What every answer carries, be it a success or an error of any kind: nosniff, and CORS or none."""

from __future__ import annotations

import pytest
from webob import Request, Response

from incoming_wsgi import Incoming, StorageFull, Unavailable

WRONG_DIGEST = f"sha-256=:{'A' * 43}=:"
HERE = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}
OURS = "https://app.example"
JSON = "application/json"


def make(folder, **settings) -> Incoming:
    return Incoming(
        folder / "incoming",
        on_finished=lambda upload: None,
        background=False,
        backend_api=True,
        authorize=authorize,
        **settings,
    )


def authorize(environ, upload, action) -> bool:
    said = environ.get("HTTP_X_TEST")
    if said == "raise":
        raise RuntimeError("a mistake of the app's")
    if said == "full":
        raise StorageFull("no room")
    if said == "busy":
        raise Unavailable("later")
    return said != "no"


@pytest.fixture
def incoming(tmp_path):
    made = make(tmp_path)
    yield made
    made.close()


def ask(incoming, method, path, body=b"", **headers) -> Response:
    if "If_None_Match" in headers:
        headers["If_None_Match"] = ask(incoming, method, path).headers["ETag"]
    request = Request.blank(path, method=method, environ=HERE, body=body)
    request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return request.get_response(incoming)


# Method, path (with the ticket), body, headers; the status that comes of it.
UPLOAD = "/frontend/uploads/{ticket}"
UNKNOWN = "/frontend/uploads/unknown"
FRONTEND = [
    ("GET", UPLOAD, b"", {}, 200),
    ("HEAD", UPLOAD, b"", {}, 200),
    ("GET", UPLOAD, b"", {"If_None_Match": "THE ETAG"}, 304),
    ("HEAD", UPLOAD, b"", {"If_None_Match": "THE ETAG"}, 304),
    ("GET", UPLOAD + "?digests=1", b"", {}, 200),
    ("POST", UPLOAD, b'{"filename": "<script>", "length": 4}', {}, 200),
    ("PUT", UPLOAD, b"ab", {"Content_Range": "bytes 0-1/4"}, 200),
    ("DELETE", UPLOAD, b"", {}, 200),
    ("OPTIONS", UPLOAD, b"", {}, 200),
    ("OPTIONS", UNKNOWN, b"", {}, 200),
    ("OPTIONS", "/frontend/", b"", {}, 200),
    ("GET", UNKNOWN, b"", {}, 404),
    ("GET", "/frontend/<b>", b"", {}, 404),
    ("GET", "/frontend/", b"", {}, 404),
    ("PATCH", UPLOAD, b"", {}, 412),
    ("TRACE", UPLOAD, b"", {}, 405),
    ("POST", "/frontend/incoming.js", b"", {}, 405),
    ("POST", UPLOAD, b"<script>", {}, 400),
    ("POST", UPLOAD, b"x" * 70000, {}, 413),
    ("PUT", UPLOAD, b"ab", {}, 400),
    ("PUT", UPLOAD, b"ab", {"Content_Range": "bytes 3-4/4"}, 416),
    ("PUT", UPLOAD, b"ab", {"Content_Length": "x"}, 400),
    ("PUT", UPLOAD, b"", {"Content_Length": ""}, 411),
    (
        "PUT",
        UPLOAD,
        b"ab",
        {
            "Content_Range": "bytes 0-1/4",
            "Content_Digest": WRONG_DIGEST,
        },
        422,
    ),
    ("GET", UPLOAD, b"", {"X_Test": "no"}, 403),
    ("GET", UPLOAD, b"", {"X_Test": "raise"}, 500),
    ("PUT", UPLOAD, b"ab", {"X_Test": "full"}, 507),
    ("PUT", UPLOAD, b"ab", {"X_Test": "busy"}, 503),
    ("GET", "/frontend/incoming.js", b"", {}, 200),
    ("GET", "/frontend/incoming.mjs", b"", {}, 200),
    ("GET", "/frontend/incoming-upload.js", b"", {}, 200),
    ("GET", "/frontend/incoming-upload.mjs", b"", {}, 200),
    ("HEAD", "/frontend/incoming.js", b"", {}, 200),
    ("GET", "/frontend/incoming.js", b"", {"If_None_Match": "THE ETAG"}, 304),
    ("GET", "/frontend/incoming.js", b"", {"Range": "bytes=0-9"}, 200),
]
OTHERS = [
    ("POST", "/backend/new_upload?signalFinishURL=http://x/", b"", {}, 200),
    ("GET", "/backend/uploads/{ticket}", b"", {}, 200),
    ("POST", "/backend/cancel_upload?id={ticket}", b"", {}, 200),
    ("POST", "/backend/new_upload?signalFinishURL=<script>", b"", {}, 400),
    ("POST", "/backend/new_upload", b"", {"Via": "1.1 x"}, 403),
    ("GET", "/backend/new_upload", b"", {}, 405),
    ("GET", "/backend/uploads/unknown", b"", {}, 404),
    ("POST", "/backend/uploads/{ticket}/retry", b"", {}, 409),
    ("OPTIONS", "/backend/new_upload", b"", {}, 405),
    ("OPTIONS", "/backend/uploads/{ticket}", b"", {}, 405),
    ("GET", "/backend/", b"", {}, 404),
    ("GET", "/health", b"", {}, 200),
    ("OPTIONS", "/health", b"", {}, 405),
    ("POST", "/health", b"", {}, 405),
    ("GET", "/", b"", {}, 404),
    ("OPTIONS", "/", b"", {}, 404),
    ("GET", "/frontendx/uploads/{ticket}", b"", {}, 404),
]


def names(rows):
    return [f"{row[4]} {row[0]} {row[1]} {' '.join(row[3])}".strip() for row in rows]


def all_routes(rows):
    return pytest.mark.parametrize(
        ("method", "path", "body", "headers", "status"), rows, ids=names(rows)
    )


# What the clients of each protocol read: tus-js-client among them, and our own.
EXPOSED = {"ETag", "Retry-After", "Location", "Upload-State", "Upload-Reason"}
EXPOSED |= {"Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata"}
EXPOSED |= {"Upload-Concat", "Upload-Expires", "Tus-Version", "Tus-Resumable", "Tus-Max-Size"}
EXPOSED |= {"Tus-Extension", "Tus-Checksum-Algorithm", "Upload-Complete", "Upload-Incomplete"}
EXPOSED |= {"Upload-Limit", "Repr-Digest"}


def cors_headers(answer: Response) -> dict[str, str]:
    return {n: v for n, v in answer.headers.items() if n.lower().startswith("access-control-")}


@pytest.mark.parametrize("version", ["", "/0.1"])
@all_routes(FRONTEND + OTHERS)
def test_no_answer_is_anything_but_what_it_says(
    incoming, version, method, path, body, headers, status
):
    path = version + path.format(ticket=incoming.new_upload())
    answer = ask(incoming, method, path, body, **headers)
    assert answer.status_code == status
    assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
    if answer.body:
        kinds = {"text/plain", "text/javascript", JSON, "application/problem+json"}
        assert answer.content_type in kinds


# RFC 9110, 7.6.1, and what a server adds by itself.
NOT_OURS = {"Connection", "Keep-Alive", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Date"}
NOT_OURS |= {"Server", "Proxy-Connection", "Set-Cookie"}


@all_routes(FRONTEND + OTHERS)
def test_no_answer_has_a_header_that_is_the_servers_to_give_or_has_one_twice(
    incoming, method, path, body, headers, status
):
    answer = ask(incoming, method, path.format(ticket=incoming.new_upload()), body, **headers)
    names = [name.title() for name, _ in answer.headerlist]
    assert sorted(set(names)) == sorted(names)
    assert NOT_OURS.isdisjoint(names)
    assert all(value.isascii() and value.isprintable() for _, value in answer.headerlist)
    # Without a body there is no type, and to a 304 no length either: RFC 9110, 8.6.
    assert ("Content-Length" in names) is (status != 304)
    assert ("Content-Type" in names) is (status != 304)
    if method != "HEAD" and status != 304:
        assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize("version", ["", "/0.1"])
@all_routes(FRONTEND)
def test_a_page_of_another_origin_can_read_every_answer_of_the_frontend(
    incoming, version, method, path, body, headers, status
):
    path = version + path.format(ticket=incoming.new_upload())
    answer = ask(incoming, method, path, body, Origin=OURS, **headers)
    assert answer.status_code == status
    assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]
    [exposed] = answer.headers.getall("Access-Control-Expose-Headers")
    assert set(exposed.split(", ")) == EXPOSED
    # No cookie is ever wanted.
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert ("Access-Control-Allow-Methods" in answer.headers) is (method == "OPTIONS")
    if status in (503, 507):
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("origins", [("*",), (OURS,), None])
@all_routes(OTHERS)
def test_nothing_else_can_be_read_by_a_page(tmp_path, origins, method, path, body, headers, status):
    incoming = make(tmp_path, allow_origins=origins)
    path = path.format(ticket=incoming.new_upload())
    answer = ask(incoming, method, path, body, Origin=OURS, **headers)
    # backend/ refuses whatever names an origin.
    assert answer.status_code == (403 if path.startswith("/backend/") else status)
    assert cors_headers(answer) == {}
    incoming.close()


@all_routes(FRONTEND)
def test_a_list_of_origins_holds_for_every_answer_and_a_cache_is_told(
    tmp_path, method, path, body, headers, status
):
    incoming = make(tmp_path, allow_origins=[OURS, "http://localhost:8000"])
    path = path.format(ticket=incoming.new_upload())

    def seen(origin: str | None) -> dict[str, str]:
        named = {} if origin is None else {"Origin": origin}
        answer = ask(incoming, method, path, body, **named, **headers)
        assert "Origin" in answer.headers["Vary"].split(", ")
        return cors_headers(answer)

    for origin in (OURS, "http://localhost:8000"):
        assert seen(origin)["Access-Control-Allow-Origin"] == origin
    for origin in (
        None,
        "null",
        "",
        "*",
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://APP.example",
        "https://app.example/",
        f"{OURS}, https://evil.example",
    ):
        assert seen(origin) == {}, origin
    incoming.close()


@pytest.mark.parametrize(("origins", "allowed"), [(["null"], "null"), (["*"], "*"), ([], None)])
def test_a_page_without_an_origin_of_its_own_is_let_in_by_name_or_with_all(
    tmp_path, origins, allowed
):
    incoming = make(tmp_path, allow_origins=origins)
    answer = ask(incoming, "GET", f"/frontend/uploads/{incoming.new_upload()}", Origin="null")
    assert answer.headers.get("Access-Control-Allow-Origin") == allowed
    incoming.close()
