"""tus-js-client with `parallelUploads`: parts that become one file, which the app gets once."""

from __future__ import annotations

import pytest
from js_client import DRAFT_03, DRAFT_05, TusJs
from our_site import Held, assert_delivered, id_of, user
from proxy import tcp_proxy
from waiting import wait_until
from webapp import reply

KIB = 1024
MIB = 1024 * KIB
PARTS = 3
REASON = "it has a virus"
REFUSED = reply(200, f"refused: {REASON}".encode())


@pytest.fixture
def proxy(site):
    with tcp_proxy(site.server.port) as proxy:
        yield proxy


def posts(client, concat):
    """The creations of parts, or of the whole: ("partial"), ("final")."""
    return [
        e for e in client.named("request", "POST") if e["sent"]["Upload-Concat"].startswith(concat)
    ]


@pytest.mark.parametrize("source", ["buffer", "file"])
@pytest.mark.parametrize("during_creation", [False, True])
def test_parts_become_one_file(site, app, file, source, during_creation):
    ticket = site.new_ticket(app.url)
    options = {"source": source, "uploadDataDuringCreation": during_creation}
    metadata = {"filename": file.name}
    with TusJs(
        file, endpoint=ticket, parallelUploads=PARTS, metadata=metadata, **options
    ) as client:
        assert client.success()["url"] == ticket
        assert len(posts(client, "partial")) == PARTS
    assert assert_delivered(app, ticket, file.read_bytes()).form["filenameFromBrowser"] == file.name
    assert site.facts(ticket)["state"] == "FINISHED"


@pytest.mark.parametrize("how", ["header", "metadata"])
def test_parts_are_made_at_the_address_of_all_uploads(site, app, file, how):
    ticket = site.new_ticket(app.url)
    brought = {"ticket": id_of(ticket)}
    options = (
        {"headers": {"Upload-Ticket": id_of(ticket)}}
        if how == "header"
        else {"metadata": brought, "metadataForPartialUploads": brought}
    )
    with TusJs(file, endpoint=site.uploads, parallelUploads=PARTS, **options) as client:
        client.success()
    assert_delivered(app, ticket, file.read_bytes())


def test_parts_of_an_upload_that_the_app_lets_its_user_create(creating_site, app, file):
    options = {"headers": user(app), "parallelUploads": PARTS}
    with TusJs(file, endpoint=creating_site.uploads, **options) as client:
        outcome = client.success()
    assert_delivered(app, outcome["url"], file.read_bytes())


def test_cut_lines_cost_little_of_the_parts(site, proxy, app, file):
    ticket = site.new_ticket(app.url)
    proxy.limit(4 * MIB)
    proxy.cut_after(512 * KIB, times=PARTS)
    through = site.through(proxy, ticket)
    with TusJs(file, endpoint=through, parallelUploads=PARTS) as client:
        client.success()
        assert len(posts(client, "partial")) == PARTS
    assert proxy.bytes_up < file.stat().st_size + 2 * MIB
    assert_delivered(app, ticket, file.read_bytes())


def test_a_killed_server_goes_on_with_the_parts(site, proxy, app, file):
    ticket = site.new_ticket(app.url)
    proxy.limit(2 * MIB)
    options = {"parallelUploads": PARTS, "chunkSize": 256 * KIB}
    with TusJs(file, endpoint=site.through(proxy, ticket), **options) as client:
        client.wait_for(lambda e: e["event"] == "chunk", "a chunk")
        site.server.kill()
        proxy.limit(None)
        site.server.start()
        client.success()
        assert len(posts(client, "partial")) <= 2 * PARTS  # whose answers may have been lost
    assert_delivered(app, ticket, file.read_bytes())


def test_parts_are_continued_by_another_client(site, proxy, app, file, tmp_path):
    ticket = site.new_ticket(app.url)
    proxy.limit(2 * MIB)
    urls = tmp_path / "urls"
    options = {"parallelUploads": PARTS, "chunkSize": 256 * KIB, "source": "file"}
    options |= {"url_storage": urls, "endpoint": site.through(proxy, ticket)}
    with TusJs(file, **options) as first:
        wait_until(lambda: "parallelUploadUrls" in urls.read_text(), "the parts in the storage")
        first.wait_for(lambda e: e["event"] == "chunk", "a chunk")
    proxy.limit(None)
    with TusJs(file, start=False, **options) as second:
        second.go_on()
        second.success()
        assert posts(second, "partial") == []
    assert_delivered(app, ticket, file.read_bytes())


def test_a_last_answer_that_is_lost_makes_no_second_file(site, proxy, app, file):
    held = Held(reply())
    app.replies = [held.answer]
    ticket = site.new_ticket(app.url)
    through = site.through(proxy, ticket)
    with TusJs(file, endpoint=through, parallelUploads=PARTS) as client:
        app.wait_for(1)  # it is one file already, and the server waits for the app
        proxy.cut()
        held.let_go()
        # Here alone the library does not try again by itself.
        client.error()
        client.start()
        client.success()
        # It has asked for the parts, and sent none of them again.
        assert len(posts(client, "partial")) == PARTS
        assert len(posts(client, "final")) == 2
    assert_delivered(app, ticket, file.read_bytes())


@pytest.mark.parametrize("lost", [False, True])
def test_a_refused_file_is_an_error_that_says_why(site, proxy, app, file, lost):
    held = Held(REFUSED)
    app.replies = [held.answer]
    ticket = site.new_ticket(app.url)
    through = site.through(proxy, ticket)
    with TusJs(file, endpoint=through, parallelUploads=PARTS) as client:
        app.wait_for(1)
        if lost:
            proxy.cut()
            client.error()
            client.start()
        held.let_go()
        outcome = client.error()
        assert outcome["status"] == 422
        assert REASON in outcome["body"]
        assert client.named("success") == []
        assert len(posts(client, "partial")) == PARTS
    assert_delivered(app, ticket, file.read_bytes())


def test_an_app_that_fails_at_first_gets_the_file_once(site, app, file):
    app.replies = [reply(500, b"not now"), reply(500, b"not now"), reply()]
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, parallelUploads=PARTS) as client:
        client.success()
        assert len(posts(client, "partial")) == PARTS
    assert len({handover.form["deliveryId"] for handover in app.handovers}) == 1
    assert site.facts(ticket)["state"] == "FINISHED"


def test_terminating_takes_the_parts_with_it(site, proxy, app, file):
    ticket = site.new_ticket(app.url)
    proxy.limit(MIB)
    with TusJs(file, endpoint=site.through(proxy, ticket), parallelUploads=PARTS) as client:
        created = "response", "POST"
        client.wait_for(lambda e: len(client.named(*created)) == PARTS, "all parts")
        assert client.abort(terminate=True)["event"] == "aborted"
        client.wait_for(lambda e: len(client.named("response", "DELETE")) == PARTS, "DELETEs")
        assert {e["status"] for e in client.named("response", "DELETE")} == {204}
    assert app.handovers == []


def test_terminating_after_all_is_done_is_harmless(site, app, file):
    """The library terminates the parts, too, and nobody hears if that goes wrong."""
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, parallelUploads=PARTS, retryDelays=[]) as client:
        client.success()
        client.abort(terminate=True)
        client.wait_for(lambda e: len(client.named("response", "DELETE")) == PARTS + 1, "DELETEs")
    assert site.facts(ticket)["state"] == "FINISHED"
    assert_delivered(app, ticket, file.read_bytes())


@pytest.mark.parametrize("protocol", [DRAFT_03, DRAFT_05])
def test_the_drafts_know_no_parts_and_say_so(site, app, file, protocol):
    """Half a file, taken for the whole, would be the worst of answers."""
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, parallelUploads=2, protocol=protocol) as client:
        outcome = client.error()
        assert outcome["status"] == 400
    assert app.handovers == []
