"""How JSON and errors look on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping

from webob import Response

from .errors import IncomingError, MethodNotAllowed

__all__ = ["error_response", "json_response"]

# For how long a client had better wait: a busy database passes, a full disk takes somebody to mend.
RETRY_AFTER_S = {429: 60, 503: 2, 507: 10}


def json_response(facts: Mapping[str, object], *, status: int = 200) -> Response:
    """Never from a cache: the answer is about this moment."""
    response = Response(
        json.dumps(facts), status=status, content_type="application/json", charset="UTF-8"
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def error_response(error: IncomingError, *, plain: bool) -> Response:
    """As the original's plain text, or as a problem (RFC 9457) with our stable `code`.

    What went wrong inside is for the log, not for whoever asked: paths and SQL stay here.
    """
    if error.status == 500:
        hidden = IncomingError("The upload server has trouble; its log says more. Try again later.")
        hidden.code = error.code
        error = hidden
    if plain:
        response = Response(
            str(error), status=error.status, content_type="text/plain", charset="UTF-8"
        )
    else:
        problem = {
            "type": "about:blank",
            "title": type(error).__name__,
            "status": error.status,
            "code": error.code,
            "detail": str(error),
            **error.evidence(),
        }
        response = json_response(problem, status=error.status)
        response.content_type = "application/problem+json"
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    if error.status in RETRY_AFTER_S:
        response.headers["Retry-After"] = str(RETRY_AFTER_S[error.status])
    return response
