"""What a web app, or a script, needs when Incoming runs as a server of its own.

`IncomingClient`   asks for tickets and looks after them; the methods of `Incoming`, over HTTP.
`Handover`         reads and checks what the server posts when an upload has ended.
`refused`          the answer to it of an app that will never take this file.
`upload_file`      sends a file, as a browser would; see sending.py.

A client keeps no connection and no thread: it may be made before a fork and used in any thread.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from .errors import BadRequest, NotFound, UploadNotFound, WrongSecret, WrongState
from .exchange import Exchange, check_url, not_incoming
from .names import safe_filename, safe_relative_path
from .ranges import RangeSet
from .remote import SentUpload
from .sending import HandoverFailed, OnRetry, OnWait, Progress, upload_file
from .signing import check_key, check_signature
from .states import UploadState
from .uploads import UPLOAD_ID_PATTERN, Upload, without_surrogates

__all__ = [
    "Handover",
    "HandoverFailed",
    "IncomingClient",
    "OnRetry",
    "OnWait",
    "Progress",
    "SentUpload",
    "refused",
    "upload_file",
]

UPLOAD_ID = re.compile(UPLOAD_ID_PATTERN)
MAX_DIGITS = 19  # of 2**63 - 1; int() refuses thousands
MAX_FIELDS = 100
# As long as a request is on its way at most, and clocks differ; the field's usual five minutes.
REPLAY_WINDOW_S = 300.0
TOKEN = re.compile(r"[!-~]+")  # what a header can carry without a doubt


class IncomingClient:
    """The backend functions of the Incoming server at `base_url`.

    `base_url`: the server, or where it is mounted: "http://127.0.0.1:4000" and
    "http://127.0.0.1:4000/incoming" mean the same to the stand-alone server.
    `token`: the server's `backend_token`; not needed on the machine on which it runs.
    `timeout_s`: how long the server may take for one answer.

    Every method raises Unavailable when the server cannot be reached, does not answer in time or
    has trouble of its own (after a new_upload that met this there may be a ticket that nobody uses;
    it expires), and Forbidden without the right to ask. ValueError at construction for a URL, token
    or time that cannot be.
    """

    def __init__(self, base_url: str, *, token: str | None = None, timeout_s: float = 30.0) -> None:
        self._backend_url = check_url(base_url) + "/backend"
        if token is not None and not TOKEN.fullmatch(token):
            raise ValueError("token must be printable ASCII without blanks, or None for no token")
        if not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s!r}; it must be more than 0 seconds")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s

    def new_upload(
        self,
        *,
        signal_finish_url: str,
        remove_file_when_finished: bool = True,
        secret: str = "",
        owner: str | int | None = None,
        max_length_bytes: int | None = None,
        accept: str | None = None,
        idle_timeout_s: int | None = None,
        length: int | None = None,
        filename: str | None = None,
        sha256: str | None = None,
        wants_sha256: bool = False,
    ) -> str:
        """Issue a ticket and return its id, for the page; as `Incoming.new_upload`.

        Raises BadRequest for what cannot be, such as a URL that cannot be called; TooLarge for a
        length above the limit; StorageFull when there is no room for it; TooManyUploads when the
        owner has as many as he may.
        """
        ticket = self._call(
            "new_upload",
            signalFinishURL=signal_finish_url,
            removeFileWhenFinished="true" if remove_file_when_finished else "false",
            backendSecret=secret,
            owner=owner,
            maxLengthBytes=max_length_bytes,
            accept=accept,
            idleTimeoutS=idle_timeout_s,
            length=length,
            filename=None if filename is None else without_surrogates(filename),
            sha256=sha256,
            wantsSha256="true" if wants_sha256 else None,
        )
        if not UPLOAD_ID.fullmatch(ticket):
            raise not_incoming(self._backend_url)
        return ticket

    def cancel_upload(self, upload_id: str, *, secret: str = "") -> None:
        """End an upload; its bytes are deleted and the page learns of it. Cancelling twice does no
        harm. Raises UploadNotFound, WrongSecret, WrongState when it is too late."""
        self._call_for("cancel", upload_id, secret)

    def finish_upload(self, upload_id: str, *, secret: str = "") -> None:
        """The file, for which the app had answered "wait", is taken. Raises UploadNotFound,
        WrongSecret, WrongState if the upload does not wait for this."""
        self._call_for("finish", upload_id, secret)

    def retry_handover(self, upload_id: str) -> None:
        """Hand a FAILED upload over again. Raises UploadNotFound, WrongState."""
        self._facts("POST", upload_id, "/retry")

    def status(self, upload_id: str) -> Upload:
        """The record as it is now, without the secret. Raises UploadNotFound."""
        facts = self._facts("GET", upload_id)
        try:
            return _to_upload(facts)
        except (KeyError, TypeError, ValueError) as exc:
            raise not_incoming(self._backend_url) from exc

    def _call_for(self, action: str, upload_id: str, secret: str) -> None:
        try:
            self._call(f"{action}_upload", id=upload_id, backendSecret=secret)
        except WrongState as exc:
            exc.event = action
            raise

    def _call(self, function: str, **parameters: object) -> str:
        # In the body: what stands in a URL gets into logs.
        form = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self._backend_url}/{function}"
        with self._exchange() as exchange:
            return exchange.text("POST", url, data=form, headers=self._headers)

    def _facts(self, method: Literal["GET", "POST"], upload_id: str, action: str = "") -> Any:
        if not UPLOAD_ID.fullmatch(upload_id):  # it becomes a part of a path
            raise UploadNotFound
        url = f"{self._backend_url}/uploads/{upload_id}{action}"
        with self._exchange() as exchange:
            return exchange.facts(method, url, headers=self._headers)

    @contextmanager
    def _exchange(self) -> Iterator[Exchange]:
        with Exchange(timeout_s=self._timeout_s) as exchange:
            try:
                yield exchange
            except UploadNotFound:
                raise
            except NotFound as exc:
                raise BadRequest(
                    f"{self._backend_url} does not exist. Look whether this is where the Incoming "
                    "server is mounted, and whether its backend_api is on."
                ) from exc


def _to_upload(facts: Mapping[str, Any]) -> Upload:
    """What a newer server says besides is left out."""
    names = {each.name for each in dataclasses.fields(Upload)}
    known = {name: value for name, value in facts.items() if name in names}
    known["state"] = UploadState(facts["state"])
    known["received"] = RangeSet.of((start, stop) for start, stop in facts["received"])
    return Upload(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What the server posts to `signal_finish_url`: a complete file, or that none will come.

    Answer it with 200 and "done", or "wait" and `finish_upload` later, or `refused(reason)` if you
    will never take the file. Whatever else you answer, it comes again, with the same `delivery_id`
    and the next `attempt`. Of a cancelled upload the answer does not matter.
    """

    id: str
    path: Path | None
    """The complete file, on the server's machine; None when the upload was cancelled."""
    filename_from_browser: str
    """Safe to be joined to a folder. Empty only for a cancelled upload that never had a name."""
    relative_path: str | None
    """Where the file was in a folder that the user chose, with slashes and the safe name at the
    end. Safe to be joined to a folder. None if the client did not say."""
    cancelled: bool
    cancel_reason: str
    delivery_id: str
    attempt: int
    length: int | None
    """Bytes; None for a cancelled upload of which no length was known."""
    sha256: str | None
    """Of the whole file, lower-case hexadecimal, computed by the server; None unless somebody asked
    for it (`new_upload`), or the file came in one chunk with its digest."""
    client_metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What a tus client says of the file in words of its own, by key; not to be trusted."""

    @classmethod
    def from_params(cls, params: Mapping[str, str], secret: str = "") -> Handover:
        """Read the form of one handover, if it was sent by who knows `secret`, that of the ticket.

        `params`: the form of the request as your framework has it: Bottle's `request.forms` or
        `request.params`, Flask's `request.form`, Django's `request.POST`. Bottle's texts are UTF-8
        read as Latin-1 when taken by item; they are put right here, `.decode()` does no harm.

        Raises WrongSecret before anything else is looked at, BadRequest naming a field that is
        missing or not readable. An app that uses no secret has to make sure in another way that
        only the server can post: `path` could name any file of the machine. See `from_body`.
        """
        params = _decode(params)
        given = params.get("backendSecret") or params.get("signalFinishSecret") or ""
        if not hmac.compare_digest(_to_bytes(given), _to_bytes(secret)):
            raise WrongSecret
        return cls._of(params)

    @classmethod
    def from_body(
        cls,
        body: bytes,
        *,
        signature: str | None,
        signing_key: str | Sequence[str],
        secret: str | None = None,
        window_s: float = REPLAY_WINDOW_S,
    ) -> Handover:
        """Read the body of one handover, if it was signed with `signing_key`, the server's.

        `body`: the bytes as they came: Bottle's `request.body.read()`, Flask's
        `request.get_data()`, Django's `request.body`. `signature`: the request's header
        X-Incoming-Signature, or None. `signing_key`: or several, while the key is being changed.
        `secret`: that of the ticket is looked at too, if it is given.

        Raises WrongSignature before anything else is looked at: missing, malformed, wrong, or made
        more than `window_s` before or after now. In that time a repeat of the request passes: an
        app that must not act twice remembers the `delivery_id`. Then as `from_params`. TypeError or
        ValueError for a key that cannot be one.
        """
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError("body must be the bytes of the request, not what was made of them")
        body = bytes(body)
        keys = [signing_key] if isinstance(signing_key, str) else list(signing_key)
        if not keys:
            raise ValueError("signing_key is empty; give one key or more")
        for key in keys:
            check_key(key)
        check_signature(signature, body, keys, window_s=window_s, at=time.time())
        params = _parse(body)
        return cls._of(params) if secret is None else cls.from_params(params, secret)

    @classmethod
    def _of(cls, params: Mapping[str, str]) -> Handover:
        cancelled = _require(params, "cancelled")
        if cancelled not in ("yes", "no"):
            raise BadRequest(f"the handover's cancelled is {cancelled!r}; it must be yes or no")
        name = _require(params, "filenameFromBrowser")
        relative_path = params.get("relativePath")
        return cls(
            id=_require(params, "id"),
            path=None if cancelled == "yes" else _path(_require(params, "filename")),
            filename_from_browser=safe_filename(name) if name or cancelled == "no" else "",
            relative_path=safe_relative_path(relative_path, name) if relative_path else None,
            cancelled=cancelled == "yes",
            cancel_reason=params.get("cancelReason") or "",
            # The original sent none of these.
            delivery_id=params.get("deliveryId") or "",
            attempt=_number(params, "attempt") or 1,
            length=_number(params, "length"),
            sha256=params.get("sha256") or None,
            client_metadata=_metadata(params.get("metadata")),
        )


def refused(reason: str = "") -> str:
    """The body with which to answer a handover whose file you will never take, with status 200. The
    upload is FAILED at once; `reason` is shown to the person at the page."""
    return f"refused: {' '.join(reason.split())}" if reason else "refused"


def _parse(body: bytes) -> Mapping[str, str]:
    """The form in `body`; of a field that is there twice the first value counts."""
    params: dict[str, str] = {}
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as exc:  # UnicodeError is one
        raise BadRequest("the handover is not a form in UTF-8") from exc
    for name, value in fields:
        params.setdefault(name, value)
    return params


def _decode(params: Mapping[str, str]) -> Mapping[str, str]:
    """Bottle's FormsDict says by `recode_unicode` that its texts are Latin-1 still."""
    if getattr(params, "recode_unicode", False) is not True:
        return params
    try:
        decoded: Mapping[str, str] = params.decode()  # type: ignore[attr-defined]
    except UnicodeError as exc:
        raise BadRequest("the handover is not UTF-8") from exc
    return decoded


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _require(params: Mapping[str, str], name: str) -> str:
    value = params.get(name)
    if value is None:
        raise BadRequest(f"{name} is missing; this is not the handover of an Incoming server")
    return value


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise BadRequest(f"the handover's filename is {text!r}; it must be an absolute path")
    return path


def _number(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name) or ""
    if text and not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise BadRequest(f"the handover's {name} is {text!r}; it must be a number")
    return int(text) if text else None


def _metadata(text: str | None) -> Mapping[str, str]:
    try:
        said = json.loads(text or "{}")
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise BadRequest("the handover's metadata is unreadable; it must be a JSON object of texts")
    return said
