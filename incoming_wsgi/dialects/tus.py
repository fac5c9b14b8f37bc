"""tus 1.0.0: the core, and all extensions that WSGI can carry (trailers it cannot).

One stream of bytes, from where what is stored ends; the newest request has it. That the length is
reached is the end, and the answer to those bytes says what the web app has made of the file: a
client of tus has no other way to know. Whatever an upload has become comes before its offset, for
to many clients an offset that equals the length is a success, whatever the status says.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import suppress

from ..agreement import Append
from ..body import parse_length, shown
from ..concatenation import PART, Concatenation
from ..config import Settings
from ..digesting import ALGORITHMS, ExpectedDigest
from ..engine import Engine
from ..errors import (
    BadRequest,
    DigestMismatch,
    FileTooLarge,
    Forbidden,
    IncomingError,
    MethodNotAllowed,
    OffsetMismatch,
    UploadNotFound,
    VersionNotSupported,
    WrongMediaType,
    WrongState,
)
from ..responses import NO_STORE, Answer, Headers, error_answer, text_answer
from ..rights import Rights
from ..states import UploadState, takes_bytes
from ..uploads import Upload
from .appending import Appending, find_status
from .creation import Creation, Ticket, locate
from .metadata import declare_from, parse_metadata, without_ticket
from .request import Request
from .superset import (
    TUS_VERSION,
    expiry_headers,
    offset_headers,
    progress_headers,
    reason_headers,
)

__all__ = ["OFFSET_STREAM", "TusDialect"]

OFFSET_STREAM = "application/offset+octet-stream"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
)
RESUMABLE: Headers = (("Tus-Resumable", TUS_VERSION),)
VERSIONS: Headers = (("Tus-Version", TUS_VERSION),)
ALLOWED_METHODS = ("POST", "HEAD", "PATCH", "DELETE", "OPTIONS")
FINAL = "final;"
PART_URL = re.compile(r"[^\s?#]*/?uploads/([A-Za-z0-9_-]+)|([A-Za-z0-9_-]+)", re.ASCII)


class TusDialect:
    def __init__(
        self, engine: Engine, concatenation: Concatenation, settings: Settings, rights: Rights
    ) -> None:
        self._engine = engine
        self._concatenation = concatenation
        self._settings = settings
        self._rights = rights
        self._creation = Creation(engine, rights)
        self._appending = Appending(engine, settings, rights)

    def answer(self, request: Request) -> Answer:
        version = request.header("Tus-Resumable")
        if version != TUS_VERSION:
            raise VersionNotSupported(expected=TUS_VERSION, provided=version)
        if request.method == "POST":
            return self.create(request)
        if request.upload_id is None:
            raise MethodNotAllowed(allowed=("POST", "OPTIONS"))
        if request.method == "HEAD":
            return self.query(request, request.upload_id)
        if request.method == "PATCH":
            return self.append(request, request.upload_id)
        if request.method == "DELETE":
            return self.cancel(request, request.upload_id)
        raise MethodNotAllowed(allowed=ALLOWED_METHODS)

    def discover(self, max_length: int) -> Headers:
        extensions: tuple[str, ...] = EXTENSIONS
        if self._concatenation.is_possible:
            extensions += ("concatenation",)
        return (
            *RESUMABLE,
            *VERSIONS,
            ("Tus-Extension", ",".join(extensions)),
            ("Tus-Max-Size", str(max_length)),
            ("Tus-Checksum-Algorithm", ",".join(ALGORITHMS)),
        )

    def create(self, request: Request) -> Answer:
        raw = request.header("Upload-Metadata") or None
        metadata = parse_metadata(raw)
        concat = request.header("Upload-Concat")
        if concat is not None and not self._concatenation.is_possible:
            raise BadRequest(
                "Upload-Concat: this server's storage cannot make one file of parts; send the file "
                "as one"
            )
        if concat is not None and concat.startswith(FINAL):
            return self._concatenate(request, concat, raw, metadata)
        if concat not in (None, PART):
            raise BadRequest(
                f"Upload-Concat is {shown(concat)}; it must be partial, or final; and URLs"
            )
        length = _parse_extent(request)
        digest = _parse_checksum(request.header("Upload-Checksum"))
        declaration = declare_from(metadata, length=length, raw=raw)
        brings_bytes = request.media_type == OFFSET_STREAM and request.body.size != 0
        if brings_bytes:
            request.check_coding()
        with self._creation.ticket(request, metadata, length) as ticket:
            self._rights.check(request.environ, ticket.id, "declare")
            if brings_bytes:
                self._rights.check(request.environ, ticket.id, "store")
                self._check_size(ticket.id, request.body.size, length)
            if concat == PART:
                upload = self._make_part(ticket, length, raw)
            else:
                upload = self._engine.declare(ticket.id, declaration)
            if brings_bytes and takes_bytes(upload.state):
                said = Append(0, request.body.size, length, may_overlap=True)
                upload = self._appending.receive(request, upload.id, said, digest)
            else:
                request.pass_over_body()
        return self._created(request, upload)

    def _check_size(self, upload_id: str, size: int | None, length: int | None) -> None:
        """Nothing is declared by a request that cannot be right."""
        if size is None or length is None or size <= length:
            return
        if self._engine.load(upload_id).state is UploadState.CREATED:
            raise FileTooLarge(length=size, max_length_bytes=length)

    def _make_part(self, ticket: Ticket, length: int | None, raw: str | None) -> Upload:
        """A ticket that was made for it is the part, for one that was brought there may be many."""
        # Whoever has a part's address need not know the ticket's.
        raw = without_ticket(raw)
        if ticket.is_new:
            return self._concatenation.make_part(ticket.id, length=length, metadata=raw)
        upload = self._engine.load(ticket.id)
        return self._concatenation.new_part(upload, length=length, metadata=raw)

    def _concatenate(
        self, request: Request, concat: str, raw: str | None, metadata: Mapping[str, bytes]
    ) -> Answer:
        for name in ("Upload-Length", "Upload-Defer-Length"):
            if request.header(name) is not None:
                raise BadRequest(f"{name} is not for final uploads: theirs is that of their parts")
        if request.media_type == OFFSET_STREAM and request.body.size != 0:
            raise Forbidden("A final upload brings no bytes: it is made of its parts")
        part_ids = _parse_parts(concat)
        upload = self._concatenation.find_final(part_ids)
        if upload is not None:
            self._rights.check(request.environ, upload.id, "declare")
            return self._created(request, upload)
        # Whatever ticket is brought with this: a page that was loaded anew has another.
        named, length = self._concatenation.find_ticket(part_ids)
        with self._creation.ticket(request, metadata, length, named=named) as ticket:
            self._rights.check(request.environ, ticket.id, "declare")
            if named is None:
                for part_id in dict.fromkeys(part_ids):
                    with suppress(UploadNotFound):  # which is said with the others below
                        self._rights.check(request.environ, part_id, "store")
            declaration = declare_from(metadata, length=length, raw=raw)
            upload = self._concatenation.concatenate(
                ticket.id, part_ids, declaration, concat=concat
            )
            if upload.id != ticket.id:  # the same request was faster another time
                ticket.drop()
        request.pass_over_body()
        return self._created(request, upload)

    def _created(self, request: Request, upload: Upload) -> Answer:
        upload = self._appending.wait(upload)
        return text_answer(
            "",
            status=201,
            headers=(
                ("Location", locate(request, upload.id)),
                *offset_headers(upload),
                *expiry_headers(upload),
                NO_STORE,
                *RESUMABLE,
            ),
        )

    def query(self, request: Request, upload_id: str) -> Answer:
        upload = self._appending.ask(request, upload_id)
        return text_answer(
            "",
            headers=(
                *progress_headers(
                    upload,
                    draft=self._settings.ietf_draft,
                    max_length=self._engine.find_limit(upload),
                ),
                NO_STORE,
            ),
        )

    def append(self, request: Request, upload_id: str) -> Answer:
        if request.media_type != OFFSET_STREAM:
            raise WrongMediaType(expected=OFFSET_STREAM, provided=request.media_type)
        length = request.header("Upload-Length")
        said = Append(
            _parse_number("Upload-Offset", request.header("Upload-Offset")),
            request.body.size,
            None if length is None else parse_length("Upload-Length", length),
        )
        digest = _parse_checksum(request.header("Upload-Checksum"))
        request.check_coding()
        self._rights.check(request.environ, upload_id, "store")
        try:
            upload = self._appending.receive(request, upload_id, said, digest)
        except OffsetMismatch:
            self._appending.tell_outcome_first(upload_id)
            raise
        upload = self._appending.wait(upload)
        headers = (*offset_headers(upload), *expiry_headers(upload), NO_STORE, *RESUMABLE)
        return Answer(204, headers)

    def cancel(self, request: Request, upload_id: str) -> Answer:
        try:
            self._appending.cancel(request, upload_id)
        except WrongState:
            # A client that clears away its parts is done with them, and so are we.
            if not self._engine.load(upload_id).is_part:
                raise
        return Answer(204, RESUMABLE)

    def refuse(self, error: IncomingError) -> Answer:
        """The answer to a request that has come to nothing."""
        headers = RESUMABLE + reason_headers(error)
        if isinstance(error, VersionNotSupported):
            headers += VERSIONS
        elif isinstance(error, OffsetMismatch):
            headers += (("Upload-Offset", str(error.expected)),)
        return error_answer(error, status=_find_status(error), headers=headers)


def _find_status(error: IncomingError) -> int:
    return 460 if isinstance(error, DigestMismatch) else find_status(error)


def _parse_number(name: str, text: str | None) -> int:
    if text is None:
        raise BadRequest(f"{name} is missing; it must be a number of bytes")
    return parse_length(name, text)


def _parse_extent(request: Request) -> int | None:
    """How long the file will be; None if that is said later."""
    length, deferred = request.header("Upload-Length"), request.header("Upload-Defer-Length")
    if deferred not in (None, "1"):
        raise BadRequest(f"Upload-Defer-Length is {shown(deferred)}; it must be 1")
    if (length is None) == (deferred is None):
        raise BadRequest("say either Upload-Length or Upload-Defer-Length: 1")
    return None if length is None else parse_length("Upload-Length", length)


def _parse_parts(concat: str) -> list[str]:
    """The ids in an Upload-Concat field, in order. What comes before `uploads/` is not looked at:
    proxies may have put anything there."""
    if not (concat.isascii() and concat.isprintable()):
        raise BadRequest(f"Upload-Concat is {shown(concat)}; it must be visible ASCII")
    ids = []
    for url in concat.removeprefix(FINAL).split():
        match = PART_URL.fullmatch(url)
        if match is None:
            raise BadRequest(f"Upload-Concat names {shown(url)}, which is no upload of this server")
        ids.append(match[1] or match[2])
    return ids


def _parse_checksum(text: str | None) -> ExpectedDigest | None:
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise BadRequest(
            f"Upload-Checksum has the algorithm {shown(algorithm)}; these are known: "
            f"{', '.join(ALGORITHMS)}"
        )
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadRequest(f"Upload-Checksum: {shown(value)} is not Base64") from exc
    if len(digest) != ALGORITHMS[algorithm]:
        raise BadRequest(
            f"Upload-Checksum: a {algorithm} has {ALGORITHMS[algorithm]} bytes, this one "
            f"{len(digest)}"
        )
    return ExpectedDigest(algorithm, digest, all_or_nothing=True)
