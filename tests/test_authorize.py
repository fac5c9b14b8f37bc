"""`authorize`: the app's own right comes before everything that a client can do or learn."""

from __future__ import annotations

import logging

import pytest
from webob import Request, Response
from webtest import TestApp

from incoming_wsgi import Incoming

CONTENT = b"0123456789"
JSON = b'{"filename": "a.bin", "length": 10}'
RANGE = {"Content-Range": "bytes 0-9/10"}
# Method, body and headers of everything that can be done with an upload.
ACTIONS = {
    "query": ("GET", b"", {}),
    "query by HEAD": ("HEAD", b"", {}),
    "declare": ("POST", JSON, {}),
    "store": ("PUT", CONTENT, RANGE),
    "cancel": ("DELETE", b"", {}),
}
MOUNTS = ["/frontend/uploads/", "/0.1/frontend/uploads/"]
every_action = pytest.mark.parametrize("action", ACTIONS)
every_mount = pytest.mark.parametrize("mount", MOUNTS)


class Rights:
    """May be changed at any time; remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: object = True
        self.asked: list[tuple[str, str]] = []

    def __call__(self, environ, upload, action):
        self.asked.append((upload.id, action))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Unread:
    """A body that nobody may read before the right is clear."""

    def __init__(self, rights: Rights, content: bytes) -> None:
        self._rights, self._content = rights, content

    def read(self, size: int) -> bytes:
        assert self._rights.asked, "read before anybody was asked"
        block, self._content = self._content[:size], self._content[size:]
        return block


@pytest.fixture
def rights():
    return Rights()


@pytest.fixture
def incoming(tmp_path, rights):
    made = Incoming(
        tmp_path / "incoming",
        on_finished=lambda upload: None,
        background=False,
        authorize=rights,
    )
    yield made
    made.close()


@pytest.fixture
def ticket(incoming):
    return incoming.new_upload(owner="ann", filename="her-secret-plan.pdf")


def ask(incoming, rights, action: str, path: str) -> Response:
    method, body, headers = ACTIONS[action]
    environ = {"wsgi.input": Unread(rights, body), "CONTENT_LENGTH": str(len(body))}
    request = Request.blank(path, method=method, environ=environ, headers=headers)
    return request.get_response(incoming)


@every_mount
@every_action
def test_who_has_the_right_is_asked_for_once_and_may(incoming, rights, ticket, action, mount):
    assert ask(incoming, rights, action, mount + ticket).status_code == 200
    assert rights.asked == [(ticket, action.split()[0])]


@every_mount
@every_action
@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_who_has_not_learns_and_changes_nothing(incoming, rights, ticket, action, mount, answer):
    before = incoming.status(ticket)
    rights.answer = answer
    refusal = ask(incoming, rights, action, mount + ticket)
    assert refusal.status_code == 403
    assert rights.asked == [(ticket, action.split()[0])]
    for known in (ticket, "ann", "plan", "CREATED"):
        assert known not in refusal.text
    if action != "query by HEAD":
        assert refusal.json["code"] == "forbidden"  # at which a page pauses
    assert incoming.status(ticket) == before


@every_action
@pytest.mark.parametrize("error", [RuntimeError("no database"), KeyError("x"), OSError(5, "x")])
def test_a_mistake_of_the_apps_lets_nobody_in(incoming, rights, ticket, action, error, caplog):
    before = incoming.status(ticket)
    rights.answer = error
    answer = ask(incoming, rights, action, MOUNTS[0] + ticket)
    assert answer.status_code == 500
    assert "no database" not in answer.text
    assert incoming.status(ticket) == before
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert type(error).__name__ in caplog.text
    assert ticket not in caplog.text


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "get", "put"])
def test_a_method_that_is_none_is_refused_without_a_look(incoming, rights, ticket, method):
    request = Request.blank(MOUNTS[0] + ticket, method=method)
    assert request.get_response(incoming).status_code == 405
    assert rights.asked == []


def test_a_preflight_asks_for_no_right_and_shows_nothing(incoming, rights, ticket):
    app = TestApp(incoming)
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
    known = app.options(MOUNTS[0] + ticket, headers=preflight)
    unknown = app.options(MOUNTS[0] + "unknown", headers=preflight)
    assert (known.status, known.body) == (unknown.status, unknown.body) == ("200 OK", b"")
    assert rights.asked == []


def test_a_right_may_be_taken_away_and_given_back_in_the_middle(incoming, rights, ticket):
    app = TestApp(incoming)
    url = MOUNTS[0] + ticket
    app.put(url, CONTENT[:5], headers={"Content-Range": "bytes 0-4/10"})
    rights.answer = False
    answer = app.put(url, CONTENT[5:], headers={"Content-Range": "bytes 5-9/10"}, status=403)
    assert answer.json["code"] == "forbidden"
    app.get(url, status=403)
    app.delete(url, status=403)
    assert incoming.status(ticket).received.total_bytes == 5
    rights.answer = True
    answer = app.put(url, CONTENT[5:], headers={"Content-Range": "bytes 5-9/10"})
    assert answer.json["state"] == "COMPLETE"


def test_below_the_app_and_behind_its_middleware_it_sees_what_that_has_found(tmp_path):
    seen = []

    def authorize(environ, upload, action):
        seen.append((environ["app.user"], upload.owner))
        return environ["app.user"] == upload.owner

    incoming = Incoming(
        tmp_path / "incoming",
        on_finished=lambda upload: None,
        background=False,
        authorize=authorize,
    )
    inner = incoming.wrap(lambda environ, start_response: [])

    def signed_in(environ, start_response):
        return inner({**environ, "app.user": environ.get("HTTP_X_USER")}, start_response)

    app = TestApp(signed_in)
    url = f"/incoming/0.1/frontend/uploads/{incoming.new_upload(owner='ann')}"
    app.get(url, headers={"X-User": "eve"}, status=403)
    app.get(url, headers={"X-User": "ann"})
    assert seen == [("eve", "ann"), ("ann", "ann")]
    incoming.close()


def test_the_app_itself_needs_no_right_of_a_client(incoming, rights, ticket):
    rights.answer = False
    assert incoming.status(ticket).owner == "ann"
    incoming.cancel_upload(ticket)
    assert rights.asked == []
