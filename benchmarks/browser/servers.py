"""The servers, each in a process group of its own, and the packages of npm that two of them need.

Everything listens on 127.0.0.1 and is ended by its own process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Server", "install_packages", "running"]

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
START_WITHIN_S = 30.0


@dataclass(frozen=True)
class Server:
    port: int
    pid: int
    stored: Path
    """The folder where what a client has sent lies under the last part of its URL."""


def install_packages() -> None:
    """What package-lock.json says into node_modules, and Uppy as one script into build; once."""
    modules = HERE / "node_modules"
    lock = HERE / "package-lock.json"
    mark = modules / ".package-lock.json"  # npm writes it at the end
    if not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime:
        _npm("ci", "--no-audit", "--no-fund")
        mark.touch()
    bundle = HERE / "build" / "uppy.js"
    if not bundle.exists() or bundle.stat().st_mtime < mark.stat().st_mtime:
        _npm("run", "--silent", "build")


def _npm(*arguments: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            "npm is needed for the clients and the server that ours is measured beside"
        )
    subprocess.run([npm, *arguments], cwd=HERE, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running(name: str, folder: Path, *, workers: int = 1) -> Iterator[Server]:
    """`incoming` (gunicorn, gthread), `tus` (@tus/server) or `sink`."""
    folder.mkdir()
    port = _free_port()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("INCOMING_")}
    environ["BENCHMARK_FOLDER"] = str(folder)
    if name == "incoming":
        command = [sys.executable, "-m", "gunicorn", "incoming_app:application"]
        command += ["--worker-class", "gthread", "--workers", str(workers), "--threads", "8"]
        command += ["--bind", f"{HOST}:{port}", "--pythonpath", str(HERE)]
        stored = folder / "arrived"
    elif name == "tus":
        command = ["node", str(HERE / "tus_server.mjs"), str(port), str(folder)]
        stored = folder
    else:
        command = [sys.executable, str(HERE / "sink.py"), str(port)]
        stored = folder
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environ,
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_it_listens(process, port, log)
        yield Server(port, process.pid, stored)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not listen:\n{log.read_text()}")
