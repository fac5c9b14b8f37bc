"""When, of what and on what was measured, as every file of results says it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from prepare import Tools

__all__ = ["circumstances"]

HOME = Path(__file__).parent.parent
LIBRARY = "incoming_wsgi"
PACKAGES = ("gunicorn", "gevent", "granian", "pyuwsgi", "waitress", "tuspyserver", "uvicorn")
PACKAGES += ("flask", "django")
ASK = (
    "import importlib.metadata as metadata, platform, sqlite3, sys\n"
    "print('Python', platform.python_version())\n"
    "print('SQLite', sqlite3.sqlite_version)\n"
    "for name in sys.argv[1:]:\n"
    "    try: print(name, metadata.version(name))\n"
    "    except metadata.PackageNotFoundError: pass\n"
)


def circumstances(tools: Tools, folder: Path) -> dict[str, Any]:
    """`folder`: where uploads are stored."""
    return {
        "at": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": _describe(tools, folder),
    }


def _commit() -> str:
    """The last that changed the library, so that one which adds results makes no difference."""
    git = ["git", "-C", str(HOME)]
    try:
        commit = _output([*git, "log", "-1", "--format=%h", "--", LIBRARY]).strip()
        return commit + (" and changes" if _output([*git, "status", "-s", "--", LIBRARY]) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _describe(tools: Tools, folder: Path) -> dict[str, str]:
    processor = _first("/proc/cpuinfo", r"model name\s*: (.+)")
    memory_kib = int(_first("/proc/meminfo", r"MemTotal:\s*(\d+)"))
    return {
        "processor": f"{processor}, {os.cpu_count()} cores",
        "memory": f"{memory_kib / 1024**2:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
        "versions": ", ".join(_versions(tools)),
    }


def _first(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found[1].strip() if found else "unknown"


def _file_system(folder: Path) -> str:
    """The type of the longest mount point above `folder`."""
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point, kind = line.split()[1:3]
        if folder.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _versions(tools: Tools) -> list[str]:
    found = _output([tools.python, "-c", ASK, LIBRARY, *PACKAGES]).splitlines()
    if tools.nginx is not None:
        # "nginx version: nginx/1.22.1"
        found.append(_output([tools.nginx, "-v"]).split(": ")[-1].strip().replace("/", " "))
    if tools.node is not None:
        found.append(f"Node.js {_output([tools.node, '--version']).strip().removeprefix('v')}")
        lock = (tools.node_folder / "package-lock.json").read_text()
        for name in ("@tus/server", "@tus/file-store"):
            version = re.search(rf'"node_modules/{name}": {{\s*"version": "(.+?)"', lock)
            if version:
                found.append(f"{name} {version[1]}")
    return found


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
