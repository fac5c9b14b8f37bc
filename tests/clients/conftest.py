"""What the tests of foreign clients share: gunicorn with Incoming, a web app, and files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from our_site import Site
from servers import gunicorn
from webapp import WebApp, web_app

MIB = 1024 * 1024

STANDALONE = "incoming_wsgi.wsgi:application"

# One server for all tests of a module: each has a ticket and a web app of its own.


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _serve(tmp_path_factory.mktemp("site"), STANDALONE)


@pytest.fixture
def site(running_site: Site) -> Iterator[Site]:
    """Incoming on its own, under two workers. It may be killed, and need not be started again."""
    yield running_site
    if not running_site.is_up():
        running_site.server.kill()
        running_site.server.start()


@pytest.fixture(scope="module")
def hasty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same, but its answers do not wait for the app as long as it takes."""
    folder = tmp_path_factory.mktemp("hasty")
    yield from _serve(folder, STANDALONE, INCOMING_COMPLETE_WAIT_S="0.5")


@pytest.fixture(scope="module")
def creating_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A web app with Incoming inside which lets its users create uploads; see `creating_app.py`."""
    yield from _serve(tmp_path_factory.mktemp("creating"), "creating_app:application")


def _serve(folder: Path, application: str, **settings: str) -> Iterator[Site]:
    environ = {
        "INCOMING_STORAGE_DIR": str(folder / "storage"),
        "INCOMING_HANDOVER_RETRY_S": "0.2",
        **settings,
    }
    with gunicorn(application, "--workers", "2", folder=folder, environ=environ) as server:
        yield Site(server)
        # What clients do wrong is no trouble of its own.
        assert [line for line in server.log.splitlines() if "internal_error" in line][:1] == []


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
