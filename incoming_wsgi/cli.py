"""The command `incoming`: the stand-alone server, a look at its uploads, and a client.

An option of the server stands for its `INCOMING_*` variable and wins over it (`options.py`). What
goes wrong is said in a line or two on stderr, with exit status 1 or 2, never as a traceback.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

import click

from . import __version__
from .client import SentUpload, upload_file
from .config import DATABASE_NAME
from .errors import IncomingError, WrongState
from .logs import configure_logs
from .names import safe_filename
from .options import SETTINGS, setting_options, to_variables
from .standalone import make_incoming, read_settings
from .states import UploadState
from .tickets.base import TicketStore
from .tickets.sqlite import SQLiteTicketStore
from .uploads import Upload, log_id, public_facts

__all__ = ["main"]

DEFAULT_BIND = "127.0.0.1:4000"
INTERRUPTED = 130  # what shells make of SIGINT
SHORTEST_PREFIX = 8  # as much of an id as the log shows


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="incoming")
def main() -> None:
    """Large-file uploads for web applications: the stand-alone server and its tools."""


def _environ(given: dict[str, str | None]) -> dict[str, str]:
    """The variables of the environment, and those for which options stand."""
    return {**os.environ, **to_variables(given)}


@contextmanager
def _plain_errors() -> Iterator[None]:
    """ValueError is what the settings raise; nothing else may be done in here that could."""
    try:
        yield
    except (IncomingError, ValueError) as exc:
        raise click.ClickException(str(exc)) from exc


# the server


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
    with _plain_errors():
        incoming = make_incoming(_environ(given))
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
    with _plain_errors():
        environ = _environ(given)
        _find_database(environ)  # a folder without one is not the server's
        incoming = make_incoming(environ)
        with closing(incoming):
            done = incoming.do_housekeeping()
    click.echo(f"{done} {'thing' if done == 1 else 'things'} done.")


def _find_database(environ: dict[str, str]) -> Path:
    """Where the server has its tickets."""
    storage_dir, settings = read_settings(environ)
    if not Path(storage_dir).is_dir():
        raise click.ClickException(
            f"There is no storage folder {storage_dir}. Give the --storage-dir of the server."
        )
    path = Path(settings.database or Path(storage_dir) / DATABASE_NAME)
    if not path.is_file():
        raise click.ClickException(
            f"There is no ticket database {path}. Give the --storage-dir of the server, and "
            "its --database if it has one."
        )
    return path


# a look at uploads


@contextmanager
def _tickets(given: dict[str, str | None]) -> Iterator[TicketStore]:
    """The tickets of a server, as they are: nothing is made or changed by looking."""
    with _plain_errors(), closing(SQLiteTicketStore(_find_database(_environ(given)))) as tickets:
        yield tickets


@main.command("list")
@click.option(
    "--state",
    type=click.Choice([state.value for state in UploadState], case_sensitive=False),
    help="Only uploads in this state.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    metavar="NUMBER",
    help="Uploads to show at most, the newest.  [default: 100]",
)
@click.option("--json", "as_json", is_flag=True, help="As a JSON array, with all that is known.")
@setting_options("database")
def list_uploads(state: str | None, limit: int, as_json: bool, **given: str | None) -> None:
    """List uploads, the newest first.

    The ids are shown in full: each is the right to make its upload, keep them to yourself.
    """
    with _tickets(given) as tickets:
        wanted = UploadState(state) if state else None
        uploads = tickets.list_uploads(state=wanted, limit=limit)
    if as_json:
        _echo_json([public_facts(upload) for upload in uploads])
    for upload in () if as_json else uploads:
        click.echo(_line(upload))


@main.command()
@click.argument("upload_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
@setting_options("database")
def show(upload_id: str, as_json: bool, **given: str | None) -> None:
    """Show all that is known of one upload, but its secret.

    ID may be its beginning, 8 characters or more, as the log shows them.
    """
    with _tickets(given) as tickets:
        facts = public_facts(_find(tickets, upload_id))
    if as_json:
        _echo_json(facts)
    for name, value in () if as_json else facts.items():
        click.echo(f"{name}: {_readable(name, value)}")


@main.command()
@click.argument("upload_id", metavar="ID")
@setting_options("database")
def retry(upload_id: str, **given: str | None) -> None:
    """Hand a FAILED upload over again.

    ID may be its beginning, 8 characters or more, as the log shows them. Nobody is called by this
    command: a running server does it within seconds. INCOMING_HANDOVER_GIVE_UP_S counts anew.
    """
    with _tickets(given) as tickets:
        upload = _find(tickets, upload_id)
    with _plain_errors():
        incoming = make_incoming(_environ(given))
    with closing(incoming):
        try:
            incoming.retry_handover(upload.id)
        except WrongState as exc:
            raise click.ClickException(_not_failed(incoming.status(upload.id))) from exc
        except IncomingError as exc:
            raise click.ClickException(str(exc)) from exc
    who = "app that has its function" if upload.signal_finish_url is None else "server"
    click.echo(f"{log_id(upload.id)} is due again. A running {who} hands it over within seconds;")
    click.echo("where none runs, start it, or see `incoming housekeeping`.")


def _not_failed(upload: Upload) -> str:
    """Why it cannot be handed over again."""
    due_at = _time(upload.due_at)
    return (
        f"{log_id(upload.id)} is {upload.state.value}: "
        + {
            UploadState.CREATED: "nothing of its file is stored yet.",
            UploadState.UPLOADING: "its file is not complete yet.",
            UploadState.COMPLETE: f"it is going to be handed over by itself, next at {due_at}.",
            UploadState.HANDING_OVER: "the web app is being asked at this moment.",
            UploadState.AWAITING_CONFIRMATION: 'the web app has answered "wait", and has time to '
            f"confirm until {due_at}.",
            UploadState.FINISHED: "the web app has taken its file.",
            UploadState.CANCELLED: "its bytes are deleted.",
            UploadState.FAILED: "try again.",  # since then
        }[upload.state]
    )


def _find(tickets: TicketStore, upload_id: str) -> Upload:
    found = [upload for upload in (tickets.find(upload_id),) if upload]
    if not found and len(upload_id) >= SHORTEST_PREFIX:
        every = tickets.list_uploads(limit=sum(tickets.count_by_state().values()))
        found = [upload for upload in every if upload.id.startswith(upload_id)]
    if not found:
        raise click.ClickException(
            f"There is no upload {upload_id}: it was never issued here, or is forgotten. Give the "
            f"whole id, or {SHORTEST_PREFIX} characters of it or more."
        )
    if len(found) > 1:
        raise click.ClickException(f"{len(found)} ids begin with {upload_id}; give more of it.")
    return found[0]


def _line(upload: Upload) -> str:
    length = "?" if upload.length is None else upload.length
    # The client's name, made safe: it could be an escape sequence of the terminal.
    name = "" if upload.filename is None else safe_filename(upload.filename)
    stored = f"{upload.received.total_bytes}/{length}"
    created = _time(upload.created_at)
    return f"{upload.id}  {created}  {upload.state.value:<21}  {stored:>19}  {name}".rstrip()


def _readable(name: str, value: object) -> str:
    if name.endswith("_at") and isinstance(value, float):
        return _time(value)
    return json.dumps(value, ensure_ascii=True) if value is not None else "-"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


# a client


@main.command("upload")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--ticket",
    required=True,
    metavar="URL|ID",
    help="Where to upload: the URL …/frontend/uploads/ID, or the id alone with --server.",
)
@click.option(
    "--server",
    default=f"http://{DEFAULT_BIND}",
    metavar="URL",
    help=f"The Incoming server, for an id alone.  [default: http://{DEFAULT_BIND}]",
)
@click.option(
    "--give-up-s",
    type=click.FloatRange(min=0),
    default=600.0,
    metavar="SECONDS",
    help="Give up when no byte gets on for so long. The wait for the web app is not limited by it, "
    "see --no-wait.  [default: 600 = 10 min]",
)
@click.option(
    "--wait/--no-wait",
    default=True,
    help="Whether to wait until the web app has taken the file.  [default: wait]",
)
def upload_command(file: Path, ticket: str, server: str, give_up_s: float, wait: bool) -> None:
    """Upload FILE with a ticket.

    Whatever has ended it, the same command goes on where it was.
    """
    is_url = ticket.startswith(("http://", "https://"))
    url = ticket if is_url else f"{server.rstrip('/')}/frontend/uploads/{ticket}"
    try:
        with _plain_errors():
            sent = _upload_with_bar(file, url, give_up_s, wait)
    except OSError as exc:
        raise click.ClickException(f"{file} cannot be read: {exc.strerror}") from exc
    except KeyboardInterrupt:
        click.echo(
            "\nStopped. What is stored stays: the same command goes on from there.", err=True
        )
        raise SystemExit(INTERRUPTED) from None
    end = "handed over" if sent.state is UploadState.FINISHED else "stored; to be handed over"
    click.echo(f"{file.name}: {sent.length} bytes, {end}.")


def _upload_with_bar(file: Path, url: str, give_up_s: float, wait: bool) -> SentUpload:
    size = file.stat().st_size
    label = safe_filename(file.name)
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:

        def progress(stored: int, total: int) -> None:  # noqa: ARG001  it is `size`
            bar.update(stored - bar.pos)

        def on_retry(trouble: IncomingError, pause_s: float) -> None:
            click.echo(f"\n{trouble} Trying again in {pause_s:.1f} s.", err=True)

        def on_wait(reason: str | None) -> None:
            why = "" if reason is None else f" So far: {reason}."
            click.echo(f"\nAll is stored. Waiting for the web app to take it.{why}", err=True)

        return upload_file(
            file,
            url,
            progress=progress,
            on_retry=on_retry,
            on_wait=on_wait,
            give_up_s=give_up_s,
            wait=wait,
        )


if __name__ == "__main__":
    main()
