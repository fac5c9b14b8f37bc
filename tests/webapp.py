"""A web app for tests: a real HTTP server that answers handovers as told and remembers them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl


@dataclass
class Handover:
    """One POST to the callback: its path with the query, its form, and how that came."""

    path: str
    form: dict[str, str]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None  # of the file at that moment


Reply = Callable[[Handover, BaseHTTPRequestHandler], None]


def reply(status: int = 200, body: bytes = b"done", **headers: str) -> Reply:
    def send(_: Handover, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return send


@dataclass
class WebApp:
    """`replies` are used one after the other, the last of them for ever."""

    replies: list[Reply] = field(default_factory=lambda: [reply()])
    handovers: list[Handover] = field(default_factory=list)
    port: int = 0
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/backend/upload_finished"

    def wait_for(self, count: int, timeout_s: float = 30.0) -> list[Handover]:
        """The handovers, as soon as there are `count` of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.handovers) >= count, timeout_s), (
                f"{len(self.handovers)} of {count} handovers came within {timeout_s} s"
            )
            return list(self.handovers)

    def take(self, handover: Handover) -> Reply:
        with self._arrived:
            self.handovers.append(handover)
            self._arrived.notify_all()
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def web_app(*replies: Reply, port: int = 0) -> Iterator[WebApp]:
    app = WebApp(replies=list(replies) or [reply()])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = dict(
                parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
            )
            handover = Handover(self.path, form, body, self.headers)
            if form.get("filename"):
                path = Path(form["filename"])
                handover.content = path.read_bytes() if path.exists() else None
            app.take(handover)(handover, self)
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    app.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
