"""What tus and the draft have in common: nothing is done, ended or told before `authorize` was
asked, what was made for nothing goes, and what is told of a file is what has become of it."""

from __future__ import annotations

import base64
import threading

import pytest
from waiting import wait_until
from webob import Request
from webtest import TestApp

from incoming_wsgi import Incoming, Refused
from incoming_wsgi.storage.file import FileStorage

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {**TUS, "Content-Type": "application/offset+octet-stream"}
DRAFT = {"Upload-Draft-Interop-Version": "8"}
PARTIAL = {**DRAFT, "Content-Type": "application/partial-upload"}


class Site:
    """An app in which X-User says who asks; `denied` are actions that nobody may do."""

    def __init__(self, folder, **settings) -> None:
        self.asked: list[tuple[str, str]] = []
        self.denied: set[str] = set()
        self.taken: list[bytes] = []
        self.incoming = Incoming(
            folder,
            on_finished=lambda upload: self.taken.append(upload.path.read_bytes()),
            authorize=self.authorize,
            authorize_creation=self.create,
            **{"background": False, **settings},
        )
        self.app = TestApp(self.incoming)
        self.users: dict[str, str] = {}

    def authorize(self, environ, upload, action):
        self.asked.append((upload.id, action))
        if action == "hand_over":
            return True
        user = environ.get("HTTP_X_USER", "ann")
        return action not in self.denied and self.users.get(upload.id, "ann") == user

    def create(self, environ, metadata, length):
        user = environ.get("HTTP_X_USER", "ann")
        made = self.incoming.new_upload(owner="all")
        self.users[made] = user
        return made


@pytest.fixture
def make_site(tmp_path):
    made = []

    def make(**settings) -> Site:
        made.append(Site(tmp_path, **settings))
        return made[-1]

    yield make
    for site in made:
        site.incoming.close()


@pytest.fixture
def site(make_site):
    return make_site()


def url_of(ticket: str) -> str:
    return f"/frontend/uploads/{ticket}"


CREATIONS = {
    "tus": ({**STREAM, "Upload-Length": "5"}, b"hello"),
    "draft": ({**DRAFT, "Upload-Complete": "?1"}, b"hello"),
}


@pytest.mark.parametrize("kind", CREATIONS)
def test_content_of_a_creation_needs_the_right_to_store(site, kind):
    headers, content = CREATIONS[kind]
    ticket = site.incoming.new_upload()
    site.denied = {"store"}
    site.app.post(url_of(ticket), content, headers=headers, status=403)
    assert site.incoming.status(ticket).length is None, "nothing was declared either"
    assert site.asked == [(ticket, "declare"), (ticket, "store")]
    site.denied = {"declare"}
    site.app.post(url_of(ticket), content, headers=headers, status=403)
    site.denied = set()
    assert site.app.post(url_of(ticket), content, headers=headers).status_code in (201, 202)


@pytest.mark.parametrize("kind", CREATIONS)
def test_a_creation_without_content_does_not(site, kind):
    headers, _ = CREATIONS[kind]
    headers = {**headers, **({"Upload-Complete": "?0"} if kind == "draft" else {})}
    ticket = site.incoming.new_upload()
    site.denied = {"store"}
    site.app.post(url_of(ticket), headers=headers, status=201)


@pytest.mark.parametrize(
    ("method", "headers", "body", "action"),
    [
        ("HEAD", TUS, b"", "query"),
        ("HEAD", DRAFT, b"", "query"),
        ("GET", DRAFT, b"", "query"),
        ("PATCH", {**STREAM, "Upload-Offset": "0", "Upload-Length": "5"}, b"hello", "store"),
        ("PATCH", {**PARTIAL, "Upload-Offset": "0", "Upload-Complete": "?1"}, b"hello", "store"),
        ("DELETE", TUS, b"", "cancel"),
        ("DELETE", DRAFT, b"", "cancel"),
        ("POST", {**TUS, "Upload-Length": "5"}, b"", "declare"),
        ("POST", {**TUS, "Upload-Length": "5", "Upload-Concat": "partial"}, b"", "declare"),
        ("PUT", {**DRAFT, "Upload-Complete": "?0"}, b"", "declare"),
    ],
)
def test_every_action_is_asked_for_once_and_nothing_happens_without(
    site, method, headers, body, action
):
    ticket = site.incoming.new_upload()
    before = site.incoming.status(ticket)
    site.denied = {action}
    answer = site.app.request(url_of(ticket), method=method, headers=headers, body=body, status=403)
    assert site.asked == [(ticket, action)]
    assert site.incoming.status(ticket) == before
    assert not {"Upload-Offset", "Location", "Upload-Length"} & set(answer.headers)
    site.denied = set()
    site.app.request(url_of(ticket), method=method, headers=headers, body=body)
    assert [asked for asked in site.asked if asked[1] != "hand_over"] == [(ticket, action)] * 2


def send_part(site: Site, user: str, content: bytes) -> str:
    headers = {**STREAM, "Upload-Length": str(len(content)), "Upload-Concat": "partial"}
    answer = site.app.post("/frontend/uploads/", content, headers={**headers, "X-User": user})
    return answer.headers["Location"]


def test_nobody_makes_a_file_of_somebody_elses_parts(site):
    part = send_part(site, "ann", b"secret")
    final = {**TUS, "Upload-Concat": f"final;/frontend/uploads/{part}"}
    site.app.post("/frontend/uploads/", headers={**final, "X-User": "eve"}, status=403)
    assert (part, "store") in site.asked
    site.app.post("/frontend/uploads/", headers={**final, "X-User": "ann"}, status=201)
    site.incoming.do_housekeeping()
    assert site.taken == [b"secret"]


def test_who_may_only_look_ends_nobody(site):
    """The one who writes goes on, in the middle of his body."""
    ticket = site.incoming.new_upload()
    site.app.post(url_of(ticket), headers={**TUS, "Upload-Length": "10"})
    looks = []

    class Body:
        def __init__(self) -> None:
            self.blocks = [b"01234", b"56789", b""]

        def read(self, size: int) -> bytes:
            if len(self.blocks) == 2:  # the first half is stored
                for headers in (TUS, DRAFT, {}):
                    site.denied = {"store"}
                    looks.append(site.app.head(url_of(ticket), headers=headers).status_code)
                    site.denied = set()
            return self.blocks.pop(0)

    environ = {"wsgi.input": Body(), "CONTENT_LENGTH": "10"}
    headers = {**STREAM, "Upload-Offset": "0"}
    request = Request.blank(url_of(ticket), method="PATCH", headers=headers, environ=environ)
    answer = request.get_response(site.incoming)
    assert answer.status_code == 204
    assert answer.headers["Upload-Offset"] == "10"
    assert looks == [200, 204, 200]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({**TUS, "Upload-Length": "2000"}, b"", 413),
        ({**STREAM, "Upload-Length": "5", "Upload-Checksum": f"sha1 {'A' * 27}="}, b"hello", 460),
        ({**TUS, "Upload-Concat": "final;unknown"}, b"", 400),
        ({**DRAFT, "Upload-Complete": "?0", "Upload-Length": "2000"}, b"", 413),
    ],
)
def test_a_ticket_that_was_made_for_a_refused_creation_goes(make_site, headers, body, status):
    site = make_site(max_owner_uploads=2, max_length_bytes=1000)
    for _ in range(4):
        site.app.post("/frontend/uploads/", body, headers=headers, status=status)
    site.app.post("/frontend/uploads/", headers={**TUS, "Upload-Length": "5"}, status=201)


def test_a_ticket_that_was_brought_stays(site):
    ticket = site.incoming.new_upload(max_length_bytes=1000)
    headers = {**TUS, "Upload-Length": "2000", "Upload-Ticket": ticket}
    site.app.post("/frontend/uploads/", headers=headers, status=413)
    site.app.post("/frontend/uploads/", headers={**headers, "Upload-Length": "1000"}, status=201)


def test_a_final_that_comes_twice_leaves_no_ticket(site):
    part = send_part(site, "ann", b"abc")
    final = {**TUS, "Upload-Concat": f"final;{part}"}
    first = site.app.post("/frontend/uploads/", headers=final, status=201)
    made = len(site.users)
    again = site.app.post("/frontend/uploads/", headers=final, status=201)
    assert again.headers["Location"] == first.headers["Location"]
    assert len(site.users) == made


def test_the_address_of_a_part_does_not_tell_the_ticket(site):
    ticket = site.incoming.new_upload()
    pairs = f"name YQ==,ticket {base64.b64encode(ticket.encode()).decode()}"
    headers = {**TUS, "Upload-Length": "3", "Upload-Concat": "partial", "Upload-Metadata": pairs}
    part = site.app.post("/frontend/uploads/", headers=headers).headers["Location"]
    assert site.app.head(url_of(part), headers=TUS).headers["Upload-Metadata"] == "name YQ=="


def test_waiting_for_the_app_leaves_places_to_others(make_site):
    """Who asks about an upload whose app is slow does not keep others from their answers."""
    go_on = threading.Event()
    site = make_site(background=True, complete_wait_s=20)
    take = site.incoming._engine._completion._callbacks

    def on_finished(upload):
        if upload.id == slow:
            go_on.wait(30)
        site.taken.append(upload.path.read_bytes())

    object.__setattr__(take, "on_finished", on_finished)
    slow = site.incoming.new_upload(length=5)
    quick = site.incoming.new_upload(length=5)
    patch = {**STREAM, "Upload-Offset": "0"}
    threads = [
        threading.Thread(
            target=site.app.patch, args=(url_of(slow), b"hello"), kwargs={"headers": patch}
        )
    ]
    threads += [
        threading.Thread(
            target=site.app.head, args=(url_of(slow),), kwargs={"headers": TUS, "status": "*"}
        )
        for _ in range(6)
    ]
    threads[0].start()
    wait_until(lambda: site.incoming.status(slow).state == "HANDING_OVER", "the call")
    for thread in threads[1:]:
        thread.start()
    answer = site.app.patch(url_of(quick), b"hello", headers=patch)
    assert answer.headers["Upload-State"] == "FINISHED"
    go_on.set()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("headers", [STREAM, PARTIAL])
def test_whoever_finds_no_place_to_wait_is_not_told_of_a_success(make_site, headers):
    """Eight files at once, of a page, and an app that refuses them after a while."""
    site = make_site(background=True, complete_wait_s=20)
    go_on = threading.Event()

    def on_finished(upload):
        go_on.wait(30)
        raise Refused("it has a virus")

    callbacks = site.incoming._engine._completion._callbacks
    object.__setattr__(callbacks, "on_finished", on_finished)
    tickets = [site.incoming.new_upload(length=5) for _ in range(8)]
    statuses = []
    headers = {**headers, "Upload-Offset": "0"}
    if headers["Content-Type"] == PARTIAL["Content-Type"]:
        headers["Upload-Complete"] = "?1"

    def send(ticket: str) -> None:
        answer = site.app.patch(url_of(ticket), b"hello", headers=headers, status="*")
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=send, args=(ticket,)) for ticket in tickets]
    for thread in threads:
        thread.start()
    wait_until(lambda: statuses == [423] * 4, "four that are sent away")
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert statuses == [423] * 4 + [422] * 4
    for ticket in tickets:
        wait_until(lambda: site.incoming.status(ticket).state == "FAILED", "the refusal")  # noqa: B023


def test_who_has_said_wait_is_not_waited_for(make_site):
    site = make_site(background=True, complete_wait_s=3600)
    callbacks = site.incoming._engine._completion._callbacks
    object.__setattr__(callbacks, "on_finished", lambda upload: "wait")
    ticket = site.incoming.new_upload(length=5)
    answer = site.app.patch(url_of(ticket), b"hello", headers={**STREAM, "Upload-Offset": "0"})
    assert answer.headers["Upload-State"] == "AWAITING_CONFIRMATION"


# lengths that become known late


def test_a_length_below_what_is_stored_is_refused(site):
    ticket = site.incoming.new_upload()
    site.app.post(url_of(ticket), headers={**TUS, "Upload-Defer-Length": "1"})
    site.app.patch(url_of(ticket), b"x" * 1000, headers={**STREAM, "Upload-Offset": "0"})
    chunk = {"Content-Range": "bytes 0-9/10"}
    answer = site.app.put(url_of(ticket), b"y" * 10, headers=chunk, status=400)
    assert answer.json["code"] == "inconsistent_length"
    site.app.post_json(url_of(ticket), {"length": 999}, status=400)
    headers = {**STREAM, "Upload-Offset": "1000", "Upload-Length": "1001"}
    assert site.app.patch(url_of(ticket), b"z", headers=headers).status_code == 204
    site.incoming.do_housekeeping()
    assert site.taken == [b"x" * 1000 + b"z"]


def test_what_was_refused_behind_the_end_does_no_harm(site):
    ticket = site.incoming.new_upload()
    site.app.post(url_of(ticket), headers={**TUS, "Upload-Defer-Length": "1"})
    site.app.patch(url_of(ticket), b"x" * 50, headers={**STREAM, "Upload-Offset": "0"})
    wrong = {**STREAM, "Upload-Offset": "50", "Upload-Checksum": f"sha1 {'A' * 27}="}
    site.app.patch(url_of(ticket), b"y" * 100, headers=wrong, status=460)
    headers = {**STREAM, "Upload-Offset": "50", "Upload-Length": "60"}
    site.app.patch(url_of(ticket), b"z" * 10, headers=headers, status=204)
    site.incoming.do_housekeeping()
    assert site.taken == [b"x" * 50 + b"z" * 10]


@pytest.mark.parametrize("headers", [TUS, DRAFT])
def test_whose_last_request_died_is_told_what_has_become_of_the_file(make_site, headers):
    """All bytes are recorded, and nobody is left to complete the upload."""
    site = make_site(background=True, complete_wait_s=20)
    ticket = site.incoming.new_upload(length=5)
    tickets = site.incoming._tickets
    with site.incoming._storage.open_writer(ticket, create=True) as writer:
        claim = tickets.claim_range(ticket, 0, None, lambda _: {})
        writer.write(0, b"hello", lambda: True)
    tickets.record_ranges(claim, [(0, 5)], lambda _: {}, release=True)
    assert site.incoming.status(ticket).state == "UPLOADING"
    answer = site.app.head(url_of(ticket), headers=headers)
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-State"]) == ("5", "FINISHED")
    assert site.taken == [b"hello"]


def test_a_creation_that_brings_more_than_it_says_creates_nothing(site):
    ticket = site.incoming.new_upload()
    for length in ("0", "4"):
        headers = {**STREAM, "Upload-Length": length}
        answer = site.app.post(url_of(ticket), b"hello", headers=headers, status=413)
        assert answer.json["code"] == "file_too_large"
        assert site.incoming.status(ticket).length is None


@pytest.mark.parametrize("headers", [TUS, DRAFT, {}])
def test_a_file_that_was_refused_is_no_success_to_any_question(make_site, headers):
    site = make_site(background=True)
    callbacks = site.incoming._engine._completion._callbacks

    def refuse(upload):
        raise Refused("it has a virus")

    object.__setattr__(callbacks, "on_finished", refuse)
    ticket = site.incoming.new_upload(length=5)
    patch = {**STREAM, "Upload-Offset": "0"}
    site.app.patch(url_of(ticket), b"hello", headers=patch, status=422)
    answer = site.app.head(url_of(ticket), headers=headers, status="*")
    assert "Upload-Offset" not in answer.headers
    assert answer.headers.get("Upload-Complete") != "?1" or answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PATCH", {**STREAM, "Upload-Offset": "0"}),
        ("POST", {**STREAM, "Upload-Length": "5"}),
        ("PATCH", {**PARTIAL, "Upload-Offset": "0", "Upload-Complete": "?1"}),
        ("POST", {**DRAFT, "Upload-Complete": "?1"}),
        ("PUT", {"Content-Range": "bytes 0-4/5"}),
    ],
)
def test_bytes_that_are_not_those_of_the_file_are_refused(site, method, headers):
    ticket = site.incoming.new_upload(length=5)
    headers = {**headers, "Content-Encoding": "gzip"}
    answer = site.app.request(
        url_of(ticket), method=method, headers=headers, body=b"12345", status=400
    )
    assert "Content-Encoding" in answer.json["detail"]
    assert site.incoming.status(ticket).received.total_bytes == 0


def test_an_app_that_gives_a_ticket_twice_loses_nothing(tmp_path):
    tickets = []

    def create(environ, metadata, length):
        if not tickets:
            tickets.append(incoming.new_upload())
        return tickets[0]

    incoming = Incoming(tmp_path, on_finished=print, authorize_creation=create, background=False)
    app = TestApp(incoming)
    app.post("/frontend/uploads/", b"hello", headers={**STREAM, "Upload-Length": "10"})
    app.post("/frontend/uploads/", headers={**TUS, "Upload-Length": "9"}, status=409)
    assert incoming.status(tickets[0]).received.total_bytes == 5
    incoming.close()


def test_an_app_that_gives_no_ticket_but_something_else_is_told_so(tmp_path, caplog):
    incoming = Incoming(
        tmp_path, on_finished=print, authorize_creation=lambda *_: 7, background=False
    )
    headers = {**TUS, "Upload-Length": "9"}
    TestApp(incoming).post("/frontend/uploads/", headers=headers, status=500)
    assert "authorize_creation must return a ticket's id or None, not 7" in caplog.text
    incoming.close()


class Unjoining(FileStorage):
    can_join = False


@pytest.mark.parametrize("concat", ["partial", "final;/frontend/uploads/a"])
def test_where_the_storage_cannot_join_no_part_is_taken(tmp_path, make_site, concat):
    site = make_site(storage=Unjoining(tmp_path))
    offered = site.app.options("/frontend/uploads/", headers=TUS).headers["Tus-Extension"]
    assert "creation" in offered.split(",")
    assert "concatenation" not in offered.split(",")
    headers = {**TUS, "Upload-Concat": concat}
    if concat == "partial":
        headers["Upload-Length"] = "5"
    answer = site.app.post("/frontend/uploads/", headers=headers, status=400)
    assert "cannot make one file of parts" in answer.json["detail"]
    assert site.users == {}, "no ticket was made for it"
