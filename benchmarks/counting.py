"""How many instructions one request takes in user space, counted by callgrind.

The figures do not depend on neighbours, and hardly on the machine. The kernel's part, such as the
copying of the bytes, is not in them, nor is the WSGI server's. What it takes to start is left out
by counting a shorter and a longer run.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import circumstances
from prepare import Tools

__all__ = ["count"]

PROGRAM = Path(__file__).parent / "in_process" / "repeat.py"
FEW, MANY = 10, 40
KINDS = {
    "chunk": "a chunk of 64 KiB",
    "checked": "a chunk of 64 KiB, its SHA-256 checked",
    "small": "a file of 10 KiB: ticket, one request, handover and housekeeping in the process",
    "status": "the question what is there",
}


def count(tools: Tools, say: Callable[[str], None]) -> dict[str, Any]:
    """Raises FileNotFoundError if there is no valgrind."""
    counts = []
    for kind, what in KINDS.items():
        few, many = (_instructions(tools, kind, times) for times in (FEW, MANY))
        counts.append({"what": what, "instructions": (many - few) / (MANY - FEW)})
        say(f"{what}: {counts[-1]['instructions']:,.0f} instructions")
    version = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    how = f"{version.stdout.strip()} --tool=callgrind"
    return {**circumstances(tools, tools.folder), "how": how, "counts": counts}


def _instructions(tools: Tools, kind: str, times: int) -> int:
    with tempfile.TemporaryDirectory(dir=tools.folder) as folder:
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                "--callgrind-out-file=/dev/null",
                tools.python,
                str(PROGRAM),
                f"{folder}/incoming",
                kind,
                str(times),
            ],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        )
    collected = re.search(r"Collected : (\d+)", done.stderr)
    assert collected is not None, done.stderr
    return int(collected[1])
