"""A look at the uploads of a server: `incoming list`, `show` and `retry`.

They read the database beside the server, or without one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone

import click

from .cli_common import environ, find_database, plain_errors
from .errors import IncomingError, WrongState
from .names import safe_filename
from .options import setting_options
from .standalone import make_incoming
from .states import UploadState
from .tickets.base import TicketStore
from .tickets.sqlite import SQLiteTicketStore
from .uploads import Upload, log_id, public_facts

__all__ = ["list_uploads", "retry", "show"]

SHORTEST_PREFIX = 8  # as much of an id as the log shows


@contextmanager
def _tickets(given: dict[str, str | None]) -> Iterator[TicketStore]:
    """The tickets of a server, as they are: nothing is made or changed by looking."""
    with plain_errors(), closing(SQLiteTicketStore(find_database(environ(given)))) as tickets:
        yield tickets


@click.command("list")
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


@click.command()
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


@click.command()
@click.argument("upload_id", metavar="ID")
@setting_options("database")
def retry(upload_id: str, **given: str | None) -> None:
    """Hand a FAILED upload over again.

    ID may be its beginning, 8 characters or more, as the log shows them. Nobody is called by this
    command: a running server does it within seconds. INCOMING_HANDOVER_GIVE_UP_S counts anew.
    """
    with _tickets(given) as tickets:
        upload = _find(tickets, upload_id)
    with plain_errors():
        incoming = make_incoming(environ(given))
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
