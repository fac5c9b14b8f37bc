"""How the servers are started that serve pages and take what these send, and what the pages load.

@tus/server is the one of the other benchmarks, with their lock file; what only pages need is named
in the package-lock.json here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import starting
from prepare import Tools
from starting import Command, Place

__all__ = ["COMMANDS", "install_clients", "lacking"]

HERE = Path(__file__).resolve().parent
PAGES = HERE / "pages"


def lacking(server: str, tools: Tools) -> str | None:
    """What `server` needs and `tools` do not have."""
    return "Node.js" if server == "tus" and tools.node is None else None


def _tus(place: Place) -> list[list[str]]:
    program = place.tools.node_folder / "tus_server.mjs"  # beside its node_modules
    shutil.copy(HERE / program.name, program)
    return [["node", str(program), str(place.port), str(PAGES), str(_clients(place.tools))]]


def _sink(place: Place) -> list[list[str]]:
    return [[sys.executable, str(HERE / "sink.py"), str(place.port)]]


COMMANDS: dict[str, Command] = {
    "incoming": starting.gunicorn("incoming_app"),
    "tus": _tus,
    "sink": _sink,
}


def install_clients(tools: Tools) -> None:
    """tus-js-client and Uppy, each as one script, from the versions of package-lock.json; once."""
    folder = _clients(tools)
    wanted = (HERE / "package-lock.json").read_text()
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json", "uppy.mjs"):
        shutil.copy(HERE / name, folder)
    for command in (
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        ["npm", "run", "--silent", "build"],
    ):
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(folder / "node_modules/tus-js-client/dist/tus.min.js", folder / "tus.js")
    stamp.write_text(wanted)


def _clients(tools: Tools) -> Path:
    return tools.folder / "clients"
