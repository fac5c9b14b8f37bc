"""Example 2, run as its readers run it: tickets by request, "wait", and finish_upload later.

What a person sees of it is tested in browser/test_example_dynamic_browser.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
from example_apps import send, state, wait_until_finished
from example_dynamic import Dynamic, backend, start
from processes import workers
from waiting import wait_until


@pytest.fixture(params=["gunicorn", "wsgiref", "beside"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dynamic]:
    with ExitStack() as stack:
        yield start(request.param, tmp_path, stack)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Dynamic]:
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Dynamic]:
    with ExitStack() as stack:
        yield start("beside", tmp_path, stack)


@contextmanager
def held_up(example: Dynamic, content: bytes, filename: str) -> Iterator[str]:
    """The ticket of a file for which the app has said "wait", and which it cannot take before the
    end of the block: it waits for the lock on the file's folder."""
    ticket = example.request_upload(filename)
    folder = example.uploads / ticket
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        send(example.upload_url(ticket), content, filename)
        url = example.upload_url(ticket)
        wait_until(lambda: state(url) == "AWAITING_CONFIRMATION", "the app's answer")
        yield ticket
    finally:
        os.close(handle)


def handover(example: Dynamic, ticket: str, path: Path, **fields: str) -> requests.Response:
    facts = {
        "id": ticket,
        "filename": str(path),
        "filenameFromBrowser": "file.txt",
        "cancelReason": "",
        "deliveryId": "4e0e2a4d-7c9f-4c3e-8b1a-0d6f5a3c2b1e",
        "attempt": "1",
        "backendSecret": example.secret(ticket),
    }
    return example.call_back(**{**facts, **fields})


# a file


def test_a_file_arrives_and_is_listed_with_its_digest(example: Dynamic) -> None:
    content = b"Guten Tag, " * 1000

    ticket = example.upload(content, "Grüße 你好.txt")

    assert example.arrived() == [
        {
            "id": ticket,
            "filename": "Grüße 你好.txt",
            "length": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]
    assert [path.name for path in example.uploads.iterdir()] == [ticket]
    answer = requests.get(f"{example.app.url}/uploads/{ticket}/Grüße 你好.txt", timeout=30)
    assert answer.content == content
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_files_of_one_name_do_not_meet(mounted: Dynamic) -> None:
    tickets = [mounted.upload(content, "photo.jpg") for content in (b"one", b"two")]

    assert [facts["filename"] for facts in mounted.arrived()] == ["photo.jpg", "photo.jpg"]
    contents = [(mounted.uploads / ticket / "photo.jpg").read_bytes() for ticket in tickets]
    assert contents == [b"one", b"two"]


def test_an_empty_file_arrives(mounted: Dynamic) -> None:
    ticket = mounted.upload(b"", "nothing.bin")

    assert (mounted.uploads / ticket / "nothing.bin").read_bytes() == b""


@pytest.mark.parametrize("filename", ["<b>.txt", 'it\'s "quoted" & 100% #1?.txt', " spaces "])
def test_a_name_is_only_ever_a_name(mounted: Dynamic, filename: str) -> None:
    ticket = mounted.upload(b"content", filename)

    assert mounted.arrived()[0]["filename"] == filename
    address = f"{mounted.app.url}/uploads/{ticket}/{requests.utils.quote(filename, safe='')}"
    assert requests.get(address, timeout=30).content == b"content"


def test_only_what_has_arrived_can_be_fetched(mounted: Dynamic) -> None:
    with held_up(mounted, b"content", "file.txt") as ticket:
        assert mounted.arrived() == []
        # http.client sends the path as it stands; requests would tidy it first.
        connection = http.client.HTTPConnection("127.0.0.1", mounted.app.port, timeout=30)
        for path in (f"{ticket}/file.txt", f"{ticket}/..%2F..%2Fuploads.db", "../uploads.db", ".."):
            connection.request("GET", f"/uploads/{path}")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 404, path
        connection.close()


# tickets


def test_each_ticket_has_a_secret_of_its_own(mounted: Dynamic) -> None:
    tickets = [mounted.request_upload("file.txt") for _ in range(3)]

    found = {mounted.secret(ticket) for ticket in tickets}
    assert len(found) == 3
    assert min(map(len, found)) >= 32
    assert (mounted.folder / "uploads.db").stat().st_mode & 0o777 == 0o600


def test_a_ticket_is_not_kept_by_a_cache(mounted: Dynamic) -> None:
    answer = requests.get(f"{mounted.app.url}/api/frontend/request_upload", timeout=30)

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_tickets_are_good_after_a_crash(example: Dynamic) -> None:
    ticket = example.request_upload("file.txt")

    example.app.kill()
    example.app.start()

    send(example.upload_url(ticket), b"content", "file.txt")
    wait_until_finished(example.upload_url(ticket))
    assert (example.uploads / ticket / "file.txt").read_bytes() == b"content"


def test_the_page_reads_that_the_incoming_server_is_down(beside: Dynamic) -> None:
    beside.incoming.kill()

    answer = requests.get(f"{beside.app.url}/api/frontend/request_upload", timeout=30)

    assert answer.status_code == 503
    assert answer.text == "The upload server gives no ticket. Please try again in a minute."
    assert "No ticket: " in beside.app.log


# the handover


@pytest.mark.parametrize("secret", ["", "guessed", "gerät", "that of another ticket"])
def test_nobody_without_the_ticket_s_secret_gets_a_file_moved(
    mounted: Dynamic, tmp_path: Path, secret: str
) -> None:
    private = tmp_path / "private.txt"
    private.write_text("private")
    ticket, other = mounted.request_upload("mine.txt"), mounted.request_upload("mine.txt")
    if secret == "that of another ticket":
        secret = mounted.secret(other)

    answer = handover(mounted, ticket, private, backendSecret=secret)

    assert answer.status_code == 403
    assert private.read_text() == "private"
    assert os.listdir(mounted.uploads) == []


def test_nobody_gets_a_file_moved_for_a_ticket_that_there_is_not(mounted: Dynamic) -> None:
    answer = mounted.call_back(id="guessed", filename="/etc/hostname", backendSecret="")

    assert answer.status_code == 404


def test_the_app_says_wait_and_finishes_when_it_has_the_file(example: Dynamic) -> None:
    with held_up(example, b"content", "file.txt") as ticket:
        assert list((example.uploads / ticket).iterdir()) == []

    wait_until_finished(example.upload_url(ticket))
    assert (example.uploads / ticket / "file.txt").read_bytes() == b"content"


def test_the_app_is_told_of_a_cancelled_upload_and_forgets_it(example: Dynamic) -> None:
    ticket = example.request_upload("file.txt")
    url = example.upload_url(ticket)

    requests.delete(url, params={"reason": "changed\nmy mind"}, timeout=30).raise_for_status()

    line = rf"Upload {ticket[:8]} was cancelled: 'changed\nmy mind'"
    wait_until(lambda: line in example.app.log, "the line in the log")
    wait_until(
        lambda: example.call_back(id=ticket, backendSecret="").status_code == 404, "the forgetting"
    )
    assert os.listdir(example.uploads) == []


def test_the_same_handover_again_while_the_file_is_being_taken_is_harmless(
    mounted: Dynamic,
) -> None:
    with held_up(mounted, b"content", "file.txt") as ticket:
        answers = [handover(mounted, ticket, mounted.incoming_path(ticket)) for _ in range(4)]
        assert [answer.text for answer in answers] == ["wait"] * 4

    wait_until_finished(mounted.upload_url(ticket))
    assert [path.name for path in mounted.uploads.iterdir()] == [ticket]
    assert (mounted.uploads / ticket / "file.txt").read_bytes() == b"content"
    assert "Traceback" not in mounted.app.log


def test_the_same_handover_again_when_the_file_is_taken_is_done(mounted: Dynamic) -> None:
    ticket = mounted.upload(b"content", "file.txt")
    taken_from = mounted.incoming_path(ticket)
    before = mounted.arrived()

    def done() -> bool:
        answer = handover(mounted, ticket, taken_from)
        return answer.text == "done"

    # Between finish_upload and its own note the app still says "wait".
    wait_until(done, "done")
    assert mounted.arrived() == before
    assert (mounted.uploads / ticket / "file.txt").read_bytes() == b"content"
    assert "Traceback" not in mounted.app.log


# what is killed


def test_a_file_that_was_promised_is_taken_after_a_crash(example: Dynamic) -> None:
    with held_up(example, b"content", "file.txt") as ticket:
        example.app.kill()
    assert list((example.uploads / ticket).iterdir()) == []

    example.app.start()

    wait_until_finished(example.upload_url(ticket))
    assert (example.uploads / ticket / "file.txt").read_bytes() == b"content"
    assert [facts["filename"] for facts in example.arrived()] == ["file.txt"]


@pytest.mark.parametrize("reached", ["a part", "the whole, half-way", "its place"])
def test_a_move_that_was_cut_short_is_completed(mounted: Dynamic, reached: str) -> None:
    with held_up(mounted, b"content", "file.txt") as ticket:
        source = mounted.incoming_path(ticket)
        half_way = mounted.uploads / f"{ticket}.part"
        mounted.app.kill()
        if reached == "a part":  # of a copy to another file system
            half_way.write_bytes(b"con")
        else:
            shutil.move(source, half_way)
        if reached == "its place":
            half_way.rename(mounted.uploads / ticket / "file.txt")

    mounted.app.start()

    wait_until_finished(mounted.upload_url(ticket))
    assert (mounted.uploads / ticket / "file.txt").read_bytes() == b"content"
    assert [path.name for path in mounted.uploads.iterdir()] == [ticket]


def test_a_file_is_taken_by_another_worker_when_the_first_is_killed(mounted: Dynamic) -> None:
    with held_up(mounted, b"content", "file.txt") as ticket:
        killed = workers(mounted.app.pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(workers(mounted.app.pid)) - set(killed)) == 2, "two new workers")

    wait_until_finished(mounted.upload_url(ticket))
    assert (mounted.uploads / ticket / "file.txt").read_bytes() == b"content"


def test_the_app_goes_on_telling_an_incoming_server_that_is_down(beside: Dynamic) -> None:
    with held_up(beside, b"content", "file.txt") as ticket:
        beside.incoming.kill()
    wait_until(beside.arrived, "the file in its place")

    beside.incoming.start()

    wait_until_finished(beside.upload_url(ticket))
    assert "Traceback" not in beside.app.log


# the start


def test_scripts_and_uploads_are_confined_to_app_and_incoming(tmp_path: Path) -> None:
    with backend(tmp_path) as app:
        policy = requests.get(app.url, timeout=30).headers["Content-Security-Policy"]
    assert policy == ("default-src 'self'; script-src 'self'; connect-src 'self'; img-src data:")

    options = ["--public_incoming_host", "uploads.example:8443"]
    with backend(tmp_path, *options) as app:
        answer = requests.get(app.url, timeout=30)
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self' uploads.example:8443;" in policy
    assert "connect-src 'self' uploads.example:8443;" in policy
    assert '"//uploads.example:8443/incoming/0.1/frontend/incoming.js"' in answer.text


def test_the_page_has_nothing_inline(mounted: Dynamic) -> None:
    html = requests.get(mounted.app.url, timeout=30).text

    assert html.count("<script") == html.count("<script src=") == html.count("></script>") == 2
    assert "<style" not in html
    assert " style=" not in html
    assert re.search(r" on\w+=", html) is None


@pytest.mark.parametrize("server", ["gunicorn", "wsgiref"])
def test_it_says_where_to_look_and_nothing_else(tmp_path: Path, server: str) -> None:
    with backend(tmp_path, "--server", server, "--public_app_host", "files.example") as app:
        requests.get(app.url, timeout=30).raise_for_status()

        assert app.log == "Open http://files.example/\n"
