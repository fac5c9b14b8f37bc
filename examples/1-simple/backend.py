"""Example 1: a page with a file selector. What is selected there is uploaded with Incoming.

docs/examples.md walks through this file and frontend_tmpl.html. Started without options it takes
the uploads itself; with `--internal_incoming_host` an Incoming server beside it does.
"""

import hmac
import itertools
import os
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

import bottle
import click
import requests
from bottle import abort, get, post, request, response, static_file, template

from incoming_wsgi import Incoming

sys.path.append(str(Path(__file__).resolve().parents[1]))
import serving

HERE = Path(__file__).resolve().parent
_config = {}  # filled by main(), before any worker process is forked


@get("/")
def main_page():
    upload_id = get_upload_ticket()
    # A ticket is for one upload: every page needs one of its own, and is never shown from a cache.
    response.set_header("Cache-Control", "no-store")
    return template(
        "frontend_tmpl.html",
        template_lookup=[str(HERE)],
        public_incoming_url=_config["public_incoming_url"],
        upload_id=upload_id,
        uploads=list_uploads(),
        quote=quote,
    )


def get_upload_ticket():
    signal_finish_url = f"http://{_config['internal_app_host']}/api/backend/upload_finished"
    if _config["incoming"] is not None:
        # Incoming is a part of this process: no need to ask over HTTP. A server with only one
        # thread could not answer anyway, because that thread is busy with this page.
        return _config["incoming"].new_upload(
            signal_finish_url=signal_finish_url,
            remove_file_when_finished=False,  # take_file() moves it away
            secret=_config["secret"],
        )

    req_params = {
        "signalFinishURL": signal_finish_url,
        "removeFileWhenFinished": "false",  # take_file() moves it away
        "signalFinishSecret": _config["secret"],
    }
    new_upload_url = f"http://{_config['internal_incoming_host']}/incoming/backend/new_upload"
    try:
        # In the body and not in the query string, which servers write to their logs.
        req = requests.post(new_upload_url, data=req_params, timeout=10)
    except requests.RequestException:
        abort(503, "The upload server cannot be reached. Please try again in a minute.")
    if req.status_code != requests.codes.ok:
        abort(500, f"The upload server gave no ticket: {req.status_code} {req.text}")
    return req.text


@post("/api/backend/upload_finished")
def upload_finished():
    # Bottle: `forms.x` is Unicode and "" if missing, `forms["x"]` is bytes spelled as Latin-1.
    forms = request.forms
    # Only Incoming knows the secret that came with the ticket. Without this check anybody could
    # have any file of this machine moved to where it can be downloaded.
    if not hmac.compare_digest(forms.signalFinishSecret.encode(), _config["secret"].encode()):
        abort(404, "There's no upload with that ID")

    if forms.cancelled == "yes":
        # Nothing has to be cleared away here, and it does not matter what we answer.
        click.echo(f"Upload {forms.id[:8]} was cancelled: {forms.cancelReason!r}")
        return ""
    take_file(Path(forms.filename), forms.filenameFromBrowser)
    return "done"


def take_file(incoming_path, wanted_name):
    """Move a file into the uploads folder, under a name that no other file has there.

    The move is a hard link and an unlink. Unlike a rename, a link never replaces a file, not
    even when two workers take files of the same name at the same time.
    """
    if not incoming_path.exists():
        return  # It has been taken before: Incoming missed our answer and asks again.
    for name in names_to_try(wanted_name):
        target = _config["uploads"] / name
        try:
            os.link(incoming_path, target)
        except FileExistsError:
            if not target.samefile(incoming_path):
                continue
            # It is the same file: somebody killed us between link and unlink.
        incoming_path.unlink(missing_ok=True)
        return


def names_to_try(name):
    """photo.jpg, photo (2).jpg, photo (3).jpg, …"""
    yield name  # Incoming has made it safe to join to a folder: no separators, no "..".
    stem, suffix = os.path.splitext(name)
    for number in itertools.count(2):
        yield f"{cut(stem, 200)} ({number}){cut(suffix, 40)}"  # file systems allow 255 bytes


def cut(text, max_bytes):
    return text.encode()[:max_bytes].decode(errors="ignore")


def list_uploads():
    """Paths, newest first."""
    return sorted(_config["uploads"].iterdir(), key=os.path.getmtime, reverse=True)


@get("/uploads/<name>")
def download(name):
    # Saved, never shown: an uploaded HTML page must not run as one of ours.
    return static_file(
        name,
        root=_config["uploads"],
        download=True,
        mimetype="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff"},
    )


@get("/style.css")
def style_sheet():
    return static_file("style.css", root=HERE.parent)


@click.command()
@serving.options(port=4001, folder=HERE / "var")
def main(**given):
    """Example 1 of Incoming: a page that uploads a file."""
    options = serving.Options(**given)
    uploads = options.folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    app = bottle.default_app()
    incoming = None
    if options.internal_incoming_host is None:
        incoming = Incoming(options.folder / "incoming")
        app = incoming.wrap(app, prefix="/incoming")
    _config.update(
        uploads=uploads,
        secret=load_secret(options.folder / "secret"),
        incoming=incoming,
        internal_incoming_host=options.internal_incoming_host,
        public_incoming_url=options.public_incoming_url,
        internal_app_host=options.internal_app_host,
    )
    options.serve(app)


def load_secret(path):
    """The secret of our tickets, the same for every worker and after a restart."""
    if not path.exists():
        fresh = path.with_name("secret.new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe())
        fresh.rename(path)
    return path.read_text()


if __name__ == "__main__":
    main()
