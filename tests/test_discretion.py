"""No log shows a whole id, a secret, a token or the query of a callback; no file is for others."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from example_apps import send
from servers import HOST, Server, free_port, gunicorn
from waiting import wait_until
from webapp import reply, web_app
from webtest import TestApp

from incoming_wsgi import Incoming, NotFound
from incoming_wsgi.client import IncomingClient

NOBODY = "http://127.0.0.1:9/finished"
SECRET = "s3cret-of-the-ticket"
TOKEN = "t0ken-of-the-backend"
QUERY = "query-of-the-callback"
UNKNOWN = "0b1e55ed-c0de-4bad-8bad-f00dfeedface"
WRONG_DIGEST = f"sha-256=:{'A' * 43}=:"
LOOPBACK = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}


class Everything(logging.Handler):
    """All that any logger says at any level: as text, and what else a handler could look at."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # At DEBUG the HTTP library writes each URL that is called: docs/operations.md warns.
        if not record.name.startswith("urllib3"):
            exception = record.exc_info and record.exc_info[1]
            self.said.append(f"{self.format(record)} {vars(record)} {exception}")


@pytest.fixture
def everything() -> Iterator[Everything]:
    handler, root = Everything(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def assert_discreet(log: str, ids: list[str]) -> None:
    for word in (*ids, UNKNOWN, SECRET, TOKEN, QUERY):
        assert word not in log
    # The whole life is there to be followed.
    for upload_id in ids:
        assert f"upload={upload_id[:8]} event=created" in log


def test_the_whole_life_of_embedded_uploads(tmp_path, everything):
    ids = []

    def take(upload):
        raise OSError(28, "No space left on device", str(upload.path))

    def authorize(environ, upload, action):
        if "HTTP_X_RAISE" in environ:
            raise RuntimeError(f"nobody knows {upload.id} and {environ['PATH_INFO']}")
        return "HTTP_X_NO" not in environ

    incoming = Incoming(
        tmp_path / "incoming",
        on_finished=take,
        authorize=authorize,
        on_cancelled=lambda upload: 1 / len(upload.secret) + int(upload.id),
        background=False,
        backend_api=True,
        backend_token=TOKEN,
        handover_retry_s=0.001,
        handover_give_up_s=0.01,
        max_chunk_bytes=1000,
        chunk_bytes=100,
    )
    app = TestApp(incoming, extra_environ=LOOPBACK)

    def new(**options) -> str:
        ids.append(incoming.new_upload(secret=SECRET, **options))
        return f"/frontend/uploads/{ids[-1]}"

    def put(url: str, body: bytes = b"ab", range_: str = "bytes 0-1/2", **headers: str) -> int:
        headers = {"Content-Range": range_, **headers}
        return app.put(url, body, headers=headers, status="*").status_code

    with web_app(reply(500), reply(302, Location=f"/{QUERY}"), reply()) as their_app:
        for options in (
            {},
            {"signal_finish_url": f"{NOBODY}?token={QUERY}"},
            {"signal_finish_url": f"{their_app.url}?token={QUERY}"},
            {"signal_finish_url": f"http://no-such-host.invalid/?token={QUERY}"},
        ):
            url = new(**options)
            app.post_json(url, {"filename": "a", "length": 2})
            assert put(url) == 200
            for _ in range(4):
                incoming.do_housekeeping()
    # errors of every kind
    url = new()
    assert put(url, range_="nonsense") == 400
    assert put(url, b"x" * 2000, f"bytes 0-1999/{2000}") == 413
    assert put(url, **{"Content-Digest": WRONG_DIGEST}) == 422
    for name, status in (("X-Raise", 500), ("X-No", 403)):
        app.get(url, headers={name: "1"}, status=status)
    app.get(f"/frontend/uploads/{UNKNOWN}", status=404)
    app.get(f"/nowhere/{UNKNOWN}", status=404)
    app.get(f"/0.1/frontend/{ids[-1]}/x", status=404)
    form = {"id": ids[-1], "backendSecret": "wrong"}
    app.post("/backend/cancel_upload", form, status=403)
    app.post(f"/backend/finish_upload?id={ids[-1]}&backendSecret={SECRET}", status=412)
    app.get(f"/backend/uploads/{UNKNOWN}", status=404)
    app.get(f"/backend/uploads/{ids[-1]}", headers={"Authorization": f"Bearer {TOKEN}"})
    # bytes that are gone, a cancelled one, an expired one
    (tmp_path / "incoming" / "files" / ids[-1]).touch()
    url = new()
    assert put(url, b"a", "bytes 0-0/2") == 200
    (tmp_path / "incoming" / "files" / ids[-1]).unlink()
    put(url, b"b", "bytes 1-1/2")
    url = new()
    app.delete(f"{url}?reason=enough")
    incoming.do_housekeeping()
    new()
    with incoming._tickets._database._connections.use() as connection:
        connection.execute("UPDATE uploads SET due_at = 0 WHERE state = 'CREATED'")
    incoming.do_housekeeping()
    # a disk and a database that fail
    url = new()
    (tmp_path / "incoming" / "files" / ids[-1]).mkdir()
    assert put(url) == 500
    with incoming._tickets._database._connections.use() as connection:
        connection.execute("DROP TABLE claims")
    assert put(url) == 500
    incoming.close()
    assert_discreet("\n".join(everything.said), ids)
    for event in ("given_up", "on_finished_raised", "on_cancelled_raised", "internal_error"):
        assert any(f"event={event}" in line for line in everything.said), event
    assert any("RuntimeError: nobody knows" in line for line in everything.said)


def incoming_serve(folder: Path, environ: dict[str, str]) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "incoming_wsgi.cli", "serve", "--bind", f"{HOST}:{port}"]
    return Server([*command, "--workers", "1"], port=port, folder=folder, environ=environ)


def gunicorn_alone(folder: Path, environ: dict[str, str]) -> Server:
    return gunicorn("incoming_wsgi.wsgi:application", folder=folder, environ=environ)


@pytest.mark.parametrize("start", [incoming_serve, gunicorn_alone])
def test_the_log_of_a_real_server(tmp_path, start):
    environ = {
        "INCOMING_STORAGE_DIR": str(tmp_path / "storage"),
        "INCOMING_BACKEND_TOKEN": TOKEN,
        "INCOMING_HANDOVER_RETRY_S": "0.01",
        "INCOMING_STALL_TIMEOUT_S": "0.2",
    }
    files = tmp_path / "storage" / "files"
    ids = []
    with start(tmp_path, environ) as server, web_app(reply(500), reply()) as app:
        client = IncomingClient(server.url, token=TOKEN)

        def new(url: str = f"{app.url}?token={QUERY}") -> str:
            ids.append(client.new_upload(signal_finish_url=url, secret=SECRET))
            return f"{server.url}/incoming/frontend/uploads/{ids[-1]}"

        send(new(), b"0123456789", "a.bin")
        app.wait_for(2)
        send(new(f"{NOBODY}?token={QUERY}"), b"0123456789", "a.bin")
        requests.delete(new(), timeout=30).raise_for_status()
        url = new()
        (files / ids[-1]).mkdir()
        headers = {"Content-Range": "bytes 0-1/2"}
        assert requests.put(url, b"ab", headers=headers, timeout=30).status_code == 500
        with requests.put(new(), _Never(), headers=headers, timeout=30) as answer:
            assert answer.status_code == 400  # too slow
        for path in (f"/frontend/uploads/{UNKNOWN}", f"/{ids[0]}", f"/backend/uploads/{UNKNOWN}"):
            assert requests.get(server.url + path, timeout=30).status_code == 404
        query = {"id": ids[0], "backendSecret": SECRET + "x", "token": QUERY}
        url = f"{server.url}/backend/cancel_upload"
        assert requests.post(url, params=query, timeout=30).status_code == 403
        with pytest.raises(NotFound):
            client.cancel_upload(UNKNOWN, secret=SECRET)
        wait_until(lambda: "event=no_answer" in server.log, "the failed handover")
        server.stop()
        assert_discreet(server.log, ids)
        assert "event=request_ended why=too_slow" in server.log


class _Never:
    """Two bytes are announced, one comes."""

    def __init__(self) -> None:
        self._held = [b"a"]

    def __len__(self) -> int:
        return 2

    def __iter__(self):
        yield from self._held


# files


def modes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
    }


def test_whatever_the_umask_is_files_and_folders_are_for_their_owner_alone(tmp_path):
    """In a process of its own: a umask is a process's."""
    code = """if True:
        import os, sys, threading
        os.umask(0)
        from webtest import TestApp
        from incoming_wsgi import Incoming
        folder = sys.argv[1]
        incoming = Incoming(folder, on_finished=lambda upload: "wait", durability=sys.argv[2])
        app = TestApp(incoming)
        for length in (2, 4):
            url = f"/frontend/uploads/{incoming.new_upload()}"
            app.put(url, b"ab", headers={"Content-Range": f"bytes 0-1/{length}"})
        empty = f"/frontend/uploads/{incoming.new_upload()}"
        app.post_json(empty, {"length": 0})
        print(sorted(name for name in os.listdir(folder)), flush=True)
        sys.stdin.read()
        os._exit(0)  # with everything open
    """
    for durability in ("process", "disk"):
        folder = tmp_path / durability / "incoming"
        command = [sys.executable, "-c", code, str(folder), durability]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert "incoming.db-wal" in process.stdout.readline()
            seen = modes(folder)
            process.stdin.close()
        assert {"incoming.db", "incoming.db-wal", "incoming.db-shm", "files"} <= set(seen)
        assert len([name for name in seen if name.startswith("files/")]) >= 2
        for name, mode in seen.items():
            assert mode & 0o077 == 0, (name, oct(mode))


def test_a_new_storage_folder_is_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        incoming = Incoming(tmp_path / "new", on_finished=lambda upload: None, background=False)
        incoming.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize(("mode", "is_warned_of"), [(0o777, True), (0o775, False), (0o700, False)])
def test_in_a_folder_that_is_open_to_others_the_files_are_closed_to_them(
    tmp_path, mode, is_warned_of, caplog
):
    folder = tmp_path / "incoming"
    folder.mkdir()
    folder.chmod(mode)
    (folder / "files").mkdir()
    (folder / "files").chmod(0o755)
    incoming = Incoming(folder, on_finished=lambda upload: None, background=False)
    app = TestApp(incoming)
    url = f"/frontend/uploads/{incoming.new_upload()}"
    app.put(url, b"ab", headers={"Content-Range": "bytes 0-1/4"})
    for name, seen in modes(folder).items():
        if name != "files":
            assert seen & 0o077 == 0, (name, oct(seen))
    # Whoever made the folder knows whom it is for; it is not changed.
    assert stat.S_IMODE(folder.stat().st_mode) == mode
    warning = f"event=folder_open_to_all folder={folder} mode=777"
    assert (warning in caplog.text) is is_warned_of
    incoming.close()
