"""tuspy, as it is, sends files to Incoming.

It knows neither deferred lengths nor termination, concatenation or data in a creation.
"""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from our_site import Held, assert_delivered, id_of, user
from proxy import tcp_proxy
from servers import free_port
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.storage.filestorage import FileStorage
from tusclient.uploader import Uploader
from waiting import wait_until
from webapp import reply, web_app

KIB = 1024
MIB = 1024 * KIB
REASON = "it has a virus"
REFUSED = reply(200, f"refused: {REASON}".encode())
DOWN = reply(500, b"closed for the night")
# In place of its none, and of its 30 s between two.
PATIENT = {"retries": 200, "retry_delay": 0.1}


# It closes neither the files that it opens nor its connections.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _left_open():
    yield
    gc.collect()  # while they may still be left open


@pytest.fixture
def proxy(site):
    with tcp_proxy(site.server.port) as proxy:
        yield proxy


def uploader(endpoint, file, headers=None, **options):
    return TusClient(endpoint, headers=headers).uploader(str(file), **options)


@contextmanager
def uploading(uploader):
    """It runs at the side; what is yielded waits for its end, and raises what it raises."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool.submit(uploader.upload).result
    finally:
        # Not to wait here: a test that goes wrong ends its line, too, but later.
        pool.shutdown(wait=False)


# where an upload comes from, and how the bytes come


@pytest.mark.parametrize("chunk_size", [None, 700 * KIB])
@pytest.mark.parametrize("checksum", [False, True])
def test_the_url_of_a_ticket_is_a_client_s_url(site, app, file, chunk_size, checksum):
    ticket = site.new_ticket(app.url)
    options = {} if chunk_size is None else {"chunk_size": chunk_size}
    metadata = {"filename": file.name, "filetype": "application/x-tar", "empty": ""}
    sending = uploader(ticket, file, metadata=metadata, upload_checksum=checksum, **options)
    sending.upload()
    assert sending.url == ticket
    assert assert_delivered(app, ticket, file.read_bytes()).form["filenameFromBrowser"] == file.name
    assert site.record(ticket)["content_type"] == "application/x-tar"


def test_no_metadata_at_all_are_fine(site, app, file):
    ticket = site.new_ticket(app.url)
    uploader(ticket, file).upload()
    assert_delivered(app, ticket, file.read_bytes())


@pytest.mark.parametrize("how", ["header", "metadata"])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_ticket_is_brought_to_the_address_of_all_uploads(site, app, file, how, end):
    ticket = site.new_ticket(app.url)
    options = (
        {"headers": {"Upload-Ticket": id_of(ticket)}}
        if how == "header"
        else {"metadata": {"ticket": id_of(ticket)}}
    )
    sending = uploader(site.uploads.rstrip("/") + end, file, **options)
    sending.upload()
    assert sending.url == ticket
    assert_delivered(app, ticket, file.read_bytes())


def test_the_url_of_a_ticket_whose_length_is_known_is_an_upload_s_url(site, app, file):
    ticket = site.new_ticket(app.url, length=file.stat().st_size)
    Uploader(str(file), url=ticket).upload()
    assert_delivered(app, ticket, file.read_bytes())


def test_an_empty_file_is_complete_when_it_is_created(site, app, tmp_path):
    file = tmp_path / "empty"
    file.touch()
    ticket = site.new_ticket(app.url)
    uploader(ticket, file).upload()
    assert_delivered(app, ticket, b"")


def test_its_asynchronous_uploader(site, app, file):
    ticket = site.new_ticket(app.url)
    sending = TusClient(ticket).async_uploader(str(file), chunk_size=MIB)
    asyncio.run(sending.upload())
    assert_delivered(app, ticket, file.read_bytes())


def test_an_app_may_let_its_users_create(creating_site, app, file):
    sending = uploader(creating_site.uploads, file, headers=user(app))
    sending.upload()
    assert_delivered(app, sending.url, file.read_bytes())


@pytest.mark.parametrize(
    ("is_user", "name", "text"),
    [(False, "a.tar", b"you may not"), (True, "a.exe", b"no programs, please")],
)
def test_an_app_need_not_let_everybody_create_everything(
    creating_site, app, file, is_user, name, text
):
    headers = user(app) if is_user else {}
    sending = uploader(creating_site.uploads, file, headers=headers, metadata={"filename": name})
    with pytest.raises(TusCommunicationError) as caught:
        sending.upload()
    assert caught.value.status_code == 403
    assert text in caught.value.response_content.lower()
    assert app.handovers == []


# interruptions


def test_another_run_goes_on_where_the_first_one_ended(site, app, file, tmp_path):
    ticket = site.new_ticket(app.url)
    options = {"store_url": True, "url_storage": FileStorage(str(tmp_path / "urls"))}
    first = uploader(ticket, file, chunk_size=MIB, **options)
    first.upload_chunk()
    second = uploader(ticket, file, **options)
    assert second.offset == MIB
    second.upload()
    assert_delivered(app, ticket, file.read_bytes())
    options["url_storage"].close()


@pytest.mark.parametrize("checksum", [False, True])
def test_a_cut_line_costs_little_of_the_file(site, proxy, app, file, checksum):
    ticket = site.new_ticket(app.url)
    proxy.limit(4 * MIB)
    proxy.cut_after(MIB, times=2)
    options = {"upload_checksum": checksum, **PATIENT}
    if checksum:  # what was not checked does not count: only whole chunks are kept
        options["chunk_size"] = 512 * KIB
        proxy.cut_after(300 * KIB, times=2)
    uploader(site.through(proxy, ticket), file, **options).upload()
    assert file.stat().st_size < proxy.bytes_up < file.stat().st_size + 2 * MIB
    assert_delivered(app, ticket, file.read_bytes())


def test_a_killed_server_goes_on_where_it_was(site, proxy, app, file):
    ticket = site.new_ticket(app.url)
    proxy.limit(MIB)
    with uploading(uploader(site.through(proxy, ticket), file, **PATIENT)) as wait_for_end:
        recorded = site.wait_for_bytes(ticket, 512 * KIB)["bytes_received"]
        before = proxy.bytes_up
        site.server.kill()
        proxy.limit(None)
        site.server.start()
        wait_for_end()
    # The second half was not preceded by the first one again.
    assert proxy.bytes_up - before < file.stat().st_size - recorded + 512 * KIB
    assert_delivered(app, ticket, file.read_bytes())


def test_a_line_that_stands_still_does_not_keep_a_second_client_waiting(site, proxy, app, file):
    ticket = site.new_ticket(app.url)
    proxy.limit(MIB)
    with uploading(uploader(site.through(proxy, ticket), file)) as wait_for_end:
        # A slow line's bytes are recorded about once in a second.
        recorded = site.wait_for_bytes(ticket, 512 * KIB)["bytes_received"]
        proxy.stall()
        second = Uploader(str(file), url=ticket)
        assert second.offset >= recorded
        second.upload()
        assert_delivered(app, ticket, file.read_bytes())
        proxy.cut()
        with pytest.raises(TusUploadFailed):
            wait_for_end()
    assert len(app.handovers) == 1


# tickets that are not good


@pytest.mark.parametrize("kind", ["unknown", "cancelled"])
def test_a_ticket_that_is_not_or_no_longer_good_is_an_error(site, app, file, kind):
    if kind == "unknown":
        ticket = site.uploads + "7f9b21a0-0000-4000-8000-000000000000"
    else:
        ticket = site.new_ticket(app.url)
        site.cancel(ticket)
    status = {"unknown": 404, "cancelled": 410}[kind]
    with pytest.raises(TusCommunicationError) as caught:
        uploader(ticket, file).upload()
    assert caught.value.status_code == status
    with pytest.raises(TusCommunicationError) as caught:
        Uploader(str(file), url=ticket)
    assert caught.value.status_code == status


# what the app thinks of the file


@pytest.mark.parametrize("length", [0, MIB])
def test_a_refused_file_is_an_error_that_says_why(site, app, tmp_path, length):
    app.replies = [REFUSED]
    file = tmp_path / "file"
    file.write_bytes(bytes(length))
    ticket = site.new_ticket(app.url)
    with pytest.raises(TusCommunicationError) as caught:
        uploader(ticket, file).upload()
    assert caught.value.status_code == 422
    assert REASON.encode() in caught.value.response_content
    assert_delivered(app, ticket, bytes(length))


def test_a_refusal_is_learnt_by_a_client_that_comes_later(site, app, file):
    app.replies = [REFUSED]
    ticket = site.new_ticket(app.url)
    with pytest.raises(TusUploadFailed):
        uploader(ticket, file).upload()
    with pytest.raises(TusCommunicationError):
        Uploader(str(file), url=ticket).upload()
    assert len(app.handovers) == 1


def test_a_refusal_whose_answer_is_lost_is_learnt_by_asking_again(site, proxy, app, file):
    held = Held(REFUSED)
    app.replies = [held.answer]
    ticket = site.new_ticket(app.url)
    options = {"retries": 2, "retry_delay": 0.1}
    with uploading(uploader(site.through(proxy, ticket), file, **options)) as wait_for_end:
        app.wait_for(1)
        proxy.cut()
        held.let_go()
        with pytest.raises(TusCommunicationError) as caught:
            wait_for_end()
    assert caught.value.status_code == 422
    assert_delivered(app, ticket, file.read_bytes())


def test_a_slow_app_is_waited_for(site, app, file):
    held = Held(reply())
    app.replies = [held.answer]
    ticket = site.new_ticket(app.url)
    with uploading(sending := uploader(ticket, file)) as wait_for_end:
        app.wait_for(1)
        held.let_go()
        wait_for_end()
    assert sending.request.response_headers["upload-state"] == "FINISHED"
    assert_delivered(app, ticket, file.read_bytes())


def test_an_app_that_is_down_gets_the_file_when_it_is_back(hasty_site, file):
    port = free_port()
    ticket = hasty_site.new_ticket(f"http://127.0.0.1:{port}/api/backend/upload_finished")
    with uploading(uploader(ticket, file, **PATIENT)) as wait_for_end:
        wait_until(lambda: hasty_site.facts(ticket)["reason"], "an attempt that failed")
        with web_app(port=port) as app:
            wait_for_end()
            assert_delivered(app, ticket, file.read_bytes())


def test_an_app_that_fails_is_asked_again_about_the_same_delivery(site, app, file):
    app.replies = [DOWN, DOWN, reply()]
    ticket = site.new_ticket(app.url)
    uploader(ticket, file, **PATIENT).upload()
    assert len({handover.form["deliveryId"] for handover in app.handovers}) == 1
    assert len(app.handovers) == 3
    assert site.facts(ticket)["state"] == "FINISHED"
