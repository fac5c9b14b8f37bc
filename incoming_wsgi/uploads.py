"""The record of one upload: what the ticket allows, what the client declared, what has happened.

`Upload` is a value; a ticket store hands out a fresh one after every change. The file name
and the relative path that the browser sent are metadata, never a path of ours; see names.py.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import time
import uuid
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from .client_metadata import decode_metadata
from .names import safe_filename, safe_relative_path
from .ranges import RangeSet
from .states import UploadState

__all__ = [
    "MAX_LENGTH",
    "ChunkDigest",
    "Upload",
    "is_http_url",
    "is_text",
    "log_id",
    "new_upload_id",
    "now",
    "parse_sha256",
    "public_facts",
    "without_surrogates",
]

# The widest integer of SQLite, JSON numbers aside; 8 EiB is more than any file system has.
MAX_LENGTH = 2**63 - 1
UPLOAD_ID_PATTERN = (
    r"[A-Za-z0-9_-]+"  # a %2F in a path is decoded by some servers and not by others
)


@dataclass(frozen=True, slots=True)
class ChunkDigest:
    """The SHA-256 (lower-case hex) of the stored bytes `[start, stop)`."""

    start: int
    stop: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Times are seconds since the epoch, lengths are bytes."""

    id: str
    state: UploadState = UploadState.CREATED
    created_at: float
    # the ticket: what the web app said
    owner: str | None = None
    secret: str = ""
    signal_finish_url: str | None = None  # None: the callback in this process
    remove_file_when_finished: bool = True
    max_length_bytes: int | None = None
    accept: str | None = None  # the types that it takes, see file_types.py
    idle_timeout_s: float | None = None  # None: that of the settings
    wants_sha256: bool = False  # the file's SHA-256 is to be known before the handover
    # the file: what the client said
    filename: str | None = None  # as it came, for comparing; use `safe_filename`
    length: int | None = None  # None: not yet known
    content_type: str | None = None
    last_modified: int | None = None  # milliseconds, as browsers count
    relative_path: str | None = None  # in a folder that was chosen; use `safe_relative_path`
    expected_sha256: str | None = None  # of the whole file, lower-case hex; the ticket may know it
    metadata: str | None = None  # the Upload-Metadata of a tus client, as it came
    # what a client says of how the bytes come
    length_deferred: bool = False  # it does not know the length yet, and will say it
    concat: str | None = None  # the Upload-Concat of a tus client, as it came
    part_of: str | None = None  # the ticket that was brought for this part
    parts: str | None = None  # ids, with blanks between them, of what this is to be made of
    # what is stored
    received: RangeSet = field(default_factory=RangeSet)
    sha256: str | None = None  # of the whole file, as far as we know it; lower-case hex
    # the handover
    delivery_id: str = ""
    attempt: int = 0  # how many times the app has been called
    completed_at: float | None = None
    give_up_at: float | None = None  # after this a handover without a good answer has failed
    reason: str | None = None  # why it was cancelled or failed, or what the last attempt met
    notified: bool = False  # cancelled, and the app knows or need not know
    # when somebody has to look at it next: idle limit, next attempt, end of a lease, removal
    due_at: float

    @property
    def safe_filename(self) -> str:
        return safe_filename(self.filename)

    @property
    def safe_relative_path(self) -> str:
        """`safe_filename`, after the folders in which the client says that it was."""
        return safe_relative_path(self.relative_path, self.filename)

    @property
    def file_tag(self) -> str:
        """Stands for what the client declared: equal for equal name, length and time.

        A client that sends it with its chunks can never mix its file with another one.
        """
        said = repr((self.filename, self.length, self.last_modified))
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def client_metadata(self) -> dict[str, str]:
        """What a tus client says of the file in words of its own (`Upload-Metadata`), by key; as
        little to be trusted as `filename`. Empty for all other clients."""
        said = decode_metadata(self.metadata or "")
        said.pop("ticket", None)  # the right to make this upload, not a fact about the file
        return said

    @property
    def lacks_sha256(self) -> bool:
        """Whether the file has to be read before the web app may be told of it."""
        if self.expected_sha256 is not None:
            return self.sha256 != self.expected_sha256
        return self.wants_sha256 and self.sha256 is None

    @property
    def is_part(self) -> bool:
        """A partial upload of tus: a piece of another, which is never handed over by itself."""
        return self.concat == "partial"

    @property
    def is_complete(self) -> bool:
        """Nothing is missing of a file. False as long as the length is unknown."""
        return self.received.total_bytes == self.length and not self.is_part

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """The ranges that have not been stored; empty as long as the length is unknown."""
        return self.received.missing(0, self.length) if self.length is not None else ()

    @property
    def expires_at(self) -> float | None:
        """When it is given up if nothing moves until then; None once nothing is missing."""
        in_flight = (UploadState.CREATED, UploadState.UPLOADING)
        return self.due_at if self.state in in_flight else None


def public_facts(upload: Upload) -> dict[str, Any]:
    """The record, ready for JSON: all but the secret, which the web app knows."""
    names = (field.name for field in fields(upload) if field.name != "secret")
    facts: dict[str, Any] = {name: getattr(upload, name) for name in names}
    facts["state"] = upload.state.value
    facts["received"] = [list(pair) for pair in upload.received]
    facts["bytes_received"] = upload.received.total_bytes
    return facts


def now() -> float:
    """Seconds since the epoch: the clock that all processes of a machine share."""
    return time.time()


def new_upload_id() -> str:
    """A UUID4 string, the original's form: 122 bits from the operating system's generator."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def log_id(upload_id: str) -> str:
    """As much of an id as a log may show: it is a capability, whoever reads it could use it."""
    return upload_id[:8]


def is_http_url(text: str) -> bool:
    """Whether `text` is an absolute URL that can be called over HTTP."""
    try:
        parts = urlsplit(text)
        return (
            is_text(text)
            and parts.scheme in ("http", "https")
            and parts.port != 0
            and not re.search(r"[\x00-\x1f\x7f]", text)
            and "\\" not in parts.netloc  # a slash to some readers of URLs: another host
            and ("[" in parts.netloc) == (":" in (parts.hostname or ""))
            # Some Pythons read past what stands around the brackets of an IPv6 address.
            and re.fullmatch(r"\[[^][]*\](:\d*)?|[^][]*", parts.netloc.rpartition("@")[2])
            is not None
            and _is_host(parts.hostname or "")
        )
    except ValueError:  # UnicodeError is one
        return False


def is_text(value: object) -> bool:
    """Whether `value` is a text that can be stored and sent: half of a surrogate pair, which JSON
    can spell, is none."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def parse_sha256(value: object) -> str | None:
    """A SHA-256 as it is kept, in lower case; None if `value` is not 64 hexadecimal digits."""
    is_digest = isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f]{64}", value) is not None
    return str(value).lower() if is_digest else None


def without_surrogates(text: str) -> str:
    """`text` with "?" where it has half of a surrogate pair: then it is one for `is_text`."""
    return text.encode("utf-8", "replace").decode()


def _is_host(name: str) -> bool:
    """Raises ValueError for some that are none."""
    if ":" in name:
        address, _, zone = name.partition("%")
        is_zone = re.fullmatch(r"[A-Za-z0-9._~-]*", zone) is not None
        return is_zone and ipaddress.ip_address(address).version == 6
    labels = name.removesuffix(".").encode("idna").decode().split(".")
    return all(re.fullmatch(r"[a-z0-9_-]{1,63}", label) for label in labels)
