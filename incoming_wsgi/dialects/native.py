"""The protocol of our own browser library and client: JSON about an upload, PUT of its ranges.

GET asks, POST declares, PUT with Content-Range stores, DELETE cancels; the answer to each is the
same description of the upload, so that a client which has lost an answer only has to ask. Chunks
may come in any order, in parallel and repeated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ..agreement import Declaration
from ..body import MAX_TEXT, Body, shown
from ..config import Settings
from ..engine import Engine
from ..errors import BadRequest, ChunkTooLarge, IncomingError, LengthRequired, MethodNotAllowed
from ..header_fields import parse_content_digest
from ..outcomes import is_refused
from ..ranges import Range
from ..responses import NO_STORE, Answer, Headers, error_answer, has_already, json_answer
from ..rights import Rights
from ..uploads import ChunkDigest, Upload, parse_sha256, without_surrogates
from .description import describe
from .request import CANCELLED_BY_CLIENT, Request
from .superset import progress_headers

__all__ = ["NativeDialect"]

ACTIONS = {
    "GET": "query",
    "HEAD": "query",
    "POST": "declare",
    "PUT": "store",
    "DELETE": "cancel",
}
ALLOWED_METHODS = (*ACTIONS, "OPTIONS")
MAX_JSON_BYTES = 64 * 1024
MAX_DIGESTS = 1000
# A file that came in random order may have tens of thousands, and an answer for each chunk.
MAX_RANGES_AFTER_PUT = 1000
MAX_NUMBER_DIGITS = 100  # int() refuses some thousands, and says so in words for programmers
CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


class NativeDialect:
    def __init__(self, engine: Engine, settings: Settings, rights: Rights) -> None:
        self._engine = engine
        self._settings = settings
        self._rights = rights

    def answer(self, request: Request) -> Answer:
        action = ACTIONS.get(request.method)
        if action is None:
            raise MethodNotAllowed(allowed=ALLOWED_METHODS)
        upload_id = request.upload_id
        if upload_id is None:
            if request.method != "POST":
                raise MethodNotAllowed(allowed=("POST", "OPTIONS"))
            raise BadRequest(
                "Uploads are created here by clients that say which protocol they speak: "
                "Tus-Resumable, or Upload-Complete. Others get a ticket from the web app."
            )
        self._rights.check(request.environ, upload_id, action)
        if action == "query":
            return self.query(request.environ, upload_id, request.method)
        if action == "cancel":
            return self.cancel(request.environ, upload_id)
        # Not before: whoever has no right must not end the requests of those who have.
        request.in_flight.join(upload_id)
        if action == "declare":
            return self.declare(request.body, upload_id)
        request.check_coding()
        return self.store(request.environ, request.body, upload_id)

    def refuse(self, error: IncomingError) -> Answer:
        """The answer to a request that has come to nothing."""
        return error_answer(error)

    def query(self, environ: dict[str, Any], upload_id: str, method: str) -> Answer:
        # A HEAD may be of a client of the draft, without a mark: the offset that it is told must
        # stay true. Whoever knows the upload's ETag is no such client.
        tells_offset = method == "HEAD" and "HTTP_IF_NONE_MATCH" not in environ
        if tells_offset and self._engine.is_written_to(upload_id, appends=True):
            tells_offset = self._rights.have(environ, upload_id, "store")
            if tells_offset:
                self._engine.settle(upload_id, appends=True)
        upload = self._engine.load(upload_id)
        if tells_offset and is_refused(upload):  # an offset would be a success to some
            tells_offset = False
        facts = describe(upload, self._settings)
        # Only where the client asks for them: a long upload has many.
        wants_digests = environ.get("QUERY_STRING") == "digests=1"
        if wants_digests and (digests := self._engine.find_digests(upload_id)):
            facts["digests"] = [
                {"start": digest.start, "stop": digest.stop, "sha256": digest.sha256}
                for digest in _thinned(digests)
            ]
        etag = _entity_tag(facts)
        headers: Headers = (("ETag", etag),)
        if has_already(environ, etag):
            return Answer(304, (NO_STORE, *headers))
        if tells_offset:
            headers += progress_headers(
                upload,
                draft=self._settings.ietf_draft,
                max_length=self._engine.find_limit(upload),
            )
        return _describe(upload, facts, headers)

    def declare(self, body: Body, upload_id: str) -> Answer:
        try:
            declaration = _parse_declaration(body.read_all(MAX_JSON_BYTES))
        except IncomingError:
            self._engine.load(upload_id)  # an unknown ticket is said before a fault in the body
            raise
        return self._describe_changed(self._wait(self._engine.declare(upload_id, declaration)))

    def store(self, environ: Mapping[str, Any], body: Body, upload_id: str) -> Answer:
        if body.length is None:
            raise LengthRequired
        if body.length > self._settings.max_chunk_bytes:
            raise ChunkTooLarge(length=body.length, max_chunk_bytes=self._settings.max_chunk_bytes)
        start, stop, length = _parse_content_range(environ.get("HTTP_CONTENT_RANGE"))
        if stop - start != body.length:
            raise BadRequest(
                f"Content-Range names {stop - start} bytes, Content-Length {body.length}; "
                "they must be the same"
            )
        digest = parse_content_digest(environ.get("HTTP_CONTENT_DIGEST"))
        upload = self._engine.store(
            upload_id,
            start=start,
            stop=stop,
            length=length,
            blocks=body.blocks(keep=2) if digest else body.blocks(piped=self._engine.takes_pipes),
            digest=digest,
            file_tag=_parse_if_match(environ.get("HTTP_IF_MATCH")),
        )
        return self._describe_changed(self._wait(upload), near=(start, stop))

    def cancel(self, environ: Mapping[str, Any], upload_id: str) -> Answer:
        reason = _text("reason", _parse_query(environ).get("reason"))
        upload = self._engine.cancel(upload_id, reason=reason or CANCELLED_BY_CLIENT, tell_app=True)
        return self._describe_changed(upload)

    def _wait(self, upload: Upload) -> Upload:
        """For what the web app makes of it, if that is wanted: a client of this protocol asks."""
        wait_s = self._settings.complete_wait_s or 0
        return self._engine.wait_for_outcome(upload, wait_s) or upload

    def _describe_changed(self, upload: Upload, *, near: Range | None = None) -> Answer:
        """`near` is what was just stored: of very many ranges only those are told that touch it."""
        facts = describe(upload, self._settings)
        if near is not None and len(upload.received.ranges) > MAX_RANGES_AFTER_PUT:
            facts["received"] = upload.received.touching(*near)
            facts["received_near"] = near
        return _describe(upload, facts)


def _describe(upload: Upload, facts: Mapping[str, Any], headers: Headers = ()) -> Answer:
    return json_answer({"id": upload.id, **facts}, headers=headers)


def _entity_tag(facts: Mapping[str, Any]) -> str:
    """Another one for other facts, in all processes alike. The id, which is a secret, is not among
    them."""
    said = repr(facts).encode("utf-8", "surrogatepass")
    return f'"{hashlib.sha256(said).hexdigest()[:32]}"'


def _thinned(digests: tuple[ChunkDigest, ...]) -> tuple[ChunkDigest, ...]:
    """At most MAX_DIGESTS of them, evenly spread, the first and the last among them: a file of
    terabytes has hundreds of thousands, and a client that goes on compares a few."""
    if len(digests) <= MAX_DIGESTS:
        return digests
    step = (len(digests) - 1) / (MAX_DIGESTS - 1)
    return tuple(digests[round(number * step)] for number in range(MAX_DIGESTS))


def _parse_declaration(body: bytes) -> Declaration:
    said = _parse_json(body)
    if not isinstance(said, dict):
        raise BadRequest("the body must be a JSON object")
    length = said.get("length")
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise BadRequest(f"length is {shown(length)}; it must be the number of bytes of the file")
    last_modified = said.get("last_modified")
    if last_modified is not None and (
        not isinstance(last_modified, (int, float))
        or isinstance(last_modified, bool)
        or not abs(last_modified) < 2**53
    ):
        raise BadRequest(
            f"last_modified is {shown(last_modified)}; it must be milliseconds since 1970"
        )
    return Declaration(
        length=length,
        filename=_text("filename", said.get("filename")),
        content_type=_text("type", said.get("type")),
        last_modified=None if last_modified is None else int(last_modified),
        # Browsers have "" for a file that was not chosen with a folder.
        relative_path=_text("relative_path", said.get("relative_path")) or None,
        expected_sha256=_sha256(said.get("sha256")),
    )


def _parse_json(body: bytes) -> object:
    """JSON as RFC 8259 and 7493 have it, so that nobody reads it in another way than we do: UTF-8,
    no name twice in an object, no NaN, no numbers of thousands of digits."""
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_parse_int,
        )
    except UnicodeDecodeError as exc:
        raise BadRequest(f"the body must be JSON in UTF-8: {exc}") from exc
    except ValueError as exc:
        raise BadRequest(f"the body must be JSON: {exc}") from exc
    except RecursionError as exc:
        raise BadRequest("the body must be JSON of reasonable depth") from exc


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        ((name, count),) = Counter(name for name, _ in pairs).most_common(1)
        raise BadRequest(f"the body has {shown(name)} {count} times; once is enough")
    return members


def _refuse_constant(name: str) -> object:
    raise BadRequest(f"the body must be JSON, which has no {name}")


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_NUMBER_DIGITS:
        raise BadRequest(f"the body has a number of {len(digits)} digits: {shown(digits)}")
    return int(digits)


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadRequest(f"{name} must be a text of at most {MAX_TEXT} characters")
    return without_surrogates(value)


def _sha256(value: object) -> str | None:
    sha256 = parse_sha256(value)
    if value is not None and sha256 is None:
        raise BadRequest(f"sha256 is {shown(value)}; it must be 64 hexadecimal digits")
    return sha256


def _parse_query(environ: Mapping[str, Any]) -> dict[str, str]:
    """Of a parameter that is there twice the last counts."""
    query = environ.get("QUERY_STRING", "").encode("latin-1")  # as WSGI spells bytes
    try:
        return dict(parse_qsl(query.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError as exc:
        raise BadRequest("the reason must be UTF-8") from exc


def _parse_content_range(value: str | None) -> tuple[int, int, int]:
    """start, stop (exclusive) and the length of the whole."""
    match = CONTENT_RANGE.fullmatch(value or "")
    if match is None:
        raise BadRequest(
            f"Content-Range is {shown(value)}; it must be like bytes 0-1048575/5000000, with the "
            "first and the last byte of this body and the length of the file"
        )
    first, last, length = map(int, match.groups())
    if last < first:
        raise BadRequest(f"Content-Range is {shown(value)}: the last byte comes before the first")
    return first, last + 1, length


def _parse_if_match(value: str | None) -> str | None:
    """The one entity tag of If-Match; None if there is none or any will do."""
    if value is None or value.strip() == "*":
        return None
    match = re.fullmatch(r'\s*"([^"]*)"\s*', value)
    if match is None:
        raise BadRequest(f'If-Match is {shown(value)}; it must be one tag in quotes: "{"f" * 16}"')
    return match[1]
