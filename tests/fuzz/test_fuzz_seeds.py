"""Each parser keeps what it promises for each of the seeds, and for bytes near to them."""

from __future__ import annotations

import random

import pytest
from fuzz_seeds import SEEDS
from fuzz_targets import TARGETS


def test_every_target_has_seeds():
    assert SEEDS.keys() == TARGETS.keys()


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name in SEEDS for number in range(len(SEEDS[name]))]
)
def test_the_parser_keeps_its_promise(name, number):
    TARGETS[name](SEEDS[name][number])


@pytest.mark.parametrize("name", TARGETS)
def test_the_parser_keeps_its_promise_near_the_seeds(name):
    """A little of what the fuzzer does, without knowing which way the code goes."""
    chosen = random.Random(name)
    for _ in range(300):
        data = bytearray(chosen.choice(SEEDS[name])[:2000])
        for _ in range(chosen.randint(1, 4)):
            place = chosen.randint(0, len(data))
            other = chosen.choice(SEEDS[name])[:2000]
            start = chosen.randint(0, len(other))
            data[place : place + chosen.randint(0, 3)] = chosen.choice(
                [bytes([chosen.randrange(256)]), other[start : start + chosen.randint(1, 9)], b""]
            )
        try:
            TARGETS[name](bytes(data))
        except BaseException:
            print(f"the input was {bytes(data)!r:.2000}")
            raise
