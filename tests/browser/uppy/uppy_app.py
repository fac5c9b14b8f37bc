"""The app of a page with Uppy: it gives tickets, and takes files as the switches in its folder say.

While `closed` exists no finished file is taken, while `refused` exists the app refuses for the
reason in it; `slow` holds its answer back as long as it exists; while `open` exists clients may
create uploads without a ticket. Taken files go to `arrived/`; tickets, and what came with a file or
was cancelled, are noted in `tickets`, `taken` and `cancelled`, a line each.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webob import Request, Response

from incoming_wsgi import CompleteUpload, Incoming, Refused, Upload

FOLDER = Path(os.environ["UPPY_FOLDER"])
PAGE = Path(__file__).with_name("page.html")


def take(upload: CompleteUpload) -> None:
    note("asked", id=upload.id)
    while (FOLDER / "slow").exists():
        time.sleep(0.02)
    if (FOLDER / "refused").exists():
        raise Refused((FOLDER / "refused").read_text())
    if (FOLDER / "closed").exists():
        raise RuntimeError("closed for the night")
    upload.move_into(FOLDER / "arrived")
    note(
        "taken",
        id=upload.id,
        filename=upload.filename,
        content_type=upload.content_type,
        relative_path=upload.relative_path,
        metadata=upload.client_metadata,
    )


def forget(upload: Upload) -> None:
    note("cancelled", id=upload.id)


def authorize_creation(
    environ: Mapping[str, object], metadata: Mapping[str, str], length: int | None
) -> str | None:
    return new_ticket() if (FOLDER / "open").exists() else None


def new_ticket(**facts: Any) -> str:
    ticket = incoming.new_upload(**facts)
    note("tickets", id=ticket)
    return ticket


def note(what: str, **facts: object) -> None:
    with (FOLDER / what).open("a") as file:
        file.write(json.dumps(facts) + "\n")


(FOLDER / "arrived").mkdir(exist_ok=True)
incoming = Incoming(
    FOLDER / "incoming",
    on_finished=take,
    on_cancelled=forget,
    authorize_creation=authorize_creation,
    handover_retry_s=0.2,
)


def pages(environ, start_response):
    request = Request(environ)
    if request.path == "/tickets" and request.method == "POST":
        length = request.params.get("length")
        ticket = new_ticket(
            length=None if length is None else int(length), filename=request.params.get("filename")
        )
        response = Response(ticket, content_type="text/plain")
    elif request.path == "/":
        response = Response(PAGE.read_text(), content_type="text/html")
    elif request.path.endswith(".js"):
        script = (FOLDER / request.path[1:]).read_text()
        response = Response(script, content_type="text/javascript")
    else:
        response = Response(status=404)
    return response(environ, start_response)


application = incoming.wrap(pages, prefix="/incoming")
