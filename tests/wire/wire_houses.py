"""The servers that vectors need, the states that they start from, and what is true afterwards.

A house is an Incoming of its own with one configuration; all vectors that need that one share it.
`application` serves all houses of a town, each mounted at its own path, and is what gunicorn runs.

What a vector may be given, in this order

    ticket [NAME] [WORD=JSON …]   a ticket, with these keywords; its id is {id}, or {NAME}
    declared JSON                 a client has declared this file
    stored TEXT [at N]            these bytes are there, of the ticket's length
    state STATE                   wait until the upload is in it
    cancelled REASON, expired     it ended so

and what may be true afterwards, for which is waited

    state STATE, offset N, length N, received JSON, record WORD=JSON …
    unchanged                     since the last request, to the last field
    content TEXT                  of the file, and nothing else; size BYTES if it is made up
    asked N                       how many times the app was called about it, and not once more
    told WORD=JSON …              what the app saw in the last call
    creation JSON                 what authorize_creation was asked
    unknown                       nobody knows it any more
    released                      no condition: a silent app takes the file now
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waiting import wait_until
from wire_vectors import Config, read_assignments

import incoming_wsgi
from incoming_wsgi import Forbidden, Incoming, UploadNotFound
from incoming_wsgi.uploads import public_facts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["House", "application", "sized"]

TOWN = "WIRE_TOWN"  # the folder of all houses, for the process of gunicorn
SILENT_S = 60.0
# Nothing of these happens by itself while a vector is under way.
SETTINGS: Mapping[str, Any] = {"handover_retry_s": 600, "min_free_bytes": 0}
MOVES = ("due_at",)  # with every request, which is no change of the upload


class House:
    """In `folder`, mounted at `mount`; `incoming` is what a test looks at it with."""

    def __init__(self, town: Path, config: Config) -> None:
        name = sha256(config.as_json.encode()).hexdigest()[:8]
        self.folder = town / name
        self.mount = f"/{name}"
        (self.folder / "released").mkdir(parents=True, exist_ok=True)
        (self.folder / "taken").mkdir(exist_ok=True)
        (self.folder / "house.json").write_text(config.as_json)
        self.incoming = make_incoming(self.folder, background=False)

    # what the app and authorize_creation have been told

    def calls(self, upload_id: str) -> list[dict[str, Any]]:
        return [call for call in _read(self.folder / "calls") if call["id"] == upload_id]

    def creations(self) -> list[dict[str, Any]]:
        return _read(self.folder / "creations")

    def facts(self, upload_id: str) -> dict[str, Any]:
        facts = public_facts(self.incoming.status(upload_id))
        return {name: value for name, value in facts.items() if name not in MOVES}

    def content(self, upload_id: str) -> bytes:
        """What the app took, or else what is stored of the file."""
        taken = self.folder / "taken" / upload_id
        if taken.exists():
            return taken.read_bytes()
        stored = self.folder / "files" / upload_id
        return stored.read_bytes() if stored.exists() else b""

    def release(self, upload_id: str) -> None:
        (self.folder / "released" / upload_id).touch()

    # the state that a vector starts from

    def prepare(self, given: Iterable[str], put: Put) -> dict[str, str]:
        """The variables; `put` stores bytes of an upload as a native client does."""
        variables: dict[str, str] = {"mount": self.mount}
        for line in given:
            word, _, rest = line.partition(" ")
            if word == "ticket":
                first = rest.split(" ")[0]
                name = first if first and "=" not in first else "id"
                terms = read_assignments(rest.removeprefix(name) if name == first else rest)
                variables[name] = current = self.incoming.new_upload(**terms)
            elif word == "declared":
                put("POST", current, {"Content-Type": "application/json"}, rest.encode())
            elif word == "stored":
                text, _, at = rest.partition(" at ")
                start, content = int(at or 0), text.encode()
                length = self.incoming.status(current).length
                span = f"bytes {start}-{start + len(content) - 1}/{length}"
                put("PUT", current, {"Content-Range": span}, content)
            elif word == "state":
                self.wait_for_state(current, rest)
            elif word == "cancelled":
                self.incoming._engine.cancel(current, reason=rest, tell_app=False)
            elif word == "expired":
                self._let_expire(current)
            else:
                raise ValueError(f"what is given by {line!r}?")
        return variables

    def wait_for_state(self, upload_id: str, state: str) -> None:
        wait_until(lambda: self.incoming.status(upload_id).state.value == state, state)

    def _let_expire(self, upload_id: str) -> None:
        with closing(sqlite3.connect(self.folder / "incoming.db")) as database, database:
            database.execute("UPDATE uploads SET due_at = 1 WHERE id = ?", (upload_id,))

        def is_over() -> bool:
            self.incoming.do_housekeeping()
            return self.incoming.status(upload_id).state.value == "CANCELLED"

        wait_until(is_over, "the end of its time")

    # what is true afterwards

    def check(self, line: str, upload_id: str, before: Mapping[str, Any] | None) -> None:
        word, _, rest = line.partition(" ")
        seen: Callable[[], object]
        expected: object
        if word == "released":
            self.release(upload_id)
            return
        if word == "unknown":
            seen, expected = (lambda: self._is_known(upload_id)), False
        elif word == "state":
            seen, expected = (lambda: self.incoming.status(upload_id).state.value), rest
        elif word == "offset":
            seen, expected = (lambda: _offset(self.facts(upload_id)["received"])), int(rest)
        elif word in ("length", "received"):
            seen, expected = (lambda: self.facts(upload_id)[word]), json.loads(rest)
        elif word == "record":
            wanted = read_assignments(rest)
            seen, expected = (lambda: _picked(self.facts(upload_id), wanted)), wanted
        elif word == "unchanged":
            seen, expected = (lambda: self.facts(upload_id)), before
        elif word == "content":
            seen, expected = (lambda: self.content(upload_id)), rest.encode()
        elif word == "size":
            seen, expected = (lambda: self.content(upload_id)), sized(int(rest))
        elif word == "asked":
            seen, expected = (lambda: len(self.calls(upload_id))), int(rest)
        elif word == "told":
            told = read_assignments(rest)
            seen = lambda: _picked((self.calls(upload_id) or [{}])[-1], told)  # noqa: E731
            expected = told
        elif word == "creation":
            seen, expected = (lambda: json.loads(rest) in self.creations()), True
        else:
            raise ValueError(f"what is {line!r}?")
        try:
            wait_until(lambda: seen() == expected, line, 5)
        except AssertionError:
            assert seen() == expected, line

    def _is_known(self, upload_id: str) -> bool:
        try:
            self.incoming.status(upload_id)
        except UploadNotFound:
            return False
        return True


Put = Callable[[str, str, Mapping[str, str], bytes], None]


def sized(size: int) -> bytes:
    """Bytes that are made up: no two blocks of 256 shifted alike."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def make_incoming(folder: Path, **more: Any) -> Incoming:
    """That of a house, whoever runs it."""
    settings, app, creation, rights = json.loads((folder / "house.json").read_text())

    def take(upload: Any) -> str | None:
        _note(folder / "calls", _told(upload))
        if app == "fails":
            raise RuntimeError("the app's own disk is full")
        if app.startswith("refuses "):
            raise incoming_wsgi.Refused(app.removeprefix("refuses "))
        if app == "is silent":
            wait_until((folder / "released" / upload.id).exists, "the app's answer", SILENT_S)
        content = upload.path.read_bytes()
        (folder / "taken" / upload.id).write_bytes(content)
        return "wait" if app == "says wait" else None

    def authorize_creation(environ: Any, metadata: Mapping[str, str], length: int | None) -> Any:
        _note(folder / "creations", {"metadata": dict(metadata), "length": length})
        if creation.startswith("makes"):
            return incoming.new_upload(**read_assignments(creation.removeprefix("makes")))
        if creation.startswith("forbids "):
            raise Forbidden(creation.removeprefix("forbids "))
        return None

    if rights == "none":  # but what happens without a client goes on
        more["authorize"] = lambda environ, upload, action: action == "hand_over"
    if creation is not None:
        more["authorize_creation"] = authorize_creation
    incoming = Incoming(folder, on_finished=take, **{**SETTINGS, **settings, **more})
    return incoming


def _told(upload: Any) -> dict[str, Any]:
    names = ("id", "safe_filename", "safe_relative_path", "length", "content_type", "sha256")
    told = {name: getattr(upload, name) for name in names}
    metadata = getattr(upload, "client_metadata", None)
    return {**told, "client_metadata": None if metadata is None else dict(metadata)}


def _note(file: Path, said: Mapping[str, Any]) -> None:
    """One line more, whole: there are threads and processes."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, json.dumps(said).encode() + b"\n")
    finally:
        os.close(descriptor)


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _picked(facts: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in wanted}


def _offset(received: list[list[int]]) -> int:
    return received[0][1] if received and received[0][0] == 0 else 0


# what gunicorn runs

_open: dict[str, Incoming] = {}
_opening = threading.Lock()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """All houses of the town, each of which begins with its first request."""
    _, name, rest = environ["PATH_INFO"].split("/", 2)
    with _opening:
        if name not in _open:
            _open[name] = make_incoming(Path(os.environ[TOWN]) / name)
    inner = {**environ, "SCRIPT_NAME": f"/{name}", "PATH_INFO": f"/{rest}"}
    return _open[name](inner, start_response)
