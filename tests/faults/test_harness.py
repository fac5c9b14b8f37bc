"""Nothing lost, nothing wrong, nothing twice, for FAULTS_S seconds of random faults."""

from __future__ import annotations

import os
import secrets

import pytest
from harness import ENDING_S, run

SECONDS = float(os.environ.get("FAULTS_S", "20"))
SEED = os.environ.get("FAULTS_SEED") or secrets.token_hex(4)


@pytest.mark.timeout(SECONDS + ENDING_S + 120)
def test_every_file_is_delivered_right_and_once_whatever_is_killed(tmp_path):
    figures = run(tmp_path, seconds=SECONDS, seed=SEED)
    print(figures.table())
    assert figures.faults == dict.fromkeys(figures.faults, 0), figures.table()
    # It was a hard time, and not only for the machine.
    assert figures.finished > 0
    assert figures.cuts > 0
    assert figures.worker_kills + figures.master_kills > 0
