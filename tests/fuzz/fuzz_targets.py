"""What must be so of each parser of bytes from outside, whatever the bytes are.

A target is a function of `bytes` that raises if something is not so; `SEEDS` in fuzz_seeds.py has
inputs for each. Where a parser takes several texts they stand on lines of their own.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import requests
from webob import Request

from incoming_wsgi import Incoming, client
from incoming_wsgi.backend_api import _Parameters
from incoming_wsgi.body import Body, parse_length
from incoming_wsgi.client_metadata import decode_metadata
from incoming_wsgi.config import ENVIRON_PREFIX, Settings, parse_setting
from incoming_wsgi.dialects.metadata import declare_from, parse_metadata
from incoming_wsgi.dialects.native import (
    _parse_content_range,
    _parse_declaration,
    _parse_if_match,
)
from incoming_wsgi.dialects.tus import _parse_checksum, _parse_parts
from incoming_wsgi.digesting import ALGORITHMS
from incoming_wsgi.errors import BadRequest, IncomingError, IncompleteBody, WrongSecret
from incoming_wsgi.exchange import Exchange
from incoming_wsgi.handover import handover_fields
from incoming_wsgi.header_fields import (
    parse_boolean,
    parse_content_digest,
    parse_digests,
    parse_disposition,
    parse_integer,
    parse_integers,
)
from incoming_wsgi.in_flight import InFlight
from incoming_wsgi.names import safe_filename, safe_relative_path
from incoming_wsgi.remote import RemoteUpload
from incoming_wsgi.uploads import Upload, is_http_url, is_text

__all__ = ["TARGETS"]

TARGETS: dict[str, Callable[[bytes], None]] = {}


def target(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
    TARGETS[function.__name__] = function
    return function


def header(data: bytes) -> str:
    """As WSGI spells the bytes of a header."""
    return data.decode("latin-1")


def text(data: bytes) -> str:
    """Any text that Python can hold, halves of surrogate pairs too."""
    return data.decode("utf-8", "surrogateescape")


IN_FLIGHT = InFlight(max_requests_per_upload=1, min_rate_bytes_s=0, stall_timeout_s=30.0)


def lines(data: bytes, number: int) -> list[bytes]:
    found = data.split(b"\n", number - 1)
    return found + [b""] * (number - len(found))


# requests


@target
def content_length(data: bytes) -> None:
    """The header, and the body."""
    said, sent = lines(data, 2)
    environ = {"CONTENT_LENGTH": header(said), "wsgi.input": io.BytesIO(sent)}
    try:
        body = Body(environ, IN_FLIGHT.begin(environ))
    except BadRequest:
        return
    if body.length is None:
        assert said == b""
        return
    assert 0 <= body.length < 10**19
    assert parse_length("x", str(body.length)) == body.length == int(said.lstrip(b"0") or b"0")
    arrived, whole = b"", True
    try:
        for block in body.blocks():
            arrived += block
    except IncompleteBody:
        whole = False
    assert whole == (len(sent) >= body.length)
    assert arrived == sent[: body.length]


@target
def content_range(data: bytes) -> None:
    try:
        start, stop, length = _parse_content_range(header(data))
    except BadRequest:
        return
    assert 0 <= start < stop
    assert length >= 0
    assert _parse_content_range(f"bytes {start}-{stop - 1}/{length}") == (start, stop, length)


@target
def content_digest(data: bytes) -> None:
    try:
        digest = parse_content_digest(header(data))
    except BadRequest:
        return
    if digest is not None:
        name = {"sha256": "sha-256", "sha512": "sha-512"}[digest.algorithm]
        said = base64.b64encode(digest.value).decode()
        assert parse_content_digest(f"{name}=:{said}:") == digest


@target
def if_match(data: bytes) -> None:
    try:
        tag = _parse_if_match(header(data))
    except BadRequest:
        return
    if tag is None:
        assert header(data).strip() == "*"
    else:
        assert '"' not in tag
        assert _parse_if_match(f'"{tag}"') == tag


@target
def declaration(data: bytes) -> None:
    try:
        said = _parse_declaration(data)
    except BadRequest:
        return
    assert type(said.length) is int
    assert said.length >= 0
    assert said.last_modified is None or abs(said.last_modified) < 2**53
    for value in (said.filename, said.content_type, said.relative_path):
        assert value is None or (is_text(value) and len(value) <= 4096)
    facts = dataclasses.asdict(said)
    facts["type"] = facts.pop("content_type")
    assert _parse_declaration(json.dumps(facts).encode()) == said


@target
def form(data: bytes) -> None:
    """The type, the query, and the body."""
    content_type, query, body = lines(data, 3)
    environ = {
        **Request.blank("/backend/new_upload", method="POST").environ,
        "QUERY_STRING": header(query),
        "CONTENT_TYPE": header(content_type),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # WebOb's cgi
            parameters = _Parameters(environ, Body(environ, IN_FLIGHT.begin(environ)))
        length = parameters.get_length("length")
    except BadRequest:
        return
    assert length is None or 0 <= length < 2**63
    known = {name: parameters.get(name) for name in ("id", "owner", "filename", "length")}
    assert all(isinstance(value, str) for value in known.values())
    if all(is_text(value) for value in known.values()):
        again = urlencode(known).encode()
        environ |= {
            "QUERY_STRING": "",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(again)),
            "wsgi.input": io.BytesIO(again),
        }
        parameters = _Parameters(environ, Body(environ, IN_FLIGHT.begin(environ)))
        assert {name: parameters.get(name) for name in known} == known


# requests of tus and of the draft


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


@target
def upload_metadata(data: bytes) -> None:
    try:
        metadata = parse_metadata(header(data))
    except BadRequest:
        decode_metadata(header(data))  # it has let others through
        return
    assert not any(set(key) & set(" ,") or not key.isascii() for key in metadata)
    again = ",".join(f"{key} {base64_of(value)}" for key, value in metadata.items())
    assert parse_metadata(again) == metadata
    texts = {key: value.decode("utf-8", "replace") for key, value in metadata.items()}
    assert decode_metadata(header(data)) == texts
    try:
        said = declare_from(metadata, length=5)
    except BadRequest:
        return
    for value in (said.filename, said.content_type, said.relative_path):
        assert value is None or (is_text(value) and 0 < len(value) <= 4096)
    assert said.expected_sha256 is None or re.fullmatch("[0-9a-f]{64}", said.expected_sha256)


@target
def upload_checksum(data: bytes) -> None:
    try:
        digest = _parse_checksum(header(data))
    except BadRequest:
        return
    assert digest is not None
    assert len(digest.value) == ALGORITHMS[digest.algorithm]
    assert _parse_checksum(f"{digest.algorithm} {base64_of(digest.value)}") == digest


@target
def upload_concat(data: bytes) -> None:
    """What follows `final;`."""
    urls = header(data)
    try:
        ids = _parse_parts("final;" + urls)
    except BadRequest:
        return
    assert len(ids) == len(urls.split())
    for part_id, url in zip(ids, urls.split(), strict=True):
        assert re.fullmatch("[A-Za-z0-9_-]+", part_id)
        assert url.rpartition("/")[2] == part_id
        assert not set(url) & set("?#")


@target
def structured_field(data: bytes) -> None:
    """As each of the types that we know; at most one of the Items is what it is."""
    field = header(data)
    boolean, integer, integers = parse_boolean(field), parse_integer(field), parse_integers(field)
    assert boolean is None or integer is None
    bare = field.strip(" ").partition(";")[0]
    assert boolean is None or bare == f"?{boolean:d}"
    assert integer is None or (re.fullmatch("-?[0-9]{1,15}", bare) and int(bare) == integer)
    assert all(abs(value) < 10**15 and f"{key}={value}" for key, value in integers.items())
    again = ", ".join(f"{key}={value}" for key, value in integers.items())
    assert parse_integers(again) == integers


@target
def repr_digest(data: bytes) -> None:
    try:
        digests = parse_digests("Repr-Digest", header(data))
    except BadRequest:
        return
    names = {"sha256": "sha-256", "sha512": "sha-512"}
    assert digests.keys() <= names.keys()
    again = ",".join(f"{names[key]}=:{base64_of(value)}:" for key, value in digests.items())
    assert parse_digests("Repr-Digest", again) == digests


@target
def content_disposition(data: bytes) -> None:
    name = parse_disposition(header(data))
    if name is None:
        return
    assert name
    assert is_text(name)
    assert_safe_name(safe_filename(name))
    assert parse_disposition(f"inline; filename*=UTF-8''{quote(name, safe='')}") == name


@lru_cache
def app() -> tuple[Incoming, tempfile.TemporaryDirectory[str]]:
    """The folder is gone with it."""
    folder = tempfile.TemporaryDirectory()
    incoming = Incoming(
        folder.name, on_finished=lambda _: None, background=False, max_length_bytes=4096
    )
    return incoming, folder


METHODS = ("POST", "PATCH", "HEAD", "DELETE", "PUT", "GET")


@target
def request_of_any_dialect(data: bytes) -> None:
    """A method by its number, fields, an empty line, a body: whatever they say, it is understood or
    refused, and what is stored is what came."""
    incoming, _ = app()
    head, _, body = data.partition(b"\n\n")
    number, *fields = head.split(b"\n")
    upload_id = incoming.new_upload(length=None)
    environ = {
        **Request.blank(f"/frontend/uploads/{upload_id}").environ,
        "REQUEST_METHOD": METHODS[sum(number) % len(METHODS)],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    for field in fields:
        name, _, value = header(field).partition(": ")
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    statuses: list[str] = []
    parts = incoming(environ, lambda status, _: statuses.append(status))  # type: ignore[arg-type]
    b"".join(parts)
    assert 200 <= int(statuses[0][:3]) < 500, statuses
    upload = incoming.status(upload_id)
    if upload.received.prefix_bytes:
        stored = (Path(app()[1].name) / "files" / upload_id).read_bytes()
        assert stored == body[: len(stored)]


# names


def assert_safe_name(name: str) -> None:
    assert 0 < len(name.encode()) <= 255  # and so no half of a surrogate pair
    assert name.strip(". ")
    assert not set(name) & set("/\\\0\r\n\u2028\u202e")
    assert os.path.normpath(os.path.join("/folder", name)) == "/folder/" + name


@target
def filename(data: bytes) -> None:
    name = safe_filename(text(data))
    assert_safe_name(name)
    assert safe_filename(name) == name


@target
def relative_path(data: bytes) -> None:
    """The path, and the name."""
    path, name = map(text, lines(data, 2))
    safe = safe_relative_path(path, name)
    segments = safe.split("/")
    for segment in segments:
        assert_safe_name(segment)
    assert len(segments) <= 32
    assert len(safe.encode()) <= 3072
    assert segments[-1] == safe_filename(name)
    assert safe_relative_path(safe, name) == safe


# the web app


@target
def http_url(data: bytes) -> None:
    url = text(data)
    if is_http_url(url):
        assert is_text(url)  # it is stored
        assert url.lstrip(" ").lower().startswith(("http://", "https://"))
        assert not set(url) & set("\r\n\0")  # it goes into a request line
        if url.isascii():  # of other names IDNA 2003, ours, knows some that 2008 does not
            requests.Request("POST", url).prepare()


@target
def handover(data: bytes) -> None:
    """The form of a handover, as anybody may post it."""
    params = dict(parse_qsl(data.decode("latin-1"), keep_blank_values=True, errors="replace"))
    try:
        told = client.Handover.from_params(params, params.get("backendSecret", ""))
    except (BadRequest, WrongSecret):
        return
    assert (told.path is None) == told.cancelled
    assert told.path is None or told.path.is_absolute()
    assert told.attempt >= 1
    assert told.length is None or told.length >= 0
    if told.filename_from_browser or not told.cancelled:
        assert_safe_name(told.filename_from_browser)
    for segment in (told.relative_path or "x").split("/"):
        assert_safe_name(segment)


@target
def handover_of_ours(data: bytes) -> None:
    """The name, the path, the secret and the reason of an upload: what we post can be read."""
    name, path, secret, reason = (
        line.decode("utf-8", "replace") or None for line in lines(data, 4)
    )
    upload = Upload(
        id="x", created_at=0, due_at=0, secret=secret or "", filename=name, relative_path=path,
        reason=reason, length=len(data), attempt=1,
    )  # fmt: skip
    for where in (Path("/files/x"), None):
        fields = handover_fields(upload, where)
        told = client.Handover.from_params(dict(parse_qsl(urlencode(fields), True)), secret or "")
        assert told.path == where
        assert told.cancelled == (where is None)
        assert told.cancel_reason == ("" if where else reason or "")
        assert told.relative_path == (upload.safe_relative_path if path else None)
        if name or where:
            assert told.filename_from_browser == upload.safe_filename
        assert told.length == len(data)


# servers


class Session:
    """Gives one answer."""

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer

    def request(self, *_: Any, **__: Any) -> requests.Response:
        return self._answer


@target
def answer(data: bytes) -> None:
    """The status, Content-Type, Retry-After and the body of what says that it is Incoming."""
    status, content_type, retry_after, body = lines(data, 4)
    response = requests.Response()
    response.status_code = int(status) if status.isdigit() and len(status) == 3 else 200
    response.url = "http://incoming.example/frontend/uploads/x"
    response.headers["Content-Type"] = header(content_type)
    response.headers["Retry-After"] = header(retry_after)
    response.headers["Content-Length"] = str(len(body))
    response.raw = SimpleNamespace(tell=lambda: len(body))
    response._content = body
    exchange = Exchange(timeout_s=1, session=Session(response))  # type: ignore[arg-type]
    try:
        upload = RemoteUpload(exchange, response.url).query()
    except IncomingError as exc:
        str(exc)
        repr(exc.evidence())
    else:
        assert response.status_code == 200
        assert all(start < stop for start, stop in upload.received)
    wait_s = exchange.retry_after_s
    assert wait_s is None or (wait_s >= 0 and not math.isnan(wait_s))


@target
def record(data: bytes) -> None:
    """What backend/uploads/{id} answers."""
    response = requests.Response()
    response.status_code = 200
    response.raw = SimpleNamespace(tell=lambda: len(data))
    response._content = data
    incoming = client.IncomingClient("http://incoming.example")
    incoming._exchange = lambda: Exchange(timeout_s=1, session=Session(response))  # type: ignore
    try:
        upload = incoming.status("x")
    except IncomingError:
        return
    assert all(start < stop for start, stop in upload.received)


# settings

NAMES = [setting.name for setting in dataclasses.fields(Settings)]


@target
def setting(data: bytes) -> None:
    """A number that stands for a setting, and its value."""
    number, value = lines(data, 2)
    name = NAMES[sum(number) % len(NAMES)]
    try:
        _, settings = Settings.from_environ({ENVIRON_PREFIX + name.upper(): text(value)})
    except ValueError:
        return
    found = getattr(settings, name)
    if isinstance(found, tuple):
        said = ",".join(found) or ","
    else:
        said = "none" if found is None else str(found)
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    assert parse_setting(fields[name], said) == found
