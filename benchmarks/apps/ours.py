"""An app that takes uploads with incoming_wsgi, as small as one can be.

    POST /ticket?length=…   a ticket for a file of that length; its id
    PUT /whole/NAME         a small file in one request, with a ticket made in this process
    /incoming/…             Incoming

It takes a complete file by renaming it, and adds one byte to the file `taken`, by which the
benchmark knows how many it has.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from incoming_wsgi import Incoming

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logging.disable(logging.INFO)  # what a server's default would not write either

FOLDER = Path(os.environ["BENCHMARK_FOLDER"])
FILES = FOLDER / "files"
TAKEN = os.open(FOLDER / "taken", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def take_file(upload) -> None:
    os.rename(upload.path, FILES / upload.id)
    os.write(TAKEN, b".")


incoming = Incoming(
    FOLDER / "incoming",
    on_finished=take_file,
    **json.loads(os.environ.get("BENCHMARK_SETTINGS", "{}")),
)


def make_ticket(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    length = int(parse_qs(environ["QUERY_STRING"])["length"][0])
    ticket = incoming.new_upload(length=length, filename="file").encode()
    start_response("200 OK", [("Content-Length", str(len(ticket)))])
    return [ticket]


def take_whole(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The same as if the client had asked for the ticket and sent the one chunk to it."""
    length = int(environ["CONTENT_LENGTH"])
    name = environ["PATH_INFO"].rpartition("/")[2]
    ticket = incoming.new_upload(length=length, filename=name)
    chunk = {
        **environ,
        "SCRIPT_NAME": "/incoming",
        "PATH_INFO": f"/0.1/frontend/uploads/{ticket}",
        "HTTP_CONTENT_RANGE": f"bytes 0-{length - 1}/{length}",
    }
    return incoming(chunk, start_response)


def own_views(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/ticket":
        return make_ticket(environ, start_response)
    return take_whole(environ, start_response)


application = incoming.wrap(own_views)
