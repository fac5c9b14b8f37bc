"""What the steps of test_engine_properties.py have found, one short test each."""

from __future__ import annotations

import json

from stepping import Worker


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
