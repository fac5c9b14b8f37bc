"""The app for incoming.js: its page, its tickets, and Incoming beside them, all by the defaults.

A file that is complete is moved to `files/` under its upload's id.
"""

from __future__ import annotations

import os
from pathlib import Path

from webob import Request, Response

from incoming_wsgi import CompleteUpload, Incoming

PAGES = Path(__file__).parent / "pages"
TYPES = {"/incoming.html": "text/html", "/page.js": "text/javascript"}
FOLDER = Path(os.environ["BENCHMARK_FOLDER"])
FILES = FOLDER / "files"


def take(upload: CompleteUpload) -> None:
    upload.move_to(FILES / upload.id)


incoming = Incoming(FOLDER / "incoming", on_finished=take)


def page(environ, start_response):
    request = Request(environ)
    if request.path == "/tickets" and request.method == "POST":
        response = Response(incoming.new_upload(), content_type="text/plain")
    elif request.path in TYPES:
        response = Response(
            (PAGES / request.path[1:]).read_text(), content_type=TYPES[request.path]
        )
    else:
        response = Response(status=404)
    return response(environ, start_response)


application = incoming.wrap(page, prefix="/files")
