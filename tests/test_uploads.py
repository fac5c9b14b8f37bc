"""The upload record: its id, and the texts that it may have."""

from __future__ import annotations

import re
import uuid

import pytest

from incoming_wsgi import BadRequest, Incoming, WrongSecret
from incoming_wsgi.uploads import log_id, new_upload_id


def test_half_of_a_surrogate_pair_is_refused_or_replaced(tmp_path):
    incoming = Incoming(tmp_path, on_finished=lambda upload: None, background=False)
    upload_id = incoming.new_upload(filename="a\ud800.txt")
    assert incoming.status(upload_id).filename == "a?.txt"
    for name in ("owner", "secret", "signal_finish_url"):
        with pytest.raises(BadRequest, match=f"{name} is .*; it must be a text"):
            incoming.new_upload(**{name: "\ud800"})
    with pytest.raises(BadRequest, match="secret is 5; it must be a text"):
        incoming.new_upload(secret=5)
    assert incoming.status(incoming.new_upload(owner=42)).owner == "42"
    with pytest.raises(WrongSecret):
        incoming.cancel_upload(upload_id, secret="\ud800")
    with pytest.raises(BadRequest, match=r"length is 1\.5; it must be a whole number"):
        incoming.new_upload(length=1.5)
    incoming.close()


def test_ids_are_random_uuids():
    ids = {new_upload_id() for _ in range(1000)}
    assert len(ids) == 1000
    for upload_id in ids:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", upload_id)
        assert uuid.UUID(upload_id).version == 4


def test_logs_show_no_more_than_eight_characters_of_an_id():
    assert log_id("5d193227-06b0-4ea9-8ff0-a44407b7b260") == "5d193227"
