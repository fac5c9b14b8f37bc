"""The server under test: the real application on parts with fault points, for gunicorn.

`FAULTS_FOLDER` is where fault points are armed and deliveries are written down. Whatever waits for
the death of a process waits `FAULTS_LEASE_S` here. What `INCOMING_*` says holds as always.

Besides Incoming there is `POST /ticket`, which issues a ticket for the function of this process:
its query may say `remove=no`, and what the function is to answer (`instructions.py`).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from deliveries import Deliveries
from faulty import FaultyStorage, FaultyTickets, faulty_call, faulty_function
from instructions import Instructions
from points import Points

from incoming_wsgi import Incoming, background, completion, engine, housekeeping
from incoming_wsgi.logs import configure_logs
from incoming_wsgi.standalone import read_settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["application"]

FOLDER = Path(os.environ["FAULTS_FOLDER"])
LEASE_S = float(os.environ["FAULTS_LEASE_S"])
points = Points(FOLDER)
deliveries = Deliveries(FOLDER)


def take(upload: Any) -> str:
    instructions = Instructions(upload.owner or "")
    with deliveries.taking(upload.id, upload.delivery_id, upload.attempt, upload.path):
        if instructions.moves:
            deliveries.move_away(upload.id, upload.path)
        answer = instructions.answer(len(deliveries.of(upload.id)))
    if answer not in ("done", "wait"):
        raise RuntimeError("as instructed")
    return answer


def learn_of_cancellation(upload: Any) -> None:
    with deliveries.taking(upload.id, upload.delivery_id, upload.attempt + 1, None):
        pass


def make_incoming() -> Incoming:
    storage_dir, settings = read_settings(os.environ)
    housekeeping.LEASE_S = LEASE_S
    background.RENEW_EVERY_S = LEASE_S / 3
    background.LOOK_AGAIN_S = LEASE_S / 2
    engine.SEALING_S = LEASE_S
    completion.call_url = faulty_call(completion.call_url, points)
    return Incoming(
        storage_dir,
        storage=FaultyStorage(storage_dir, points=points),
        tickets=FaultyTickets(Path(storage_dir) / "incoming.db", points=points),
        on_finished=faulty_function(take, points),
        on_cancelled=faulty_function(learn_of_cancellation, points),
        **dataclasses.asdict(settings),
    )


configure_logs()
incoming = make_incoming()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/ticket":
        return incoming(environ, start_response)
    query = environ.get("QUERY_STRING", "")
    ticket = incoming.new_upload(
        remove_file_when_finished=parse_qs(query).get("remove") != ["no"], owner=query
    )
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [ticket.encode()]
