"""How each server is started: commands for a port and a folder, and their processes.

Every one stores into FOLDER/files, and has the options of its recipe in docs/deploy.md, but as many
processes as its title says. Versions: requirements.txt, package-lock.json.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prepare import Tools

__all__ = [
    "Command",
    "Place",
    "Running",
    "behind_nginx",
    "granian",
    "gunicorn",
    "nginx_dav",
    "sink",
    "tus_node",
    "tuspyserver",
    "uwsgi",
    "waitress",
    "wsgiref",
]

HOST = "127.0.0.1"
APPS = Path(__file__).parent / "apps"
THREADS = 8
START_S = 60.0


@dataclass(frozen=True)
class Place:
    """Where one server works."""

    tools: Tools
    folder: Path
    port: int
    inner_port: int
    """For what stands behind a proxy."""

    def python(self, module: str, *arguments: str) -> list[str]:
        return [self.tools.python, "-m", module, *arguments]


Command = Callable[[Place], list[list[str]]]
"""The programs of a server, whose processes are measured as one."""


def sink(how: str, *options: str) -> Command:
    def command(place: Place) -> list[list[str]]:
        files = str(place.folder / "files")
        return [[place.tools.program("sinks"), str(place.port), files, how, *options]]

    return command


def gunicorn(app: str, *, workers: int = 1, kind: str = "gthread") -> Command:
    return lambda place: [_gunicorn(place, place.port, app, workers, kind)]


def _gunicorn(place: Place, port: int, app: str, workers: int, kind: str) -> list[str]:
    options = ["--worker-class", kind, "--workers", str(workers)]
    options += ["--threads", str(THREADS)] if kind == "gthread" else []
    options += ["--keep-alive", "65", "--graceful-timeout", "30"]
    options += ["--bind", f"{HOST}:{port}", "--log-level", "warning"]
    return place.python("gunicorn", *options, f"{app}:application")


def uwsgi(app: str) -> Command:
    def command(place: Place) -> list[list[str]]:
        options = ["--http11-socket", f"{HOST}:{place.port}", "--module", f"{app}:application"]
        options += ["--master", "--processes", "1", "--enable-threads", "--threads", str(THREADS)]
        options += ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]
        options += ["--socket-timeout", "30", "--worker-reload-mercy", "30"]
        options += ["--need-app", "--disable-logging"]
        return [[place.tools.python, "-c", "import pyuwsgi; pyuwsgi.run()", *options]]

    return command


def granian(app: str) -> Command:
    def command(place: Place) -> list[list[str]]:
        options = ["--interface", "wsgi", "--host", HOST, "--port", str(place.port)]
        options += ["--workers", "1", "--blocking-threads", str(THREADS)]
        options += ["--workers-kill-timeout", "30"]
        return [place.python("granian", *options, f"{app}:application")]

    return command


def waitress(app: str, *options: str) -> Command:
    def command(place: Place) -> list[list[str]]:
        own = [f"--listen={HOST}:{place.port}", f"--threads={THREADS}", *options]
        return [place.python("waitress", *own, f"{app}:application")]

    return command


def wsgiref(app: str) -> Command:
    program = str(APPS / "threading_wsgiref.py")
    return lambda place: [[place.tools.python, program, app, str(place.port)]]


def tuspyserver(place: Place) -> list[list[str]]:
    options = ["--host", HOST, "--port", str(place.port), "--no-access-log"]
    options += ["--log-level", "warning", "--loop", "uvloop", "--http", "httptools"]
    return [place.python("uvicorn", *options, "tuspy:application")]


def tus_node(place: Place) -> list[list[str]]:
    return [["node", str(place.tools.node_folder / "tus.mjs"), str(place.port)]]


NGINX = """\
daemon off;
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    upstream behind {{ server {host}:{inner_port}; keepalive 32; }}
    server {{
        listen {host}:{port};
        {server}
    }}
}}
"""


def nginx_dav(place: Place) -> list[list[str]]:
    return [_nginx(place, f"root {place.folder}; dav_methods PUT;")]


def behind_nginx(app: str, *, buffering: bool) -> Command:
    """nginx in front of gunicorn with one worker."""

    def command(place: Place) -> list[list[str]]:
        directives = (
            f"proxy_request_buffering {'on' if buffering else 'off'}; proxy_http_version 1.1; "
            'proxy_set_header Connection ""; proxy_set_header Host $http_host; '
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; "
            "location / { proxy_pass http://behind; }"
        )
        server = _gunicorn(place, place.inner_port, app, 1, "gthread")
        return [server, _nginx(place, directives)]

    return command


def _nginx(place: Place, server: str) -> list[str]:
    # Started by root, its workers would be somebody who may not write here.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    config = place.folder / "nginx.conf"
    config.write_text(
        NGINX.format(
            user=user,
            folder=place.folder,
            host=HOST,
            port=place.port,
            inner_port=place.inner_port,
            server=server,
        )
    )
    assert place.tools.nginx is not None
    return [place.tools.nginx, "-e", "stderr", "-p", str(place.folder), "-c", str(config)]


class Running:
    """The processes of one server, started at once; `wait_until_ready` before it is asked."""

    def __init__(self, command: Command, tools: Tools, folder: Path, environ: dict[str, str]):
        self.folder = folder
        (folder / "files").mkdir(parents=True)
        place = Place(tools, folder, free_port(), free_port())
        self.port = place.port
        self._ports = [place.port]
        programs = command(place)
        if len(programs) > 1:
            self._ports.append(place.inner_port)
        self._log = (folder / "log").open("w+")
        self._processes = [
            subprocess.Popen(
                program,
                cwd=folder,
                env=_environ(folder, environ),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
            for program in programs
        ]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def wait_until_ready(self) -> None:
        """Raises RuntimeError with what it logged if it does not come up."""
        deadline = time.monotonic() + START_S
        while not all(_accepts(port) for port in self._ports):
            ended = any(process.poll() is not None for process in self._processes)
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"it does not start: {self.log[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._log.close()


def _environ(folder: Path, own: dict[str, str]) -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("INCOMING_")}
    return {**outer, "PYTHONPATH": str(APPS), "BENCHMARK_FOLDER": str(folder), **own}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
