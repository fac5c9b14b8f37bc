"""What a web app makes and mounts: the one place that wires the parts."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .assembling import Assembling
from .background import Background, run_due
from .completion import Callbacks, Completion
from .concatenation import Concatenation
from .config import DATABASE_NAME, SettingKeywords, Settings
from .engine import CANCELLED_BY_BACKEND, Engine
from .handover import OnCancelled, OnFinished
from .housekeeping import Housekeeping
from .issuing import Terms
from .rights import Authorize, AuthorizeCreation, Rights
from .storage.base import Storage
from .storage.file import FileStorage
from .tickets.base import TicketStore
from .tickets.sqlite import SQLiteTicketStore
from .uploads import Upload
from .web import Web

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Unpack

__all__ = ["Incoming"]

log = logging.getLogger("incoming_wsgi")


class Incoming:
    """Takes uploads; a WSGI application that can be mounted anywhere or run alone.

    `storage_dir`   the folder for files and tickets; made if it does not exist.
    `on_finished`   takes a complete file, in this process; for tickets without a callback URL.
    `on_cancelled`  learns of uploads that will not come; likewise.
    `authorize`     an additional right for every action of a client, see `Authorize`.
    `authorize_creation`   makes tickets for clients that create uploads by themselves, such as
                    those of tus, and bring none; see `AuthorizeCreation`. Without it they must.
    `storage`, `tickets`   other back ends than files and SQLite.
    Every other keyword is a setting: see `config.Settings` or docs/settings.md.

    Nothing is opened and no thread started before the first request, so it may be made before a
    server forks. Raises StorageError or TicketStoreError if the folder cannot be used, ValueError
    or TypeError for a setting that cannot be.
    """

    def __init__(
        self,
        storage_dir: str | os.PathLike[str],
        *,
        on_finished: OnFinished | None = None,
        on_cancelled: OnCancelled | None = None,
        authorize: Authorize | None = None,
        authorize_creation: AuthorizeCreation | None = None,
        storage: Storage | None = None,
        tickets: TicketStore | None = None,
        **settings: Unpack[SettingKeywords],
    ) -> None:
        for name, function in (
            ("on_finished", on_finished),
            ("on_cancelled", on_cancelled),
            ("authorize", authorize),
            ("authorize_creation", authorize_creation),
        ):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function, not {function!r}")
        self.settings = Settings(**settings)
        self._has_callback = on_finished is not None
        folder = Path(storage_dir).absolute()
        storage = storage or FileStorage(folder, min_free_bytes=self.settings.min_free_bytes)
        storage.prepare()
        tickets = tickets or SQLiteTicketStore(
            self.settings.database or folder / DATABASE_NAME,
            durable=self.settings.durability == "disk",
        )
        tickets.prepare()
        _warn_if_open_to_all(folder)
        completion = Completion(
            tickets=tickets,
            storage=storage,
            settings=self.settings,
            callbacks=Callbacks(
                on_finished,
                on_cancelled,
                None if authorize is None else lambda upload: authorize({}, upload, "hand_over"),
            ),
        )
        self._tickets = tickets
        self._storage = storage
        self._housekeeping = Housekeeping(
            tickets=tickets,
            storage=storage,
            completion=completion,
            assembling=Assembling(
                tickets=tickets, storage=storage, completion=completion, settings=self.settings
            ),
            settings=self.settings,
            in_process=self._has_callback,
        )
        self._background = Background(self._housekeeping)
        self._engine = Engine(
            tickets=tickets,
            storage=storage,
            completion=completion,
            settings=self.settings,
            caller=self._background if self.settings.background else None,
        )
        self._concatenation = Concatenation(
            tickets=tickets,
            storage=storage,
            completion=completion,
            settings=self.settings,
            caller=self._background if self.settings.background else None,
        )
        self._web = Web(
            engine=self._engine,
            concatenation=self._concatenation,
            tickets=tickets,
            storage=storage,
            settings=self.settings,
            rights=Rights(self._engine, authorize, authorize_creation),
        )

    # for the web app that embeds it

    def new_upload(
        self,
        *,
        signal_finish_url: str | None = None,
        remove_file_when_finished: bool = True,
        secret: str = "",
        owner: str | int | None = None,
        max_length_bytes: int | None = None,
        accept: str | None = None,
        idle_timeout_s: float | None = None,
        length: int | None = None,
        filename: str | None = None,
        sha256: str | None = None,
        wants_sha256: bool = False,
    ) -> str:
        """Issue a ticket and return its id, for the page.

        `signal_finish_url`: where the handover is POSTed; without it `on_finished` is called.
        `remove_file_when_finished`: delete what the app has left of the file when it is done.
        `owner`: whose it is, for your own books; a user's number or name.
        `accept`: the types of file that it takes, in the words of HTML: ".pdf, image/*". Compared
        with the name and the type that the client says, not with what is in the file.
        `idle_timeout_s`: instead of that of the settings.
        `secret`: sent with the handover, and needed to cancel or finish this upload over HTTP.
        `length`, `filename`: if known already, for clients that do not declare a file themselves.
        Another name may still be declared, and another length up to `max_length_bytes`, which is
        `length` if you do not say.
        `sha256`: of the whole file, in hexadecimal, if known already. A file that has another one
        is never handed over: its upload is FAILED.
        `wants_sha256`: whether the app is to be told the file's SHA-256 in any case.

        Raises BadRequest for what cannot be, such as a URL that cannot be called; TooManyUploads if
        the owner has as many as he may; StorageFull if there is no room for `length`; TypeError
        without URL and `on_finished`.
        """
        if signal_finish_url is None and not self._has_callback:
            raise TypeError("give signal_finish_url here, or on_finished to Incoming")
        terms = Terms(
            signal_finish_url=signal_finish_url,
            remove_file_when_finished=remove_file_when_finished,
            secret=secret,
            owner=None if owner is None else str(owner),
            max_length_bytes=max_length_bytes,
            accept=accept,
            idle_timeout_s=idle_timeout_s,
            length=length,
            filename=filename,
            expected_sha256=sha256,
            wants_sha256=wants_sha256,
        )
        return self._engine.new_upload(terms).id

    def status(self, upload_id: str) -> Upload:
        """The record as it is now. Raises UploadNotFound."""
        return self._engine.load(upload_id)

    def cancel_upload(self, upload_id: str, *, secret: str | None = None) -> None:
        """End an upload; its bytes are deleted and the page learns of it.

        Raises UploadNotFound, WrongState when it is too late, and if a `secret` is given
        WrongSecret if it is not the ticket's.
        """
        self._check_secret(upload_id, secret)
        self._engine.cancel(upload_id, reason=CANCELLED_BY_BACKEND, tell_app=False)

    def finish_upload(self, upload_id: str, *, secret: str | None = None) -> None:
        """The file, for which the app had answered "wait", is taken.

        Raises UploadNotFound, WrongState if the upload does not wait for this, and if a `secret` is
        given WrongSecret if it is not the ticket's.
        """
        self._check_secret(upload_id, secret)
        self._engine.confirm(upload_id)

    def _check_secret(self, upload_id: str, secret: str | None) -> None:
        if secret is not None:
            self._engine.check_secret(upload_id, secret)

    def retry_handover(self, upload_id: str) -> None:
        """Hand a FAILED upload over again. Raises UploadNotFound, WrongState."""
        self._engine.retry_handover(upload_id)

    def do_housekeeping(self) -> int:
        """Do what is due now, handovers among it, and return when it is done; how much it was."""
        return run_due(self._housekeeping)

    def start_background(self) -> None:
        """Start this process's thread now instead of at its first request. Call it after a fork."""
        if self.settings.background:
            self._background.ensure_running()

    def close(self) -> None:
        """Stop the background thread and close what nobody uses. Uploads stay as they are."""
        self._background.stop()
        self._tickets.close()

    def wrap(self, app: WSGIApplication, prefix: str = "/incoming") -> WSGIApplication:
        """`app` with this application mounted under `prefix`, at whole path segments."""
        mount = "/" + prefix.strip("/")
        if mount == "/":
            raise ValueError("prefix must name a path, such as /incoming")

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path != mount and not path.startswith(mount + "/"):
                # After a restart any visitor sets the handovers going that are due.
                self.start_background()
                return app(environ, start_response)
            inner = dict(environ)
            inner["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + mount
            inner["PATH_INFO"] = path[len(mount) :]
            return self(inner, start_response)

        return application

    # for everybody else

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.start_background()
        return self._web(environ, start_response)


def _warn_if_open_to_all(folder: Path) -> None:
    """Who may write to a folder may put another database there. A folder that existed before has
    the mode that somebody gave it, who is told and not overruled."""
    mode = stat.S_IMODE(folder.stat().st_mode) if folder.is_dir() else 0
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        log.warning("event=folder_open_to_all folder=%s mode=%o", folder, mode)
