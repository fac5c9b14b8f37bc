"""Programs that tests need and that pip does not install.

Without one the tests that need it are left out and say so; in continuous integration they fail.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["missing", "program"]

# Where Debian keeps nginx, though an ordinary user's PATH does not go there.
ELSEWHERE = ("/usr/local/sbin", "/usr/sbin")


def missing(what: str) -> NoReturn:
    """End a test that cannot run here: left out, or failed in continuous integration."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def program(*names: str, variable: str | None = None) -> str:
    """The path of the first of `names` that is there, or what the environment `variable` says."""
    if variable is not None and (path := os.environ.get(variable)):
        return path
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *ELSEWHERE])
    for name in names:
        if path := shutil.which(name, path=places):
            return path
    hint = f", and {variable} does not name one" if variable else ""
    missing(f"there is no {names[0]} on the PATH{hint}")
