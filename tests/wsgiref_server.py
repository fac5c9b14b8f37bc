"""The standard library's WSGI server as a program, and its parts for servers in this process.

    python wsgiref_server.py module:name PORT

It answers one request at a time.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

__all__ = ["SilentHandler", "ThreadingServer"]


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = False  # joined at the end, so that none is left behind


class SilentHandler(WSGIRequestHandler):
    timeout = 30

    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("application")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    module, _, name = arguments.application.partition(":")
    application = getattr(import_module(module), name)
    address = ("127.0.0.1", arguments.port)
    with make_server(*address, application, handler_class=SilentHandler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
