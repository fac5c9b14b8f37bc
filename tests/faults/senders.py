"""The clients of the harness: each sends the file of a job until nothing is missing, and all of
them stop in the middle and go on.

`object`   `upload_file`, left by an exception at random and called again
`process`  `incoming upload`, killed with SIGKILL at random and started again
`offset`   see offset_sender.py
`raw`      two threads that send any ranges in any order, repeated, cut, some with a digest, right
           or wrong
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from random import Random

import requests
from jobs import Job
from offset_sender import send_at_offsets
from raw_put import RawPut, query, received_of

from incoming_wsgi.client import HandoverFailed, upload_file
from incoming_wsgi.errors import IncomingError, NotFound, UploadGone

__all__ = ["send"]

TIMEOUT_S = 4.0
MOST_AT_ONCE = 300_000
ENDED = ("COMPLETE", "HANDING_OVER", "AWAITING_CONFIRMATION", "FINISHED", "CANCELLED", "FAILED")


def send(job: Job, calm: threading.Event) -> None:
    """Returns when all has been acknowledged, or the upload has ended otherwise. When it is `calm`
    clients are left alone."""
    if job.kind == "offset":
        send_at_offsets(job)
        return
    {"object": _send_with_objects, "process": _send_with_processes, "raw": _send_raw}[job.kind](
        job, calm
    )


class Stopped(Exception):
    """The client is no more."""


def _send_with_objects(job: Job, calm: threading.Event) -> None:
    def progress(stored: int, _: int) -> None:
        job.acknowledged_total(stored)
        if not calm.is_set() and job.random.random() < 0.1:
            raise Stopped

    while not job.is_over:
        try:
            upload_file(
                job.source,
                job.url,
                progress=progress,
                chunk_bytes=job.random.choice([None, 1 << 16, 200_001, 1 << 20]),
                timeout_s=TIMEOUT_S,
                give_up_s=10,
                wait=job.random.random() < 0.5,
            )
        except Stopped:
            job.client_kills += 1
        except (UploadGone, HandoverFailed):
            return
        except NotFound:
            raise
        except IncomingError:
            continue  # nothing got on for a while
        else:
            return


def _send_with_processes(job: Job, calm: threading.Event) -> None:
    command = [sys.executable, "-m", "incoming_wsgi.cli", "upload", str(job.source)]
    command += ["--ticket", job.url, "--give-up-s", "10", "--no-wait"]
    while not job.is_over:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + job.random.uniform(0.5, 4)
            while process.poll() is None and (calm.is_set() or time.monotonic() < deadline):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            if process.poll() is None:
                process.kill()
                job.client_kills += 1
                continue
        if process.returncode == 0 or _has_ended(job):
            return


def _has_ended(job: Job) -> bool:
    said = query(job.direct_url)
    return said is not None and said[0] in ENDED


def _send_raw(job: Job, calm: threading.Event) -> None:
    threads = [
        threading.Thread(target=_send_ranges, args=(job, Random(job.random.random())), name=name)
        for name in (f"raw {job.number}a", f"raw {job.number}b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send_ranges(job: Job, chosen: Random) -> None:
    while not job.is_over:
        before = job.stored
        said = query(job.url)
        if said is None:
            time.sleep(0.1)
            continue
        state, received = said
        if state == "CANCELLED":
            return
        job.acknowledged(received, before)
        gaps = received.missing(0, job.length)
        if state in ENDED:
            return
        with suppress(OSError):
            if gaps:
                _send_range(job, chosen, *_choose_range(job, chosen, gaps))
            else:
                _send_range(job, chosen, 0, min(job.length, MOST_AT_ONCE))


def _choose_range(job: Job, chosen: Random, gaps: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    start, stop = chosen.choice(gaps)
    whim = chosen.random()
    if whim < 0.2:  # anywhere, stored or not
        start, stop = 0, job.length
    if whim < 0.7:
        start = chosen.randrange(start, stop)
    return start, min(stop, start + chosen.randint(1, MOST_AT_ONCE))


def _send_range(job: Job, chosen: Random, start: int, stop: int) -> None:
    if not job.length:  # no range says that
        with suppress(requests.RequestException):
            requests.post(job.url, json={"length": 0}, timeout=TIMEOUT_S).close()
        return
    part, before = job.content[start:stop], job.stored
    trick = chosen.choices(
        ["plain", "right digest", "wrong digest", "left", "other bytes"], [4, 3, 1, 2, 1]
    )[0]
    if trick == "other bytes":
        if not before.covers(start, stop):
            return
        part = _lie(part)  # for a range that is stored: to be read and dropped
    digest_of = {"right digest": part, "wrong digest": part + b"!"}.get(trick)
    with RawPut(job.url, start, stop, job.length, digest_of=digest_of) as put:
        if trick == "left":
            put.send(part[: chosen.randrange(len(part))])
            job.client_kills += 1
            return
        put.send(part)
        status, facts = put.answer()
    if status == 200:
        if trick == "wrong digest":
            job.losses.append(f"a wrong digest of [{start}, {stop}) was not refused")
        job.acknowledged(received_of(facts), before)
    elif status == 422 and trick == "wrong digest":
        job.refused_digests += 1
    elif status < 500 and status not in (409, 410, 422, 400):
        job.losses.append(f"[{start}, {stop}) was answered {status}")
    elif status == 422:
        job.losses.append(f"the right digest of [{start}, {stop}) was refused")


def _lie(truth: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in truth)
