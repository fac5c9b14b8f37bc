"""tus-js-client, as it is, sends files to Incoming: in tus 1.0.0 and in its two drafts.

Interruptions stand in test_tus_js_interruptions.py, what the app thinks of a file in
test_tus_js_outcome.py, parallel parts in test_tus_js_parallel.py.
"""

from __future__ import annotations

import base64

import pytest
import requests
from js_client import PROTOCOLS, TUS, TusJs
from our_site import assert_delivered, id_of, user
from proxy import tcp_proxy

KIB = 1024

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


# where an upload comes from


@every_protocol
def test_the_url_of_a_ticket_is_an_endpoint(site, app, file, protocol):
    ticket = site.new_ticket(app.url)
    metadata = {"filename": file.name, "filetype": "application/x-tar", "empty": ""}
    with TusJs(file, endpoint=ticket, protocol=protocol, metadata=metadata) as client:
        client.success()
        assert client.named("url")[0]["url"] == ticket
    handover = assert_delivered(app, ticket, file.read_bytes())
    assert handover.form["filenameFromBrowser"] == file.name
    assert site.facts(ticket)["state"] == "FINISHED"


@every_protocol
@pytest.mark.parametrize("end", ["", "/"])
def test_a_header_brings_the_ticket_to_the_address_of_all_uploads(site, app, file, protocol, end):
    ticket = site.new_ticket(app.url)
    endpoint = site.uploads.rstrip("/") + end
    headers = {"Upload-Ticket": id_of(ticket)}
    with TusJs(file, endpoint=endpoint, protocol=protocol, headers=headers) as client:
        client.success()
        assert client.named("url")[0]["url"] == ticket
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_metadata_bring_the_ticket_to_the_address_of_all_uploads(site, app, file, protocol):
    ticket = site.new_ticket(app.url)
    metadata = {"filename": file.name, "ticket": id_of(ticket)}
    with TusJs(file, endpoint=site.uploads, protocol=protocol, metadata=metadata) as client:
        client.success()
        assert client.named("url")[0]["url"] == ticket
    assert assert_delivered(app, ticket, file.read_bytes()).form["filenameFromBrowser"] == file.name


@every_protocol
def test_the_url_of_a_ticket_whose_length_is_known_is_an_upload_url(site, app, file, protocol):
    ticket = site.new_ticket(app.url, length=file.stat().st_size)
    with TusJs(file, uploadUrl=ticket, protocol=protocol) as client:
        client.success()
        assert client.named("request", "POST") == []
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_the_url_of_any_ticket_is_an_upload_url_if_the_length_comes_later(
    site, app, file, protocol
):
    ticket = site.new_ticket(app.url)
    options = {"uploadLengthDeferred": True, "protocol": protocol}
    with TusJs(file, uploadUrl=ticket, **options) as client:
        client.success()
        assert client.named("request", "POST") == []
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
@pytest.mark.parametrize("source", ["buffer", "file"])
def test_another_client_goes_on_where_the_first_one_ended(site, app, file, protocol, source):
    ticket = site.new_ticket(app.url)
    options = {"protocol": protocol, "source": source, "chunkSize": 512 * KIB}
    with TusJs(file, endpoint=ticket, **options) as first:
        first.wait_for(lambda e: e["event"] == "chunk" and e["accepted"] >= 1024 * KIB, "1 MiB")
    with TusJs(file, uploadUrl=ticket, **options) as second:
        second.success()
        assert second.named("request")[0]["method"] == "HEAD"
        start = int(second.named("request", "PATCH")[0]["sent"]["Upload-Offset"])
        assert start >= 1024 * KIB
    assert_delivered(app, ticket, file.read_bytes())


def test_what_the_library_has_stored_of_an_upload_leads_back_to_it(site, app, file, tmp_path):
    ticket = site.new_ticket(app.url)
    options = {"url_storage": tmp_path / "urls", "source": "file", "chunkSize": 512 * KIB}
    with TusJs(file, endpoint=ticket, **options) as first:
        first.wait_for(lambda e: e["event"] == "chunk", "a chunk")
    with TusJs(file, endpoint=ticket, start=False, **options) as second:
        second.go_on()
        second.success()
        assert second.named("request")[0]["method"] == "HEAD"
    assert_delivered(app, ticket, file.read_bytes())


# how the bytes come


@every_protocol
@pytest.mark.parametrize("chunk", [700 * KIB, None])
def test_the_creation_may_bring_the_first_bytes_or_all_of_them(site, app, file, protocol, chunk):
    ticket = site.new_ticket(app.url)
    options = {"uploadDataDuringCreation": True, "chunkSize": chunk or 1 << 30}
    metadata = {"filename": file.name, "filetype": "application/x-tar"}
    with TusJs(file, endpoint=ticket, protocol=protocol, metadata=metadata, **options) as client:
        client.success()
        (creation,) = client.named("response", "POST")
        size = file.stat().st_size
        assert int(creation["headers"]["upload-offset"]) == min(size, chunk or size)
    assert_delivered(app, ticket, file.read_bytes())
    assert site.record(ticket)["content_type"] == "application/x-tar"


@every_protocol
@pytest.mark.parametrize("during_creation", [False, True])
def test_a_stream_whose_length_nobody_knows_ends_where_it_ends(
    site, app, file, protocol, during_creation
):
    ticket = site.new_ticket(app.url)
    options = {"uploadLengthDeferred": True, "uploadDataDuringCreation": during_creation}
    options |= {"protocol": protocol, "source": "stream", "chunkSize": 500 * KIB}
    with TusJs(file, endpoint=ticket, **options) as client:
        client.success()
        # Not even a creation without bytes made it start over.
        assert len(client.named("request", "HEAD")) == 0
    assert_delivered(app, ticket, file.read_bytes())
    assert site.facts(ticket)["length"] == file.stat().st_size


@every_protocol
def test_an_empty_file_is_complete_when_it_is_created(site, app, tmp_path, protocol):
    ticket = site.new_ticket(app.url)
    file = tmp_path / "empty"
    file.touch()
    with TusJs(file, endpoint=ticket, protocol=protocol) as client:
        client.success()
    assert_delivered(app, ticket, b"")


def test_patch_can_be_called_post_where_something_on_the_way_knows_no_patch(site, app, file):
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, overridePatchMethod=True, chunkSize=1 << 20) as client:
        client.success()
        assert client.named("request", "PATCH") == []
    assert_delivered(app, ticket, file.read_bytes())


# the scenario that tus-js-client's own tests run against a server


def test_text_and_its_metadata_arrive_and_a_client_cannot_delete_them_any_more(site, app, tmp_path):
    """Theirs gets the text back from the server and deletes it there; ours is the app's by then."""
    file = tmp_path / "greeting.txt"
    file.write_bytes(b"good morning")
    given = {"name": "dzień dobry", "filename": file.name, "filetype": "text/plain", "count": 7}
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, metadata=given, retryDelays=[]) as client:
        outcome = client.success()
        head = requests.head(outcome["url"], headers={"Tus-Resumable": "1.0.0"}, timeout=30)
        assert client.abort(terminate=True)["event"] == "error"
    assert (head.status_code, head.headers["Tus-Resumable"]) == (200, "1.0.0")
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("12", "12")
    pairs = [pair.split(" ") for pair in head.headers["Upload-Metadata"].split(",")]
    seen = {key: base64.b64decode(value).decode() for key, value in pairs}
    assert seen == {**given, "count": "7"}
    assert_delivered(app, ticket, b"good morning")


# an end before the end


@every_protocol
def test_an_upload_can_be_terminated_while_it_runs(site, app, file, protocol):
    ticket = site.new_ticket(app.url)
    with tcp_proxy(site.server.port) as proxy:
        proxy.limit(1024 * KIB)
        with TusJs(file, endpoint=site.through(proxy, ticket), protocol=protocol) as client:
            site.wait_for_bytes(ticket, 1)
            assert client.abort(terminate=True)["event"] == "aborted"
            assert [e["status"] for e in client.named("response", "DELETE")] == [204]
            assert client.named("success") == []
    assert site.facts(ticket)["state"] == "CANCELLED"
    (told,) = app.wait_for(1)
    assert told.form["cancelled"] == "yes"


def test_terminating_twice_is_as_good_as_once(site, app, file):
    ticket = site.new_ticket(app.url)
    with TusJs(file, start=False) as client:
        assert client.terminate(ticket)["event"] == "terminated"
        assert client.terminate(ticket)["event"] == "terminated"
    assert site.facts(ticket)["state"] == "CANCELLED"


@every_protocol
@pytest.mark.parametrize("option", ["endpoint", "uploadUrl"])
@pytest.mark.parametrize("kind", ["unknown", "cancelled", "expired"])
def test_a_ticket_that_is_not_or_no_longer_good_is_an_error(
    site, app, file, protocol, option, kind
):
    if kind == "unknown":
        ticket = site.uploads + "7f9b21a0-0000-4000-8000-000000000000"
    elif kind == "expired":
        ticket = site.new_ticket(app.url, length=file.stat().st_size, idleTimeoutS=1)
        site.wait_for_state(ticket, "CANCELLED")
    else:
        ticket = site.new_ticket(app.url, length=file.stat().st_size)
        site.cancel(ticket)
    with TusJs(file, protocol=protocol, **{option: ticket}) as client:
        outcome = client.error()
        assert outcome["status"] == (404 if kind == "unknown" else 410)
        # It was told at once, and nothing was sent.
        assert client.named("request", "PATCH") == []
        assert len(client.named("request")) == 1
    assert not [h for h in app.handovers if h.form["cancelled"] == "no"]


def test_a_cancelled_upload_is_not_made_anew_by_the_same_ticket(site, app, file):
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, chunkSize=512 * KIB) as client:
        client.wait_for(lambda e: e["event"] == "chunk", "a chunk")
        site.cancel(ticket)
        outcome = client.error()
        assert outcome["status"] == 410
    with TusJs(file, endpoint=ticket, uploadUrl=ticket) as client:
        # HEAD says that it is gone; the library then tries to create it at the endpoint.
        outcome = client.error()
        assert outcome["status"] == 410
        assert client.named("request", "PATCH") == []


# without a ticket


def test_without_a_ticket_nothing_is_created(site, file):
    with TusJs(file, endpoint=site.uploads) as client:
        outcome = client.error()
        assert outcome["status"] == 403
        assert "Upload-Ticket" in outcome["body"]


@every_protocol
def test_an_app_may_let_its_users_create(creating_site, app, file, protocol):
    options = {"protocol": protocol, "endpoint": creating_site.uploads}
    with TusJs(file, headers=user(app), metadata={"filename": "a.tar"}, **options) as client:
        outcome = client.success()
    assert_delivered(app, outcome["url"], file.read_bytes())
    assert creating_site.facts(outcome["url"])["filename"] == "a.tar"


@pytest.mark.parametrize(
    ("is_user", "name", "text"),
    [(False, "a.tar", "you may not upload"), (True, "a.exe", "no programs, please")],
)
def test_an_app_need_not_let_everybody_create_everything(
    creating_site, app, file, is_user, name, text
):
    options = {"headers": user(app) if is_user else {}, "metadata": {"filename": name}}
    with TusJs(file, endpoint=creating_site.uploads, protocol=TUS, **options) as client:
        outcome = client.error()
        assert outcome["status"] == 403
        assert text in outcome["body"].lower()
    assert app.handovers == []
