"""Serves the bare page and throws away what is sent to it: what the browser itself can do.

python sink.py PORT
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGES = Path(__file__).parent / "pages"
TYPES = {"/bare.html": "text/html", "/page.js": "text/javascript"}
BLOCK_BYTES = 1 << 20


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path in TYPES:
            self._answer((PAGES / self.path[1:]).read_bytes(), TYPES[self.path])
        else:
            self.send_error(404)

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        buffer = memoryview(bytearray(BLOCK_BYTES))
        while left > 0:
            size = self.rfile.readinto1(buffer[:left])
            if size == 0:
                raise ConnectionError("the body broke off")
            left -= size
        self._answer(b"", "text/plain")

    def _answer(self, body: bytes, media_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
