"""Every setting, once: its name, unit, default and reason.

`Settings` is what the keyword arguments of `Incoming` become. `Settings.from_environ` reads the
same from `INCOMING_*` variables for the stand-alone server; `cli.py` makes its options, and
`docs/settings.md` its table, of the `help` texts here.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from .hosts import check_host
from .signing import check_key

__all__ = [
    "DATABASE_NAME",
    "ENVIRON_PREFIX",
    "MAX_SECONDS",
    "SettingKeywords",
    "Settings",
    "parse_bool",
    "parse_setting",
]

ENVIRON_PREFIX = "INCOMING_"
DATABASE_NAME = "incoming.db"  # in the storage folder
KIB = 1024
MIB = 1024 * KIB
MAX_SECONDS = 10 * 365 * 86400.0
# As browsers send it: no path, not even a slash at the end.
ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#\s]*")
UNITS = {  # by the end of a setting's name
    "_bytes_s": " of bytes per second, without a unit",
    "_bytes": " of bytes, without a unit",
    "_s": " of seconds, without a unit",
}
NO_VALUE = ("", "none")  # in a variable, for settings that may be None


class SettingKeywords(TypedDict, total=False):
    """The fields of `Settings` as keywords, for type checkers."""

    chunk_bytes: int
    max_chunk_bytes: int
    send_ahead: int
    max_length_bytes: int | None
    max_requests_per_upload: int | None
    min_rate_bytes_s: int
    stall_timeout_s: float
    idle_timeout_s: float
    handover_timeout_s: float
    handover_retry_s: float
    handover_give_up_s: float
    confirm_timeout_s: float
    complete_wait_s: float | None
    keep_finished_s: float
    keep_failed_s: float
    max_total_bytes: int | None
    max_owner_bytes: int | None
    max_owner_uploads: int | None
    min_free_bytes: int
    durability: str
    allow_origins: Sequence[str] | None
    backend_api: bool
    backend_token: str | None
    signing_key: str | None
    callback_hosts: Sequence[str] | None
    ietf_draft: bool
    background: bool
    fast_reading: bool
    database: str | os.PathLike[str] | None


def _setting(default: Any, explanation: str, *, secret: bool = False) -> Any:
    """A `secret` is shown neither by `repr` nor in a message."""
    metadata = {"help": explanation, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


# What a field of `Settings` may hold, by its annotation, and how a message says it.
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "True or False"),
    "str": ((str,), "a text"),
    "str | os.PathLike[str]": ((str, os.PathLike), "a path"),
    "Sequence[str]": ((list, tuple, set, frozenset), "a list of texts"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Raises TypeError or ValueError at construction, naming the setting, the value and what it may
    be."""

    # Chunks. 1 MiB: an nginx that nobody has configured takes no more (client_max_body_size).
    chunk_bytes: int = _setting(
        1 * MIB, "Bytes a client starts to send in one request; it may change the size later."
    )
    # 16 MiB: below the 32 MiB of Cloud Run and the 100 MB of Cloudflare; bounds what is drained.
    max_chunk_bytes: int = _setting(16 * MIB, "Bytes that one request may carry at most.")
    send_ahead: int = _setting(4, "Chunks a client may have on their way at once, for one upload.")
    max_length_bytes: int | None = _setting(
        None, "Bytes a file may have at most, if its ticket does not say otherwise; none: no limit."
    )
    # Two more than a page has on its way: the requests of a line that broke, be it another tab's,
    # end when new ones come, and eight threads (`incoming serve`) have two left for others.
    max_requests_per_upload: int | None = _setting(
        None,
        "Requests with bytes that one upload may have under way in one process; when one more "
        "comes, the oldest ends. none: two more than send_ahead.",
    )
    # A page on a line of 4 KiB/s, a bad day of GPRS, with four chunks on their way.
    min_rate_bytes_s: int = _setting(
        1024,
        "Bytes per second at which the body of a request must come at least, or the request ends; "
        "what has come is kept. 0: no limit.",
    )
    # As long as a page waits for a chunk of its own that does not move.
    stall_timeout_s: float = _setting(
        30.0, "Seconds for which a body may stay away, or below its minimum rate, at a time."
    )
    idle_timeout_s: float = _setting(
        12 * 3600.0, "Seconds after which an upload in which nothing moves is given up."
    )
    # 55 s: below the 60 s after which proxies commonly close.
    handover_timeout_s: float = _setting(
        55.0, "Seconds that the web app may take to answer one handover request."
    )
    handover_retry_s: float = _setting(
        1.0, "Seconds before a handover is tried again; doubles each time, with jitter, up to 60."
    )
    handover_give_up_s: float = _setting(
        24 * 3600.0,
        "Seconds after which a handover that never got a good answer fails. The file is kept.",
    )
    confirm_timeout_s: float = _setting(
        600.0, 'Seconds that an app which answered "wait" has for its finish_upload.'
    )
    # 10 s: below the 30 s after which some clients give a request up.
    complete_wait_s: float | None = _setting(
        None,
        "Seconds for which the answer to the last bytes waits for the web app, to say what it has "
        "made of the file. none: 10 for clients of tus and of the IETF draft, which take that "
        "answer for the end, and 0 for all others, which ask.",
    )
    keep_finished_s: float = _setting(
        24 * 3600.0, "Seconds for which the record of a finished or cancelled upload is kept."
    )
    keep_failed_s: float = _setting(
        7 * 24 * 3600.0, "Seconds for which a file that could not be handed over is kept."
    )
    max_total_bytes: int | None = _setting(
        None,
        "Bytes of all files that are here or on their way, with all that was declared of them; "
        "none: as many as the disk has. Files that the web app has taken do not count.",
    )
    max_owner_bytes: int | None = _setting(
        None, "The same for the files of one owner, as tickets name him; none: no limit."
    )
    max_owner_uploads: int | None = _setting(
        None, "Tickets of one owner that may be in use, or not yet used, at once; none: no limit."
    )
    # 64 MiB: room for the ticket database to record, and to cancel, whatever uploads fill.
    min_free_bytes: int = _setting(
        64 * MIB, "Bytes of the disk that uploads leave free, for the ticket database and others."
    )
    durability: str = _setting(
        "process",
        '"process": what was acknowledged survives the death of any process, and after a crash of '
        'the machine at most its last seconds are asked for again; "disk": it is written to the '
        "disk before it is acknowledged (slower).",
    )
    allow_origins: Sequence[str] | None = _setting(
        ("*",),
        "Origins whose pages may upload, comma separated; * for any (a ticket is the right to "
        "upload, no cookie is used), none: the same origin alone.",
    )
    backend_api: bool = _setting(
        False, "Whether backend/ answers over HTTP. On when stand-alone, off inside an app."
    )
    backend_token: str | None = _setting(
        None,
        "A bearer token that opens backend/ to peers that are not on this machine; none: only "
        "direct loopback peers may use it.",
        secret=True,
    )
    signing_key: str | None = _setting(
        None,
        "A secret of 16 characters or more with which every handover is signed, in the header "
        "X-Incoming-Signature; none: handovers are not signed.",
        secret=True,
    )
    callback_hosts: Sequence[str] | None = _setting(
        None,
        "Hosts to which handovers may go, comma separated: a name or address for all of its ports, "
        "or host:port; none: any.",
    )
    ietf_draft: bool = _setting(
        True,
        "Whether requests of the IETF draft of resumable uploads are understood, beside tus and "
        "our own protocol.",
    )
    background: bool = _setting(
        True,
        "Whether each worker process starts a thread for handovers and housekeeping at its first "
        "request; without it something must run `incoming housekeeping` regularly.",
    )
    fast_reading: bool = _setting(
        True,
        "Whether bodies are read in the fastest way that the server at hand offers, such as "
        "straight from gunicorn's connection; false: with wsgi.input.read alone.",
    )
    database: str | os.PathLike[str] | None = _setting(  # noqa: RUF009  it is a field
        None,
        "Path of the SQLite database of tickets, on a local disk; none: incoming.db in the "
        "storage folder.",
    )

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            self._check_kind(setting)
        for name in ("chunk_bytes", "max_chunk_bytes", "send_ahead"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        self._require(
            "chunk_bytes", self.chunk_bytes <= self.max_chunk_bytes, "max_chunk_bytes at most"
        )
        for name in (
            "max_length_bytes",
            "min_rate_bytes_s",
            "max_total_bytes",
            "max_owner_bytes",
            "min_free_bytes",
        ):
            self._require(name, (getattr(self, name) or 0) >= 0, "0 or more")
        self._require(
            "max_requests_per_upload",
            self.requests_per_upload >= self.send_ahead,
            "send_ahead at least",
        )
        uploads = self.max_owner_uploads
        self._require("max_owner_uploads", uploads is None or uploads >= 1, "1 or more, or None")
        for name in (
            "stall_timeout_s",
            "idle_timeout_s",
            "handover_timeout_s",
            "handover_retry_s",
            "handover_give_up_s",
            "confirm_timeout_s",
            "keep_finished_s",
            "keep_failed_s",
        ):
            seconds = getattr(self, name)
            self._require(name, 0 < seconds < MAX_SECONDS, "more than 0 and less than ten years")
        wait_s = self.complete_wait_s
        self._require(
            "complete_wait_s", wait_s is None or 0 <= wait_s <= 3600, "0 to 3600, or None"
        )
        self._require("durability", self.durability in ("process", "disk"), '"process" or "disk"')
        self._require(
            "allow_origins",
            all(ORIGIN.fullmatch(origin) for origin in self.allow_origins or ()),
            '"*", or origins like "https://app.example": scheme, host and port, no path',
        )
        self._require("backend_token", self.backend_token != "", "a token, or None for no token")
        self._require(
            "signing_key",
            self.signing_key is None or _passes(check_key, self.signing_key),
            "16 characters or more, all of them printable ASCII and no blanks, or None",
        )
        self._require(
            "callback_hosts",
            all(_passes(check_host, host) for host in self.callback_hosts or ()),
            'hosts like "app.example" or "127.0.0.1:8000": no scheme, no path, no pattern',
        )

    @property
    def requests_per_upload(self) -> int:
        """`max_requests_per_upload` as a number."""
        if self.max_requests_per_upload is None:
            return self.send_ahead + 2
        return self.max_requests_per_upload

    @property
    def outcome_wait_s(self) -> float:
        """`complete_wait_s` for clients that are told once and do not ask."""
        return 10.0 if self.complete_wait_s is None else self.complete_wait_s

    def _check_kind(self, setting: dataclasses.Field[Any]) -> None:
        """Raises TypeError for a value of another type than the setting has: "false" is true."""
        value, kind = getattr(self, setting.name), str(setting.type)
        optional = kind.endswith(" | None")
        types, wanted = KINDS[kind.removesuffix(" | None")]
        if optional and value is None:
            return
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if kind.startswith("Sequence"):
            fits = fits and all(isinstance(part, str) for part in value)
        if not fits:
            or_none = ", or None" if optional else ""
            raise TypeError(f"{self._shown(setting.name)} must be {wanted}{or_none}")

    def _require(self, name: str, fulfilled: bool, wanted: str) -> None:
        if not fulfilled:
            raise ValueError(f"{self._shown(name)} must be {wanted}")

    def _shown(self, name: str) -> str:
        """The beginning of a message about a setting, with its value if that is no secret."""
        secret = self.__dataclass_fields__[name].metadata["secret"]
        return name if secret else f"{name} is {getattr(self, name)!r}; it"

    @classmethod
    def from_environ(
        cls, environ: Mapping[str, str] | None = None, **defaults: Any
    ) -> tuple[str | None, Settings]:
        """The storage folder (or None) and the settings that `INCOMING_*` variables give.

        `defaults` stand for variables that are not set. Raises ValueError for an unknown
        `INCOMING_` variable (a misspelt setting must not be ignored) and for a bad value.
        """
        variables = os.environ if environ is None else environ
        known = {ENVIRON_PREFIX + f.name.upper(): f for f in dataclasses.fields(cls)}
        storage_variable = ENVIRON_PREFIX + "STORAGE_DIR"
        values: dict[str, Any] = dict(defaults)
        for variable, text in variables.items():
            if not variable.startswith(ENVIRON_PREFIX) or variable == storage_variable:
                continue
            if variable not in known:
                raise ValueError(
                    f"{variable} is not a setting; known are "
                    f"{', '.join(sorted([*known, storage_variable]))}"
                )
            setting = known[variable]
            try:
                values[setting.name] = parse_setting(setting, text)
            except ValueError as exc:
                raise ValueError(f"{variable} is {text!r}: {exc}") from exc
        return variables.get(storage_variable), cls(**values)


def parse_setting(setting: dataclasses.Field[Any], text: str) -> Any:
    """The value of `setting` that `text` spells. Raises ValueError saying what is wanted."""
    kind = str(setting.type)
    if kind.endswith(" | None") and text.strip().lower() in NO_VALUE:
        return None
    if kind.startswith("Sequence"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind == "bool":
        return parse_bool(text)
    number = {"int": int, "float": float}.get(kind.removesuffix(" | None"))
    if number is None:
        return text
    try:
        return number(text)
    except ValueError as exc:
        unit = next((words for end, words in UNITS.items() if setting.name.endswith(end)), "")
        whole = "whole " if number is int else ""
        raise ValueError(f"it must be a {whole}number{unit}") from exc


def _passes(check: Callable[[str], None], text: str) -> bool:
    try:
        check(text)
    except ValueError:
        return False
    return True


def parse_bool(text: str) -> bool:
    """The spellings of the original's backend functions; raises ValueError for any other."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError("not a truth value; say true or false")
