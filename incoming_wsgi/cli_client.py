"""`incoming upload`: sends a file, as a browser would, with a bar."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .cli_common import DEFAULT_BIND, plain_errors
from .client import SentUpload, upload_file
from .errors import IncomingError
from .names import safe_filename
from .states import UploadState

__all__ = ["upload_command"]

INTERRUPTED = 130  # what shells make of SIGINT


@click.command("upload")
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
        with plain_errors():
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
