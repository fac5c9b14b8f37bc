"""What a run of the harness has done, and what it has found."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from jobs import Job

__all__ = ["Figures", "worst_recovery"]


@dataclass
class Figures:
    """Whatever stands after `worst_same_upload_s` must be 0."""

    seed: str
    seconds: float = 0
    uploads: int = 0
    finished: int = 0
    cancelled: int = 0
    bytes_sent_up: int = 0
    bytes_delivered: int = 0
    connections: int = 0
    cuts: int = 0
    half_closes: int = 0
    stalls: int = 0
    worker_kills: int = 0
    worker_freezes: int = 0
    master_kills: int = 0
    ends_by_sigterm: int = 0
    app_kills: int = 0
    client_kills: int = 0
    lies: int = 0
    wrong_digests_refused: int = 0
    handover_calls: int = 0
    worst_recovery_s: float = 0
    worst_same_upload_s: float = 0
    # what must not be
    lost: int = 0
    wrong: int = 0
    doubled: int = 0
    called_again: int = 0
    called_at_once: int = 0
    not_ended: int = 0
    orphans: int = 0
    damaged_database: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        names = list(Figures.__dataclass_fields__)
        bad = names[names.index("lost") : names.index("findings")]
        return {name: getattr(self, name) for name in bad}

    def find(self, kind: str, what: str) -> None:
        """Count a fault, and say which."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.findings.append(f"{kind}: {what}")

    def table(self) -> str:
        rows = {name: value for name, value in asdict(self).items() if name != "findings"}
        width = max(map(len, rows))
        lines = [
            f"{name.replace('_', ' '):{width}}  {_readable(value)}" for name, value in rows.items()
        ]
        return "\n".join([*lines, *self.findings])


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def worst_recovery(kills: Iterable[float], jobs: Iterable[Job]) -> tuple[float, float]:
    """Seconds from a kill to the next byte that any upload was told to be stored, and to the next
    one of each upload that was on its way; the longest of each."""
    times = [job.acknowledgements for job in jobs if job.acknowledgements]
    everybody = sorted(at for each in times for at in each)
    worst_any = worst_same = 0.0
    for kill in kills:
        following = bisect_right(everybody, kill)
        if following < len(everybody):
            worst_any = max(worst_any, everybody[following] - kill)
        for each in times:
            if each[0] <= kill < each[-1]:
                worst_same = max(worst_same, each[bisect_right(each, kill)] - kill)
    return worst_any, worst_same
