"""A file of 5 TiB in small chunks at random places: how its requests get slower.

    python huge_file.py FOLDER RANGES…

Prints a JSON list: the median milliseconds of a chunk, and of the question what is there, at each
of these numbers of ranges. The file is sparse, so the disk that it would need is not asked for.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from pathlib import Path

from calling import call, put, take

from incoming_wsgi import Incoming
from incoming_wsgi.storage.file import FileStorage

LENGTH = 5 * 1024**4
CHUNK_BYTES = 4096
SAMPLE = 20


class AnyRoom(FileStorage):
    def find_room(self) -> None:
        return None


def main() -> None:
    folder, counts = Path(sys.argv[1]), list(map(int, sys.argv[2:]))
    incoming = Incoming(folder, on_finished=take, background=False, storage=AnyRoom(folder))
    other = incoming.new_upload(length=LENGTH, filename="file")
    for number in range(SAMPLE):  # what is made at the first chunks is not to be measured
        put(incoming, other, number * CHUNK_BYTES, bytes(CHUNK_BYTES), LENGTH)
        call(incoming, "GET", other)
    ticket = incoming.new_upload(length=LENGTH, filename="file")
    # Every second place at most: no two of them meet.
    places = random.Random(5).sample(range(LENGTH // CHUNK_BYTES // 2), counts[-1])
    chunk_ms: list[float] = []
    found = []
    for number, place in enumerate(places, 1):
        began = time.perf_counter()
        put(incoming, ticket, 2 * place * CHUNK_BYTES, bytes(CHUNK_BYTES), LENGTH)
        chunk_ms.append(1000 * (time.perf_counter() - began))
        if number in counts:
            found.append(
                {
                    "ranges": number,
                    "chunk_ms": statistics.median(chunk_ms[-SAMPLE:]),
                    "status_ms": statistics.median(ask_ms(incoming, ticket) for _ in range(SAMPLE)),
                }
            )
    incoming.close()
    print(json.dumps(found))


def ask_ms(incoming: Incoming, ticket: str) -> float:
    began = time.perf_counter()
    call(incoming, "GET", ticket)
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
