"""Speaks the DevTools protocol with a Chromium through its debugging pipe: as much as is needed.

Playwright is more comfortable, but it watches the network: then Chromium hands each request, with
the bytes of its body as base64 if they are in memory, to whoever watches, and a page that sends
8 MiB so comes to 19 MB/s instead of hundreds. Here the domain "Network" stays off, as it is for
people.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["DevTools", "Page"]

END = b"\0"  # of each message, in both directions


class DevTools:
    """Starts `command`, a Chromium without `--remote-debugging-pipe`."""

    def __init__(self, command: list[str]) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()

        def place_pipes() -> None:
            """Chromium reads from its descriptor 3 and writes to its descriptor 4."""
            reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 5) for end in (theirs_in, theirs_out))
            os.dup2(reads, 3)
            os.dup2(writes, 4)
            os.close(reads)
            os.close(writes)

        self.process = subprocess.Popen(
            [*command, "--remote-debugging-pipe"],
            preexec_fn=place_pipes,
            close_fds=False,  # Python's own are closed at exec in any case
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out = os.fdopen(ours_out, "wb", buffering=0)
        self._in = os.fdopen(ours_in, "rb", buffering=0)
        self._rest = b""
        self._last_id = 0

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command. What Chromium tells unasked meanwhile is passed over."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + END)
        while (answer := self._read()).get("id") != self._last_id:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while END not in self._rest:
            block = self._in.read(1 << 16)
            if not block:
                raise RuntimeError("Chromium has ended")
            self._rest += block
        message, _, self._rest = self._rest.partition(END)
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def close(self) -> None:
        self.call("Browser.close")
        self._out.close()
        self._in.close()
        self.process.wait(30)


class Page:
    """A page in a profile of its own, which ends with it."""

    def __init__(self, devtools: DevTools) -> None:
        self._devtools = devtools
        self._context = devtools.call("Target.createBrowserContext")["browserContextId"]
        target = devtools.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )["targetId"]
        attached = devtools.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session: str = attached["sessionId"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._devtools.call(method, session=self._session, **parameters)

    def open(self, url: str) -> None:
        """Returns when all of its scripts have run."""
        failure = self.call("Page.navigate", url=url).get("errorText")
        if failure:
            raise RuntimeError(f"{url}: {failure}")
        self.evaluate(
            """new Promise((resolve) => {
                if (document.readyState === "complete") resolve();
                else addEventListener("load", resolve);
            })"""
        )

    def choose(self, selector: str, path: Path) -> None:
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def evaluate(self, expression: str) -> Any:
        """What it, or the promise that it is, comes to, as JSON."""
        told = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"])
        return told["result"].get("value")

    def close(self) -> None:
        self._devtools.call("Target.disposeBrowserContext", browserContextId=self._context)
