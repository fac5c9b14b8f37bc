"""A web app for tests of the browser library: one page with a strict content security policy.

Files in its folder are its switches: while `signed_out` exists nobody may upload, while `closed`
exists no finished file is taken. What is taken goes to `arrived/`.
"""

from __future__ import annotations

import os
from pathlib import Path

from webob import Request, Response

from incoming_wsgi import CompleteUpload, Incoming

FOLDER = Path(os.environ["UPLOADING_FOLDER"])
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Uploads</title>
<link rel="icon" href="data:,">
<script src="/files/here/0.1/frontend/incoming.js"></script>
<input type="file" id="file" multiple>
"""
# Not even styles and images: the library needs scripts and connections of its own origin.
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"


def take(upload: CompleteUpload) -> None:
    if (FOLDER / "closed").exists():
        raise RuntimeError("closed for the night")
    upload.move_into(FOLDER / "arrived")


def may(environ: dict[str, object], upload: object, action: str) -> bool:
    return not (FOLDER / "signed_out").exists()


(FOLDER / "arrived").mkdir(exist_ok=True)
incoming = Incoming(FOLDER / "incoming", on_finished=take, authorize=may, handover_retry_s=0.2)


def page(environ, start_response):
    request = Request(environ)
    if request.path == "/ticket" and request.method == "POST":
        response = Response(incoming.new_upload(), content_type="text/plain")
    elif request.path == "/":
        response = Response(PAGE, content_type="text/html")
        response.headers["Content-Security-Policy"] = POLICY
    else:
        response = Response(status=404)
    return response(environ, start_response)


application = incoming.wrap(page, prefix="/files/here")
