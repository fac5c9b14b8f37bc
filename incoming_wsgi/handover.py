"""One call of the web app: over HTTP, or of a function in this process.

The contract is the original's: a form with the upload's facts is POSTed to `signalFinishURL` as it
was given, and the app answers 200 and a body that begins with "done" or "wait". Everything else is
no good answer, and says nothing about the file. When to call, and what follows from the
answer, is `completion.py`'s business.

No redirect is followed: it would carry the upload's secret to wherever the answer says. Proxies and
credentials of the environment are not used: the app is a neighbour, not a web site.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import requests
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from .taking import CompleteUpload
from .uploads import Upload, log_id

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

CONNECT_TIMEOUT_S = 10.0
PLAIN_URL = re.compile(r"[!-~]+")  # what needs no encoding before it is sent
PLAIN_ANSWER = {"Accept-Encoding": "identity"}
WORD_BYTES = 4  # "done" and "wait": no more of the answer counts


class Answer(Enum):
    DONE = "done"
    WAIT = "wait"
    NONE = "none"  # no good answer: refused, failed, silent, unreachable


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reached`: the app may have seen the call, whatever it made of it. `reason` explains
    Answer.NONE in words that may be shown to the person at the page: no addresses, no secrets."""

    answer: Answer
    reason: str = ""
    reached: bool = True


OnFinished = Callable[[CompleteUpload], Literal["done", "wait"] | None]
"""Takes the file. None or "done": taken. "wait": `finish_upload` will follow. An exception: the
file is offered again later."""

OnCancelled = Callable[[Upload], object]
"""Learns that an upload will not come; `reason` says why. What it returns or raises changes
nothing."""


def handover_fields(upload: Upload, path: Path | None, sha256: str | None = None) -> dict[str, str]:
    """The form of one handover; `path` None says that the upload was cancelled."""
    cancelled = path is None
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
        **({} if sha256 is None else {"sha256": sha256}),
    }


def call_url(url: str, fields: dict[str, str], timeout_s: float) -> Outcome:
    """POST `fields` as a form to `url`; what the app says within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    answered = False
    try:
        with requests.Session() as session:
            session.trust_env = False
            request = requests.Request("POST", url, PLAIN_ANSWER, data=fields)
            prepared = session.prepare_request(request)
            if PLAIN_URL.fullmatch(url):
                prepared.url = url  # as it was given, and not as `requests` would write it
            with session.send(
                prepared,
                timeout=(min(CONNECT_TIMEOUT_S, timeout_s), timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                answered = True
                if response.status_code != 200:
                    return Outcome(
                        Answer.NONE,
                        f"the web app answered {response.status_code} {response.reason}".rstrip(),
                    )
                return _understand(_first_bytes(response, deadline))
    except requests.ConnectTimeout:
        return Outcome(Answer.NONE, "the web app could not be reached", reached=False)
    except requests.Timeout:
        return Outcome(Answer.NONE, f"the web app did not answer within {timeout_s:g} s")
    except Exception as exc:  # noqa: BLE001 - a URL, or an answer, may fail in ways of its own
        return _no_answer(fields["id"], exc, answered=answered)


def _no_answer(upload_id: str, exc: Exception, *, answered: bool) -> Outcome:
    """What follows from trouble with a call, `answered` if it came in the middle of the answer."""
    # Never the exception itself: it shows the URL, in whose query apps keep secrets.
    cause = _cause(exc)
    log.info(
        "upload=%s event=no_answer error=%s cause=%s",
        log_id(upload_id),
        type(exc).__name__,
        type(cause).__name__,
    )
    if answered:
        return Outcome(Answer.NONE, "the web app's answer broke off or could not be read")
    sent = isinstance(exc, requests.ConnectionError) and not isinstance(cause, NewConnectionError)
    return Outcome(Answer.NONE, "the web app could not be reached", reached=sent)


def _cause(error: Exception) -> object:
    """What urllib3 says of it."""
    cause = error.args[0] if error.args else error
    return getattr(cause, "reason", None) or cause


def _first_bytes(response: requests.Response, deadline: float) -> bytes:
    body = b""
    try:
        for piece in response.iter_content(WORD_BYTES):
            body += piece
            if len(body) >= WORD_BYTES:
                break
            if time.monotonic() > deadline:
                raise requests.Timeout
    except requests.ConnectionError as exc:
        if isinstance(_cause(exc), ReadTimeoutError):
            raise requests.Timeout from exc
        raise
    return body


def _understand(body: bytes) -> Outcome:
    for answer in (Answer.DONE, Answer.WAIT):
        if body.startswith(answer.value.encode()):
            return Outcome(answer)
    return Outcome(Answer.NONE, "the web app answered neither done nor wait")


def call_function(on_finished: OnFinished, upload: CompleteUpload) -> Outcome:
    """Let the callback take the file."""
    try:
        said = on_finished(upload)
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
