"""Who is measured: a server, the dialect it is spoken to in, and what the table calls it.

The keys are for `--only` and for targets.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dialects
import servers
from dialects import Dialect
from prepare import Tools
from servers import Command

__all__ = ["CONTESTANTS", "Contestant", "by_key"]

# Above the size of a chunk: what waitress keeps in memory instead of a temporary file.
WAITRESS_TUNED = ("--recv-bytes=262144", f"--inbuf-overflow={20 * 1024 * 1024}")


@dataclass(frozen=True)
class Contestant:
    key: str
    title: str
    command: Command
    dialect: Dialect
    settings: dict[str, Any] = field(default_factory=dict)
    """Of ours."""
    slow: bool = False
    """A quarter of the bytes will do."""
    hands_over: bool = False
    """Uploads count when the app has been called for each."""
    needs: str | None = None
    """A program of the machine, as Tools names it."""

    def can_run(self, tools: Tools) -> bool:
        return self.needs is None or getattr(tools, self.needs) is not None


OURS = "incoming_wsgi"


def _ours_and_naive(
    name: str, title: str, make: Callable[[str], Command], **rest: Any
) -> list[Contestant]:
    return [
        Contestant(f"ours-{name}", f"{OURS}, {title}", make("ours"), dialects.Incoming(), **rest),
        Contestant(f"naive-{name}", f"naive loop, {title}", make("naive"), dialects.Put(), **rest),
    ]


CONTESTANTS = (
    # the limits
    Contestant(
        "drop",
        "C sink, bytes thrown away",
        servers.sink("drop"),
        dialects.Put(whole=True),
    ),
    Contestant(
        "sink", "C sink, splice, one stream", servers.sink("splice"), dialects.Put(whole=True)
    ),
    Contestant(
        "sink-recv",
        "C sink, recv + pwrite, one stream",
        servers.sink("recv"),
        dialects.Put(whole=True),
    ),
    Contestant(
        "sink-sync",
        "C sink, splice, fdatasync of each chunk",
        servers.sink("splice", "sync"),
        dialects.Put(),
    ),
    Contestant(
        "sink-sync-end",
        "C sink, splice, one stream, fdatasync at its end",
        servers.sink("splice", "sync"),
        dialects.Put(whole=True),
    ),
    # ours
    Contestant(
        "ours-w1", f"{OURS}, gunicorn, 1 worker", servers.gunicorn("ours"), dialects.Incoming()
    ),
    Contestant(
        "ours-w2",
        f"{OURS}, gunicorn, 2 workers",
        servers.gunicorn("ours", workers=2),
        dialects.Incoming(),
    ),
    Contestant(
        "ours-sha256",
        f"{OURS}, gunicorn, 1 worker, SHA-256 checked",
        servers.gunicorn("ours"),
        dialects.Incoming(digests=True),
    ),
    Contestant(
        "ours-sha256-w2",
        f"{OURS}, gunicorn, 2 workers, SHA-256 checked",
        servers.gunicorn("ours", workers=2),
        dialects.Incoming(digests=True),
    ),
    Contestant(
        "ours-disk",
        f'{OURS}, gunicorn, 1 worker, durability="disk"',
        servers.gunicorn("ours"),
        dialects.Incoming(),
        {"durability": "disk"},
    ),
    Contestant(
        "ours-complete",
        f"{OURS}, gunicorn, 1 worker, synced, handed over",
        servers.gunicorn("ours"),
        dialects.Incoming(complete=True),
        hands_over=True,
    ),
    # peers
    Contestant(
        "nginx", "nginx WebDAV PUT", servers.nginx_dav, dialects.Put(apart=True), needs="nginx"
    ),
    Contestant(
        "tus-node",
        "@tus/server + @tus/file-store",
        servers.tus_node,
        dialects.Tus(),
        slow=True,
        needs="node",
    ),
    Contestant(
        "tuspyserver", "tuspyserver, uvicorn", servers.tuspyserver, dialects.Tus(), slow=True
    ),
    Contestant(
        "flask", "Flask form, gunicorn", servers.form("flask_form"), dialects.Form(), slow=True
    ),
    Contestant(
        "django", "Django form, gunicorn", servers.form("django_form"), dialects.Form(), slow=True
    ),
    # servers, ours and the naive loop on each
    Contestant(
        "naive-w1",
        "naive loop, gunicorn, 1 worker",
        servers.gunicorn("naive"),
        dialects.Put(),
    ),
    Contestant(
        "naive-w2",
        "naive loop, gunicorn, 2 workers",
        servers.gunicorn("naive", workers=2),
        dialects.Put(),
    ),
    *_ours_and_naive("gevent", "gunicorn gevent", lambda app: servers.gunicorn(app, kind="gevent")),
    *_ours_and_naive("uwsgi", "uWSGI --http11-socket", servers.uwsgi),
    *_ours_and_naive("granian", "granian", servers.granian),
    *_ours_and_naive("waitress", "waitress", servers.waitress, slow=True),
    *_ours_and_naive(
        "waitress-tuned",
        "waitress, tuned",
        lambda app: servers.waitress(app, *WAITRESS_TUNED),
    ),
    *_ours_and_naive("wsgiref", "wsgiref with threads", servers.wsgiref),
    *_ours_and_naive(
        "nginx-buffering",
        "gunicorn behind nginx, buffering on",
        lambda app: servers.behind_nginx(app, buffering=True),
        needs="nginx",
    ),
    *_ours_and_naive(
        "nginx-streaming",
        "gunicorn behind nginx, buffering off",
        lambda app: servers.behind_nginx(app, buffering=False),
        needs="nginx",
    ),
    # small files
    Contestant(
        "empty-w2",
        "an app that does nothing, gunicorn, 2 workers",
        servers.gunicorn("empty", workers=2),
        dialects.Put(),
    ),
    Contestant(
        "empty-uwsgi", "an app that does nothing, uWSGI", servers.uwsgi("empty"), dialects.Put()
    ),
    Contestant(
        "small-w2",
        f"{OURS}, one request, gunicorn, 2 workers",
        servers.gunicorn("ours", workers=2),
        dialects.IncomingWhole(),
        hands_over=True,
    ),
    Contestant(
        "small-uwsgi",
        f"{OURS}, one request, uWSGI",
        servers.uwsgi("ours"),
        dialects.IncomingWhole(),
        hands_over=True,
    ),
    Contestant(
        "small-three-w2",
        f"{OURS}, ticket + POST + PUT, gunicorn, 2 workers",
        servers.gunicorn("ours", workers=2),
        dialects.IncomingInThree(),
        hands_over=True,
    ),
    Contestant(
        "small-nginx",
        "nginx WebDAV PUT, one request",
        servers.nginx_dav,
        dialects.Put(apart=True),
        needs="nginx",
    ),
    Contestant(
        "small-tus-node",
        "@tus/server, create + send",
        servers.tus_node,
        dialects.CreateAndSend(),
        needs="node",
    ),
    Contestant(
        "small-tus-node-with-upload",
        "@tus/server, creation-with-upload",
        servers.tus_node,
        dialects.TusWithUpload(),
        needs="node",
    ),
    Contestant(
        "small-tuspyserver",
        "tuspyserver, create + send",
        servers.tuspyserver,
        dialects.CreateAndSend(),
        slow=True,
    ),
)
by_key = {contestant.key: contestant for contestant in CONTESTANTS}
