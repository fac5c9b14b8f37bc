"""Example 3: the upload element.

One tag in the page gives a drop zone, many files and folders at once, bars, buttons and errors.
"""

from pathlib import Path

import bottle
import click
from bottle import get, post, response, static_file, template

from incoming_wsgi import Incoming

HERE = Path(__file__).resolve().parent
_config = {}  # filled by main(), before any worker process is forked


@get("/")
def page():
    # Neither scripts nor styles but those of this app: the element needs no exception.
    response.set_header("Content-Security-Policy", "default-src 'self'")
    response.set_header("Cache-Control", "no-store")
    return template("page.html", template_lookup=[str(HERE)], uploads=list_uploads())


@post("/tickets")
def give_ticket():
    """The element asks for a ticket when the turn of a file has come. Check here who may upload."""
    return _config["incoming"].new_upload()


def take_file(upload):
    """Called when a file is complete; again later, if this raises."""
    upload.move_into(_config["uploads"])


def list_uploads():
    """Names and sizes, newest first."""
    paths = sorted(_config["uploads"].iterdir(), key=lambda path: path.stat().st_mtime)
    return [(path.name, path.stat().st_size) for path in reversed(paths)]


@get("/<name:re:(page\\.js|page\\.css)>")
def own_file(name):
    return static_file(name, root=HERE)


@get("/style.css")
def style_sheet():
    return static_file("style.css", root=HERE.parent)


@click.command()
@click.option("--port", default=4003, show_default=True)
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=HERE / "var",
    help="Where the files go.  [default: var, beside this script]",
)
def main(port, bind, folder):
    """Example 3 of Incoming: a page with the upload element."""
    _config["uploads"] = folder.absolute() / "uploads"
    _config["uploads"].mkdir(parents=True, exist_ok=True)
    _config["incoming"] = Incoming(folder.absolute() / "incoming", on_finished=take_file)
    app = _config["incoming"].wrap(bottle.default_app(), prefix="/incoming")
    serve(app, bind, port)


def serve(app, bind, port):
    """gunicorn: two processes of eight threads."""
    from gunicorn.config import Config

    options = {
        "worker_class": "gthread",
        "workers": 2,
        "threads": 8,
        "loglevel": "warning",
        "when_ready": lambda _: click.echo(f"Open http://localhost:{port}/"),
        # From gunicorn 25 on: a socket that all instances of a user would share.
        "control_socket_disable": True,
    }
    known = {name: value for name, value in options.items() if name in Config().settings}
    bottle.run(app, server="gunicorn", host=bind, port=port, quiet=True, **known)


if __name__ == "__main__":
    main()
