"""What the benchmarks need, made once in a cache folder: programs, a venv, node modules.

Versions are pinned in requirements.txt and package-lock.json; incoming_wsgi is installed from this
tree each time. nginx and node are the machine's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Tools", "compile_program", "find_program", "prepare"]

HERE = Path(__file__).parent
PROGRAMS = ("load", "sinks")


@dataclass(frozen=True)
class Tools:
    folder: Path
    python: str
    """With the servers and incoming_wsgi."""
    node: str | None
    nginx: str | None

    @property
    def node_folder(self) -> Path:
        return self.folder / "node"

    def program(self, name: str) -> str:
        return str(self.folder / name)


def prepare(folder: Path, *, python: str | None = None) -> Tools:
    """`python` has incoming_wsgi and servers already: then no registry is asked for anything, and
    what it lacks, and the peers on Node.js, cannot be measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        compile_program(name, folder)
    node = None
    if python is None:
        python = _make_venv(folder / "venv")
        node = find_program("node")
    if node is not None:
        _install_node_modules(folder / "node")
    return Tools(folder, python, node, find_program("nginx"))


def find_program(name: str) -> str | None:
    # Debian keeps nginx where an ordinary user's PATH does not go.
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def compile_program(name: str, folder: Path) -> None:
    source = HERE / f"{name}.c"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", folder / name, source]
    subprocess.run(command, check=True)


def _make_venv(folder: Path) -> str:
    python = str(folder / "bin" / "python")
    wanted = (HERE / "requirements.txt").read_text()
    stamp = folder / "requirements.txt"
    pip = [python, "-m", "pip", "install", "--quiet"]
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([*pip, "-r", HERE / "requirements.txt", HERE.parent], check=True)
        stamp.write_text(wanted)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", HERE.parent], check=True)
    return python


def _install_node_modules(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("package.json", ".npmrc", "apps/tus.mjs"):
        shutil.copy(HERE / name, folder)
    wanted = (HERE / "package-lock.json").read_text()
    lock = folder / "package-lock.json"
    if not (folder / "node_modules").exists() or not lock.exists() or lock.read_text() != wanted:
        lock.write_text(wanted)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
