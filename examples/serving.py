"""How the examples are started: the options of their command line, and the servers.

Nothing here has to do with uploads; an app of yours has settings and a server already.
"""

from dataclasses import dataclass
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import bottle
import click

__all__ = ["Options", "options", "serve_with_wsgiref"]


def options(port, folder):
    """A decorator for a Click command: it takes what `Options` has, with these defaults."""
    host = {"metavar": "HOST[:PORT]"}
    found = [
        click.option(
            "--public_incoming_host",
            help="Incoming server, as browsers reach it.  [default: as --internal_incoming_host]",
            **host,
        ),
        click.option(
            "--internal_incoming_host",
            help="Incoming server, as this app reaches it.  [default: none, Incoming runs in this "
            "app]",
            **host,
        ),
        click.option(
            "--public_app_host",
            help="This app, as browsers reach it.  [default: localhost and the port]",
            **host,
        ),
        click.option(
            "--internal_app_host",
            help="This app, as Incoming reaches it.  [default: 127.0.0.1 and the port]",
            **host,
        ),
        click.option("--port", default=port, show_default=True),
        click.option(
            "--bind", default="127.0.0.1", show_default=True, help="Address to listen at."
        ),
        click.option(
            "--server",
            type=click.Choice(["gunicorn", "wsgiref"]),
            default="gunicorn",
            show_default=True,
            help="gunicorn: two processes of eight threads; wsgiref: Bottle's own, one thread.",
        ),
        click.option(
            "--folder",
            type=click.Path(file_okay=False, path_type=Path),
            default=folder,
            help="Where the files go.  [default: var, beside this script]",
        ),
    ]

    def decorate(command):
        for option in reversed(found):
            command = option(command)
        return command

    return decorate


@dataclass(kw_only=True)
class Options:
    """What the command line says. A host is None for an Incoming that runs in the app."""

    public_incoming_host: str | None
    internal_incoming_host: str | None
    public_app_host: str | None
    internal_app_host: str | None
    port: int
    bind: str
    server: str
    folder: Path

    def __post_init__(self):
        self.internal_incoming_host = self.internal_incoming_host or self.public_incoming_host
        self.public_incoming_host = self.public_incoming_host or self.internal_incoming_host
        self.public_app_host = self.public_app_host or f"localhost:{self.port}"
        self.internal_app_host = self.internal_app_host or f"127.0.0.1:{self.port}"
        self.folder = self.folder.absolute()

    @property
    def public_incoming_url(self):
        if self.public_incoming_host is None:
            return "/incoming"
        # Without a scheme, a browser takes that of the page: http or https.
        return f"//{self.public_incoming_host}/incoming"

    def serve(self, app, on_start=lambda: None):
        """Until Ctrl-C or SIGTERM. Each process that serves calls `on_start` first."""
        serve = {"gunicorn": serve_with_gunicorn, "wsgiref": serve_with_wsgiref}[self.server]
        address = f"http://{self.public_app_host}/"
        serve(app, self.bind, self.port, lambda: click.echo(f"Open {address}"), on_start)


def serve_with_gunicorn(app, bind, port, ready, on_start):
    from gunicorn.config import Config

    settings = {
        "worker_class": "gthread",
        "workers": 2,
        "threads": 8,
        "keepalive": 65,  # more than the pause between two chunks of a slow browser
        "loglevel": "warning",
        "when_ready": lambda _: ready(),
        "post_worker_init": lambda _: on_start(),
        # From gunicorn 25 on: a socket that all instances of a user would share.
        "control_socket_disable": True,
    }
    known = {name: value for name, value in settings.items() if name in Config().settings}
    bottle.run(app, server="gunicorn", host=bind, port=port, quiet=True, **known)


def serve_with_wsgiref(app, bind, port, ready, on_start=lambda: None):
    class Server(WSGIServer):
        def server_activate(self):
            super().server_activate()  # from here on it is listening
            on_start()
            ready()

    bottle.run(app, server="wsgiref", host=bind, port=port, quiet=True, server_class=Server)
