"""Example 2: several files at once, each with a ticket of its own. The page asks for a ticket when
a file is chosen, shows all that is known of every upload, and can pause and cancel it; the backend
answers "wait", takes its time with the file, and reports when it is done.

docs/examples.md walks through this file, frontend_tmpl.html and frontend.js.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import sqlite3
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import bottle
import click
from bottle import abort, get, post, request, response, static_file, template

from incoming_wsgi import Incoming, IncomingError, Unavailable, UploadNotFound, WrongState
from incoming_wsgi.client import Handover, IncomingClient

sys.path.append(str(Path(__file__).resolve().parents[1]))
import serving

HERE = Path(__file__).resolve().parent
_config = {}  # filled by main(), before any worker process is forked


# the page


@get("/")
def main_page():
    # Scripts, styles and uploads: only from and to this app and Incoming, and nothing inline.
    allowed = " ".join(filter(None, ["'self'", _config["public_incoming_host"]]))
    response.set_header(
        "Content-Security-Policy",
        f"default-src 'self'; script-src {allowed}; connect-src {allowed}; img-src data:",
    )
    return template(
        "frontend_tmpl.html",
        template_lookup=[str(HERE)],
        public_incoming_url=_config["public_incoming_url"],
    )


@get("/frontend.js")
def script():
    return static_file("frontend.js", root=HERE)


@get("/style.css")
def style_sheet():
    return static_file("style.css", root=HERE.parent)


# a ticket


@get("/api/frontend/request_upload")
def request_upload():
    # Here an app looks who is asking, and whether they may.
    response.content_type = "text/plain; charset=UTF-8"
    response.set_header("Cache-Control", "no-store")
    secret = secrets.token_urlsafe()
    try:
        upload_id = _config["incoming"].new_upload(
            signal_finish_url=f"http://{_config['internal_app_host']}/api/backend/upload_finished",
            remove_file_when_finished=False,  # take_file() moves it away
            secret=secret,
            filename=request.query.filename,
        )
    except IncomingError as exc:
        click.echo(f"No ticket: {exc}")
        response.status = 503
        return "The upload server gives no ticket. Please try again in a minute."
    # Nobody knows the ticket before we have noted its secret.
    with database() as db:
        db.execute(
            "INSERT INTO uploads (id, secret, filename) VALUES (?, ?, ?)",
            (upload_id, secret, request.query.filename),
        )
    return upload_id


# the handover


@post("/api/backend/upload_finished")
def upload_finished():
    upload = find_upload(request.forms.id)
    if upload is None:
        abort(404, "There's no upload with that ID")
    try:
        handover = Handover.from_params(request.forms, secret=upload["secret"])
    except IncomingError as exc:  # the secret is wrong, or a field is missing
        abort(exc.status, str(exc))

    if handover.cancelled:
        click.echo(f"Upload {handover.id[:8]} was cancelled: {handover.cancel_reason!r}")
        with database() as db:
            db.execute("DELETE FROM uploads WHERE id = ? AND state = 'open'", (handover.id,))
        return ""

    if upload["state"] == "finished":
        return "done"  # Incoming has missed that, and asks again.
    # First the note, then the answer: after "wait" Incoming does not ask again, so from then on
    # only this app knows that there is something left to do.
    with database() as db:
        db.execute(
            "UPDATE uploads SET state = 'taking', filename = ?, incoming_path = ? WHERE id = ?",
            (handover.filename_from_browser, str(handover.path), handover.id),
        )
    take_file_in_thread(handover.id)
    return "wait"


# after the answer


def take_file_in_thread(upload_id):
    # A daemon does not hold up the end of the process. It may be ended anywhere anyway.
    threading.Thread(target=take_file, args=(upload_id,), daemon=True).start()


def take_up_again():
    """What this app has promised, and did not get done before it ended."""
    with database() as db:
        unfinished = db.execute("SELECT id FROM uploads WHERE state = 'taking'").fetchall()
    for upload in unfinished:
        take_file_in_thread(upload["id"])


def take_file(upload_id):
    """Move a file to its place, compute its digest, and tell Incoming that it is taken.

    May be killed at any line and called again, even several times at once.
    """
    folder = _config["uploads"] / upload_id
    folder.mkdir(exist_ok=True)
    with lock(folder):
        upload = find_upload(upload_id)
        if upload["state"] == "finished":
            return  # Another thread was faster.
        target = folder / upload["filename"]
        move(Path(upload["incoming_path"]), target)
        facts = (target.stat().st_size, sha256(target), time.time())
        with database() as db:
            db.execute(
                "UPDATE uploads SET length = ?, sha256 = ?, arrived_at = ? WHERE id = ?",
                (*facts, upload_id),
            )
        finish_upload(upload_id, upload["secret"])
        with database() as db:
            db.execute("UPDATE uploads SET state = 'finished' WHERE id = ?", (upload_id,))


@contextmanager
def lock(folder):
    """For one thread of all processes. The lock ends with its process, however that ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def move(source, target):
    """Perhaps to another file system, which takes time. `target` is complete or not there."""
    on_its_way = target.parent.with_suffix(".part")
    if source.exists():
        shutil.move(source, on_its_way)
    if on_its_way.exists():  # It is complete: the source goes last.
        on_its_way.rename(target)


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def finish_upload(upload_id, secret):
    while True:
        try:
            _config["incoming"].finish_upload(upload_id, secret=secret)
        except Unavailable:
            time.sleep(1)  # The Incoming server is down.
            continue
        except (WrongState, UploadNotFound):
            pass  # Incoming knows already, or will ask again, or has given up. The file is ours.
        return


# what has arrived


@get("/api/frontend/uploads")
def list_uploads():
    response.set_header("Cache-Control", "no-store")
    with database() as db:
        rows = db.execute(
            "SELECT id, filename, length, sha256 FROM uploads WHERE sha256 IS NOT NULL "
            "ORDER BY arrived_at DESC"
        ).fetchall()
    return {"uploads": [dict(row) for row in rows]}


@get("/uploads/<upload_id>/<name>")
def download(upload_id, name):
    # Saved, never shown: an uploaded HTML page must not run as one of ours.
    upload = find_upload(upload_id)
    if upload is None or upload["sha256"] is None or upload["filename"] != name:
        abort(404, "There's no such file")
    return static_file(
        name,
        root=_config["uploads"] / upload_id,
        download=True,
        mimetype="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff"},
    )


# what this app remembers

TABLE = """
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,  -- of the ticket
    secret TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',  -- then 'taking', then 'finished'
    filename TEXT NOT NULL,
    incoming_path TEXT,  -- where Incoming has put the file
    length INTEGER,
    sha256 TEXT,  -- known as soon as the file is in its place
    arrived_at REAL
)
"""


@contextmanager
def database():
    with closing(sqlite3.connect(_config["database"], timeout=30)) as db, db:
        db.row_factory = sqlite3.Row
        yield db  # committed at the end, unless there was an error


def find_upload(upload_id):
    with database() as db:
        return db.execute("SELECT * FROM uploads WHERE id = ?", (upload_id,)).fetchone()


# the start


@click.command()
@serving.options(port=4002, folder=HERE / "var")
def main(**given):
    """Example 2 of Incoming: a page that uploads several files at once."""
    options = serving.Options(**given)
    uploads = options.folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    app = bottle.default_app()
    if options.internal_incoming_host is None:
        incoming = Incoming(options.folder / "incoming")
        app = incoming.wrap(app, prefix="/incoming")
    else:  # the same methods, over HTTP
        incoming = IncomingClient(f"http://{options.internal_incoming_host}/incoming")
    _config.update(
        uploads=uploads,
        database=options.folder / "uploads.db",
        incoming=incoming,
        public_incoming_host=options.public_incoming_host,
        public_incoming_url=options.public_incoming_url,
        internal_app_host=options.internal_app_host,
    )
    _config["database"].touch(mode=0o600)  # There are secrets in it.
    with database() as db:
        db.execute(TABLE)
    options.serve(app, on_start=take_up_again)


if __name__ == "__main__":
    main()
