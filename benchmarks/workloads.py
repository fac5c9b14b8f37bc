"""What is sent, to whom: one table of the report each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WORKLOADS", "Workload"]

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    connections: int
    pieces: int
    piece_bytes: int | None
    """None: the bytes of a run, dealt out among the pieces in whole chunks."""
    contestants: tuple[str, ...]
    chunk_bytes: int = 8 * MIB
    small: bool = False
    """Measured in uploads per second, not in bytes."""
    share: float = 1.0
    """Of the bytes, or of the small files, of a run."""


SERVERS = (
    "gevent",
    "uwsgi",
    "granian",
    "waitress",
    "waitress-tuned",
    "wsgiref",
    "nginx-buffering",
    "nginx-streaming",
)

WORKLOADS = (
    Workload(
        "one8m",
        "One connection, one file, requests of 8 MiB",
        connections=1,
        pieces=1,
        piece_bytes=None,
        contestants=(
            "drop",
            "sink",
            "sink-recv",
            "sink-sync",
            "sink-sync-end",
            "nginx",
            "ours-w1",
            "ours-w2",
            "ours-plain",
            "ours-sha256",
            "ours-disk",
            "ours-complete",
            "naive-w1",
            "tus-node",
            "tuspyserver",
            "flask",
            "django",
        ),
    ),
    Workload(
        "par8m",
        "Four connections, a file on each, requests of 8 MiB",
        connections=4,
        pieces=4,
        piece_bytes=None,
        contestants=(
            "drop",
            "sink",
            "sink-recv",
            "nginx",
            "ours-w1",
            "ours-w2",
            "ours-sha256-w2",
            "naive-w2",
            "tus-node",
            "tuspyserver",
        ),
    ),
    Workload(
        "servers",
        "One connection, one file, requests of 8 MiB, on other servers",
        connections=1,
        pieces=1,
        piece_bytes=None,
        share=0.5,
        contestants=("drop", *(f"{who}-{name}" for name in SERVERS for who in ("ours", "naive"))),
    ),
    Workload(
        "small",
        "Files of 10 KiB on four connections",
        connections=4,
        pieces=2000,
        piece_bytes=10 * KIB,
        chunk_bytes=10 * KIB,
        small=True,
        contestants=(
            "drop",
            "empty-w2",
            "empty-uwsgi",
            "small-nginx",
            "small-w2",
            "small-uwsgi",
            "small-three-w2",
            "small-tus-node-with-upload",
            "small-tus-node",
            "small-tuspyserver",
        ),
    ),
    Workload(
        "conc64",
        "64 files at once, each on a connection of its own, requests of 8 MiB",
        connections=64,
        pieces=64,
        piece_bytes=None,
        contestants=("drop", "nginx", "ours-w1", "tus-node", "tuspyserver"),
    ),
)
