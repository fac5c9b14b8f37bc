"""Incoming as a server of its own: what makes it from `INCOMING_*` variables.

It answers at "/" and at "/incoming", so that apps written for the original, which call
http://host/incoming/backend/new_upload, and pages that load /incoming/0.1/frontend/incoming.js need
not know where it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .app import Incoming
from .config import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["STANDALONE_DEFAULTS", "make_application", "make_incoming", "read_settings"]

PREFIX = "/incoming"
# A server beside the app is of no use without backend/.
STANDALONE_DEFAULTS: Mapping[str, Any] = {"backend_api": True}


def read_settings(environ: Mapping[str, str]) -> tuple[str, Settings]:
    """The storage folder and the settings. Raises ValueError saying which variable is missing,
    unknown or wrong."""
    storage_dir, settings = Settings.from_environ(environ, **STANDALONE_DEFAULTS)
    if not storage_dir:
        raise ValueError(
            "There is no storage folder: set INCOMING_STORAGE_DIR, or give --storage-dir to the "
            "command, to where files and tickets shall be kept, for example /var/lib/incoming"
        )
    return storage_dir, settings


def make_incoming(environ: Mapping[str, str]) -> Incoming:
    """Raises ValueError as `read_settings`, StorageError or TicketStoreError if the folder cannot
    be used."""
    storage_dir, settings = read_settings(environ)
    return Incoming(storage_dir, **dataclasses.asdict(settings))


def make_application(incoming: Incoming) -> WSGIApplication:
    """`incoming` at "/" and at "/incoming"."""
    return incoming.wrap(incoming, prefix=PREFIX)
