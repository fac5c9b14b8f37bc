"""gunicorn in this process, for `incoming serve`. The one room that knows gunicorn.

Threads, because an upload is mostly waiting for a client; processes, because Python runs one thread
at a time. The application is made before the workers are forked, so what is wrong with it is said
once; it opens nothing before its first use.

SIGTERM lets requests that are under way end, and handovers too (`background.py`), in the 30 s that
gunicorn gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from .app import Incoming
from .ending import begin_stop
from .logs import LOGGING
from .standalone import make_application

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed.wsgi import WSGIApplication

__all__ = ["serve"]

# More than the pause between two chunks of a slow browser, so that each need not connect anew.
KEEP_ALIVE_S = 65


def serve(incoming: Incoming, *, bind: str, workers: int, threads: int) -> None:
    """Until SIGTERM, for which what is under way may end before, or SIGINT. Ends with SystemExit.

    `bind` is host:port or unix:path.
    """
    options = {
        "bind": bind,
        "workers": workers,
        "threads": threads,
        "worker_class": _Worker,
        "keepalive": KEEP_ALIVE_S,
        "accesslog": None,  # the path of an upload contains its ticket
        "logconfig_dict": LOGGING,
        # A server that was restarted delivers what is due, whether anybody asks or not.
        "post_worker_init": lambda _worker: incoming.start_background(),
        # Newer versions open a socket for control in the home folder, one for all servers.
        "control_socket_disable": True,
    }
    _Server(make_application(incoming), options).run()


class _Worker(ThreadWorker):  # type: ignore[misc]
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM. While the last requests end, no handover is begun that would be cut off."""
        begin_stop()
        super().handle_exit(sig, frame)


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, application: WSGIApplication, options: dict[str, Any]) -> None:
        self._application = application
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            if name in self.cfg.settings:  # of this version
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._application
