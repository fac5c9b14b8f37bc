"""Requests to an Incoming in this process, without a server."""

from __future__ import annotations

import io
import json
from typing import Any

from incoming_wsgi import Incoming

__all__ = ["call", "put", "take"]


def take(_: object) -> None:
    """An app that is content with any file."""


def call(
    app: Incoming, method: str, ticket: str, body: bytes = b"", **environ: str
) -> dict[str, Any]:
    """The JSON of the answer. Raises RuntimeError for a refusal."""
    said = []

    def start_response(status: str, *_: object) -> None:
        said.append(status)

    answer = b"".join(
        app(
            {
                "REQUEST_METHOD": method,
                "SCRIPT_NAME": "",
                "PATH_INFO": f"/0.1/frontend/uploads/{ticket}",
                "QUERY_STRING": "",
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "CONTENT_LENGTH": str(len(body)),
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(body),
                "wsgi.errors": io.StringIO(),
                "wsgi.multithread": True,
                "wsgi.multiprocess": True,
                "wsgi.run_once": False,
                **environ,
            },
            start_response,
        )
    )
    if not said[0].startswith("200"):
        raise RuntimeError(f"{said[0]}: {answer.decode()}")
    return json.loads(answer)


def put(app: Incoming, ticket: str, position: int, body: bytes, length: int) -> dict[str, Any]:
    last = position + len(body) - 1
    return call(app, "PUT", ticket, body, HTTP_CONTENT_RANGE=f"bytes {position}-{last}/{length}")
