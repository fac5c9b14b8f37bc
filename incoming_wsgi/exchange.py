"""One exchange with an Incoming server: a request, and its answer as a value or a typed error.

Whatever goes wrong comes out as an IncomingError; an exception of `requests` is at most its cause.
No redirect is followed, and neither proxies nor credentials of the environment are used, unless the
caller's own session says so. No message shows a path: the path of an upload contains its ticket.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from . import errors
from .errors import (
    BadRequest,
    Forbidden,
    IncomingError,
    MethodNotAllowed,
    NotFound,
    StorageFull,
    TooLarge,
    TooManyUploads,
    Unavailable,
    UploadNotFound,
    WrongSecret,
    WrongState,
)
from .uploads import is_http_url

__all__ = ["Exchange", "Session", "check_url", "not_incoming"]

CONNECT_TIMEOUT_S = 10.0
LONGEST_TEXT = 300  # characters of an answer that a message repeats: a proxy's page is no message

Session = requests.Session

# What an answer without a code of ours means: plain text of backend/, or a proxy's page.
BY_STATUS: Mapping[int, type[IncomingError]] = {
    403: Forbidden,
    404: NotFound,  # nothing of ours: a wrong URL, or a proxy
    405: MethodNotAllowed,
    412: WrongState,  # of backend/, as the original has it
    409: WrongState,
    413: TooLarge,
    507: StorageFull,
}
BY_TEXT: Mapping[tuple[int, str], type[IncomingError]] = {
    (400, "id unknown"): UploadNotFound,
    (403, "backendSecret not given or wrong"): WrongSecret,
}
BY_CODE: Mapping[str, type[IncomingError]] = {
    cls.code: cls
    for cls in (getattr(errors, name) for name in errors.__all__)
    if cls is not IncomingError
}
TOO_MANY = "uploads of this owner"  # a proxy that says 429 means something else
RFC_9457_MEMBERS = ("type", "title", "status", "detail", "instance")
STATE_IN_TEXT = re.compile(r"\bis ([A-Z_]{4,})\b")


class Exchange:
    """Requests over one session, each of which may take `timeout_s` without a sign of life.

    Of the last answer: `status`, None if there was none; `retry_after_s`, what it asked for in its
    Retry-After, None if it did not; `etag`, which stands for what it said, None without one.
    """

    def __init__(self, *, timeout_s: float, session: Session | None = None) -> None:
        if not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s!r}; it must be more than 0 seconds")
        self._own = session is None
        self._session = session or _own_session()
        self._timeout = (min(CONNECT_TIMEOUT_S, timeout_s), timeout_s)
        self.status: int | None = None
        self.retry_after_s: float | None = None
        self.etag: str | None = None

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._session.close()

    def text(self, method: str, url: str, **request: Any) -> str:
        """The answer's body. Raises IncomingError for every answer but 200."""
        return self._send(method, url, **request).text

    def facts(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        """The JSON object of the answer. Raises IncomingError for every answer but such a 200."""
        return _facts_of(self._send(method, url, **request), url)

    def changed_facts(self, url: str, etag: str | None) -> dict[str, Any] | None:
        """As `facts` for GET; None if it would be what the answer with `etag` has said already."""
        if etag is None:
            return self.facts("GET", url)
        response = self._send("GET", url, headers={"If-None-Match": etag}, good=(200, 304))
        return None if response.status_code == 304 else _facts_of(response, url)

    def _send(
        self, method: str, url: str, *, good: Collection[int] = (200,), **request: Any
    ) -> requests.Response:
        self.status = self.retry_after_s = self.etag = None
        try:
            response = self._session.request(
                method, url, timeout=self._timeout, allow_redirects=False, **request
            )
        except requests.Timeout as exc:
            raise Unavailable(
                f"{_origin(url)} did not answer within {self._timeout[1]:g} s. "
                "Look whether the Incoming server is well, and try again."
            ) from exc
        except requests.RequestException as exc:
            if isinstance(exc, ValueError):  # an address, a header: wrong before anything was sent
                raise BadRequest(f"The request cannot be sent: {type(exc).__name__}") from exc
            raise Unavailable(
                f"{_origin(url)} cannot be reached ({type(exc).__name__}). "
                "Look whether the Incoming server runs there, and try again."
            ) from exc
        if _is_cut_short(response):
            raise not_incoming(url)
        self.status = response.status_code
        self.etag = response.headers.get("ETag")
        if self.status not in good:
            self.retry_after_s = _retry_after_s(response)
            raise _error_of(response)
        return response


def check_url(url: str) -> str:
    """`url` without slashes at its end. Raises ValueError if it is no absolute http(s) URL."""
    if not is_http_url(url):
        raise ValueError(f"{url!r} is no URL of a server; it must be like http://127.0.0.1:4000")
    return url.rstrip("/")


def not_incoming(url: str) -> IncomingError:
    return Unavailable(
        f"{_origin(url)} gave an answer that no Incoming server gives. "
        "Look whether the URL is the right one, and whether something stands in between."
    )


def _own_session() -> Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _facts_of(response: requests.Response, url: str) -> dict[str, Any]:
    try:
        facts = response.json()
    except (ValueError, RecursionError) as exc:
        raise not_incoming(url) from exc
    if not isinstance(facts, dict):
        raise not_incoming(url)
    return facts


def _is_cut_short(response: requests.Response) -> bool:
    """urllib3 before 2.0 takes such an answer for a whole one; half of a ticket looks like one."""
    if response.status_code == 304:  # its length is that of the answer it stands for
        return False
    announced = response.headers.get("Content-Length", "")
    return announced.isdigit() and response.raw.tell() < int(announced)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _error_of(response: requests.Response) -> IncomingError:
    """The error that the server says, of the same class as there and with its evidence."""
    problem = _problem(response)
    kind = BY_CODE.get(str(problem.pop("code", None)))
    if kind is None:
        return _error_of_text(response)
    error = _make(kind, str(problem.pop("detail", kind.__name__)))
    for name, fact in problem.items():
        if name.isidentifier() and name not in RFC_9457_MEMBERS and not hasattr(error, name):
            setattr(error, name, fact)
    return error


def _error_of_text(response: requests.Response) -> IncomingError:
    status, text = response.status_code, _short_text(response)
    said = f"{_origin(response.url)} answered {status} {response.reason or ''}".rstrip()
    if 300 <= status < 400:
        return BadRequest(f"{said}: it has moved. Give the URL to which that leads.")
    if status == 429 and TOO_MANY in text:
        return _make(TooManyUploads, text)
    if status in (408, 429) or (status >= 500 and status not in BY_STATUS):
        return Unavailable(f"{said}: {text} Try again later; the server's log may say more.")
    kind = BY_TEXT.get((status, text)) or BY_STATUS.get(status, BadRequest)
    if kind is UploadNotFound or kind is WrongSecret:
        return kind()
    if kind is NotFound:
        text = f"{said}: no Incoming server is at this URL. Look whether it is the right one."
    error = _make(kind, text or said)
    if isinstance(error, WrongState):
        found = STATE_IN_TEXT.search(text)
        error.state, error.event = found[1] if found else "", ""
    if isinstance(error, MethodNotAllowed):
        error.allowed = tuple(filter(None, response.headers.get("Allow", "").split(", ")))
    return error


def _make(kind: type[IncomingError], message: str) -> IncomingError:
    """An error with the message of the server instead of its own."""
    return kind.__new__(kind, message)


def _problem(response: requests.Response) -> dict[str, Any]:
    if response.headers.get("Content-Type", "").partition(";")[0] != "application/problem+json":
        return {}
    try:
        problem = response.json()
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _short_text(response: requests.Response) -> str:
    """The answer in plain text; a page in HTML says nothing to a program."""
    if response.headers.get("Content-Type", "").partition(";")[0] != "text/plain":
        return ""
    return response.text.strip()[:LONGEST_TEXT]


def _retry_after_s(response: requests.Response) -> float | None:
    """RFC 9110 10.2.3: seconds, or the date of when."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=timezone.utc)
        return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, OverflowError):  # no date, or none that a clock can show
        return None
