"""tus-js-client in a Node.js process of its own; what it does comes back as events.

    with TusJs(path, endpoint=url) as client:
        client.success()
        client.abort(terminate=True)

See `tus_js.mjs` for the events. Leaving the block ends the process and asserts that no promise in
it was rejected without anybody to hear it.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import tools

Event = dict[str, Any]

HERE = Path(__file__).parent
PROGRAM = HERE / "tus_js.mjs"
LIBRARY = HERE.parents[1] / "node_modules/tus-js-client"
PATIENCE_S = 60.0
# Many short pauses in place of tus-js-client's four, of 0 to 5 s: a test waits for what
# happens, not for the clock, and a busy machine takes its time to start a server again.
RETRY_DELAYS_MS = [100] * 200
TUS, DRAFT_03, DRAFT_05 = "tus-v1", "ietf-draft-03", "ietf-draft-05"
PROTOCOLS = (TUS, DRAFT_03, DRAFT_05)
# With a protocol, how a file is given to the library. Not as a "file" with the drafts: of one that
# it sends in chunks, or goes on with, it then never says that this is the end.
PROTOCOLS_AND_SOURCES = ((TUS, "buffer"), (TUS, "file"), (DRAFT_03, "buffer"), (DRAFT_05, "buffer"))


class TusJs:
    """`source` is how the file is given to the library: "buffer", "file" (of which it knows the
    length), or "stream"; `options` are its own, by their names."""

    def __init__(
        self,
        file: Path,
        *,
        source: str = "buffer",
        url_storage: Path | None = None,
        start: bool = True,
        **options: object,
    ) -> None:
        self.events: list[Event] = []
        self._news = threading.Condition()
        self._over = False
        self._started_at = 0
        self._process = subprocess.Popen(
            [node(), str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        options = {"retryDelays": RETRY_DELAYS_MS, **options}
        task: dict[str, object] = {"file": str(file), "as": source, "options": options}
        if url_storage:
            url_storage.touch()
            task["urlStorage"] = str(url_storage)
        self._tell(task)
        if start:
            self.start()

    def __enter__(self) -> TusJs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self.end(check=kind is None)

    def start(self) -> None:
        """Begin, or go on where it was, after an `abort` or an error."""
        self._started_at = len(self.events)
        self._tell({"do": "start"})

    def go_on(self) -> None:
        """Continue what the URL storage knows of this file."""
        self._started_at = len(self.events)
        self._tell({"do": "continue"})

    def abort(self, *, terminate: bool = False) -> Event:
        """What came of it: "aborted", or the error."""
        return self._ask("aborted", {"do": "abort", "terminate": terminate})

    def terminate(self, url: str) -> Event:
        """Any upload, with the library's function for that: "terminated", or the error."""
        return self._ask("terminated", {"do": "terminate", "url": url})

    def end(self, *, check: bool = True) -> None:
        """Let the process end now, whatever the library is at."""
        if self._process.poll() is None:
            self._tell({"do": "end"})
        self._process.wait(PATIENCE_S)
        self._reader.join()
        assert self._process.stdin
        assert self._process.stderr
        complaints = self._process.stderr.read()
        for pipe in (self._process.stdin, self._process.stderr):
            pipe.close()
        if check:
            assert (self._process.returncode, complaints) == (0, "")

    def success(self) -> Event:
        """What the library reports in the end, since it was started; waited for."""
        outcome = self._outcome()
        assert outcome["event"] == "success", outcome["message"]
        return outcome

    def error(self) -> Event:
        """What the library reports in the end, since it was started; waited for."""
        outcome = self._outcome()
        assert outcome["event"] == "error"
        return outcome

    def wait_for(self, wanted: Callable[[Event], bool], what: str, start: int = 0) -> Event:
        """The first such event, from number `start` on."""

        def find() -> Event | None:
            return next((event for event in self.events[start:] if wanted(event)), None)

        with self._news:
            self._news.wait_for(lambda: find() or self._over, PATIENCE_S)
            event = find()
        assert event, f"no {what}; there was {self.events}"
        return event

    def named(self, name: str, method: str | None = None) -> list[Event]:
        """The events of this name so far, or those of a method: ("request", "HEAD")."""
        return [e for e in self.events if e["event"] == name and method in (None, e.get("method"))]

    def _outcome(self) -> Event:
        is_outcome = {"success", "error"}
        return self.wait_for(lambda e: e["event"] in is_outcome, "outcome", self._started_at)

    def _ask(self, good: str, order: dict[str, object]) -> Event:
        seen = len(self.events)
        self._tell(order)
        return self.wait_for(lambda e: e["event"] in (good, "error"), good, seen)

    def _tell(self, order: dict[str, object]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                with self._news:
                    self.events.append(json.loads(line))
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()


def node() -> str:
    """The path of Node.js. The test ends here if it or tus-js-client is missing."""
    path = tools.program("node", "nodejs", variable="NODE")
    if not LIBRARY.is_dir():
        tools.missing("there is no tus-js-client: run `npm ci`")
    return path
