"""Every golden vector, through webtest with lint and through gunicorn over a socket.

What is expected was written down from sections.md and our own documents, never from an answer of
the code: see `wire_vectors.py` for the form, and the `row` of each vector for what it holds.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from servers import gunicorn
from wire_answers import check_answer
from wire_houses import TOWN, House, sized
from wire_lines import Called, Over, Request
from wire_vectors import Config, Exchange, Vector, fill, load, parse

from incoming_wsgi import errors

DIALECTS = ("native", "tus", "ietf")
VECTORS = [vector for dialect in DIALECTS for vector in load(dialect)]
# What a server can show of parts A to C of sections.md. B.20 and B.21 are about the text itself.
SECTIONS = [
    *(f"A.{number}" for number in range(1, 17)),
    *(f"B.{number}" for number in range(1, 20)),
    *(f"C.{number}" for number in (1, 3, 9)),
]
WITH_BODY = ("POST", "PUT", "PATCH")
# Errors that no request of a client can make: of trouble in the server, of backend/, of an app that
# checks signatures, of races; and names of groups.
OF_OTHERS = {
    "bytes_lost",
    "conflict",
    "error",
    "lease_lost",
    "not_synced",
    "request_ended",
    "storage_error",
    "superseded",
    "ticket_store_error",
    "too_late",
    "too_many_parts",
    "unavailable",
    "wrong_secret",
    "wrong_signature",
}

Line = Called | Over


class Town:
    """The houses that one line leads to."""

    def __init__(self, folder: Path, line: Line) -> None:
        self.line = line
        self._folder = folder
        self._houses: dict[Config, House] = {}

    def house(self, config: Config) -> House:
        if config not in self._houses:
            self._houses[config] = House(self._folder, config)
        return self._houses[config]

    def close(self) -> None:
        self.line.close()
        for house in self._houses.values():
            house.incoming.close()


LINES = ["webtest", "gunicorn"]


@pytest.fixture(scope="module", params=LINES)
def town(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "webtest":
        town = Town(folder, Called())
        yield town
        town.close()
        return
    environ = {TOWN: str(folder)}
    # As many threads as requests can hang, and some for others.
    options = ("--threads", "8", "--graceful-timeout", "1")
    with gunicorn("wire_houses:application", *options, folder=folder, environ=environ) as server:
        town = Town(folder, Over(server.port))
        yield town
        town.close()


@pytest.mark.parametrize(
    ("town", "vector"),
    [(line, vector) for line in LINES for vector in VECTORS if vector.only in (None, line)],
    indirect=["town"],
    ids=lambda value: f"{value.dialect}: {value.name}" if isinstance(value, Vector) else value,
)
def test_a_request_gets_the_answer_that_is_written_down(vector: Vector, town: Town) -> None:
    house = town.house(vector.config)

    def put(method: str, upload_id: str, headers: Mapping[str, str], body: bytes) -> None:
        path = f"{house.mount}/frontend/uploads/{upload_id}"
        request = Request(method, path, tuple(headers.items()), body, len(body))
        answer = town.line.send(house.folder, house.mount, request)
        assert answer is not None
        assert answer.status == 200, answer

    variables = house.prepare(vector.given, put)
    try:
        for exchange in vector.exchanges:
            _exchange(exchange, house, town.line, variables)
    finally:
        for upload_id in variables.values():
            if re.fullmatch(r"[0-9a-f-]{36}", upload_id):
                house.release(upload_id)
        if isinstance(town.line, Over):
            town.line.let_go()


def _exchange(exchange: Exchange, house: House, line: Line, variables: dict[str, str]) -> None:
    request = _request(exchange, house, variables)
    before = house.facts(variables["id"]) if "id" in variables else None
    answer = line.send(house.folder, house.mount, request)
    if not request.hangs:
        assert answer is not None
        check_answer(answer, exchange, request, variables)
    for condition in exchange.then:
        name, _, rest = (
            condition.rpartition(": ") if _is_of_another(condition) else ("id", "", condition)
        )
        house.check(fill(rest, variables), variables.get(name, ""), before)


def _is_of_another(condition: str) -> bool:
    return re.match(r"\w+: ", condition) is not None


def _request(exchange: Exchange, house: House, variables: Mapping[str, str]) -> Request:
    kind, text = exchange.body or ("none", "")
    text = fill(text, variables)
    said = {name.lower() for name, _ in exchange.headers}
    announced: int | None = None
    chunked: tuple[bytes, ...] | None = None
    body = text.encode()
    if kind == "base64":
        body = base64.b64decode(text, validate=True)
    elif kind == "size":
        body = sized(int(text))
    elif kind == "from":
        body = body[int(variables["offset"]) :]
    elif kind == "chunked":
        chunked, body = tuple(part.encode() for part in text.split("|") if part), b""
    elif kind in ("cut", "hangs"):
        text, _, length = text.rpartition(" of ")
        body, announced = text.encode(), int(length)
    else:
        assert kind in ("none", "text"), kind
    if chunked is None and announced is None and (body or exchange.method in WITH_BODY):
        announced = len(body)
    if "content-length" in said or "transfer-encoding" in said or "no-length" in said:
        announced = None
    headers = [(n, fill(v, variables)) for n, v in exchange.headers if n.lower() != "no-length"]
    return Request(
        method=exchange.method,
        path=house.mount + fill(exchange.path, variables),
        headers=tuple(headers),
        body=body,
        announced=announced,
        chunked=chunked,
        ends=kind == "cut",
        hangs=kind == "hangs",
    )


# the vectors as a whole


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_of_the_protocols_has_a_vector(section: str) -> None:
    rows = [row for vector in VECTORS for row in vector.rows]
    assert any(row.split(" ")[0] == section for row in rows)


def test_every_vector_says_what_it_holds_and_how_it_ends() -> None:
    names = [(vector.dialect, vector.name) for vector in VECTORS]
    assert len(names) == len(set(names))
    for vector in VECTORS:
        assert vector.rows, vector.name
        assert vector.exchanges, vector.name
        for exchange in vector.exchanges:
            hangs = exchange.body is not None and exchange.body[0] == "hangs"
            assert bool(exchange.statuses) != hangs, vector.name


def test_every_error_that_a_client_can_make_has_a_vector() -> None:
    codes = {getattr(errors, name).code for name in errors.__all__}
    bodies = " ".join(
        line for vector in VECTORS for exchange in vector.exchanges for line in exchange.answer_body
    )
    shown = set(re.findall(r'"code": "([a-z_]+)"', bodies))
    assert codes - shown == OF_OTHERS


def test_a_vector_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"tus\.wire:2"):
        parse("tus", "[a vector]\nrwo A.8 misspelt\n")
