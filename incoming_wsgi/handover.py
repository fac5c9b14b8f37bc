"""One call of the web app: over HTTP, or of a function in this process.

The contract is the original's: a form with the upload's facts is POSTed to `signalFinishURL` as it
was given, and the app answers 200 and a body that begins with "done" or "wait". So far the
original; an app may also refuse the file for good, with "refused: REASON". Everything else is no
good answer, and says nothing about the file. When to call, and what follows from the answer, is
`completion.py`'s business.

The form goes where the ticket says and nowhere else, for it carries the upload's secret: of the
redirects those are followed that keep the method and the body, to the same host.
"""

from __future__ import annotations

import codecs
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from .config import Settings
from .hosts import Origin, is_among
from .posting import Limits, Post
from .signing import SIGNATURE_HEADER, sign
from .taking import CompleteUpload, Refused
from .uploads import Upload, log_id, without_surrogates

__all__ = [
    "Answer",
    "OnCancelled",
    "OnFinished",
    "Outcome",
    "call_function",
    "call_url",
    "handover_fields",
]

log = logging.getLogger("incoming_wsgi")

WORD_BYTES = 4  # "done" and "wait": no more of the answer counts
REFUSED = b"refused"  # and ": REASON", if the app likes
MAX_REFUSAL_BYTES = 500  # the word and the reason: a line or two for the person at the page
NO_REASON = "the web app refused the file"
MAX_REDIRECTS = 3
LONGEST_PHRASE = 60  # characters of the status line that a reason repeats
HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "incoming_wsgi",
}


class Answer(Enum):
    DONE = "done"
    WAIT = "wait"
    REFUSED = "refused"  # for good
    NONE = "none"  # no good answer: failed, silent, unreachable


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reached`: the app may have seen the call, whatever it made of it. `reason` explains
    Answer.NONE, and REFUSED in the app's own words; it may be shown to the person at the page: no
    addresses, no secrets of ours."""

    answer: Answer
    reason: str = ""
    reached: bool = True


OnFinished = Callable[[CompleteUpload], Literal["done", "wait"] | None]
"""Takes the file. None or "done": taken. "wait": `finish_upload` will follow. If it raises Refused
the file will never be taken; after any other exception it is offered again later."""

OnCancelled = Callable[[Upload], object]
"""Learns that an upload will not come; `reason` says why. What it returns or raises changes
nothing."""


def handover_fields(upload: Upload, path: Path | None) -> dict[str, str]:
    """The form of one handover; `path` None says that the upload was cancelled."""
    cancelled = path is None
    metadata = upload.client_metadata
    known_name = upload.safe_filename if upload.filename is not None or not cancelled else ""
    return {
        "id": upload.id,
        "filename": "" if path is None else str(path),
        "filenameFromBrowser": known_name,
        "backendSecret": upload.secret,
        "signalFinishSecret": upload.secret,
        "cancelled": "yes" if cancelled else "no",
        "cancelReason": (upload.reason or "") if cancelled else "",
        "deliveryId": upload.delivery_id,
        "attempt": str(upload.attempt),
        "length": "" if upload.length is None else str(upload.length),
        **({} if upload.relative_path is None else {"relativePath": upload.safe_relative_path}),
        **({"metadata": json.dumps(metadata)} if metadata else {}),
        **({} if upload.sha256 is None else {"sha256": upload.sha256}),
    }


def call_url(url: str, fields: Mapping[str, str], settings: Settings) -> Outcome:
    """POST `fields` as a form to `url`, signed if there is a key; what the app says in time."""
    limits = Limits(settings.handover_timeout_s)
    body = urlencode(fields).encode("ascii")
    headers = dict(HEADERS)
    if settings.signing_key is not None:
        headers[SIGNATURE_HEADER] = sign(body, settings.signing_key, int(time.time()))
    try:
        for _ in range(1 + MAX_REDIRECTS):
            if not is_among(url, settings.callback_hosts):
                reason = "the web app's address is not one of the server's callback_hosts"
                return Outcome(Answer.NONE, reason, reached=False)
            with Post(url, body, headers, limits) as response:
                if response.status_code == 200:
                    return _understand(_read_answer(response))
                said = _status_line(response)
                if response.status_code not in (307, 308):
                    return Outcome(Answer.NONE, said)
                target = _find_target(url, response)
            if target is None:
                return Outcome(Answer.NONE, f"{said}, and not to the same host")
            url = target
        return Outcome(Answer.NONE, f"{said} again and again")
    except Exception as exc:  # noqa: BLE001 - a URL, or an answer, may fail in ways of its own
        # Never the exception itself: it shows the URL, in whose query apps keep secrets.
        log.info("upload=%s event=no_answer error=%s", log_id(fields["id"]), type(exc).__name__)
        return _no_answer(limits, settings.handover_timeout_s)


def _no_answer(limits: Limits, timeout_s: float) -> Outcome:
    if limits.too_long:
        return Outcome(Answer.NONE, "the web app's answer is too long")
    if limits.sent and limits.timed_out:
        return Outcome(Answer.NONE, f"the web app did not answer within {timeout_s:g} s")
    if limits.answered:
        return Outcome(Answer.NONE, "the web app's answer broke off or could not be read")
    return Outcome(Answer.NONE, "the web app could not be reached", reached=limits.sent)


def _status_line(response: requests.Response) -> str:
    """It is shown to the person at the page."""
    phrase = "".join(filter(str.isprintable, response.reason or ""))[:LONGEST_PHRASE]
    return f"the web app answered {response.status_code} {phrase}".rstrip()


def _find_target(url: str, response: requests.Response) -> str | None:
    """Where a redirect leads, if that is the same host over the same line or over a safer one."""
    location = response.headers.get("Location")
    if not location:
        return None
    target = urljoin(url, location)
    try:
        old, new = Origin.of(url), Origin.of(target)
    except ValueError:
        return None
    upgrade = (old.scheme, new.scheme) == ("http", "https") and old.name == new.name
    own_credentials = _credentials(target) in ("", _credentials(url))
    return target if (old == new or upgrade) and own_credentials else None


def _credentials(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[0]


def _read_answer(response: requests.Response) -> bytes:
    """As much of the body as counts."""
    body = b""
    try:
        # One by one: of an answer that breaks off larger pieces would be lost.
        for byte in response.iter_content(1):
            body += byte
            wanted = MAX_REFUSAL_BYTES if _may_refuse(body) else WORD_BYTES
            if len(body) >= wanted:
                break
    except Exception:
        if not body.startswith(REFUSED):  # the reason may be cut short, the word has come
            raise
    return body


def _may_refuse(body: bytes) -> bool:
    return body.startswith(REFUSED) or REFUSED.startswith(body)


def _understand(body: bytes) -> Outcome:
    for answer in (Answer.DONE, Answer.WAIT):
        if body.startswith(answer.value.encode()):
            return Outcome(answer)
    if body.startswith(REFUSED):
        # An incremental decoder leaves out a character that was cut at the end.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(body.removeprefix(REFUSED))
        return _refused(text.removeprefix(":") if text.startswith(":") else "")
    return Outcome(Answer.NONE, "the web app answered neither done nor wait")


def _refused(reason: str) -> Outcome:
    """In one line, without what could play tricks on a page or a terminal."""
    line = " ".join(without_surrogates(reason).split())
    shown = "".join(filter(str.isprintable, line))[:MAX_REFUSAL_BYTES]
    return Outcome(Answer.REFUSED, shown or NO_REASON)


def call_function(on_finished: OnFinished, upload: CompleteUpload) -> Outcome:
    """Let the callback take the file."""
    try:
        said = on_finished(upload)
    except Refused as exc:
        return _refused(str(exc))
    except (Exception, SystemExit) as exc:  # sys.exit() would end this thread alone
        log.exception("upload=%s event=on_finished_raised", log_id(upload.id))
        return Outcome(Answer.NONE, f"the web app could not take the file ({type(exc).__name__})")
    if said is None or said == "done":
        return Outcome(Answer.DONE)
    if said == "wait":
        return Outcome(Answer.WAIT)
    log.error(
        "upload=%s event=on_finished_unclear returned=%r; it may return None, done or wait",
        log_id(upload.id),
        said,
    )
    return Outcome(Answer.NONE, "the web app answered neither done nor wait")
