"""What the app thinks of a file is what tus-js-client reports: no success that is none.

A refusal is an error that says why, also when its answer was lost on the way and the client asks
again. While the app is down the client goes on asking, and the app gets the file once.
"""

from __future__ import annotations

import pytest
from js_client import PROTOCOLS, TusJs
from our_site import Held, assert_delivered, id_of, user
from proxy import tcp_proxy
from servers import free_port
from webapp import reply, web_app

KIB = 1024
REASON = "it has a virus"
REFUSED = reply(200, f"refused: {REASON}".encode())
DOWN = reply(500, b"closed for the night")

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture
def proxy(site):
    with tcp_proxy(site.server.port) as proxy:
        yield proxy


def assert_refused(client, status=422):
    """The library has reported an error, with the reason, and no success, and asks no more."""
    outcome = client.error()
    assert outcome["status"] == status
    assert REASON in outcome["body"]
    assert client.named("success") == []
    return outcome


@every_protocol
@pytest.mark.parametrize("during_creation", [False, True])
def test_a_refused_file_is_an_error_that_says_why(site, app, file, protocol, during_creation):
    app.replies = [REFUSED]
    ticket = site.new_ticket(app.url)
    options = {"protocol": protocol, "uploadDataDuringCreation": during_creation}
    with TusJs(file, endpoint=ticket, **options) as client:
        assert_refused(client)
    assert site.facts(ticket)["state"] == "FAILED"
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_refused_empty_file_is_an_error_that_says_why(site, app, tmp_path, protocol):
    app.replies = [REFUSED]
    file = tmp_path / "empty"
    file.touch()
    with TusJs(file, endpoint=site.new_ticket(app.url), protocol=protocol) as client:
        assert_refused(client)


@every_protocol
def test_a_refusal_whose_answer_is_lost_is_learnt_by_asking_again(site, proxy, app, file, protocol):
    held = Held(REFUSED)
    app.replies = [held.answer]
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=site.through(proxy, ticket), protocol=protocol) as client:
        app.wait_for(1)  # all has been sent, and the server waits for the app
        proxy.cut()
        held.let_go()
        assert_refused(client)
        assert len(client.named("request", "HEAD")) > 0
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_refusal_is_learnt_by_a_client_that_has_only_the_upload_url(site, app, file, protocol):
    app.replies = [REFUSED]
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, protocol=protocol) as first:
        assert_refused(first)
    with TusJs(file, uploadUrl=ticket, protocol=protocol) as second:
        second.error()
        assert second.named("success") == []
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_slow_app_is_waited_for(site, app, file, protocol):
    held = Held(reply())
    app.replies = [held.answer]
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, protocol=protocol) as client:
        app.wait_for(1)
        assert client.named("success") == []
        held.let_go()
        assert client.success()["headers"]["upload-state"] == "FINISHED"
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_slow_app_whose_answer_is_lost_is_asked_about_and_not_asked_again(
    site, proxy, app, file, protocol
):
    held = Held(reply())
    app.replies = [held.answer]
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=site.through(proxy, ticket), protocol=protocol) as client:
        app.wait_for(1)
        proxy.cut()
        client.wait_for(lambda e: e["event"] == "request" and e["method"] == "HEAD", "HEAD")
        held.let_go()
        client.success()
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
@pytest.mark.parametrize("option", ["endpoint", "uploadUrl"])
def test_an_app_that_is_down_gets_the_file_when_it_is_back(hasty_site, file, protocol, option):
    port = free_port()
    callback = f"http://127.0.0.1:{port}/api/backend/upload_finished"
    ticket = hasty_site.new_ticket(callback, length=file.stat().st_size)
    with TusJs(file, protocol=protocol, **{option: ticket}) as client:
        # It has been told that the app has not taken the file yet, and asks again.
        client.wait_for(lambda e: e["event"] == "response" and e["status"] >= 400, "not yet")
        assert client.named("success") == []
        with web_app(port=port) as app:
            client.success()
            assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_an_app_that_fails_is_asked_again_about_the_same_delivery(site, app, file, protocol):
    app.replies = [DOWN, DOWN, reply()]
    ticket = site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, protocol=protocol) as client:
        client.success()
        # All of the file crossed the line once.
        assert client.named("request", "POST")[0]["url"] == ticket
        sizes = [e["size"] for e in client.named("chunk")]
        assert sum(sizes) <= file.stat().st_size
    assert len({handover.form["deliveryId"] for handover in app.handovers}) == 1
    assert len(app.handovers) == 3
    assert site.facts(ticket)["state"] == "FINISHED"


def test_an_impatient_client_reports_an_error_and_the_file_still_arrives(hasty_site, app, file):
    app.replies = [DOWN]
    ticket = hasty_site.new_ticket(app.url)
    with TusJs(file, endpoint=ticket, retryDelays=[]) as client:
        outcome = client.error()
        assert outcome["status"] == 423
        assert "500" in outcome["body"]  # what the app has answered
    app.replies = [reply()]
    hasty_site.wait_for_state(ticket, "FINISHED")
    assert len({handover.form["deliveryId"] for handover in app.handovers}) == 1


@every_protocol
def test_a_created_upload_whose_refusal_was_lost_is_no_success_either(
    creating_site, app, file, protocol
):
    """Without a ticket a client that asks again may make another upload of the same file: that one
    is refused as well."""
    held = Held(REFUSED)
    app.replies = [held.answer, REFUSED]
    with tcp_proxy(creating_site.server.port) as proxy:
        endpoint = creating_site.through(proxy, creating_site.uploads)
        options = {"headers": user(app), "protocol": protocol}
        with TusJs(file, endpoint=endpoint, **options) as client:
            app.wait_for(1)
            proxy.cut()
            held.let_go()
            assert_refused(client)


@every_protocol
def test_a_created_upload_is_not_made_twice_while_the_app_is_down(
    creating_site, app, file, protocol
):
    app.replies = [DOWN, DOWN, reply()]
    options = {"headers": user(app), "protocol": protocol}
    with TusJs(file, endpoint=creating_site.uploads, **options) as client:
        outcome = client.success()
        assert len(client.named("request", "POST")) == 1
    assert {handover.form["id"] for handover in app.handovers} == {id_of(outcome["url"])}
    assert len({handover.form["deliveryId"] for handover in app.handovers}) == 1
