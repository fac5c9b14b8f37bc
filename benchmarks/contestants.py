"""Who is measured: a server, the dialect it is spoken to in, and what the table calls it.

The keys are for `--only` and for targets.py. In titles `2×8` are processes × threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import dialects
import starting
from dialects import Dialect
from prepare import Tools
from starting import Command

__all__ = ["SINKS", "Contestant", "by_key"]


@dataclass(frozen=True)
class Contestant:
    key: str
    title: str
    command: Command
    dialect: Dialect
    role: Literal["limit", "ours", "peer"] = "peer"
    settings: dict[str, Any] = field(default_factory=dict)
    """Of ours."""
    stores: bool = True
    """Not so: there is nothing to compare."""
    in_chart: bool = True
    """Not so: it only shows how the figures come about."""
    slow: bool = False
    """A quarter of the bytes, or of the small files, will do."""
    hands_over: bool = False
    """Uploads count when the app has been called for each."""
    needs: str | None = None
    """A program of the machine, as Tools names it."""

    def can_run(self, tools: Tools) -> bool:
        return self.needs is None or getattr(tools, self.needs) is not None


OURS = "incoming_wsgi"
ONLY_READS = "an app that only reads the body"
# As docs/deploy.md has it.
WAITRESS_TUNED = ("--recv-bytes=262144", "--inbuf-overflow=17825792", "--connection-limit=50")
# The limit is the better of the two: there is more than one way to write a sink in C.
SINKS = ("sink", "sink-recv")


def _limit(key: str, title: str, command: Command, **rest: Any) -> Contestant:
    dialect = rest.pop("dialect", dialects.Put(whole=True))
    return Contestant(key, title, command, dialect, role="limit", **rest)


def _ours(
    key: str, title: str, command: Command, dialect: Dialect | None = None, **rest: Any
) -> Contestant:
    title = f"{OURS}, {title}"
    return Contestant(key, title, command, dialect or dialects.Incoming(), role="ours", **rest)


def _ours_and_naive(
    name: str, title: str, make: Callable[[str], Command], **rest: Any
) -> list[Contestant]:
    return [
        _ours(f"ours-{name}", title, make("ours"), **rest),
        Contestant(f"naive-{name}", f"naive loop, {title}", make("naive"), dialects.Put(), **rest),
    ]


_CONTESTANTS = (
    # the limits
    _limit(
        "drop",
        "C sink, bytes thrown away",
        starting.sink("drop"),
        dialect=dialects.Put(),
        stores=False,
        in_chart=False,
    ),
    _limit("sink", "C sink, splice, one stream", starting.sink("splice")),
    _limit("sink-recv", "C sink, recv + pwrite, one stream", starting.sink("recv")),
    _limit(
        "sink-sync",
        "C sink, splice, three fdatasync for each chunk",
        starting.sink("splice", "log"),
        dialect=dialects.Put(),
    ),
    _limit(
        "sink-sync-end",
        "C sink, splice, one stream, fdatasync at its end",
        starting.sink("splice", "sync"),
        in_chart=False,
    ),
    # ours
    _ours("ours-w1", "gunicorn 1×8", starting.gunicorn("ours")),
    _ours("ours-w2", "gunicorn 2×8", starting.gunicorn("ours", workers=2)),
    _ours(
        "ours-plain",
        "gunicorn 1×8, fast_reading=False",
        starting.gunicorn("ours"),
        settings={"fast_reading": False},
    ),
    _ours(
        "ours-sha256",
        "gunicorn 1×8, SHA-256 checked",
        starting.gunicorn("ours"),
        dialects.Incoming(digests=True),
    ),
    _ours(
        "ours-sha256-w2",
        "gunicorn 2×8, SHA-256 checked",
        starting.gunicorn("ours", workers=2),
        dialects.Incoming(digests=True),
    ),
    _ours(
        "ours-disk",
        'gunicorn 1×8, durability="disk"',
        starting.gunicorn("ours"),
        settings={"durability": "disk"},
    ),
    _ours(
        "ours-complete",
        "gunicorn 1×8, synced, handed over",
        starting.gunicorn("ours"),
        dialects.Incoming(complete=True),
        hands_over=True,
    ),
    # peers
    Contestant(
        "nginx",
        "nginx WebDAV PUT, a process for each core",
        starting.nginx_dav,
        dialects.Put(apart=True),
        needs="nginx",
    ),
    Contestant(
        "tus-node",
        "@tus/server + @tus/file-store 1×1",
        starting.tus_node,
        dialects.Tus(),
        slow=True,
        needs="node",
    ),
    Contestant(
        "tuspyserver",
        "tuspyserver, uvicorn 1×1",
        starting.tuspyserver,
        dialects.Tus(),
        slow=True,
    ),
    Contestant(
        "flask",
        "Flask form, gunicorn 1×8",
        starting.gunicorn("flask_form"),
        dialects.Form(),
        slow=True,
    ),
    Contestant(
        "django",
        "Django form, gunicorn 1×8",
        starting.gunicorn("django_form"),
        dialects.Form(),
        slow=True,
    ),
    # servers, ours and the naive loop on each
    Contestant("naive-w1", "naive loop, gunicorn 1×8", starting.gunicorn("naive"), dialects.Put()),
    Contestant(
        "naive-w2",
        "naive loop, gunicorn 2×8",
        starting.gunicorn("naive", workers=2),
        dialects.Put(),
    ),
    *_ours_and_naive(
        "gevent", "gunicorn gevent 1×1", lambda app: starting.gunicorn(app, kind="gevent")
    ),
    *_ours_and_naive("uwsgi", "uWSGI --http11-socket 1×8", starting.uwsgi),
    *_ours_and_naive("granian", "granian 1×8", starting.granian),
    *_ours_and_naive("waitress", "waitress 1×8", starting.waitress, slow=True),
    *_ours_and_naive(
        "waitress-tuned",
        "waitress 1×8, tuned",
        lambda app: starting.waitress(app, *WAITRESS_TUNED),
    ),
    *_ours_and_naive("wsgiref", "wsgiref, a thread for each connection", starting.wsgiref),
    *_ours_and_naive(
        "nginx-buffering",
        "gunicorn 1×8 behind nginx, buffering on",
        lambda app: starting.behind_nginx(app, buffering=True),
        needs="nginx",
    ),
    *_ours_and_naive(
        "nginx-streaming",
        "gunicorn 1×8 behind nginx, buffering off",
        lambda app: starting.behind_nginx(app, buffering=False),
        needs="nginx",
    ),
    # small files
    _limit(
        "empty-w2",
        f"{ONLY_READS}, gunicorn 2×8",
        starting.gunicorn("empty", workers=2),
        dialect=dialects.Put(),
        stores=False,
    ),
    _limit(
        "empty-uwsgi",
        f"{ONLY_READS}, uWSGI 1×8",
        starting.uwsgi("empty"),
        dialect=dialects.Put(),
        stores=False,
        in_chart=False,
    ),
    _ours(
        "small-w2",
        "one request, gunicorn 2×8",
        starting.gunicorn("ours", workers=2),
        dialects.IncomingWhole(),
        hands_over=True,
    ),
    _ours(
        "small-uwsgi",
        "one request, uWSGI 1×8",
        starting.uwsgi("ours"),
        dialects.IncomingWhole(),
        hands_over=True,
    ),
    _ours(
        "small-three-w2",
        "ticket + POST + PUT, gunicorn 2×8",
        starting.gunicorn("ours", workers=2),
        dialects.IncomingInThree(),
        hands_over=True,
    ),
    Contestant(
        "small-nginx",
        "nginx WebDAV PUT, one request, a process for each core",
        starting.nginx_dav,
        dialects.Put(apart=True),
        needs="nginx",
    ),
    Contestant(
        "small-tus-node",
        "@tus/server 1×1, create + send",
        starting.tus_node,
        dialects.CreateAndSend(),
        needs="node",
    ),
    Contestant(
        "small-tus-node-with-upload",
        "@tus/server 1×1, creation-with-upload",
        starting.tus_node,
        dialects.TusWithUpload(),
        needs="node",
    ),
    Contestant(
        "small-tuspyserver",
        "tuspyserver 1×1, create + send",
        starting.tuspyserver,
        dialects.CreateAndSend(),
        slow=True,
    ),
)
by_key = {contestant.key: contestant for contestant in _CONTESTANTS}
