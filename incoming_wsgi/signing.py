"""The signature of a handover: who sent it, that nothing was changed on the way, and when it was.

    X-Incoming-Signature: t=1700000000,v1=<HMAC-SHA256 of "1700000000." and the body, in hex>

The time is signed as well, so that what somebody has overheard cannot be sent again later. Several
`v1` may be there, and several keys may be good: a key is changed without a moment in which nothing
fits. Members of other names are left to versions to come.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from .errors import WrongSignature

__all__ = ["SIGNATURE_HEADER", "check_key", "check_signature", "sign"]

SIGNATURE_HEADER = "X-Incoming-Signature"
# Printable, no blanks: what a file or a copy adds at the end would never be seen.
KEY = re.compile(r"[!-~]{16,}")
TIME = re.compile(r"[0-9]{1,12}")
DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST_HEADER = 4096


def check_key(key: str) -> None:
    """Raises ValueError, which does not show the key."""
    if not KEY.fullmatch(key):
        raise ValueError(
            "a signing key must be 16 characters or more, all of them printable ASCII and no blanks"
        )


def sign(body: bytes, key: str, at: int) -> str:
    """The header's value for `body`, sent at `at`, in seconds since the epoch."""
    return f"t={at},v1={_digest(body, key, str(at))}"


def check_signature(
    header: str | None, body: bytes, keys: Sequence[str], *, window_s: float, at: float
) -> None:
    """Raises WrongSignature unless `body` was signed with one of `keys`, no more than `window_s`
    before or after `at`."""
    if not header:
        raise WrongSignature(problem="missing")
    time, digests = _parse(header)
    expected = [_digest(body, key, time) for key in keys]
    if not any(hmac.compare_digest(one, other) for one in expected for other in digests):
        raise WrongSignature(problem="wrong")
    # Only now is the time known to be the sender's.
    age_s = at - int(time)
    if abs(age_s) > window_s:
        raise WrongSignature(problem="too_old", age_s=round(age_s))


def _digest(body: bytes, key: str, time: str) -> str:
    return hmac.new(key.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()


def _parse(header: str) -> tuple[str, list[str]]:
    """The time as it was signed, and the digests."""
    members = [member.strip().partition("=") for member in header.split(",")]
    times = [value for name, _, value in members if name == "t"]
    digests = [value for name, _, value in members if name == "v1"]
    if (
        len(header) > LONGEST_HEADER
        or len(times) != 1
        or not TIME.fullmatch(times[0])
        or not digests
        or not all(DIGEST.fullmatch(digest) for digest in digests)
    ):
        raise WrongSignature(problem="malformed")
    return times[0], digests
