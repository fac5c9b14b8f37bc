"""The golden vectors, a data file a dialect: `native.wire`, `tus.wire`, `ietf.wire`.

    every > Tus-Resumable: 1.0.0        in each request of the file, if it does not say another
    every < Tus-Resumable: 1.0.0        in each answer, likewise

    [an offset that is behind is refused]
    row A.8 offset differs from current: 409, resource untouched
    given ticket length=11
    given stored hello
    > PATCH /frontend/uploads/{id}
    > Content-Type: application/offset+octet-stream
    > Upload-Offset: 3
    >> lo world
    < 409 Conflict
    < Upload-Offset: 5
    << {"code": "offset_mismatch"}
    then unchanged

What may stand in a vector; a line with a # in front is for the reader.

    row WORDS           the row of sections.md that it holds (A.8 …), or of a document of ours
    only LINE WHY       it is sent over this line alone, `webtest` or `gunicorn`
    setting NAME=JSON   a setting of the server
    app WORDS           what the web app does with a complete file: `takes it`, if nothing is said;
                        `says wait`, `is silent`, `fails`, `refuses REASON`
    creation WORDS      authorize_creation: `makes NAME=JSON …` a ticket, `refuses`, `forbids TEXT`
    rights none         `authorize` says no to everything that a client asks for
    given …             the state that it starts from, see `wire_houses.py`
    > …                 a request: method and path, then headers; `-Name` leaves out one of every >
    >> TEXT             its body; others: `>>base64 …`, `>>size BYTES`, `>>chunked TEXT|TEXT`;
                        `>>cut TEXT of BYTES`, after which the client is gone;
                        `>>hangs TEXT of BYTES`, after which it sends no more and waits;
                        `>>from TEXT`, of TEXT all but the first {offset} bytes
    < …                 the answer: status (more than one: 200|204) and phrase, then headers, each
                            Name: VALUE             exactly this
                            Name ~ REGEX            all of it; named groups become variables
                            Name has A, B           a list with these, among others
                            Name lacks A            a list without it
                            Name within S of N      a number, or a date in N seconds, about
                            Name resolves to REGEX  a URL, relative to that of the request
                            -Name                   it must not be there
    << …                its body: `empty`, JSON whose members are in it, or `~ REGEX` for all of it
    then …              what is true afterwards, see `wire_houses.py`; `then NAME: …` of another

A vector may have several requests. {id} is the id of its ticket, {mount} where the server is
mounted, and every named group of an answer before is a variable too.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Config", "Exchange", "Vector", "fill", "load", "parse", "read_assignments"]

FOLDER = Path(__file__).parent
BODY = re.compile(r">>(\w*) ?(.*)")


@dataclass(frozen=True)
class Config:
    """The server that a vector needs; those that need the same share it."""

    settings: tuple[tuple[str, Any], ...] = ()
    app: str = "takes it"
    creation: str | None = None
    rights: str | None = None

    @property
    def as_json(self) -> str:
        said = [dict(self.settings), self.app, self.creation, self.rights]
        return json.dumps(said, sort_keys=True)


@dataclass
class Exchange:
    """A request and its answer, as lines, and the `then` lines after it."""

    method: str
    path: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: tuple[str, str] | None = None  # kind and text
    statuses: tuple[int, ...] = ()
    phrase: str = ""
    answer: list[str] = field(default_factory=list)
    answer_body: list[str] = field(default_factory=list)
    then: list[str] = field(default_factory=list)


@dataclass
class Vector:
    dialect: str
    name: str
    rows: list[str] = field(default_factory=list)
    only: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    app: str = "takes it"
    creation: str | None = None
    rights: str | None = None
    given: list[str] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def config(self) -> Config:
        settings = tuple((name, _frozen(value)) for name, value in sorted(self.settings.items()))
        return Config(settings, self.app, self.creation, self.rights)


def load(dialect: str) -> list[Vector]:
    return parse(dialect, (FOLDER / f"{dialect}.wire").read_text())


def parse(dialect: str, text: str) -> list[Vector]:
    vectors: list[Vector] = []
    always: dict[str, list[str]] = {">": [], "<": []}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            _read_line(line, dialect, vectors, always)
        except (ValueError, IndexError, AssertionError) as exc:
            raise ValueError(f"{dialect}.wire:{number}: {line!r}: {exc!r}") from exc
    for vector in vectors:
        for exchange in vector.exchanges:
            _complete(exchange, always)
    return vectors


def _read_line(line: str, dialect: str, vectors: list[Vector], always: Any) -> None:
    if not line.strip() or line.startswith("#"):
        return
    if line.startswith("["):
        assert line.endswith("]")
        vectors.append(Vector(dialect, line[1:-1]))
        return
    word, _, rest = line.partition(" ")
    if word == "every":
        assert not vectors
        always[rest[0]].append(rest[2:])
        return
    vector = vectors[-1]
    if word.startswith(">>"):
        kind, text = BODY.fullmatch(line).groups()  # type: ignore[union-attr]
        exchange = vector.exchanges[-1]
        assert exchange.body is None
        assert not exchange.statuses
        exchange.body = (kind or "text", text)
    elif word == ">":
        if re.match(r"[A-Z]+ /", rest):
            method, path = rest.split(" ")
            vector.exchanges.append(Exchange(method, path))
        else:
            name, _, value = rest.partition(": ")
            assert re.fullmatch(r"-?[\w-]+:?", name), "not a header"
            vector.exchanges[-1].headers.append((name.removesuffix(":"), value))
    elif word == "<<":
        vector.exchanges[-1].answer_body.append(rest)
    elif word == "<":
        exchange = vector.exchanges[-1]
        if not exchange.statuses:
            statuses, _, exchange.phrase = rest.partition(" ")
            exchange.statuses = tuple(map(int, statuses.split("|")))
        else:
            exchange.answer.append(rest)
    elif word == "then":
        vector.exchanges[-1].then.append(rest)
    elif word == "row":
        vector.rows.append(rest)
    elif word == "given":
        assert not vector.exchanges
        vector.given.append(rest)
    elif word == "setting":
        vector.settings.update(read_assignments(rest))
    elif word == "app":
        vector.app = rest
    elif word == "creation":
        vector.creation = rest
    elif word == "rights":
        assert rest == "none"
        vector.rights = rest
    elif word == "only":
        vector.only, _, why = rest.partition(" ")
        assert vector.only in ("webtest", "gunicorn")
        assert why, "say why"
    else:
        raise ValueError(f"what is {word}?")


def _complete(exchange: Exchange, always: Mapping[str, list[str]]) -> None:
    """With what every request and answer of the file has."""
    said = {name.lower().lstrip("-") for name, _ in exchange.headers}
    exchange.headers = [(name, value) for name, value in exchange.headers if name[0] != "-"]
    for header in always[">"]:
        name, _, value = header.partition(": ")
        if name.lower() not in said:
            exchange.headers.append((name, value))
    expected = {re.match(r"-?([\w-]+)", line)[1].lower() for line in exchange.answer}  # type: ignore[index]
    for line in always["<"]:
        if re.match(r"-?([\w-]+)", line)[1].lower() not in expected:  # type: ignore[index]
            exchange.answer.append(line)


def read_assignments(text: str) -> dict[str, Any]:
    """`a=1 b="two words" c=true`: the values are JSON."""
    found: dict[str, Any] = {}
    decoder = json.JSONDecoder()
    while text := text.strip():
        name, _, rest = text.partition("=")
        found[name], end = decoder.raw_decode(rest)
        text = rest[end:]
    return found


def fill(text: str, variables: Mapping[str, str]) -> str:
    """With {name} and {base64 name} replaced where `variables` have that name."""

    def replace(match: re.Match[str]) -> str:
        if match[2] not in variables:
            return match[0]
        value = variables[match[2]]
        return base64.b64encode(value.encode()).decode() if match[1] else value

    return re.sub(r"\{(base64 )?(\w+)\}", replace, text)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
