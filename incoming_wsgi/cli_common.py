"""What all commands share: settings, the server's database, errors in a line or two on stderr."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .config import DATABASE_NAME
from .errors import IncomingError
from .options import to_variables
from .standalone import read_settings

__all__ = ["DEFAULT_BIND", "environ", "find_database", "plain_errors"]

DEFAULT_BIND = "127.0.0.1:4000"


def environ(given: dict[str, str | None]) -> dict[str, str]:
    """The variables of the environment, and those for which options stand."""
    return {**os.environ, **to_variables(given)}


@contextmanager
def plain_errors() -> Iterator[None]:
    """ValueError is what the settings raise; nothing else may be done in here that could."""
    try:
        yield
    except (IncomingError, ValueError) as exc:
        raise click.ClickException(str(exc)) from exc


def find_database(variables: dict[str, str]) -> Path:
    """Where the server has its tickets."""
    storage_dir, settings = read_settings(variables)
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
