"""Example 3: a drop zone for files and folders. One tag in the page, <incoming-upload>, brings the
zone, a bar for each file, buttons and errors; what an earlier page has begun can be continued.

docs/widget.md tells what the element can do. Incoming runs in this app and calls a function when a
file is complete, so there is no address to be called and no secret.
"""

import sys
from pathlib import Path
from urllib.parse import quote

import bottle
import click
from bottle import get, post, response, static_file, template

from incoming_wsgi import Incoming

sys.path.append(str(Path(__file__).resolve().parents[1]))
import serving

HERE = Path(__file__).resolve().parent
_config = {}  # filled by main(), before any worker process is forked


@get("/")
def main_page():
    # Neither scripts nor styles but those of this app: the element needs no exception.
    response.set_header("Content-Security-Policy", "default-src 'self'; img-src data:")
    response.set_header("Cache-Control", "no-store")
    uploads = list_uploads()
    return template("page.html", template_lookup=[str(HERE)], uploads=uploads, quote=quote)


@post("/tickets")
def give_ticket():
    # The element asks when the turn of a file has come. Here an app looks who is asking, and
    # whether they may; the words of a refusal are shown beside the file.
    response.content_type = "text/plain; charset=UTF-8"
    return _config["incoming"].new_upload()


def take_file(upload):
    """Called when a file is complete; again later, if this raises."""
    upload.move_into(_config["uploads"], keep_folders=True)


def list_uploads():
    """Path in the folder and length, newest first."""
    files = [(path, path.stat()) for path in _config["uploads"].rglob("*") if path.is_file()]
    files.sort(key=lambda file: file[1].st_mtime, reverse=True)
    return [(path.relative_to(_config["uploads"]), facts.st_size) for path, facts in files]


@get("/uploads/<path:path>")
def download(path):
    # Saved, never shown: an uploaded HTML page must not run as one of ours.
    return static_file(
        path,
        root=_config["uploads"],
        download=True,
        mimetype="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff"},
    )


@get("/<name:re:page[.](js|css)>")
def own_file(name):
    return static_file(name, root=HERE)


@get("/style.css")
def style_sheet():
    return static_file("style.css", root=HERE.parent)


@click.command()
@serving.options(port=4003, folder=HERE / "var")
def main(**given):
    """Example 3 of Incoming: a page with the element <incoming-upload>."""
    options = serving.Options(**given)
    if options.internal_incoming_host is not None:
        raise click.UsageError("Here Incoming is a part of the app. See examples 1 and 2.")
    _config["uploads"] = options.folder / "uploads"
    _config["uploads"].mkdir(parents=True, exist_ok=True)
    _config["incoming"] = Incoming(options.folder / "incoming", on_finished=take_file)
    options.serve(_config["incoming"].wrap(bottle.default_app(), prefix="/incoming"))


if __name__ == "__main__":
    main()
