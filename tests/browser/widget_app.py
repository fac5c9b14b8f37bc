"""A web app with the element <incoming-upload> in a form, under the strictest policy it can have.

Files in its folder are its switches: while `signed_out` exists nobody may upload, while `closed`
exists no finished file is taken, and while `refusal` exists its status and words are the answer to
those who ask for a ticket ("413 At most 5 GB, please"). What is taken goes to `arrived/`, into the
folders that it came from.
"""

from __future__ import annotations

import os
from pathlib import Path

from webob import Request, Response

from incoming_wsgi import CompleteUpload, Incoming

FOLDER = Path(os.environ["UPLOADING_FOLDER"])
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Uploads</title>
<link rel="icon" href="data:,">
<script src="/files/here/0.1/frontend/incoming-upload.js"></script>
<form method="post" action="/form">
<incoming-upload ticket-url="/tickets" name="upload" multiple folders></incoming-upload>
<button>Send the form</button>
</form>
"""
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"


def take(upload: CompleteUpload) -> None:
    if (FOLDER / "closed").exists():
        raise RuntimeError("closed for the night")
    upload.move_into(FOLDER / "arrived", keep_folders=True)


def may(environ: dict[str, object], upload: object, action: str) -> bool:
    return not (FOLDER / "signed_out").exists()


(FOLDER / "arrived").mkdir(exist_ok=True)
incoming = Incoming(FOLDER / "incoming", on_finished=take, authorize=may, handover_retry_s=0.2)


def answer(request: Request) -> Response:
    match request.method, request.path:
        case "GET", "/":
            return Response(PAGE, content_type="text/html")
        case "POST", "/tickets":
            try:
                status, _, words = (FOLDER / "refusal").read_text().partition(" ")
            except FileNotFoundError:
                return Response(incoming.new_upload(), content_type="text/plain")
            return Response(words, status=int(status), content_type="text/plain")
        case "POST", "/form":
            return Response(" ".join(request.POST.getall("upload")), content_type="text/plain")
    return Response(status=404)


def app(environ, start_response):
    response = answer(Request(environ))
    response.headers["Content-Security-Policy"] = POLICY
    return response(environ, start_response)


application = incoming.wrap(app, prefix="/files/here")
