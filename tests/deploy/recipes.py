"""The recipes of docs/deploy.md: its code blocks, and servers started by them.

    with start("waitress", tmp_path) as server:
        requests.get(server.url + "/incoming/health")

A block is used as it stands there, but for ports, paths, and an option that older gunicorns do not
know. It stands behind a comment with its name: `<!-- recipe: NAME -->`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from gunicorn.config import Config
from nginx import configured_nginx
from servers import HOST, Server, free_port
from tools import missing

__all__ = [
    "BIN",
    "DOCUMENT",
    "SERVERS",
    "nginx_in_front",
    "placed",
    "recipe",
    "start",
    "start_shell",
    "start_unix",
    "storage",
]

DOCUMENT = Path(__file__).parents[2] / "docs" / "deploy.md"
SERVERS = (
    "incoming serve",
    "gunicorn",
    "gevent",
    "uwsgi",
    "uwsgi http",
    "granian",
    "waitress",
    "cheroot",
)
BIN = Path(sys.executable).parent


HAS_CONTROL_SOCKET = "control_socket_disable" in Config().settings  # gunicorn 25.1 and later


class UwsgiServer(Server):
    uwsgi_port: int  # for nginx, beside that for HTTP


class UnixServer(Server):
    """At a Unix socket; its port is only its name."""

    path: Path

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.path)) == 0


def recipe(name: str) -> str:
    blocks = re.findall(
        rf"^<!-- recipe: {re.escape(name)} -->\n```\w+\n(.*?)^```$",
        DOCUMENT.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert len(blocks) == 1, f"{len(blocks)} blocks are called {name}"
    return blocks[0]


def storage(folder: Path) -> Path:
    return folder / "storage"


def placed(text: str, places: Mapping[str, str]) -> str:
    """`text` with ports and paths of the test; each that is to be replaced must be there."""
    for there, here in places.items():
        assert there in text, f"no {there} in {text}"
        text = text.replace(there, here)
    return text


def start(
    name: str,
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    changes: Mapping[str, str] | None = None,
) -> Server:
    """The server of the recipe, not yet started. `changes` are made to the text first; what they
    change must be there."""
    if name == "gevent" and not importlib.util.find_spec("gevent"):
        missing("gevent is not installed")
    text = recipe("uwsgi" if name == "uwsgi http" else name)
    if name == "uwsgi http":
        text, sockets = re.subn(r"^(http-)?socket = .*\n", "", text, flags=re.MULTILINE)
        assert sockets == 2
        text += recipe(name)
    if "--no-control-socket" in text and not HAS_CONTROL_SOCKET:
        text = placed(text, {" --no-control-socket": ""})
    text = placed(text, changes or {})
    if name.startswith("uwsgi"):
        return _start_uwsgi(text, folder, environ or {})
    return start_shell(text, folder, environ or {})


def start_shell(text: str, folder: Path, environ: Mapping[str, str]) -> Server:
    """The last command of `text` is the server, at 127.0.0.1:4000."""
    port = free_port()
    places = (
        {"--port 4000": f"--port {port}"} if "--port" in text else {"127.0.0.1:4000": _at(port)}
    )
    return _run(placed(text, places), port, folder, environ)


def start_unix(folder: Path) -> UnixServer:
    path = folder / "socket"
    text = placed(recipe("unix socket"), {"/run/incoming/socket": str(path)})
    server = _run(text, free_port(), folder, {}, UnixServer)
    server.path = path
    return server


def _start_uwsgi(text: str, folder: Path, environ: Mapping[str, str]) -> Server:
    port, uwsgi_port = free_port(), free_port()
    places = {"127.0.0.1:4000": _at(port)}
    if "3031" in text:
        places["127.0.0.1:3031"] = _at(uwsgi_port)
    (folder / "incoming.ini").write_text(placed(text, places))
    server = _run(recipe("uwsgi command"), port, folder, environ, UwsgiServer)
    server.uwsgi_port = uwsgi_port
    return server


S = TypeVar("S", bound=Server)


def _run(
    text: str, port: int, folder: Path, environ: Mapping[str, str], kind: type[S] = Server
) -> S:
    text = placed(text, {"/var/lib/incoming": str(storage(folder))})
    *first, last = re.split(r"(?<!\\)\n", text.strip())
    # The process that the test ends is the server, not a shell.
    script = "\n".join([*first, f"exec {last}"])
    command = ["bash", "-euc", script]
    return kind(command, port=port, folder=folder, environ={**_path(), **environ})


def nginx_in_front(
    server: Server, folder: Path, *, name: str = "nginx", changes: Mapping[str, str] | None = None
) -> Server:
    """The nginx of the recipe, not yet started. `changes` are made to the text first."""
    port = free_port()
    text = placed(recipe(name), changes or {})
    behind = {"127.0.0.1:4000": _at(server.port)}
    if isinstance(server, UnixServer):
        behind = {"/run/incoming/socket": str(server.path)}
    if name == "nginx uwsgi":
        assert isinstance(server, UwsgiServer)
        behind = {"127.0.0.1:3031": _at(server.uwsgi_port), "include uwsgi_params": UWSGI_PARAMS}
    text = placed(text, {**behind, "listen 80": f"listen {_at(port)}"})
    return configured_nginx(text, port=port, folder=folder)


# A file of nginx's own folder, wherever that is.
UWSGI_PARAMS = "include /etc/nginx/uwsgi_params"


def _at(port: int) -> str:
    return f"{HOST}:{port}"


def _path() -> dict[str, str]:
    return {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
