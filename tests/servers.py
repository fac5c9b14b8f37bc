"""Real servers for tests: started on a free loopback port, ended by their own process ids.

    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    with gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ) as server:
        requests.get(server.url + "/health")
        server.kill()       # SIGKILL to master and workers: a crash
        server.start()      # again, on the same port

Whatever the test does, nothing that was started here is left running. The other servers that people
use take the same arguments: `waitress`, `uwsgi`, `granian`, `cheroot`, `wsgiref`.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from wsgiref.simple_server import make_server

import wsgiref_server
from gunicorn.config import Config
from waiting import wait_until
from wsgiref_server import SilentHandler, ThreadingServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = [
    "Server",
    "cheroot",
    "free_port",
    "granian",
    "gunicorn",
    "serving",
    "uwsgi",
    "waitress",
    "wsgiref",
]

HOST = "127.0.0.1"
# gunicorn waits 30 s for a worker that was told to end while it was being born, and missed it.
LONGEST_S = 60.0


class Server:
    """`command` serves on `port`; what it writes to stdout and stderr goes to `log_file`.

    The process finds the modules that the test finds. It gets no INCOMING_ variable of the test's
    own environment, only those of `environ`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        folder: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.log_file = folder / f"server-{port}.log"
        self._folder = folder
        self._environ = _environ(environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of the master process, which leads a process group of its own."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def start(self) -> None:
        """Start it and wait until it accepts connections; a worker may still be on its way."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._environ,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(self._accepts, "the start of the server", LONGEST_S)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> int:
        """End it gracefully with SIGTERM; its exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self, longest_s: float = LONGEST_S) -> int:
        """Wait for it to end by itself; its exit status."""
        assert self._process is not None, "not started"
        return self._process.wait(longest_s)

    def kill(self) -> None:
        """SIGKILL to all of it at once, as the kernel does. Harmless if it has ended."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            # Its workers too, which might outlive their master for a while.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(LONGEST_S)
        self._process = None
        # A worker dies on its own, maybe later than its master; until then it holds the port, and
        # a new start would take it for its own.
        wait_until(lambda: not self._listens(), "the end of all workers", LONGEST_S)

    def _accepts(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended with {self._process.returncode}:\n{self.log}")
        return self._listens()

    def _listens(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def gunicorn(
    application: str,
    *arguments: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
    worker_class: str = "gthread",
) -> Server:
    """gunicorn serving `application` ("module:name"), with threads or `sync`, not yet started.

    `arguments` come after the common ones and win over them; `folder` is where it runs and logs.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "gunicorn", application, "--bind", f"{HOST}:{port}"]
    command += ["--worker-class", worker_class]
    if worker_class == "gthread":  # which sync workers become, too, when they get threads
        # Longer than a request may wait on a line that a test has made slow: by itself gunicorn
        # closes a connection after 2 s, and a request that is on its way to it then comes to
        # nothing.
        command += ["--threads", "8", "--keep-alive", "75"]
    if "control_socket_disable" in Config().settings:  # gunicorn 25 and later
        command += ["--no-control-socket"]
    return Server([*command, *arguments], port=port, folder=folder, environ=environ)


def waitress(
    application: str,
    *arguments: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """waitress with its four threads, not yet started; see `gunicorn` for the arguments."""
    port = port or free_port()
    command = [sys.executable, "-m", "waitress", f"--listen={HOST}:{port}", *arguments, application]
    return Server(command, port=port, folder=folder, environ=environ)


def uwsgi(
    application: str,
    *arguments: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """uWSGI speaking HTTP with one process of four threads, not yet started; see `gunicorn`.

    It does not log requests: the path of an upload contains its ticket.
    """
    port = port or free_port()
    command = [sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()", "--module", application]
    command += ["--http-socket", f"{HOST}:{port}", "--master", "--die-on-term", "--need-app"]
    command += ["--enable-threads", "--threads", "4", "--disable-logging"]
    return Server([*command, *arguments], port=port, folder=folder, environ=environ)


def granian(
    application: str,
    *arguments: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """granian with one process of eight threads, not yet started; see `gunicorn`."""
    port = port or free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", HOST]
    command += ["--port", str(port), "--blocking-threads", "8"]
    # A worker that is told to end while it is being born misses it, and would never end.
    command += ["--workers-kill-timeout", "30"]
    return Server([*command, *arguments, application], port=port, folder=folder, environ=environ)


def cheroot(
    application: str,
    *arguments: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """cheroot with its ten threads, not yet started; see `gunicorn` for the arguments."""
    port = port or free_port()
    command = [sys.executable, "-m", "cheroot", application, "--bind", f"{HOST}:{port}", *arguments]
    return Server(command, port=port, folder=folder, environ=environ)


def wsgiref(
    application: str,
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """The standard library's server, not yet started: one request at a time."""
    port = port or free_port()
    command = [sys.executable, wsgiref_server.__file__, application, str(port)]
    return Server(command, port=port, folder=folder, environ=environ)


@contextmanager
def serving(app: WSGIApplication) -> Iterator[str]:
    """The URL of a server in this process for any WSGI application, with a thread for each request.

    For tests that look into the application; those of processes need `gunicorn`.
    """
    with make_server("127.0.0.1", 0, app, ThreadingServer, SilentHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# Below those that the kernel gives to connections, and others in each of pytest's processes: what
# is free now is still free when the server has started.
PORTS = range(10_000, 32_000)
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 11
_own_ports = itertools.cycle(PORTS[2000 * _worker : 2000 * (_worker + 1)])


def free_port() -> int:
    """A port of the loopback interface that nobody uses at the moment."""
    for port in _own_ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise AssertionError("not reached")


def _environ(own: Mapping[str, str]) -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("INCOMING_")}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**outer, "PYTHONPATH": path, **own}
