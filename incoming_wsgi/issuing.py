"""The terms of a ticket, as a web app asks for them, and the upload that begins with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .config import MAX_SECONDS, Settings
from .errors import BadRequest
from .file_types import is_accept
from .hosts import Origin, is_among
from .uploads import (
    MAX_LENGTH,
    Upload,
    is_http_url,
    is_text,
    new_upload_id,
    now,
    parse_sha256,
    without_surrogates,
)

__all__ = ["Terms", "make_upload"]


@dataclass(frozen=True, slots=True)
class Terms:
    """See `Incoming.new_upload`. Nothing is checked yet."""

    signal_finish_url: str | None = None
    remove_file_when_finished: bool = True
    secret: str = ""
    owner: str | None = None
    max_length_bytes: int | None = None
    accept: str | None = None
    idle_timeout_s: float | None = None
    length: int | None = None
    filename: str | None = None
    expected_sha256: str | None = None
    wants_sha256: bool = False


def make_upload(terms: Terms, settings: Settings) -> Upload:
    """Not in the ticket store yet. Raises BadRequest naming the term that cannot be."""
    _check_texts(terms)
    _check_url(terms.signal_finish_url, settings)
    _check_numbers(terms)
    created_at = now()
    own_limit, filename = terms.max_length_bytes, terms.filename
    return Upload(
        id=new_upload_id(),
        created_at=created_at,
        owner=terms.owner,
        secret=terms.secret,
        signal_finish_url=terms.signal_finish_url,
        remove_file_when_finished=terms.remove_file_when_finished,
        max_length_bytes=terms.length if own_limit is None else own_limit,
        accept=terms.accept,
        idle_timeout_s=terms.idle_timeout_s,
        length=terms.length,
        filename=None if filename is None else without_surrogates(filename),
        expected_sha256=_parse_sha256(terms.expected_sha256),
        wants_sha256=terms.wants_sha256,
        due_at=created_at + (terms.idle_timeout_s or settings.idle_timeout_s),
    )


def _check_texts(terms: Terms) -> None:
    for name in ("secret", "owner", "signal_finish_url", "accept"):
        text: object = getattr(terms, name)
        if text is not None and not is_text(text):
            raise BadRequest(f"{name} is {text!r}; it must be a text")
    accept = terms.accept
    if accept is not None and not is_accept(accept):
        raise BadRequest(
            f"accept is {accept!r}; it must be endings and types, such as .pdf, image/*"
        )


def _check_url(url: str | None, settings: Settings) -> None:
    if url is None:
        return
    if not _can_be_called(url):
        raise BadRequest("signalFinishURL must be an absolute http or https URL")
    hosts = settings.callback_hosts
    if not is_among(url, hosts):
        raise BadRequest(
            "signalFinishURL must lead to one of the server's callback_hosts: "
            f"{', '.join(hosts or ()) or 'none is allowed'}"
        )


def _parse_sha256(text: str | None) -> str | None:
    sha256 = parse_sha256(text)
    if text is not None and sha256 is None:
        raise BadRequest(f"sha256 is {text!r}; it must be 64 hexadecimal digits")
    return sha256


def _check_numbers(terms: Terms) -> None:
    lengths: Mapping[str, object] = {
        "max_length_bytes": terms.max_length_bytes,
        "length": terms.length,
    }
    for name, value in lengths.items():
        if value is not None and not (isinstance(value, int) and 0 <= value <= MAX_LENGTH):
            raise BadRequest(
                f"{name} is {value!r}; it must be a whole number from 0 to {MAX_LENGTH}"
            )
    idle_timeout_s = terms.idle_timeout_s
    if idle_timeout_s is not None and not _is_idle_timeout(idle_timeout_s):
        raise BadRequest(
            f"idle_timeout_s is {idle_timeout_s!r}; it must be seconds, more than 0 and less "
            "than ten years"
        )


def _can_be_called(url: str) -> bool:
    try:
        return is_http_url(url) and bool(Origin.of(url).name)
    except ValueError:
        return False


def _is_idle_timeout(seconds: object) -> bool:
    return (
        isinstance(seconds, (int, float))
        and not isinstance(seconds, bool)
        and 0 < seconds < MAX_SECONDS
    )
