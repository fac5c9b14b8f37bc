"""The stand-alone application, for gunicorn, with the accidents that a test orders.

`ADVERSE_FOLDER` and `ADVERSE_NAME` say where this server is told and how it is called there:

    <name>.clock            seconds by which its clock is ahead, read at every look at the clock
    <name>.<point>.armed    the next thread that comes to <point> takes this away,
    <name>.<point>.reached  says here which process it is in,
    <name>.<point>.go       and waits there until this exists
    <name>.waits            a request has found the file of its upload locked

The points, in the order in which a chunk meets them: `claimed` (a claim, the file not open yet),
`writing` (the permit given, the file locked, the block not written), `written` (still locked),
`unrecorded` (all is written), `transaction` (in the middle of a change of the database), `sealing`
(nothing is missing) and `sealed` (not COMPLETE yet).

`ADVERSE_LEASE_S` shortens leases, `ADVERSE_BUSY_S` the time for which the database is waited for;
`ADVERSE_PID` is what every process believes its id to be. With
`ADVERSE_CALLBACK` tickets come from `/ticket`, and complete files go to a function in this process,
which appends the upload's id to `calls`; "fork" has it leave a child behind, "hold" has it stop at
the point `calling` after that.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import incoming_wsgi.tickets._database as database
import incoming_wsgi.tickets.sqlite as sqlite
from incoming_wsgi import Incoming, background, housekeeping, uploads
from incoming_wsgi.logs import configure_logs
from incoming_wsgi.standalone import make_application, read_settings
from incoming_wsgi.storage import _writer, file

FOLDER = Path(os.environ["ADVERSE_FOLDER"])
NAME = os.environ["ADVERSE_NAME"]
CALLBACK = os.environ.get("ADVERSE_CALLBACK", "").split()
LONGEST_S = 120.0  # nobody waits for ever for a test that has failed


def pause(point: str) -> None:
    place = FOLDER / f"{NAME}.{point}"
    try:
        place.with_name(f"{place.name}.armed").unlink()
    except FileNotFoundError:
        return
    said = place.with_name(f"{place.name}.said")
    said.write_text(Path("/proc/self").readlink().name)  # whatever os.getpid() believes
    said.rename(place.with_name(f"{place.name}.reached"))
    go = place.with_name(f"{place.name}.go")
    deadline = time.monotonic() + LONGEST_S
    while not go.exists() and time.monotonic() < deadline:
        time.sleep(0.005)


def wait_for_lock(seconds: float) -> None:
    """Instead of `time.sleep`, which the storage calls when a file is locked."""
    FOLDER.joinpath(f"{NAME}.waits").touch()
    time.sleep(seconds)


def after(owner: Any, name: str, point: str) -> None:
    """Let `owner.name` come to `point` when it has done its work."""
    work = getattr(owner, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        result = work(*args, **kwargs)
        pause(point)
        return result

    setattr(owner, name, replaced)


def before(owner: Any, name: str, point: str) -> None:
    work = getattr(owner, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        pause(point)
        return work(*args, **kwargs)

    setattr(owner, name, replaced)


def add_points() -> None:
    before(file.FileStorage, "open_writer", "claimed")
    before(sqlite.SQLiteTicketStore, "record_ranges", "unrecorded")
    before(file.FileStorage, "seal", "sealing")
    after(file.FileStorage, "seal", "sealed")
    after(sqlite, "apply", "transaction")
    write = _writer.FileWriter.write

    def write_with_points(
        self: _writer.FileWriter, position: int, block: Any, permit: Callable[[], bool]
    ) -> bool:
        def permit_with_point() -> bool:
            allowed = permit()
            if allowed:
                pause("writing")
            return allowed

        return write(self, position, block, permit_with_point)

    _writer.FileWriter.write = write_with_points
    # After the block, the lock not yet given back.
    after(_writer, "_write", "written")
    after(_writer, "_splice", "written")


def shift_clock() -> None:
    offset = FOLDER / f"{NAME}.clock"

    def shifted() -> float:
        try:
            return time.time() + float(offset.read_text())
        except FileNotFoundError:
            return time.time()

    # `uploads.now` is what everybody has imported; it looks `time` up in its module.
    uploads.time = SimpleNamespace(time=shifted)


def shorten_leases(lease_s: float) -> None:
    housekeeping.LEASE_S = lease_s
    background.RENEW_EVERY_S = background.LOOK_AGAIN_S = lease_s / 4


def on_finished(upload: Any) -> None:
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{upload.id}\n")
    if "fork" in CALLBACK and os.fork() == 0:
        time.sleep(LONGEST_S)  # with everything that a fork takes along
        os._exit(0)
    if "hold" in CALLBACK:
        pause("calling")


def make() -> Any:
    storage_dir, settings = read_settings(os.environ)
    callback = on_finished if CALLBACK else None
    incoming = Incoming(storage_dir, on_finished=callback, **dataclasses.asdict(settings))
    inner = make_application(incoming)

    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/ticket":
            return inner(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [incoming.new_upload(remove_file_when_finished=False).encode()]

    return application


configure_logs()
shift_clock()
if "ADVERSE_LEASE_S" in os.environ:
    shorten_leases(float(os.environ["ADVERSE_LEASE_S"]))
if "ADVERSE_BUSY_S" in os.environ:
    database.BUSY_TIMEOUT_S = float(os.environ["ADVERSE_BUSY_S"])
_writer.time = SimpleNamespace(monotonic=time.monotonic, sleep=wait_for_lock)
if "ADVERSE_BLOCK_S" in os.environ:
    _writer.LONGEST_BLOCK_S = float(os.environ["ADVERSE_BLOCK_S"])
if "ADVERSE_PID" in os.environ:
    os.getpid = lambda: int(os.environ["ADVERSE_PID"])
application = make()
add_points()  # not before: the storage tries its folder at the start
