"""tus-js-client over bad lines and to a server that dies: it goes on from what has arrived."""

from __future__ import annotations

import pytest
from js_client import PROTOCOLS, PROTOCOLS_AND_SOURCES, TusJs
from our_site import assert_delivered
from proxy import tcp_proxy

KIB = 1024
MIB = 1024 * KIB
# So slow a line has little on its way: what is lost with it is not much.
BYTES_PER_S = 4 * MIB

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture
def proxy(site):
    with tcp_proxy(site.server.port) as proxy:
        yield proxy


def assert_sent_about_once(proxy, file):
    """Of what crossed the line little was lost, so little was sent twice."""
    size = file.stat().st_size
    assert size < proxy.bytes_up < size + 2 * MIB


@pytest.mark.parametrize(("protocol", "source"), PROTOCOLS_AND_SOURCES)
def test_a_cut_line_costs_little_of_the_file(site, proxy, app, file, protocol, source):
    ticket = site.new_ticket(app.url)
    proxy.limit(BYTES_PER_S)
    proxy.cut_after(MIB, times=2)
    options = {"protocol": protocol, "source": source}
    with TusJs(file, endpoint=site.through(proxy, ticket), **options) as client:
        client.success()
        offsets = [int(e["sent"]["Upload-Offset"]) for e in client.named("request", "PATCH")]
        assert offsets == sorted(offsets)
        assert offsets[0] == 0
        assert offsets[-1] >= MIB
        assert len(client.named("request", "POST")) == 1
    assert_sent_about_once(proxy, file)
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_killed_server_goes_on_where_it_was(site, proxy, app, file, protocol):
    ticket = site.new_ticket(app.url)
    proxy.limit(MIB)
    with TusJs(file, endpoint=site.through(proxy, ticket), protocol=protocol) as client:
        # It is all one request, whose bytes are recorded while it goes on.
        recorded = site.wait_for_bytes(ticket, 512 * KIB)["bytes_received"]
        site.server.kill()
        proxy.limit(None)
        site.server.start()
        client.success()
        offsets = [int(e["sent"]["Upload-Offset"]) for e in client.named("request", "PATCH")]
        assert offsets[0] == 0
        assert offsets[-1] >= recorded
        assert len(client.named("request", "POST")) == 1
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_server_killed_while_a_stream_of_unknown_length_is_sent(site, proxy, app, file, protocol):
    ticket = site.new_ticket(app.url)
    proxy.limit(2 * MIB)
    options = {"protocol": protocol, "source": "stream", "uploadLengthDeferred": True}
    options["chunkSize"] = 500 * KIB
    with TusJs(file, endpoint=site.through(proxy, ticket), **options) as client:
        client.wait_for(lambda e: e["event"] == "chunk", "a chunk")
        site.server.kill()
        proxy.limit(None)
        site.server.start()
        client.success()
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_creation_whose_answer_is_lost_is_repeated_and_makes_no_second_upload(
    site, proxy, app, file, protocol
):
    ticket = site.new_ticket(app.url)
    proxy.limit(BYTES_PER_S)
    proxy.cut_after(MIB, times=1)
    options = {"protocol": protocol, "uploadDataDuringCreation": True}
    with TusJs(file, endpoint=site.through(proxy, ticket), **options) as client:
        outcome = client.success()
        assert len(client.named("request", "POST")) == 2
        assert outcome["url"] == site.through(proxy, ticket)
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_pause_is_no_end(site, proxy, app, file, protocol):
    ticket = site.new_ticket(app.url)
    proxy.limit(2 * MIB)
    with TusJs(file, endpoint=site.through(proxy, ticket), protocol=protocol) as client:
        recorded = site.wait_for_bytes(ticket, 1)["bytes_received"]
        assert client.abort()["event"] == "aborted"
        proxy.limit(None)
        client.start()
        client.success()
        (head,) = client.named("response", "HEAD")
        assert int(head["headers"]["upload-offset"]) >= recorded
    assert_delivered(app, ticket, file.read_bytes())


@every_protocol
def test_a_line_that_stands_still_does_not_keep_a_second_client_waiting(
    site, proxy, app, file, protocol
):
    """The first one still holds its request: the newest wins."""
    ticket = site.new_ticket(app.url)
    proxy.limit(MIB)
    through = site.through(proxy, ticket)
    with TusJs(file, endpoint=through, protocol=protocol) as stalled:
        # A slow line's bytes are recorded about once in a second.
        recorded = site.wait_for_bytes(ticket, 512 * KIB)["bytes_received"]
        proxy.stall()
        with TusJs(file, uploadUrl=ticket, protocol=protocol) as second:
            second.success()
            start = int(second.named("request", "PATCH")[0]["sent"]["Upload-Offset"])
            assert start >= recorded
        assert stalled.named("success") == []
        assert_delivered(app, ticket, file.read_bytes())
        # When the line goes on the first one learns that nothing is left to do.
        proxy.resume()
        stalled.success()
    assert len(app.handovers) == 1
