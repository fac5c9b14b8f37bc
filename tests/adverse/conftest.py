"""Two servers on one folder, for all tests of a file."""

from __future__ import annotations

import pytest
from rivals import RawRequest, rivals


@pytest.fixture(autouse=True)
def hang_up():
    yield
    RawRequest.close_all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rivals")


@pytest.fixture(scope="module")
def pair(folder):
    with rivals(folder) as (left, right):
        yield left, right
        left.check_log()
        right.check_log()
