"""Everything that can go wrong, one class a condition.

    IncomingError
    ├── BadRequest                 400  the request says something impossible
    │   ├── IncompleteBody         400  fewer bytes came than were announced; they are kept
    │   ├── InconsistentLength     400  the file has another length by what was said before
    │   └── LengthUnknown          400  nobody has said how long the file is
    ├── Forbidden                  403  no right to do this
    │   ├── WrongSecret            403  the ticket's secret is missing or wrong
    │   └── WrongSignature         403  not sent by the server, changed on the way, or too old
    ├── NotFound                   404  nothing at this address
    │   └── UploadNotFound         404  never issued, or forgotten because its time was over
    ├── MethodNotAllowed           405
    ├── Conflict                   409
    │   ├── WrongState             409  the upload's state does not allow it
    │   ├── FileChanged            409  not the file that this upload was begun with
    │   ├── LeaseLost              409  somebody else looks after the upload now
    │   ├── OffsetMismatch         409  an append does not begin where what is stored ends
    │   ├── RequestEnded           409  the server has ended a body that was still coming
    │   └── Superseded             409  a newer request writes these bytes
    ├── UploadGone                 410  a write to a cancelled or expired upload
    ├── LengthRequired             411
    ├── TooLate                    412  the backend's word for WrongState
    ├── VersionNotSupported        412  of tus
    ├── TooLarge                   413
    │   ├── ChunkTooLarge          413
    │   └── FileTooLarge           413
    ├── TypeNotAllowed             415  the ticket takes files of other types
    ├── WrongMediaType             415  not that of bytes to be appended
    ├── RangeNotSatisfiable        416
    ├── DigestMismatch             422  the bytes are not what the client meant to send
    ├── NotTaken                   422  the web app does not take the complete file
    ├── NotTakenYet                423  the web app is asked again about the complete file
    ├── Unavailable                503  try again later
    │   ├── TooManyUploads         429  the owner has as many tickets in use as he may have
    │   └── TooManyParts           429  of one ticket
    ├── StorageError               500  the storage back end failed
    │   ├── BytesLost              500  stored bytes are not where they were put
    │   ├── NotSynced              500  the system may have dropped what was stored of late
    │   └── StorageFull            507  no room now, on the disk or under a limit
    └── TicketStoreError           500  the ticket store failed

`code` is stable and meant for programs, `status` is the HTTP status that fits, the evidence stands
in attributes and is repeated in `evidence()` for machine-readable answers. Raise where it is known;
only `web.py` and the dialects turn one into a response. A programmer's mistake is a TypeError or
ValueError instead, and comes at construction.
"""

from __future__ import annotations

__all__ = [
    "BadRequest",
    "BytesLost",
    "ChunkTooLarge",
    "Conflict",
    "DigestMismatch",
    "FileChanged",
    "FileTooLarge",
    "Forbidden",
    "IncomingError",
    "IncompleteBody",
    "InconsistentLength",
    "LeaseLost",
    "LengthRequired",
    "LengthUnknown",
    "MethodNotAllowed",
    "NotFound",
    "NotSynced",
    "NotTaken",
    "NotTakenYet",
    "OffsetMismatch",
    "RangeNotSatisfiable",
    "RequestEnded",
    "StorageError",
    "StorageFull",
    "Superseded",
    "TicketStoreError",
    "TooLarge",
    "TooLate",
    "TooManyParts",
    "TooManyUploads",
    "TypeNotAllowed",
    "Unavailable",
    "UploadGone",
    "UploadNotFound",
    "VersionNotSupported",
    "WrongMediaType",
    "WrongSecret",
    "WrongSignature",
    "WrongState",
]


class IncomingError(Exception):
    """The root. `str(error)` says what happened, with values, and what to do."""

    code = "error"
    status = 500

    def evidence(self) -> dict[str, object]:
        """The facts of this error as JSON-ready members: its public attributes."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class BadRequest(IncomingError):
    code = "bad_request"
    status = 400


class IncompleteBody(BadRequest):
    """`announced` is None for one that came in chunks."""

    code = "incomplete_body"

    def __init__(self, *, announced: int | None, arrived: int) -> None:
        of = " bytes, without an end" if announced is None else f" of {announced} announced bytes"
        super().__init__(
            f"The body ended after {arrived}{of}. Ask what of it is stored, and go on from there."
        )
        self.announced = announced
        self.arrived = arrived


class InconsistentLength(BadRequest):
    """`expected` is the length that was said before, or what is stored already."""

    code = "inconsistent_length"

    def __init__(self, *, expected: int, provided: int) -> None:
        super().__init__(
            f"This request says that the file has {provided} bytes; it has {expected} by what was "
            "said and sent before. Go on with the same file, or start a new upload."
        )
        self.expected = expected
        self.provided = provided


class LengthUnknown(BadRequest):
    code = "length_unknown"

    def __init__(self) -> None:
        super().__init__(
            "Nobody has said how long this file is, so nobody would know when it is complete. Use "
            "the ticket's URL as the endpoint at which the upload is created, send Upload-Length, "
            "or issue the ticket with a length."
        )


class Forbidden(IncomingError):
    code = "forbidden"
    status = 403


class WrongSecret(Forbidden):
    code = "wrong_secret"

    def __init__(self) -> None:
        super().__init__("backendSecret not given or wrong")


class WrongSignature(Forbidden):
    """`problem` is missing, malformed, wrong or too_old; with the last, `age_s` is how many seconds
    old the signature is, negative if it is from the future."""

    code = "wrong_signature"

    def __init__(self, *, problem: str, age_s: int | None = None) -> None:
        explanations = {
            "missing": "missing. Only the Incoming server may call this, with its signing_key set",
            "malformed": "malformed; it must be like t=1700000000,v1=0123…, with 64 digits",
            "wrong": "wrong: it was made with another signing_key, or of another body. "
            "Check the body's bytes as they came, not a form that was made of them",
            "too_old": f"too old: {age_s} s. It is a request that was kept and sent again, "
            "or the clocks differ",
        }
        super().__init__(f"X-Incoming-Signature is {explanations[problem]}.")
        self.problem = problem
        self.age_s = age_s


class NotFound(IncomingError):
    code = "not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("There is nothing at this address.")


class UploadNotFound(NotFound):
    code = "unknown_upload"

    def __init__(self) -> None:
        IncomingError.__init__(
            self,
            "There is no such upload: the ticket was never issued here, or its time is over. "
            "Ask the web app for a new ticket.",
        )


class MethodNotAllowed(IncomingError):
    code = "method_not_allowed"
    status = 405

    def __init__(self, *, allowed: tuple[str, ...]) -> None:
        super().__init__(f"This URL answers {', '.join(allowed)}.")
        self.allowed = allowed


class Conflict(IncomingError):
    code = "conflict"
    status = 409


class WrongState(Conflict):
    code = "wrong_state"

    def __init__(self, *, state: str, event: str) -> None:
        super().__init__(f"The upload is {state}: {event} is not possible any more, or not yet.")
        self.state = state
        self.event = event


class FileChanged(Conflict):
    """`expected` and `provided` are the two values of `what` (length, filename, …)."""

    code = "file_changed"

    def __init__(self, *, what: str, expected: object, provided: object) -> None:
        differences = {
            "length": f"it has {provided} bytes, not {expected}",
            "filename": f"it is called {provided!r}, not {expected!r}",
            "last_modified": "it was changed since",
            "tag": "another page has chosen another file for this upload",
        }
        difference = differences.get(what, f"its {what} is another")
        super().__init__(
            f"This is not the file that the upload was begun with: {difference}. "
            "Choose the same file, or start a new upload."
        )
        self.what = what
        self.expected = expected
        self.provided = provided


class Superseded(Conflict):
    code = "superseded"

    def __init__(self) -> None:
        super().__init__(
            "A newer request writes the same bytes; this one stopped. "
            "Ask for the missing ranges and go on from there."
        )


class RequestEnded(Conflict):
    """`why` is newer_request or too_slow."""

    code = "request_ended"

    def __init__(self, *, why: str, arrived: int) -> None:
        explanations = {
            "newer_request": "a newer one has come for the same upload",
            "too_slow": "it came too slowly",
        }
        super().__init__(
            f"This request was ended after {arrived} bytes: {explanations.get(why, why)}. "
            "Ask for the offset, and go on from there."
        )
        self.why = why
        self.arrived = arrived


class OffsetMismatch(Conflict):
    """An append that does not begin where what is stored ends."""

    code = "offset_mismatch"

    def __init__(self, *, expected: int, provided: int) -> None:
        super().__init__(
            f"Upload-Offset is {provided}, and {expected} bytes are stored. Go on from there."
        )
        self.expected = expected
        self.provided = provided


class LeaseLost(Conflict):
    """What was to be done in the name of a lease is left to whoever has it now."""

    code = "lease_lost"

    def __init__(self) -> None:
        super().__init__("The lease has ended; somebody else looks after this upload now.")


class UploadGone(IncomingError):
    """A write to an upload that was cancelled or has expired; `reason` says by whom or why."""

    code = "upload_gone"
    status = 410

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The upload was cancelled: {reason}")
        self.reason = reason


class LengthRequired(IncomingError):
    code = "length_required"
    status = 411

    def __init__(self) -> None:
        super().__init__("Send a Content-Length: bodies of unknown length are not taken here.")


class TooLate(IncomingError):
    """The original's answer to a backend function that the upload's state does not allow."""

    code = "too_late"
    status = 412


class VersionNotSupported(IncomingError):
    code = "version_not_supported"
    status = 412

    def __init__(self, *, expected: str, provided: str | None) -> None:
        said = "missing" if provided is None else repr(provided[:100])
        super().__init__(f"Tus-Resumable is {said}; this server speaks {expected}.")
        self.expected = expected
        self.provided = provided


class TooLarge(IncomingError):
    code = "too_large"
    status = 413


class ChunkTooLarge(TooLarge):
    code = "chunk_too_large"

    def __init__(self, *, length: int, max_chunk_bytes: int) -> None:
        super().__init__(
            f"One request may carry {max_chunk_bytes} bytes, this one announces {length}. "
            "Send smaller chunks."
        )
        self.length = length
        self.max_chunk_bytes = max_chunk_bytes


class FileTooLarge(TooLarge):
    code = "file_too_large"

    def __init__(self, *, length: int, max_length_bytes: int) -> None:
        super().__init__(
            f"The file has {length} bytes, this ticket takes at most {max_length_bytes}."
        )
        self.length = length
        self.max_length_bytes = max_length_bytes


class TypeNotAllowed(IncomingError):
    code = "type_not_allowed"
    status = 415

    def __init__(self, *, accept: str, filename: str | None, content_type: str | None) -> None:
        super().__init__(
            f"This ticket takes files of these types: {accept}. The file is called {filename!r} "
            f"and of type {content_type!r}."
        )
        self.accept = accept
        self.filename = filename
        self.content_type = content_type


class WrongMediaType(IncomingError):
    code = "wrong_media_type"
    status = 415

    def __init__(self, *, expected: str, provided: str) -> None:
        super().__init__(f"Content-Type is {provided!r}; send the bytes as {expected}")
        self.expected = expected
        self.provided = provided


class RangeNotSatisfiable(IncomingError):
    code = "range_not_satisfiable"
    status = 416

    def __init__(self, *, start: int, stop: int, length: int) -> None:
        super().__init__(
            f"The range [{start}, {stop}) does not lie within the {length} bytes of this upload."
        )
        self.start = start
        self.stop = stop
        self.length = length


class DigestMismatch(IncomingError):
    """`expected` is what the client announced, `computed` what arrived; lower-case hex."""

    code = "digest_mismatch"
    status = 422

    def __init__(self, *, algorithm: str, expected: str, computed: str) -> None:
        super().__init__(
            f"The {algorithm} of what arrived is {computed}, announced was {expected}. "
            "Nothing was recorded; send the chunk again."
        )
        self.algorithm = algorithm
        self.expected = expected
        self.computed = computed


class NotTaken(IncomingError):
    """The file is complete, and the web app does not take it; `reason` says why."""

    code = "not_taken"
    status = 422

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The file has arrived, but was not taken: {reason}")
        self.reason = reason


class Unavailable(IncomingError):
    code = "unavailable"
    status = 503


class NotTakenYet(IncomingError):
    """The file is complete, and the web app has not taken it so far; it is asked again. Clients of
    tus ask again after a 423 alone, instead of beginning anew."""

    code = "not_taken_yet"
    status = 423

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"The file has arrived, but was not taken yet: {reason}. It is kept, and offered "
            "again; ask later what has become of it."
        )
        self.reason = reason


class TooManyUploads(Unavailable):
    code = "too_many_uploads"
    status = 429

    def __init__(self, *, open_uploads: int, max_owner_uploads: int) -> None:
        super().__init__(
            f"{open_uploads} uploads of this owner are not complete, {max_owner_uploads} may be. "
            "Complete or cancel one, or wait until one is too old."
        )
        self.open_uploads = open_uploads
        self.max_owner_uploads = max_owner_uploads


class TooManyParts(Unavailable):
    code = "too_many_parts"
    status = 429

    def __init__(self, *, open_parts: int, max_parts: int) -> None:
        super().__init__(
            f"This ticket has {open_parts} parts that are not used yet, {max_parts} may be. Make a "
            "file of them, or wait until they are too old."
        )
        self.open_parts = open_parts
        self.max_parts = max_parts


class StorageError(IncomingError):
    code = "storage_error"
    status = 500


class BytesLost(StorageError):
    """Somebody has removed or changed what was stored; no retry will bring it back."""

    code = "bytes_lost"


class NotSynced(StorageError):
    """The system says so once: another try would seem to succeed. What was stored before, and is
    not known to be on the disk, must be asked for again."""

    code = "not_synced"


class StorageFull(StorageError):
    code = "storage_full"
    status = 507


class TicketStoreError(IncomingError):
    code = "ticket_store_error"
    status = 500
