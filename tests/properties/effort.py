"""How hard the properties are tried: the same examples in every run, in less than a minute.

`PROPERTIES=20 pytest tests/properties` tries twenty times as many, and others each time.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

__all__ = ["effort", "patience"]

FACTOR = int(os.environ.get("PROPERTIES", "1"))


# To make a finding small takes up to five minutes.
patience = pytest.mark.timeout(300 + 300 * FACTOR)


def effort(examples: int, *, steps: int = 50) -> settings:
    """Try so many examples, those of a state machine with at most so many steps."""
    return settings(
        max_examples=examples * FACTOR,
        stateful_step_count=steps,
        derandomize=FACTOR == 1,
        database=None,  # what was found becomes a test of its own, not a file on somebody's disk
        deadline=None,  # the machine may be busy
        print_blob=FACTOR > 1,
        # Without "explain", which would trace every line.
        phases=(Phase.explicit, Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
