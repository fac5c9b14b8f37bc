"""One kind of request so many times, for whoever counts the instructions of this process.

python repeat.py FOLDER chunk|checked|small|status TIMES
"""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

from calling import call, put, take

from incoming_wsgi import Incoming

CHUNK_BYTES = 64 * 1024
SMALL_BYTES = 10 * 1024


def main() -> None:
    folder, what, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    incoming = Incoming(folder, on_finished=take, background=False)
    chunk, small = b"x" * CHUNK_BYTES, b"x" * SMALL_BYTES
    # One byte more than will be sent: it is never complete.
    length = CHUNK_BYTES * times + 1
    ticket = incoming.new_upload(length=length, filename="file")
    digest = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
    for number in range(times):
        if what == "chunk":
            put(incoming, ticket, number * CHUNK_BYTES, chunk, length)
        elif what == "checked":
            start = number * CHUNK_BYTES
            call(
                incoming,
                "PUT",
                ticket,
                chunk,
                HTTP_CONTENT_RANGE=f"bytes {start}-{start + CHUNK_BYTES - 1}/{length}",
                HTTP_CONTENT_DIGEST=f"sha-256=:{digest}:",
            )
        elif what == "small":
            put(incoming, incoming.new_upload(length=SMALL_BYTES), 0, small, SMALL_BYTES)
            incoming.do_housekeeping()
        else:
            call(incoming, "GET", ticket)
    incoming.close()


if __name__ == "__main__":
    main()
