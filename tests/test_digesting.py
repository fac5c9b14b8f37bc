"""A digest that is computed beside the reading is the digest of all blocks, in order."""

from __future__ import annotations

import random
import threading
from contextlib import suppress

import pytest

from incoming_wsgi import digesting
from incoming_wsgi.digesting import Digester

# Of random.Random(8).randbytes(3_000_000), by sha256sum.
EXPECTED = "90485f62320b28dc045496693829f4f7c9a8cf21de0a7df31a44487e9d13b143"
CONTENT = random.Random(8).randbytes(3_000_000)


def digest_in(*sizes: int) -> str:
    """In blocks of these sizes, in two buffers that are used in turn."""
    buffers = [bytearray(max(sizes)) for _ in range(2)]
    start = 0
    with Digester("sha256") as digester:
        for number, size in enumerate(sizes):
            block = memoryview(buffers[number % 2])[:size]
            block[:] = CONTENT[start : start + size]
            digester.update(block)
            start += size
        assert start == len(CONTENT)
        return digester.digest().hex()


BLOCKS = [
    (3_000_000,),
    (1_000_000, 1_000_000, 1_000_000),
    (1, 64_000, 256_000, 1_000_000, 679_998, 1, 1_000_000),
    (50_000,) * 60,
]


@pytest.mark.parametrize("sizes", BLOCKS)
def test_blocks_of_all_sizes(sizes):
    assert digest_in(*sizes) == EXPECTED


@pytest.mark.parametrize("sizes", BLOCKS)
def test_with_one_core(sizes, monkeypatch):
    monkeypatch.setattr(digesting, "_count_cores", lambda: 1)
    before = threading.active_count()
    assert digest_in(*sizes) == EXPECTED
    assert threading.active_count() == before


def test_without_a_thread_to_be_had(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(digesting, "_count_cores", lambda: 2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert digest_in(1_000_000, 1_000_000, 1_000_000) == EXPECTED


def test_its_thread_ends_with_it_however_that_ends(monkeypatch):
    monkeypatch.setattr(digesting, "_count_cores", lambda: 2)
    before = set(threading.enumerate())
    with suppress(OSError), Digester("sha256") as digester:
        digester.update(bytes(1_000_000))
        (thread,) = set(threading.enumerate()) - before
        raise OSError
    thread.join(10)
    assert not thread.is_alive()
