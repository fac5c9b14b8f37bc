"""What the tests of foreign clients share: gunicorn with Incoming, a web app, and files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from our_site import Site
from servers import Server, gunicorn
from webapp import WebApp, web_app

MIB = 1024 * 1024

OPTIONS = ("--workers", "2")


def assert_no_trouble(server: Server) -> None:
    """None that it saw itself; those that clients make it are none."""
    assert [line for line in server.log.splitlines() if "internal_error" in line][:1] == []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Incoming on its own, under two workers."""
    with running_site(tmp_path) as site:
        yield site


@pytest.fixture
def hasty_site(tmp_path: Path) -> Iterator[Site]:
    """The same, but its answers do not wait for the app as long as it takes."""
    with running_site(tmp_path, INCOMING_COMPLETE_WAIT_S="0.5") as site:
        yield site


@contextmanager
def running_site(folder: Path, **settings: str) -> Iterator[Site]:
    environ = {
        "INCOMING_STORAGE_DIR": str(folder / "storage"),
        "INCOMING_HANDOVER_RETRY_S": "0.2",
        **settings,
    }
    application = "incoming_wsgi.wsgi:application"
    with gunicorn(application, *OPTIONS, folder=folder, environ=environ) as server:
        yield Site(server)
        assert_no_trouble(server)


@pytest.fixture
def creating_site(tmp_path: Path, app: WebApp) -> Iterator[Site]:
    """A web app with Incoming inside which lets its users create uploads; see `creating_app.py`."""
    environ = {"FOLDER": str(tmp_path / "creating"), "CALLBACK_URL": app.url}
    application = "creating_app:application"
    with gunicorn(application, *OPTIONS, folder=tmp_path, environ=environ) as server:
        yield Site(server)
        assert_no_trouble(server)


@pytest.fixture
def app() -> Iterator[WebApp]:
    """A web app that takes every file."""
    with web_app() as app:
        yield app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """3 MiB and a bit, with a name that is not ASCII."""
    path = tmp_path / "Fotos für Zoë.tar"
    path.write_bytes(random.Random(6).randbytes(3 * MIB + 321))
    return path
