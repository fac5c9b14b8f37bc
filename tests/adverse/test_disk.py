"""No room: what does not fit is refused at the beginning, a disk that fills up loses nothing."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading

import pytest
import requests
from servers import gunicorn
from small_disk import MIB, small_disk
from waiting import wait_until
from webtest import TestApp

from incoming_wsgi import Incoming, StorageFull, TooManyUploads, Upload, UploadState
from incoming_wsgi.client import upload_file
from incoming_wsgi.errors import TicketStoreError
from incoming_wsgi.storage.base import Piped
from incoming_wsgi.uploads import now

CONTENT = bytes(range(256)) * 4096  # 1 MiB


LOOPBACK = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}


@pytest.fixture
def make(tmp_path):
    made = []

    def make(folder="incoming", **settings) -> Incoming:
        settings = {"on_finished": lambda upload: None, "background": False, **settings}
        made.append(Incoming(tmp_path / folder, **settings))
        return made[-1]

    yield make
    for incoming in made:
        incoming.close()


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        yield disk


def declare(incoming, length, *, owner=None, status=200, **ticket):
    """The answer, and the URL of the upload."""
    url = f"/frontend/uploads/{incoming.new_upload(owner=owner, **ticket)}"
    return TestApp(incoming).post_json(url, {"filename": "a", "length": length}, status=status), url


def put(incoming, url, start, content, length, *, status=200):
    headers = {"Content-Range": f"bytes {start}-{start + len(content) - 1}/{length}"}
    return TestApp(incoming).put(url, content, headers=headers, status=status)


def check_full(response) -> None:
    assert (response.status_code, response.json["code"]) == (507, "storage_full")
    assert int(response.headers["Retry-After"]) > 0


# what was promised


def test_a_file_that_is_longer_than_all_the_room_there_can_be_is_too_large(make):
    incoming = make(max_total_bytes=1000)
    response, _ = declare(incoming, 1001, status=413)
    assert (response.json["code"], response.json["max_length_bytes"]) == ("file_too_large", 1000)
    declare(incoming, 1000)


def test_what_other_uploads_still_lack_counts_as_if_it_were_there(make):
    incoming = make(max_total_bytes=1000)
    _, first = declare(incoming, 600)
    response, second = declare(incoming, 401, status=507)
    check_full(response)
    app = TestApp(incoming)
    app.post_json(second, {"filename": "a", "length": 400})
    # Storing takes nothing more than what was promised.
    put(incoming, first, 0, b"x" * 600, 600)
    check_full(app.post_json(declare_url(incoming), {"filename": "a", "length": 1}, status=507))


def declare_url(incoming) -> str:
    return f"/frontend/uploads/{incoming.new_upload()}"


def test_a_promise_ends_with_its_upload(make):
    incoming = make(max_total_bytes=1000)
    _, url = declare(incoming, 1000)
    declare(incoming, 1, status=507)
    TestApp(incoming).delete(url)
    _, url = declare(incoming, 1000)
    put(incoming, url, 0, b"x" * 1000, 1000)
    declare(incoming, 1, status=507)  # it is here until the app has taken it
    incoming.do_housekeeping()
    declare(incoming, 1000)


def test_declaring_again_does_not_count_twice(make):
    incoming = make(max_total_bytes=1000)
    _, url = declare(incoming, 1000)
    app = TestApp(incoming)
    app.post_json(url, {"filename": "a", "length": 1000})
    app.post_json(url, {"filename": "b", "length": 999})
    put(incoming, url, 0, b"x" * 10, 999)
    app.post_json(url, {"filename": "b", "length": 999})


def test_a_chunk_of_an_upload_that_declared_nothing_is_a_declaration(make):
    incoming = make(max_total_bytes=1000)
    declare(incoming, 600)
    url = declare_url(incoming)
    check_full(put(incoming, url, 0, b"x", 500, status=507))
    assert TestApp(incoming).get(url).json["length"] is None
    put(incoming, url, 0, b"x", 400)


def test_a_ticket_with_a_length_is_a_promise_to_the_app(make):
    incoming = make(max_total_bytes=1000)
    incoming.new_upload(length=900)
    with pytest.raises(StorageFull, match="max_total_bytes"):
        incoming.new_upload(length=101)
    declare(incoming, 101, status=507)
    incoming.new_upload(length=100)


def test_an_owner_has_room_of_his_own(make):
    incoming = make(max_owner_bytes=1000)
    declare(incoming, 900, owner="ann")
    response, _ = declare(incoming, 101, owner="ann", status=507)
    check_full(response)
    assert "max_owner_bytes" in response.json["detail"]
    declare(incoming, 100, owner="ann")
    declare(incoming, 1000, owner="bob")
    declare(incoming, 1000)  # of nobody
    declare(incoming, 1001, owner="cid", status=413)


def test_an_owner_has_so_many_tickets_at_once(make):
    incoming = make(max_owner_uploads=2)
    first = incoming.new_upload(owner="ann")
    incoming.new_upload(owner="ann")
    with pytest.raises(TooManyUploads, match="2 uploads of this owner"):
        incoming.new_upload(owner="ann")
    incoming.new_upload(owner="bob")
    for _ in range(3):
        incoming.new_upload()
    put(incoming, f"/frontend/uploads/{first}", 0, b"all", 3)
    third = incoming.new_upload(owner="ann")
    with pytest.raises(TooManyUploads):
        incoming.new_upload(owner="ann")
    incoming.cancel_upload(third)
    incoming.new_upload(owner="ann")


def test_the_backend_is_told_in_words_and_when_to_come_again(make):
    incoming = make(max_owner_uploads=1, max_total_bytes=10, backend_api=True)
    app = TestApp(incoming, extra_environ=LOOPBACK)
    form = {"signalFinishURL": "http://app.example/", "owner": "ann"}
    app.post("/backend/new_upload", form)
    response = app.post("/backend/new_upload", form, status=429)
    assert "1 uploads of this owner are not complete, 1 may be" in response.text
    assert int(response.headers["Retry-After"]) > 0
    app.post("/backend/new_upload", {**form, "owner": "bob", "length": "9"})
    response = app.post("/backend/new_upload", {**form, "owner": "cid", "length": "2"}, status=507)
    assert "max_total_bytes" in response.text
    assert int(response.headers["Retry-After"]) > 0


def test_lengths_that_are_more_than_64_bits_together_are_counted(make):
    incoming = make()
    for number in range(3):
        liar = Upload(id=f"liar-{number}", created_at=0, due_at=9e9, length=2**62)
        incoming._tickets.create(liar)
    check_full(declare(incoming, 1, status=507)[0])


def test_many_that_declare_at_once_are_not_promised_more_than_there_is(make):
    incoming = make(max_total_bytes=1000)
    urls = [declare_url(incoming) for _ in range(12)]
    statuses = []

    def declare_one(url: str) -> None:
        response = TestApp(incoming).post_json(url, {"filename": "a", "length": 300}, status="*")
        statuses.append(response.status_code)
        incoming._tickets.close()

    threads = [threading.Thread(target=declare_one, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 3 + [507] * 9


# a real disk


def test_what_does_not_fit_on_the_disk_is_refused_at_the_beginning(make, disk):
    incoming = make("disk/incoming", min_free_bytes=4 * MIB)
    declare(incoming, 8 * MIB)
    response, url = declare(incoming, 8 * MIB, status=507)
    check_full(response)
    assert "(the disk)" in response.json["detail"]
    TestApp(incoming).post_json(url, {"filename": "a", "length": 2 * MIB})


def test_what_would_not_fit_on_an_empty_disk_is_too_large(make, disk):
    incoming = make("disk/incoming", min_free_bytes=4 * MIB)
    response, _ = declare(incoming, 12 * MIB + 1, status=413)
    assert (response.json["code"], response.json["max_length_bytes"]) == (
        "file_too_large",
        12 * MIB,
    )


def test_uploads_leave_room_for_the_database(make, disk):
    incoming = make("disk/incoming", min_free_bytes=2 * MIB)
    _, url = declare(incoming, 8 * MIB)
    disk.fill(but=4 * MIB)
    put(incoming, url, 0, CONTENT, 8 * MIB)
    response = put(incoming, url, MIB, CONTENT * 2, 8 * MIB, status=507)
    check_full(response)
    assert disk.free_bytes >= 2 * MIB
    # What fitted of it is kept, and all that was acknowledged.
    upload = TestApp(incoming).get(url).json
    [[start, stop]] = upload["received"]
    assert start == 0
    assert MIB <= stop < 3 * MIB
    stored = (disk.folder / "incoming" / "files" / url.rpartition("/")[2]).read_bytes()
    assert stored[:stop] == (CONTENT * 3)[:stop]
    # Enough for the database: a full disk can be cancelled on.
    TestApp(incoming).delete(url)
    assert disk.free_bytes >= 2 * MIB + stop


def test_a_disk_that_others_have_filled_up_loses_nothing(make, disk):
    incoming = make("disk/incoming", min_free_bytes=0)
    app = TestApp(incoming)
    _, url = declare(incoming, 8 * MIB)
    put(incoming, url, 0, CONTENT, 8 * MIB)
    disk.fill()
    check_full(put(incoming, url, MIB, CONTENT, 8 * MIB, status=507))
    upload = app.get(url).json
    assert upload["state"] == "UPLOADING"
    assert upload["received"][0][1] >= MIB
    stored = disk.folder / "incoming" / "files" / url.rpartition("/")[2]
    assert stored.read_bytes()[:MIB] == CONTENT
    disk.clear()
    assert app.delete(url).json["state"] == "CANCELLED"
    assert not stored.exists()


def test_when_there_is_room_again_the_upload_goes_on(make, disk):
    incoming = make("disk/incoming", min_free_bytes=MIB)
    _, url = declare(incoming, 2 * MIB)
    disk.fill(but=MIB)
    check_full(put(incoming, url, 0, CONTENT, 2 * MIB, status=507))
    disk.clear()
    put(incoming, url, 0, CONTENT, 2 * MIB)
    assert put(incoming, url, MIB, CONTENT, 2 * MIB).json["state"] == "COMPLETE"


def test_health_says_that_the_disk_is_full(make, disk):
    incoming = make("disk/incoming", min_free_bytes=4 * MIB)
    app = TestApp(incoming)
    assert app.get("/health").json["status"] == "ok"
    disk.fill(but=3 * MIB)
    check_full(app.get("/health", status=507))


def test_a_read_only_disk_refuses_and_keeps(make, disk, tmp_path):
    tickets = str(tmp_path / "tickets.db")
    incoming = make("disk/incoming", database=tickets, min_free_bytes=0)
    app = TestApp(incoming)
    _, url = declare(incoming, 2 * MIB)
    put(incoming, url, 0, CONTENT, 2 * MIB)
    disk.remount("ro")
    response = put(incoming, url, MIB, CONTENT, 2 * MIB, status=500)
    assert response.json["code"] == "storage_error"
    assert app.get(url).json["received"] == [[0, MIB]]
    disk.remount("rw")
    assert put(incoming, url, MIB, CONTENT, 2 * MIB).json["state"] == "COMPLETE"


def test_our_client_waits_for_room_and_goes_on(disk, tmp_path):
    environ = {
        "INCOMING_STORAGE_DIR": str(disk.folder / "incoming"),
        "INCOMING_MIN_FREE_BYTES": str(MIB),
    }
    path = tmp_path / "file"
    path.write_bytes(CONTENT * 6)
    with gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ) as server:
        form = {"signalFinishURL": "http://127.0.0.1:9/"}
        ticket = requests.post(f"{server.url}/backend/new_upload", form, timeout=30).text
        url = f"{server.url}/frontend/uploads/{ticket}"
        disk.fill(but=2 * MIB)
        troubles = []

        def make_room(trouble, pause_s) -> None:
            troubles.append(trouble)
            if len(troubles) == 1:
                disk.clear()

        sent = upload_file(path, url, on_retry=make_room, wait=False)
        assert isinstance(troubles[0], StorageFull)
        assert sent.state is not UploadState.UPLOADING
    stored = (disk.folder / "incoming" / "files" / ticket).read_bytes()
    assert stored == CONTENT * 6


# what a disk may say besides


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errno.ENOSPC, 507, "storage_full"),
        (errno.EDQUOT, 507, "storage_full"),
        (errno.EIO, 500, "storage_error"),
        (errno.EROFS, 500, "storage_error"),
    ],
)
def test_trouble_in_the_middle_of_a_chunk_keeps_what_was_stored(
    make, monkeypatch, tmp_path, error, status, code
):
    incoming = make()
    _, url = declare(incoming, 4 * MIB)
    put(incoming, url, 0, CONTENT, 4 * MIB)
    real, written = os.pwrite, []

    def pwrite(descriptor, block, position):
        if sum(written) >= MIB // 2:
            raise OSError(error, os.strerror(error))
        written.append(real(descriptor, block[:200_000], position))  # short writes are legal
        return written[-1]

    monkeypatch.setattr("incoming_wsgi.storage.file.os.pwrite", pwrite)
    response = put(incoming, url, MIB, CONTENT, 4 * MIB, status=status)
    assert response.json["code"] == code
    monkeypatch.undo()
    [[start, stop]] = TestApp(incoming).get(url).json["received"]
    assert start == 0
    assert MIB < stop < 2 * MIB
    put(incoming, url, stop, (CONTENT * 4)[stop:], 4 * MIB)
    path = tmp_path / "incoming" / "files" / url.rpartition("/")[2]
    assert path.read_bytes() == CONTENT * 4


def test_a_full_database_refuses_and_keeps(make, tmp_path):
    incoming = make()
    app = TestApp(incoming)
    _, url = declare(incoming, MIB)
    put(incoming, url, 0, CONTENT[:1000], MIB)
    with incoming._tickets._database.using() as connection:  # the one that is used next, too
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    statuses = set()
    # Until a record does not fit: each chunk leaves a gap behind it.
    for start in range(2000, 1_000_000, 2000):
        response = put(incoming, url, start, CONTENT[start : start + 1], MIB, status="*")
        statuses.add(response.status_code)
        if response.status_code != 200:
            check_full(response)
            break
    assert statuses == {200, 507}
    received = app.get(url).json["received"]
    assert received[-1] == [start - 2000, start - 1999]
    with incoming._tickets._database.using() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    put(incoming, url, start, CONTENT[start : start + 1], MIB)
    assert len(app.get(url).json["received"]) == len(received) + 1
    assert app.delete(url).json["state"] == "CANCELLED"


def failing_once(monkeypatch) -> None:
    """The next sync fails, the one after it succeeds: so does Linux tell of lost pages."""
    real, failures = os.fdatasync, [OSError(errno.EIO, os.strerror(errno.EIO))]

    def fdatasync(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        real(descriptor)

    monkeypatch.setattr("incoming_wsgi.storage.file.os.fdatasync", fdatasync)


def test_a_disk_that_did_not_take_a_chunk_is_not_believed_the_second_time(make, monkeypatch):
    incoming = make(durability="disk")
    _, url = declare(incoming, MIB)
    monkeypatch.setattr("incoming_wsgi.receiving.RECORD_EVERY_S", 0.0)  # as for a slow line
    failing_once(monkeypatch)
    response = put(incoming, url, 0, CONTENT[:300_000], MIB, status=500)
    assert response.json["code"] == "not_synced"
    assert TestApp(incoming).get(url).json["received"] == []
    assert put(incoming, url, 0, CONTENT, MIB).json["state"] == "COMPLETE"


def test_a_file_that_could_not_be_sealed_is_asked_for_again(make, monkeypatch):
    incoming = make()
    _, url = declare(incoming, MIB)
    put(incoming, url, 0, CONTENT[:1000], MIB)
    failing_once(monkeypatch)
    response = put(incoming, url, 1000, CONTENT[1000:], MIB, status=500)
    assert response.json["code"] == "not_synced"
    assert TestApp(incoming).get(url).json["received"] == []
    assert put(incoming, url, 0, CONTENT, MIB).json["state"] == "COMPLETE"


def test_what_could_not_be_sealed_is_not_recorded_though_the_database_fails_too(make, monkeypatch):
    incoming = make()
    _, url = declare(incoming, MIB)
    failing_once(monkeypatch)

    def fail(_: str) -> None:
        raise TicketStoreError("the same disk")

    monkeypatch.setattr(incoming._tickets, "forget_unsynced", fail)
    response = put(incoming, url, 0, CONTENT, MIB, status=500)
    assert response.json["code"] == "not_synced"
    assert TestApp(incoming).get(url).json["received"] == []
    assert put(incoming, url, 0, CONTENT, MIB).json["state"] == "COMPLETE"


def test_what_a_chore_could_not_sync_is_asked_for_again(make, monkeypatch):
    incoming = make()
    _, url = declare(incoming, MIB)
    put(incoming, url, 0, CONTENT[:1000], MIB)
    failing_once(monkeypatch)
    later = now() + 60
    monkeypatch.setattr("incoming_wsgi.housekeeping.now", lambda: later)
    incoming.do_housekeeping()
    assert TestApp(incoming).get(url).json["received"] == []
    assert put(incoming, url, 0, CONTENT, MIB).json["state"] == "COMPLETE"


def test_a_locked_database_is_waited_for(make, tmp_path):
    incoming = make()
    _, url = declare(incoming, MIB)
    other = sqlite3.connect(tmp_path / "incoming" / "incoming.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answers = []

    def put_one() -> None:
        answers.append(put(incoming, url, 0, CONTENT, MIB).json["state"])
        incoming._tickets.close()

    thread = threading.Thread(target=put_one)
    thread.start()
    wait_until(thread.is_alive, "the request")
    other.execute("COMMIT")
    other.close()
    thread.join()
    assert answers == ["COMPLETE"]


# bytes that do not come through our memory


def test_a_disk_that_is_full_in_the_middle_of_a_block(disk, tmp_path):
    """What has been stored of it is kept, and nothing that was left over comes anywhere else."""
    environ = {
        "INCOMING_STORAGE_DIR": str(disk.folder / "incoming"),
        "INCOMING_DATABASE": str(tmp_path / "incoming.db"),
        "INCOMING_MIN_FREE_BYTES": "0",
    }
    content = CONTENT * 6
    length = len(content) + 1
    with gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ) as server:

        def send(url: str, start: int, body: bytes) -> requests.Response:
            said = f"bytes {start}-{start + len(body) - 1}/{length}"
            return requests.put(url, body, headers={"Content-Range": said}, timeout=30)

        form = {"signalFinishURL": "http://127.0.0.1:9/"}
        tickets = [
            requests.post(f"{server.url}/backend/new_upload", form, timeout=30).text
            for _ in range(2)
        ]
        full, other = (f"{server.url}/frontend/uploads/{ticket}" for ticket in tickets)
        assert send(full, 0, content[:1]).status_code == 200
        disk.fill(but=3 * MIB // 2)
        answer = send(full, 1, content[1:])
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        disk.clear()
        assert send(other, 0, content).json()["received"] == [[0, len(content)]]
        received = requests.get(full, timeout=30).json()["received"]
        assert received[0][1] > 1
        assert send(full, received[0][1], content[received[0][1] :]).status_code == 200
    for ticket in tickets:
        stored = (disk.folder / "incoming" / "files" / ticket).read_bytes()
        assert stored == content


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSPC])
def test_a_file_system_that_takes_nothing_from_a_pipe(error, make, monkeypatch, tmp_path):
    """What cannot be done is done in another way; what is an error stays one."""
    incoming = make()
    storage = incoming._storage
    source, sink = os.pipe()
    os.write(sink, b"0123456789")

    def splice(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("incoming_wsgi.storage._writer.os.splice", splice)
    ticket = incoming.new_upload(signal_finish_url="http://127.0.0.1:9/")
    try:
        with storage.open_writer(ticket, create=True) as writer:
            if error == errno.EINVAL:
                assert writer.write(3, Piped(source, 10), lambda: True) is True
                assert storage.locate(ticket).read_bytes() == b"\0\0\0" + b"0123456789"
            else:
                with pytest.raises(StorageFull):
                    writer.write(3, Piped(source, 10), lambda: True)
    finally:
        os.close(source)
        os.close(sink)
