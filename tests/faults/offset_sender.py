"""A client that asks for the offset and goes on there, in tus or in the draft, as it comes: each
request may be in the other, and what the one has stored is the other's too."""

from __future__ import annotations

import base64
import hashlib
import time
from contextlib import suppress

import requests
from jobs import Job
from raw_put import TIMEOUT_S, RawRequest

from incoming_wsgi.ranges import RangeSet

__all__ = ["send_at_offsets"]

MOST_AT_ONCE = 500_000
ENDED = (410, 422)  # cancelled, or not taken: nothing that is sent will change it
# Asked too early or too late, cut, taken over; or the web app has to be asked again.
MAY_BE = (400, 409, 410, 422, 423)


def send_at_offsets(job: Job) -> None:
    while not job.is_over:
        before = job.stored
        status, offset = _ask(job)
        if status in ENDED:
            return
        if offset is None:
            time.sleep(0.1)
            continue
        job.acknowledged(RangeSet.of([(0, offset)]), before)
        if offset == job.length > 0:
            return
        with suppress(OSError):
            if _append(job, offset) and not job.length:
                return


def _ask(job: Job) -> tuple[int, int | None]:
    mark = job.random.choice([{"Tus-Resumable": "1.0.0"}, {"Upload-Draft-Interop-Version": "6"}])
    with suppress(requests.RequestException):
        answer = requests.head(job.url, headers={**mark, "Connection": "close"}, timeout=TIMEOUT_S)
        if answer.ok:
            return answer.status_code, int(answer.headers["Upload-Offset"])
        return answer.status_code, None
    return 0, None


def _append(job: Job, offset: int) -> bool:
    """Whether it was answered with a success."""
    chosen, before = job.random, job.stored
    part = job.content[offset : offset + chosen.randint(1, MOST_AT_ONCE)]
    end = offset + len(part)
    trick = chosen.choices(["plain", "right digest", "wrong digest", "left"], [4, 3, 1, 2])[0]
    digested = hashlib.sha256(part if trick == "right digest" else part + b"!").digest()
    digest = base64.b64encode(digested).decode()
    fields = {"Upload-Offset": str(offset), "Upload-Length": str(job.length)}
    if chosen.random() < 0.5:
        fields |= {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
        checksum = {"Upload-Checksum": f"sha256 {digest}"}
    else:
        fields["Content-Type"] = "application/partial-upload"
        fields["Upload-Complete"] = "?1" if end == job.length else "?0"
        checksum = {"Content-Digest": f"sha-256=:{digest}:"}
    fields |= checksum if trick.endswith("digest") else {}
    with RawRequest(job.url, "PATCH", len(part), fields) as patch:
        if trick == "left":
            patch.send(part[: chosen.randrange(len(part) + 1)])
            job.client_kills += 1
            return False
        patch.send(part)
        status, facts = patch.answer()
    is_refuted = facts.get("code") == "digest_mismatch"
    if status in (200, 202, 204):
        if trick == "wrong digest":
            job.losses.append(f"a wrong digest of [{offset}, {end}) was not refused")
        job.acknowledged(RangeSet.of([(0, end)]), before)
    elif is_refuted and trick == "wrong digest":
        job.refused_digests += 1
    elif is_refuted or (status < 500 and status not in MAY_BE):
        job.losses.append(f"[{offset}, {end}) was answered {status}, {facts}")
    return status in (200, 202, 204)
