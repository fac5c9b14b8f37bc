"""The corpus of hostile requests: the JSON files in `corpus/`, one a theme, and what a case means.

    {"name": "a sign", "method": "PUT", "headers": [["Content-Length", "+4"]], "body": "abcd",
     "status": 400, "code": "bad_request", "says": "+4",
     "servers": {"gunicorn": {"status": 400, "own": true, "why": "it reads lengths itself"}}}

The request
    upload   what it is aimed at: `fresh` (a ticket), `declared` (1024 bytes are to come; this if
             nothing is said), `partial` (the first 256 are there), `finished`, `cancelled`
    ticket   keywords for the ticket
    method, path, headers, body
             GET to the upload if nothing is said. A Host and `Connection: close` are added, and the
             true Content-Length to a body; a header whose value is null is not sent
    raw      all bytes of the request instead: for servers alone
    stops    the client closes its side after the last byte; it has announced more
    A text may be {"repeat": text, "times": n} with {n} counting in it, {"hex": digits},
    {"json": value} or a list of such parts. {id} stands for the upload's id, {ID} for that in
    capitals, {tag} for its file tag. Headers and paths are Latin-1, so that each character is a
    byte; bodies are UTF-8.

What is expected
    status   one, or a list of those that are right. "closed": the connection ends without an answer
    code, says
             of the problem, or what the plain text says: it names what is wrong
    own      a server answers that itself, in its own words
    refused_by
             the servers ("gunicorn cheroot") that do not let it through: 400 in their own words
    another  one more answer follows, for a server takes what comes next for a request of its own
    record   what the record of the upload says afterwards, where it may change; otherwise it is the
             same as before, to the last field
    created  what the record of the ticket says that was issued; otherwise none was
    servers  what is expected of some instead ("gunicorn cheroot"), and `why`. `app` stands for the
             app called without a server
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Case", "Expected", "load_corpus"]

FOLDER = Path(__file__).with_name("corpus")
REQUEST = {"upload", "ticket", "method", "path", "headers", "body", "raw", "stops"}
EXPECTED = {"status", "code", "says", "own", "another", "record", "created"}


@dataclass(frozen=True)
class Expected:
    status: tuple[int | str, ...]
    code: str | None = None
    says: str | None = None
    own: bool = False
    another: bool = False
    record: Mapping[str, Any] | None = None
    created: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Case:
    id: str
    facts: Mapping[str, Any]

    @property
    def upload(self) -> str:
        return self.facts.get("upload", "declared")

    @property
    def ticket(self) -> Mapping[str, Any]:
        return self.facts.get("ticket", {})

    @property
    def is_raw(self) -> bool:
        return "raw" in self.facts

    @property
    def stops(self) -> bool:
        return self.facts.get("stops", False)

    def method(self, values: Mapping[str, str]) -> bytes:
        return _bytes(self.facts.get("method", "GET"), values, "latin-1")

    def path(self, values: Mapping[str, str]) -> bytes:
        return _bytes(self.facts.get("path", "/frontend/uploads/{id}"), values, "latin-1")

    def headers(self, values: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        given = self.facts.get("headers", [])
        names = {name.lower() for name, _ in given}
        headers = [
            (_bytes(name, values, "latin-1"), _bytes(value, values, "latin-1"))
            for name, value in given
            if value is not None
        ]
        if not names & {"content-length", "transfer-encoding"} and "body" in self.facts:
            headers.append((b"Content-Length", str(len(self.body(values))).encode()))
        if "connection" not in names:
            headers.append((b"Connection", b"close"))
        if "host" not in names:
            headers.insert(0, (b"Host", b"127.0.0.1"))
        return headers

    def body(self, values: Mapping[str, str]) -> bytes:
        return _bytes(self.facts.get("body", ""), values, "utf-8")

    def request(self, values: Mapping[str, str]) -> bytes:
        """As it goes over the wire."""
        if self.is_raw:
            return _bytes(self.facts["raw"], values, "latin-1")
        lines = [self.method(values) + b" " + self.path(values) + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers(values)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body(values)

    def expected(self, server: str) -> Expected:
        """`server` is one of tests/servers.py, for gunicorn with the kind of its workers behind."""
        facts = {name: self.facts[name] for name in EXPECTED & set(self.facts)}
        kinds = (server, server.partition("-")[0])
        if any(kind in self.facts.get("refused_by", "").split() for kind in kinds):
            return Expected((400,), own=True)
        for names, instead in self.facts.get("servers", {}).items():
            if any(kind in names.split() for kind in kinds):
                facts = {name: fact for name, fact in instead.items() if name != "why"}
        status = facts.pop("status")
        return Expected(tuple(status) if isinstance(status, list) else (status,), **facts)


def load_corpus() -> list[Case]:
    """Every case, in the order of the files. Raises ValueError for what nobody reads in one."""
    cases = []
    for path in sorted(FOLDER.glob("*.json")):
        for facts in json.loads(path.read_text())["cases"]:
            unknown = set(facts) - REQUEST - EXPECTED - {"name", "refused_by", "servers", "why"}
            for names, instead in facts.get("servers", {}).items():
                unknown |= set(instead) - EXPECTED - {"why"}
                if not instead.get("why"):
                    raise ValueError(f"{path.name}: {facts['name']}: why is {names} different?")
            if unknown:
                raise ValueError(f"{path.name}: {facts['name']}: nobody reads {unknown}")
            cases.append(Case(f"{path.stem}: {facts['name']}", facts))
    return cases


def _bytes(text: Any, values: Mapping[str, str], encoding: str) -> bytes:
    if isinstance(text, list):
        return b"".join(_bytes(part, values, encoding) for part in text)
    if isinstance(text, dict):
        if "hex" in text:
            return bytes.fromhex(text["hex"])
        if "json" in text:
            return json.dumps(text["json"]).encode()
        part = _bytes(text["repeat"], values, encoding)
        return b"".join(part.replace(b"{n}", b"%d" % n) for n in range(text["times"]))
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text.encode(encoding)
