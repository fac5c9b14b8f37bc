"""Uploads to aim at, and whether an answer and what it has left behind are right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases import Case, Expected
from exchanges import Answer
from waiting import wait_until
from webtest import TestApp

from incoming_wsgi import Incoming, Upload
from incoming_wsgi.states import UploadState

__all__ = ["CONTENT", "MAX_CHUNK_BYTES", "Target", "target"]

CONTENT = bytes(range(256)) * 4
MAX_CHUNK_BYTES = 4096
# What SQLite and FileStorage make.
OWN_FILES = {"incoming.db", "incoming.db-wal", "incoming.db-shm", "files", "held", "left", "locks"}


@dataclass
class Target:
    """The uploads of `storage` somewhere in `folder`, seen from another process than the server's,
    or the same. `callback` takes what becomes complete."""

    incoming: Incoming
    folder: Path
    storage: Path
    callback: str
    ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._app = TestApp(self.incoming)
        self._outside = self._list_outside()

    def prepare(self, case: Case) -> Upload:
        upload_id = self.incoming.new_upload(signal_finish_url=self.callback, **case.ticket)
        self.ids.append(upload_id)
        url = f"/frontend/uploads/{upload_id}"
        if case.upload != "fresh":
            self._app.post_json(url, {"filename": "file.bin", "length": len(CONTENT)})
        if case.upload == "partial":
            self._put(url, 0, 256)
        if case.upload == "finished":
            self._put(url, 0, len(CONTENT))
            wait_until(lambda: self._is_finished(upload_id), "the handover")
        if case.upload == "cancelled":
            self.incoming.cancel_upload(upload_id)
        return self.incoming.status(upload_id)

    def _put(self, url: str, start: int, stop: int) -> None:
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(CONTENT)}"}
        self._app.put(url, CONTENT[start:stop], headers=headers)

    def _is_finished(self, upload_id: str) -> bool:
        self.incoming.do_housekeeping()
        return self.incoming.status(upload_id).state is UploadState.FINISHED

    def values(self, upload: Upload) -> Mapping[str, str]:
        return {"id": upload.id, "ID": upload.id.upper(), "tag": upload.file_tag}

    def count(self) -> int:
        return sum(self.incoming._tickets.count_by_state().values())

    def judge(self, expected: Expected, answer: Answer, before: Upload, count: int) -> None:
        """`before` and `count` are the record and the number of all as they were."""
        _judge_answer(expected, answer)
        after = self.incoming.status(before.id)
        if expected.record is None:
            assert after == before
        else:
            assert _facts(after, expected.record) == expected.record
        assert self.count() == count + (expected.created is not None)
        if expected.created is not None:
            created = answer.body.decode()
            self.ids.append(created)
            assert _facts(self.incoming.status(created), expected.created) == expected.created

    def judge_folders(self) -> None:
        """Nothing is where it should not be: in the storage folder, or around it."""
        assert {path.name for path in self.storage.iterdir()} <= OWN_FILES
        files = list((self.storage / "files").iterdir())
        assert {path.name for path in files} <= set(self.ids)
        for folder in ("held", "left"):
            assert {path.name for path in (self.storage / folder).iterdir()} <= set(self.ids)
        assert all(path.is_file() for path in files)
        assert self._list_outside() == self._outside

    def _list_outside(self) -> dict[str, int]:
        """What lies around the storage folder, the server's log apart, with its size."""
        return {
            str(path): path.stat().st_size
            for path in self.folder.rglob("*")
            if self.storage not in (path, *path.parents) and path.suffix != ".log"
        }


@contextmanager
def target(folder: Path, callback: str, **settings: Any) -> Iterator[Target]:
    """`folder` is empty; the storage lies so deep in it that a way upwards ends inside, too."""
    storage = folder / "var" / "lib" / "incoming"
    incoming = Incoming(
        storage,
        background=False,
        chunk_bytes=1024,
        max_chunk_bytes=MAX_CHUNK_BYTES,
        **settings,
    )
    try:
        yield Target(incoming, folder, storage, callback)
    finally:
        incoming.close()


def _judge_answer(expected: Expected, answer: Answer) -> None:
    told = (answer.status, answer.body[:500])
    assert ("closed" if answer.status is None else answer.status) in expected.status, told
    # Nobody answers what has not been asked: the rest of a body taken for a request.
    assert bool(answer.rest) == expected.another, answer.rest[:500]
    if expected.own or answer.status is None:
        return
    assert 200 <= answer.status < 500
    kind = answer.headers.get("content-type", "").partition(";")[0]
    text = answer.body.decode()
    if expected.code is not None:
        assert kind == "application/problem+json", told
        problem = json.loads(text)
        assert (problem["code"], problem["status"]) == (expected.code, answer.status)
        text = problem["detail"]
        assert text
    elif answer.status >= 400 and text:
        assert kind in ("text/plain", "application/problem+json"), told
    if expected.says is not None:
        assert expected.says in text
    # What somebody sends does not come back at its full length, two file names at most.
    assert answer.status < 400 or len(answer.body) < 16384


def _facts(upload: Upload, names: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: getattr(upload, name) for name in names}
    if "received" in facts:
        facts["received"] = [list(pair) for pair in upload.received]
    if "state" in facts:
        facts["state"] = upload.state.value
    return facts
