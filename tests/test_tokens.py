"""Tokens are never the same, in no process."""

from __future__ import annotations

import os

import pytest

from incoming_wsgi.tokens import new_token


def test_no_token_comes_twice():
    assert len({new_token() for _ in range(1000)}) == 1000


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
@pytest.mark.parametrize("has_the_id_again", [False, True])
def test_a_forked_process_has_others_than_its_parent(monkeypatch, has_the_id_again):
    """Also one that has the id of an ancestor which has ended by then."""
    if has_the_id_again:
        pid = os.getpid()
        monkeypatch.setattr("os.getpid", lambda: pid)
    new_token()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, new_token().encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with open(reading) as pipe:
        of_child = pipe.read()
    assert of_child
    assert of_child not in {new_token() for _ in range(10)}
