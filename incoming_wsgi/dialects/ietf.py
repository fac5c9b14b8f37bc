"""Resumable Uploads for HTTP, the draft of the IETF (draft-ietf-httpbis-resumable-upload), in all
versions that are about: VERSIONS says what differs between them.

One stream of bytes, as in tus, whose end the client marks: `Upload-Complete: ?1`. In an answer the
same field says who is speaking. `?1`: the web app, this is what has become of the file, and sending
anything again will not change it. `?0`: the upload resource, which has something to say of the
transfer alone.

There is no 104 (Upload Resumption Supported): WSGI has no interim answers, and the draft lets off
servers which cannot give any. Who sends everything at once learns the upload's address from the
final answer alone; who wants to resume creates the upload first, with `?0` and no content, or uses
an address that it knows, the ticket's.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..agreement import Append, Declaration
from ..body import shown
from ..config import Settings
from ..digesting import ExpectedDigest
from ..engine import Engine
from ..errors import (
    BadRequest,
    FileTooLarge,
    IncomingError,
    InconsistentLength,
    MethodNotAllowed,
    NotTaken,
    OffsetMismatch,
    WrongMediaType,
    WrongState,
)
from ..header_fields import (
    parse_boolean,
    parse_content_digest,
    parse_digests,
    parse_disposition,
    parse_integer,
    parse_integers,
)
from ..outcomes import check_outcome
from ..responses import NO_STORE, Answer, Headers, error_answer, json_answer, text_answer
from ..rights import Rights
from ..states import UploadState, takes_bytes
from ..uploads import Upload
from .appending import Appending, find_status
from .creation import Creation, locate
from .description import describe
from .metadata import declare_from, parse_metadata
from .request import Request
from .superset import (
    expiry_headers,
    offset_headers,
    progress_headers,
    reason_headers,
    upload_limit,
)

__all__ = ["DraftDialect", "Version", "discover", "find_version", "is_marked"]

PARTIAL_UPLOAD = "application/partial-upload"
COMPLETE = "Upload-Complete"
INCOMPLETE = "Upload-Incomplete"  # the same with the opposite meaning
INTEROP_VERSION = "Upload-Draft-Interop-Version"
MARKS = (COMPLETE, INCOMPLETE, INTEROP_VERSION)
ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
APPEND = "append"
PROBLEMS = "https://iana.org/assignments/http-problem-types#"


@dataclass(frozen=True, slots=True)
class Version:
    """`fields`: those that say whether an upload is complete, the preferred one first.
    `is_typed`: whether what is appended has to have the media type for it."""

    fields: tuple[str, ...] = (COMPLETE,)
    is_typed: bool = True

    def read(self, request: Request) -> bool | None:
        """None if it is not said."""
        for field in self.fields:
            said = parse_boolean(request.header(field))
            if said is not None:
                return said if field == COMPLETE else not said
        return None

    def say(self, is_complete: bool) -> Headers:
        return tuple(
            (field, "?1" if is_complete is (field == COMPLETE) else "?0") for field in self.fields
        )


NEWEST = Version()
VERSIONS: Mapping[int, Version] = {
    3: Version(fields=(INCOMPLETE,), is_typed=False),
    4: Version(fields=(COMPLETE, INCOMPLETE), is_typed=False),  # clients of both kinds are about
    5: Version(is_typed=False),
}
"""By the number of their `Upload-Draft-Interop-Version`. All others are as the newest, 9."""


def is_marked(environ: Mapping[str, Any]) -> bool:
    """Whether a request has what only requests of the draft have."""
    media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    return media_type == PARTIAL_UPLOAD or any(_key(mark) in environ for mark in MARKS)


def find_version(environ: Mapping[str, Any]) -> Version:
    number = parse_integer(environ.get(_key(INTEROP_VERSION)))
    used = tuple(field for field in (COMPLETE, INCOMPLETE) if _key(field) in environ)
    if number is None and used == (INCOMPLETE,):
        number = 3
    version = NEWEST if number is None else VERSIONS.get(number, NEWEST)
    fields = tuple(field for field in version.fields if field in used)
    return replace(version, fields=fields) if fields else version


def _key(field: str) -> str:
    return "HTTP_" + field.upper().replace("-", "_")


def discover(max_length: int, expires_at: float | None) -> Headers:
    return (
        ("Upload-Limit", upload_limit(max_length, expires_at)),
        ("Accept-Patch", PARTIAL_UPLOAD),  # up to version 8
    )


class DraftDialect:
    """For the requests of one version."""

    def __init__(
        self, engine: Engine, settings: Settings, rights: Rights, version: Version
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._rights = rights
        self._version = version
        self._creation = Creation(engine, rights)
        self._appending = Appending(engine, settings, rights)

    def answer(self, request: Request) -> Answer:
        if request.header("Upload-Concat") is not None:
            raise BadRequest("Upload-Concat is of tus; the draft knows no uploads made of others")
        if request.method in ("POST", "PUT"):
            return self.create(request)
        if request.upload_id is None:
            raise MethodNotAllowed(allowed=("POST", "PUT", "OPTIONS"))
        if request.method in ("GET", "HEAD"):
            return self.query(request, request.upload_id)
        if request.method == "PATCH":
            return self.append(request, request.upload_id)
        if request.method == "DELETE":
            return self.cancel(request, request.upload_id)
        raise MethodNotAllowed(allowed=ALLOWED_METHODS)

    def create(self, request: Request) -> Answer:
        is_all = self._find_whether_complete(request)
        request.check_coding()
        size = request.body.size
        length = _find_length(request, size if is_all else None)
        if size is not None and length is not None and size > length:
            raise InconsistentLength(expected=length, provided=size)
        digest = _find_digest(request)
        metadata, declaration = _read_declaration(request, length)
        brings_bytes = size != 0
        with self._creation.ticket(request, metadata, length) as ticket:
            self._rights.check(request.environ, ticket.id, "declare")
            if brings_bytes:
                self._rights.check(request.environ, ticket.id, "store")
            upload = self._engine.declare(ticket.id, declaration)
            if takes_bytes(upload.state) and (brings_bytes or is_all):
                said = Append(0, size, length, is_last=is_all, may_overlap=True)
                upload = self._receive(request, upload.id, said, digest)
            else:
                request.pass_over_body()
        location = ("Location", locate(request, upload.id))
        return self._answer(upload, 201, (location,))

    def query(self, request: Request, upload_id: str) -> Answer:
        upload = self._appending.ask(request, upload_id)
        limit = self._engine.find_limit(upload)
        return Answer(
            204,
            (
                *progress_headers(upload, draft=False, max_length=limit),
                *self._version.say(not takes_bytes(upload.state)),
                ("Upload-Limit", upload_limit(limit, upload.expires_at)),
                *_digest_headers(upload),
                NO_STORE,
            ),
        )

    def append(self, request: Request, upload_id: str) -> Answer:
        if self._version.is_typed and request.media_type != PARTIAL_UPLOAD:
            raise WrongMediaType(expected=PARTIAL_UPLOAD, provided=request.media_type)
        is_all = self._find_whether_complete(request)
        request.check_coding()
        offset = _find_number(request, "Upload-Offset")
        if offset is None:
            raise BadRequest(
                f"Upload-Offset is {shown(request.header('Upload-Offset'))}; it must be a number "
                "of bytes"
            )
        said = Append(
            offset,
            request.body.size,
            _find_number(request, "Upload-Length"),
            is_last=is_all,
        )
        digest = _find_digest(request)
        self._rights.check(request.environ, upload_id, "store")
        try:
            upload = self._receive(request, upload_id, said, digest)
        except OffsetMismatch:
            self._appending.tell_outcome_first(upload_id)
            raise
        return self._answer(upload, 200)

    def cancel(self, request: Request, upload_id: str) -> Answer:
        self._appending.cancel(request, upload_id)
        return Answer(204)

    def refuse(self, error: IncomingError) -> Answer:
        """The answer to a request that has come to nothing."""
        headers = self._version.say(isinstance(error, NotTaken)) + reason_headers(error)
        if isinstance(error, OffsetMismatch):
            headers += (("Upload-Offset", str(error.expected)),)
        elif isinstance(error, FileTooLarge):
            headers += (("Upload-Limit", upload_limit(error.max_length_bytes)),)
        elif isinstance(error, WrongMediaType):
            headers += (("Accept-Patch", PARTIAL_UPLOAD),)
        return error_answer(
            error, status=_find_status(error), headers=headers, members=_find_members(error)
        )

    def _find_whether_complete(self, request: Request) -> bool:
        is_complete = self._version.read(request)
        if is_complete is None:
            field = self._version.fields[0]
            raise BadRequest(
                f"{field} is {shown(request.header(field))}; it must be ?1 or ?0, and says whether "
                "this is the end of the file"
            )
        return is_complete

    def _receive(
        self, request: Request, upload_id: str, said: Append, digest: ExpectedDigest | None
    ) -> Upload:
        try:
            return self._appending.receive(request, upload_id, said, digest)
        except (FileTooLarge, InconsistentLength) as exc:
            upload = self._engine.load(upload_id)
            _check_not_complete(upload)
            length = said.length if upload.length is None else upload.length
            end = _find_excess(exc, said, length)
            if length is None or end is None:
                raise
            # The draft, "Upload Length": rejected, and the upload with it.
            reason = f"more than the {length} bytes of the file were sent"
            self._engine.invalidate(upload_id, reason=reason)
            raise InconsistentLength(expected=length, provided=end) from exc

    def _answer(self, upload: Upload, status: int, headers: Headers = ()) -> Answer:
        """`status`: if the web app has taken the file."""
        upload = self._appending.wait(upload)
        is_over = not takes_bytes(upload.state)
        limit = upload_limit(self._engine.find_limit(upload), upload.expires_at)
        headers += (
            *self._version.say(is_over),
            *offset_headers(upload),
            *expiry_headers(upload),
            ("Upload-Limit", limit),
        )
        if not is_over:
            if status == 201:
                return text_answer("", status=status, headers=(*headers, NO_STORE))
            return Answer(204, (*headers, NO_STORE))
        facts = {"id": upload.id, **describe(upload, self._settings)}
        return json_answer(
            facts,
            status=status if upload.state is UploadState.FINISHED else 202,
            headers=headers + _digest_headers(upload),
        )


def _check_not_complete(upload: Upload) -> None:
    check_outcome(upload)
    if not takes_bytes(upload.state):
        raise WrongState(state=upload.state.value, event=APPEND)


def _find_excess(
    error: FileTooLarge | InconsistentLength, said: Append, length: int | None
) -> int | None:
    """Where the content ends, or had come to, if that is beyond the length of the file."""
    if isinstance(error, FileTooLarge) and error.max_length_bytes == length:
        return error.length
    if said.end is not None and length is not None and said.end > length:
        return said.end
    return None


def _find_number(request: Request, name: str) -> int | None:
    number = parse_integer(request.header(name))
    return None if number is None or number < 0 else number


def _find_length(request: Request, size: int | None) -> int | None:
    """Of the whole file, which has `size` bytes if that is known; None if nobody says."""
    length = _find_number(request, "Upload-Length")
    if length is None:
        return size
    if size not in (None, length):
        raise InconsistentLength(expected=length, provided=size)
    return length


def _find_digest(request: Request) -> ExpectedDigest | None:
    """Of this request's content: what it does not prove right is not appended."""
    digest = parse_content_digest(request.header("Content-Digest"))
    return None if digest is None else replace(digest, all_or_nothing=True)


def _read_declaration(
    request: Request, length: int | None
) -> tuple[Mapping[str, bytes], Declaration]:
    """What is said of the file: by tus-js-client, in its modes for the draft, in Upload-Metadata,
    by others as of any content."""
    raw = request.header("Upload-Metadata") or None
    metadata: dict[str, bytes] = {}
    if filename := parse_disposition(request.header("Content-Disposition")):
        metadata["filename"] = filename.encode()
    if request.media_type != PARTIAL_UPLOAD and (said := request.header("Content-Type")):
        metadata["filetype"] = said.encode("latin-1")
    metadata.update(parse_metadata(raw))
    declaration = declare_from(metadata, length=length, raw=raw)
    sha256 = parse_digests("Repr-Digest", request.header("Repr-Digest")).get("sha256")
    wanted = parse_integers(request.header("Want-Repr-Digest")).get("sha-256", 0)
    return metadata, replace(
        declaration,
        expected_sha256=declaration.expected_sha256 if sha256 is None else sha256.hex(),
        wants_sha256=wanted > 0,
    )


def _digest_headers(upload: Upload) -> Headers:
    if upload.sha256 is None or not upload.wants_sha256:
        return ()
    value = base64.b64encode(bytes.fromhex(upload.sha256)).decode()
    return (("Repr-Digest", f"sha-256=:{value}:"),)


def _find_status(error: IncomingError) -> int:
    is_append = isinstance(error, WrongState) and error.event == APPEND
    return 400 if is_append else find_status(error)


def _find_members(error: IncomingError) -> dict[str, object]:
    """What the draft says of a problem."""
    if isinstance(error, OffsetMismatch):
        return {
            "type": PROBLEMS + "mismatching-upload-offset",
            "expected-offset": error.expected,
            "provided-offset": error.provided,
        }
    if isinstance(error, InconsistentLength):
        return {"type": PROBLEMS + "inconsistent-upload-length"}
    if isinstance(error, WrongState) and error.event == APPEND:
        return {"type": PROBLEMS + "completed-upload"}  # of versions up to 8
    return {}
