"""The command `incoming`: the stand-alone server, a look at its uploads, and a client.

An option of the server stands for its `INCOMING_*` variable and wins over it (`options.py`). What
goes wrong is said in a line or two on stderr, with exit status 1 or 2, never as a traceback.
"""

from __future__ import annotations

import logging
import os
from contextlib import closing

import click

from . import __version__
from .cli_client import upload_command
from .cli_common import DEFAULT_BIND, environ, find_database, plain_errors
from .cli_uploads import list_uploads, retry, show
from .logs import configure_logs
from .options import SETTINGS, setting_options
from .standalone import make_incoming

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="incoming")
def main() -> None:
    """Large-file uploads for web applications: the stand-alone server and its tools."""


def _check_bind(_: click.Context, __: click.Parameter, bind: str) -> str:
    if bind.isdigit():  # to gunicorn a host of that name
        raise click.BadParameter(f"{bind!r}: it must be HOST:PORT or unix:PATH")
    return bind


@main.command()
@click.option(
    "--bind",
    callback=_check_bind,
    default=DEFAULT_BIND,
    metavar="HOST:PORT",
    help=f"Where to listen; unix:PATH for a Unix socket.  [default: {DEFAULT_BIND}]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Worker processes.  [default: one for each processor core]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=8,
    metavar="NUMBER",
    help="Threads of each worker: how many requests it answers at once.  [default: 8]",
)
@setting_options(*SETTINGS)
def serve(bind: str, workers: int | None, threads: int, **given: str | None) -> None:
    """Run the stand-alone server until SIGTERM or Ctrl-C.

    It answers at / and at /incoming. Every option but the first three can be given as an
    environment variable as well; an option wins. Sizes are in bytes, times in seconds.
    """
    try:
        from . import serving
    except ImportError as exc:
        raise click.ClickException(
            f"{exc}. The server needs gunicorn: pip install 'incoming_wsgi[server]'"
        ) from exc
    with plain_errors():
        incoming = make_incoming(environ(given))
    serving.serve(incoming, bind=bind, workers=workers or _cores(), threads=threads)


def _cores() -> int:
    """How many processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@main.command()
@setting_options(*SETTINGS)
def housekeeping(**given: str | None) -> None:
    """Do what is due now: handovers, expiry, forgetting.

    For cron, where no server runs or INCOMING_BACKGROUND is false. Uploads whose callback is a
    function of a web app's own process are left to that app.
    """
    configure_logs(logging.WARNING)
    with plain_errors():
        variables = environ(given)
        find_database(variables)  # a folder without one is not the server's
        incoming = make_incoming(variables)
        with closing(incoming):
            done = incoming.do_housekeeping()
    click.echo(f"{done} {'thing' if done == 1 else 'things'} done.")


for command in (list_uploads, show, retry, upload_command):
    main.add_command(command)


if __name__ == "__main__":
    main()
