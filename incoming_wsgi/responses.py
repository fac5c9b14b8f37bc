"""What goes back to a client: one small value, which is itself the WSGI application that sends it.

Every answer of this application is one of these, whoever gives it: so what all of them carry can be
added in one place, `web.py`, and HEAD, lengths and empty bodies are right for all.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .errors import IncomingError, MethodNotAllowed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = [
    "NO_STORE",
    "Answer",
    "Headers",
    "error_answer",
    "has_already",
    "json_answer",
    "last_answer",
    "text_answer",
]

Headers = tuple[tuple[str, str], ...]

# Never from a cache: the answer is about this moment.
NO_STORE = ("Cache-Control", "no-store")
# For how long a client had better wait: a busy database passes, a full disk takes somebody to mend.
RETRY_AFTER_S = {423: 2, 429: 60, 503: 2, 507: 10}
REASONS = {int(status): status.phrase for status in HTTPStatus} | {460: "Checksum Mismatch"}
WITHOUT_BODY = (204, 304)  # nor a length: RFC 9110, 8.6


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` are ASCII; there is no Content-Length among them, and none of the connection."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def with_headers(self, headers: Headers) -> Answer:
        return Answer(self.status, self.headers + headers, self.body)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        headers = list(self.headers)
        if self.status not in WITHOUT_BODY:
            headers.append(("Content-Length", str(len(self.body))))
        start_response(f"{self.status} {REASONS.get(self.status, 'Other')}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


def last_answer(parts: Iterable[bytes]) -> Iterator[bytes]:
    """An answer as a server sends it, on a connection on which nothing is to follow.

    Where in what a client still sends its next request begins nobody knows: what a server took for
    one would be a piece of somebody's file. An application has no other way to say so (PEP 3333
    leaves `Connection` to the server) than to fail when the answer has been given.
    """
    yield from parts
    yield b""  # with no part at all a server would not have begun to answer
    raise ConnectionResetError(errno.ECONNRESET, "the body of this request was cut off")


def text_answer(text: str, *, status: int = 200, headers: Headers = ()) -> Answer:
    content_type = ("Content-Type", "text/plain; charset=UTF-8")
    return Answer(status, (content_type, *headers), text.encode())


def json_answer(
    facts: Mapping[str, object],
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: Headers = (),
) -> Answer:
    content = json.dumps(facts).encode()
    return Answer(status, (("Content-Type", content_type), NO_STORE, *headers), content)


def error_answer(
    error: IncomingError,
    *,
    plain: bool = False,
    status: int | None = None,
    headers: Headers = (),
    members: Mapping[str, object] | None = None,
) -> Answer:
    """As the original's plain text, or as a problem (RFC 9457) with our stable `code`. `status`:
    where a protocol has another one for this; `members`: and has more to say of the problem.

    What went wrong inside is for the log, not for whoever asked: paths and SQL stay here.
    """
    if error.status == 500:
        hidden = IncomingError("The upload server has trouble; its log says more. Try again later.")
        hidden.code = error.code
        error = hidden
    status = status or error.status
    if isinstance(error, MethodNotAllowed):
        headers += (("Allow", ", ".join(error.allowed)),)
    if status in RETRY_AFTER_S:
        headers += (("Retry-After", str(RETRY_AFTER_S[status])),)
    if plain:
        return text_answer(str(error), status=status, headers=headers)
    problem = {
        "type": "about:blank",
        "title": type(error).__name__,
        "status": status,
        "code": error.code,
        "detail": str(error),
        **error.evidence(),
        **(members or {}),
    }
    return json_answer(
        problem, status=status, content_type="application/problem+json", headers=headers
    )


def has_already(environ: Mapping[str, Any], etag: str) -> bool:
    """Whether the client says (If-None-Match) that it has what `etag`, quotes and all, stands for.

    Compared weakly, as RFC 9110 13.1.2 has it: a proxy that compresses an answer weakens its tag.
    """
    known: str | None = environ.get("HTTP_IF_NONE_MATCH")
    if known is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return etag in tags or tags == ["*"]
