"""The web app of the harness: a process that takes files, in all the ways that apps have.

    python moody_app.py PORT FOLDER INCOMING_URL SEED LONGEST_S

It says done at once or slowly (within LONGEST_S), before or after it has moved the file away; it
says wait and finishes later, or first; it fails, talks nonsense, and cuts the line when it has made
its side effect. Whatever it does, `deliveries.py` remembers. With a file FOLDER/calm it is well.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from deliveries import Deliveries

from incoming_wsgi.client import IncomingClient
from incoming_wsgi.errors import IncomingError, Unavailable

__all__ = ["main"]

MOODS = {
    "done": 40,
    "moves": 15,
    "slow": 10,
    "waits": 10,
    "finishes first": 5,
    "fails": 8,
    "cuts": 10,
    "talks nonsense": 2,
}
RESET = struct.pack("ii", 1, 0)
FINISH_TRIES = 20


class App:
    def __init__(self, folder: Path, incoming_url: str, seed: str, longest_s: float) -> None:
        self.deliveries = Deliveries(folder)
        self._calm = folder / "calm"
        self._incoming = IncomingClient(incoming_url, timeout_s=3)
        self._random = random.Random(seed)
        self._longest_s = longest_s

    def take(self, form: dict[str, str]) -> bytes | None:
        """The answer; None: cut the line."""
        path = None if form["cancelled"] == "yes" else Path(form["filename"])
        upload_id = form["id"]
        with self.deliveries.taking(upload_id, form["deliveryId"], int(form["attempt"]), path):
            mood = self._mood() if path is not None else "done"
            if mood == "slow":
                time.sleep(self._random.uniform(0, self._longest_s))
            elif mood == "moves" and path is not None:
                self.deliveries.move_away(upload_id, path)
            elif mood == "finishes first":
                self._finish(upload_id, 1)
        if mood == "waits":
            threading.Thread(
                target=self._finish_later, args=(upload_id,), name=f"finish {upload_id[:8]}"
            ).start()
        if mood == "cuts":
            return None
        if mood in ("waits", "finishes first"):
            return b"wait"
        return {"fails": b"", "talks nonsense": b"well"}.get(mood, b"done")

    def _mood(self) -> str:
        if self._calm.exists():
            return "done"
        return self._random.choices(list(MOODS), list(MOODS.values()))[0]

    def _finish_later(self, upload_id: str) -> None:
        time.sleep(self._random.uniform(0, 1))
        self._finish(upload_id, FINISH_TRIES)

    def _finish(self, upload_id: str, tries: int) -> None:
        for _ in range(tries):
            try:
                self._incoming.finish_upload(upload_id)
            except Unavailable:
                time.sleep(0.2)
            except IncomingError:
                return  # finished, or the "wait" was lost and it is going to be asked again
            else:
                return


def main(port: int, app: App) -> None:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = app.take(dict(parse_qsl(body.decode("ascii"), keep_blank_values=True)))
            if answer is None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.connection.close()
                return
            with suppress(OSError):  # whoever has called may be dead
                self.send_response(200 if answer else 500)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), App(Path(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5])))
