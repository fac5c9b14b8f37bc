"""What all tests share."""

from __future__ import annotations

import os
import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Tests that speak to servers on this machine must not do so through somebody's proxy.
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    # A shell has what it starts in the background ignore Ctrl-C, and processes inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
