"""What is found when all has come to an end: in the app's books, in the database, on the disk."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from deliveries import Deliveries
from figures import Figures
from jobs import Job

from incoming_wsgi import Incoming
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore

__all__ = ["judge"]

LONG_AGO_S = 30 * 86400


def judge(figures: Figures, jobs: list[Job], deliveries: Deliveries, storage: Path) -> None:
    """The server is down, and nobody else works in `storage`."""
    _judge_books(figures, jobs, deliveries)
    _judge_database(figures, jobs, storage / "incoming.db")
    _judge_files(figures, jobs, deliveries, storage)


def _judge_books(figures: Figures, jobs: list[Job], deliveries: Deliveries) -> None:
    calls: dict[str, list] = {}
    for call in deliveries.all():
        if not call.cancelled:
            calls.setdefault(call.upload_id, []).append(call)
    effects = deliveries.effects()
    for job in jobs:
        name = f"upload {job.number} ({job.kind}, {job.length} bytes)"
        for loss in job.losses:
            figures.find("lost", f"{name}: {loss}")
        mine, taken = calls.get(job.upload_id, []), effects.get(job.upload_id, [])
        figures.handover_calls += len(mine)
        if job.state == "FINISHED":
            figures.finished += 1
            figures.bytes_delivered += job.length
            if not taken:
                figures.find("lost", f"{name} was never delivered")
        elif job.state == "CANCELLED" and job.cancelled:
            figures.cancelled += 1
        else:
            figures.find("not_ended", f"{name} is {job.state or 'not ended'}")
        if len(taken) > 1:
            figures.find("doubled", f"{name} has {len(taken)} side effects")
        for digest in {*taken, *(call.sha256 for call in mine)} - {job.sha256, None}:
            figures.find("wrong", f"{name} was delivered as {digest}")
        if any(call.sha256 is None for call in mine) and not taken:
            figures.find("lost", f"{name} was handed over without its file")
        attempts = [call.attempt for call in mine]
        if attempts != sorted(set(attempts)) or len({call.delivery_id for call in mine}) > 1:
            figures.find("doubled", f"{name} was handed over as attempts {attempts}")
        for call in mine:
            if not call.alone:
                figures.find("called_at_once", f"{name}, attempt {call.attempt}")
            if job.finished_at is not None and call.at > job.finished_at:
                figures.find("called_again", f"{name}, attempt {call.attempt}")


def _judge_database(figures: Figures, jobs: list[Job], database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if said != "ok" or broken:
        figures.find("damaged_database", f"{said}, {broken}")
    tickets = SQLiteTicketStore(database)
    try:
        for job in jobs:
            state = tickets.load(job.upload_id).state.value
            if state != job.state:
                figures.find("not_ended", f"upload {job.number} was {job.state}, and is {state}")
    finally:
        tickets.close()


def _judge_files(
    figures: Figures, jobs: Iterable[Job], deliveries: Deliveries, storage: Path
) -> None:
    _let_time_pass(storage)
    left = {path.name: path for path in (storage / "files").iterdir()}
    for job in jobs:
        if job.state != "FINISHED":
            continue
        archived = deliveries.archived(job.upload_id)
        kept = left.pop(job.upload_id, None) if job.keep else None
        if job.keep and archived is None and kept is None:
            figures.find("lost", f"upload {job.number}: the file that was to be kept")
        found = {archived, sha256(kept.read_bytes()).hexdigest() if kept else None}
        if found - {job.sha256, None}:
            figures.find("wrong", f"upload {job.number}: the file that was kept")
    for name in left:
        figures.find("orphans", f"files/{name[:13]}…")
    for path in (storage / "held").iterdir():
        figures.find("orphans", f"held/{path.name[:13]}…")
    for path in (storage / "left").iterdir():
        if not (storage / "files" / path.name).exists():
            figures.find("orphans", f"left/{path.name[:13]}…")


def _let_time_pass(storage: Path) -> None:
    """All that was to be done later is done: a month passes at once. Only a file without a record
    is not as old as that, and would be kept for a week."""
    for path in (storage / "held").iterdir():
        status = path.stat()
        os.utime(path, (status.st_atime - LONG_AGO_S, status.st_mtime - LONG_AGO_S))
    incoming = Incoming(
        storage, background=False, on_finished=lambda _: None, on_cancelled=lambda _: None
    )
    try:
        for _ in range(3):  # expired, told, forgotten
            with closing(sqlite3.connect(storage / "incoming.db")) as connection, connection:
                for table in ("uploads", "chores"):
                    connection.execute(f"UPDATE {table} SET due_at = due_at - ?", (LONG_AGO_S,))
            incoming.do_housekeeping()
    finally:
        incoming.close()
