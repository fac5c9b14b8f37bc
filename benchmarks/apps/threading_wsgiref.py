"""The standard library's WSGI server with a thread for each connection.

python threading_wsgiref.py module PORT
"""

from __future__ import annotations

import sys
from importlib import import_module
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class SilentHandler(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    application = import_module(sys.argv[1]).application
    address = ("127.0.0.1", int(sys.argv[2]))
    make_server(*address, application, ThreadingServer, SilentHandler).serve_forever()
