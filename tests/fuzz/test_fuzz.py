"""Every parser for its share of a minute under atheris; FUZZ_S gives them more."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tools

FUZZ_S = int(os.environ.get("FUZZ_S", "60"))


@pytest.mark.timeout(FUZZ_S * 3 + 120)
def test_no_parser_breaks_its_promise():
    if importlib.util.find_spec("atheris") is None:
        tools.missing("atheris is not installed")
    command = [sys.executable, Path(__file__).with_name("run.py"), "--seconds", str(FUZZ_S)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
