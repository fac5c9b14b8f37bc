"""What one writes without a library: read a block of the body, write it where it belongs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FILES = Path(os.environ["BENCHMARK_FOLDER"]) / "files"
BLOCK_BYTES = 1024 * 1024


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    name = environ["PATH_INFO"].rpartition("/")[2]
    position = int(environ["HTTP_CONTENT_RANGE"].removeprefix("bytes ").partition("-")[0])
    left = int(environ["CONTENT_LENGTH"])
    read = environ["wsgi.input"].read
    file = os.open(FILES / name, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while block := read(min(BLOCK_BYTES, left)):
            if os.pwrite(file, block, position) != len(block):
                raise OSError("a short write")
            position += len(block)
            left -= len(block)
    finally:
        os.close(file)
    start_response("200 OK", [("Content-Length", "0")])
    return []
