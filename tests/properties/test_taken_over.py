"""What the steps of test_engine_properties.py and test_dialect_properties.py have found, one short
test each."""

from __future__ import annotations

import json

import pytest
from stepping import Stepped, Worker

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {**TUS, "Content-Type": "application/offset+octet-stream"}


def test_a_request_that_lost_bytes_to_a_newer_one_is_not_told_that_all_are_stored(tmp_path):
    worker = Worker(tmp_path)
    upload_id = worker.incoming.new_upload(length=8)
    older = worker.put(upload_id, 8, {"Content-Range": "bytes 0-7/8"})
    older.go_on(b"abcd")
    newer = worker.put(upload_id, 4, {"Content-Range": "bytes 0-3/8"})
    older.go_on(b"efgh")
    assert older.asks is None
    newer.go_on(b"")  # its connection is gone
    worker.incoming.close()
    assert json.loads(older.result.body).get("received") != [[0, 8]]
    assert older.result.status != 200


def patch(worker: Worker, upload_id: str, offset: int, size: int, **more: str) -> Stepped:
    headers = {**STREAM, "Upload-Offset": str(offset)}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    return worker.send("PATCH", upload_id, size, headers)


@pytest.fixture
def workers(tmp_path):
    workers = (Worker(tmp_path), Worker(tmp_path))
    yield workers
    for worker in workers:
        worker.incoming.close()


@pytest.fixture
def deferred(workers):
    """The id of an upload whose length is to be said later."""
    upload_id = workers[0].incoming.new_upload()
    workers[0].request("POST", upload_id, headers={**TUS, "Upload-Defer-Length": "1"})
    return upload_id


def test_what_an_older_request_has_beyond_the_end_does_not_count(workers, deferred):
    older = patch(workers[0], deferred, 0, 20)
    older.go_on(b"ABCDEFG")
    newer = patch(workers[1], deferred, 0, 2, Upload_Length="5")
    newer.go_on(b"ab")
    older.go_on(b"H")  # three bytes beyond the end, as many as are missing before it
    assert older.asks is None or older.go_on(b"") is None
    assert older.result.status == 409
    upload = workers[1].incoming.status(deferred)
    assert list(upload.received) == [(0, 2)]
    assert not upload.is_complete
    patch(workers[1], deferred, 2, 3).go_on(b"cde")
    handover = workers[1].look_after_what_is_due()
    assert handover.asks.path.read_bytes() == b"abcde"
    handover.go_on("done")


def test_a_file_may_be_shorter_than_what_came_and_was_not_recorded(workers, deferred):
    older = patch(workers[0], deferred, 0, 20)
    older.go_on(b"ABCDEFG")
    told = workers[1].request("HEAD", deferred, headers=TUS)
    assert told.result.headers["upload-offset"] == "0"
    older.go_on(b"H")
    newer = patch(workers[1], deferred, 0, 3, Upload_Length="3")
    newer.go_on(b"abc")
    assert newer.result.status == 204
    handover = workers[1].look_after_what_is_due()
    assert handover.asks.path.read_bytes() == b"abc"
    handover.go_on("done")


def test_no_range_makes_a_file_shorter_than_what_is_stored(workers, deferred):
    patch(workers[0], deferred, 0, 8).go_on(b"abcdefgh")
    put = workers[0].put(deferred, 2, {"Content-Range": "bytes 0-1/4"})
    put.go_on(b"ab")
    assert put.result.status == 400
    assert json.loads(put.result.body)["code"] == "inconsistent_length"
    upload = workers[0].incoming.status(deferred)
    assert (upload.length, list(upload.received)) == (None, [(0, 8)])


def test_the_offset_that_a_conflict_tells_stays_right(workers, deferred):
    older = patch(workers[0], deferred, 0, 20)
    older.go_on(b"abcd")
    lost = patch(workers[1], deferred, 9, 0)
    assert lost.result.status == 409
    offset = int(lost.result.headers["upload-offset"])
    older.go_on(b"efgh")  # it was on the way
    assert older.asks is None or older.go_on(b"") is None
    newer = patch(workers[1], deferred, offset, 4)
    newer.go_on(b"abcd")
    assert newer.result.status == 204
