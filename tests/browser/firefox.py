"""A real Firefox without a window, driven by the protocol that it speaks itself: Marionette.

    firefox.goto(server.url)
    firefox.choose("#file", path)
    firefox.wait_for_text("#message", "report.bin has arrived.")

Nothing has to be installed beside Firefox: an order is a line of JSON over TCP. It is the protocol
that geckodriver speaks to Firefox, and what is asked for here are the commands of WebDriver.
Source: https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tools import program
from waiting import wait_until

__all__ = ["Firefox", "FirefoxError", "running_firefox"]

HOST = "127.0.0.1"
PATIENCE_S = 60.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of a reference; WebDriver, 11.
COMMAND, ANSWER = 0, 1
PREFERENCES = {
    "marionette.port": 0,  # a free one, which it writes into its profile
    # Whatever it would like to fetch from elsewhere goes to a port where nobody is; this machine
    # is reached without a proxy.
    "network.proxy.type": 1,
    "network.proxy.http": HOST,
    "network.proxy.http_port": 9,
    "network.proxy.ssl": HOST,
    "network.proxy.ssl_port": 9,
}
OPTIONS = ["--headless", "--marionette", "--no-remote"]
# Without it the list of JavaScript errors is not for Marionette to read.
OPTIONS += ["--remote-allow-system-access"]
MISTAKES = """
    return Services.console.getMessageArray()
        .filter((message) => message instanceof Ci.nsIScriptError)
        .filter((message) => message.category === "content javascript")
        .filter((message) => !(message.flags & Ci.nsIScriptError.warningFlag))
        .map((message) => `${message.errorMessage} (${message.sourceName})`);
"""


class FirefoxError(Exception):
    """Firefox could not do what it was told."""


class Firefox:
    """One running Firefox and the page that is in front; made by `running_firefox`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._line = socket.create_connection((HOST, port), timeout=PATIENCE_S)
        self._answers = self._line.makefile("rb")
        self._number = 0
        self._receive()  # who it is
        self.version: str = self.call("WebDriver:NewSession")["capabilities"]["browserVersion"]

    # what a person does

    def goto(self, url: str) -> None:
        """Open `url` and wait until it has been loaded."""
        self.call("WebDriver:Navigate", url=url)

    def choose(self, selector: str, *paths: Path) -> None:
        """Choose files in a file selector."""
        self.call(
            "WebDriver:ElementSendKeys", id=self._find(selector), text="\n".join(map(str, paths))
        )

    def click(self, selector: str) -> None:
        self.call("WebDriver:ElementClick", id=self._find(selector))

    # what a person sees

    def text(self, selector: str) -> str:
        """The text of the first element that is selected; "" if there is none."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.evaluate(script, selector))

    def evaluate(self, script: str, *arguments: object) -> Any:
        """What `script`, the body of a function, returns in the page; a promise is awaited.

        What it sets in the window is there for the page's own scripts too.
        """
        parameters = {"script": script, "args": list(arguments), "sandbox": None}
        return self.call("WebDriver:ExecuteScript", **parameters)["value"]

    def wait_for(self, expression: str, *, timeout_s: float = PATIENCE_S) -> Any:
        """Wait until a JavaScript expression is true in the page; what it is then."""
        return wait_until(lambda: self.evaluate(f"return ({expression})"), expression, timeout_s)

    def wait_for_text(self, selector: str, text: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the text of an element contains `text`."""
        try:
            wait_until(lambda: text in self.text(selector), repr(text), timeout_s)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {selector} has {self.text(selector)!r}") from exc

    # what a test needs

    def new_tab(self) -> None:
        """Leave the page in front, without being asked whether to, and show an empty one."""
        old = self.call("WebDriver:GetWindowHandle")["value"]
        new = self.call("WebDriver:NewWindow", type="tab", focus=True)["handle"]
        self.call("WebDriver:SwitchToWindow", handle=old)
        self.call("WebDriver:CloseWindow")
        self.call("WebDriver:SwitchToWindow", handle=new)

    def take_mistakes(self) -> list[str]:
        """The JavaScript errors that no page has caught since this was asked last."""
        self.call("Marionette:SetContext", value="chrome")
        try:
            return list(self.evaluate(MISTAKES))
        finally:
            self.evaluate("Services.console.reset()")
            self.call("Marionette:SetContext", value="content")

    def call(self, command: str, /, **parameters: object) -> Any:
        """One command of Marionette's. Raises FirefoxError."""
        self._number += 1
        order = json.dumps([COMMAND, self._number, command, parameters]).encode()
        self._line.sendall(b"%d:%s" % (len(order), order))
        kind, number, error, result = self._receive()
        assert (kind, number) == (ANSWER, self._number)
        if error is not None:
            raise FirefoxError(f"{command}: {error['error']}: {error['message']}")
        return result

    def close(self) -> None:
        with suppress(OSError, FirefoxError):
            self.call("Marionette:Quit", flags=["eForceQuit"])
            self._process.wait(PATIENCE_S)
        self._answers.close()
        self._line.close()

    def _find(self, selector: str) -> str:
        found = self.call("WebDriver:FindElement", using="css selector", value=selector)
        return str(found["value"][ELEMENT])

    def _receive(self) -> Any:
        """The next message: its length in decimal, a colon, JSON."""
        length = b""
        while (digit := self._answers.read(1)) != b":":
            if not digit:
                raise FirefoxError("Firefox has ended")
            length += digit
        return json.loads(self._answers.read(int(length)))


@contextmanager
def running_firefox(folder: Path) -> Iterator[Firefox]:
    """A Firefox with a new profile; all that it writes is in `folder`."""
    path = program("firefox-esr", "firefox", variable="FIREFOX")
    profile = folder / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(x)});" for name, x in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    log_file = folder / "firefox.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [path, *OPTIONS, "--profile", str(profile)],
            env={**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        port_file = profile / "MarionetteActivePort"

        def port() -> str:
            if process.poll() is not None:
                raise FirefoxError(f"it ended with {process.returncode}:\n{log_file.read_text()}")
            return port_file.read_text() if port_file.exists() else ""

        firefox = Firefox(process, int(wait_until(port, "the start of Firefox", PATIENCE_S)))
        try:
            yield firefox
        finally:
            firefox.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and the processes of its pages
        process.wait(PATIENCE_S)
