"""Named fault points: where a process of the server dies, if a test has said so.

The test arms a point of one upload, a process that reaches it for the n-th time kills itself with
SIGKILL, and no other process does so again:

    points = Points(folder)
    points.arm("record.before", upload_id)
    ...
    points.wait_for_death("record.before")

Shared through files alone, since whoever dies keeps nothing. Reaching a point takes one of its
tokens away by a rename, which only one process can do with each; whoever took the last one dies,
and what it was renamed to is the proof. The server's code knows nothing of this: `faulty.py`
wraps what it is handed.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from waiting import wait_until

__all__ = ["Points"]

ANY = "any"
TOKEN = re.compile(r"(?P<name>[a-z_]+\.[a-z]+)@(?P<upload>[\w-]+)#(?P<left>\d+)(?P<whom>!?)")


class Points:
    """`folder` is made if it does not exist; the server is told the same one."""

    def __init__(self, folder: Path) -> None:
        self._armed = folder / "armed"
        self._reached = folder / "reached"
        for each in (self._armed, self._reached):
            each.mkdir(parents=True, exist_ok=True)

    # the test's side

    def arm(self, name: str, upload_id: str = ANY, *, n: int = 1, all_die: bool = False) -> None:
        """Who reaches `name` for the n-th time dies; with `all_die` its whole process group."""
        for left in range(1, n + 1):
            (self._armed / f"{name}@{upload_id}#{left}{'!' if all_die else ''}").touch()

    def wait_for_death(self, name: str, timeout_s: float = 30.0) -> None:
        wait_until(lambda: self.has_killed(name), f"a death at {name}", timeout_s)

    def has_killed(self, name: str) -> bool:
        return any(
            match["name"] == name and match["left"] == "1" for match in _tokens(self._reached)
        )

    def clear(self) -> None:
        for folder in (self._armed, self._reached):
            for token in folder.iterdir():
                token.unlink(missing_ok=True)

    # the server's side

    def reach(self, name: str, upload_id: str) -> None:
        """Die here, if this is where it was to be."""
        mine = [
            match
            for match in _tokens(self._armed)
            if match["name"] == name and match["upload"] in (upload_id, ANY)
        ]
        for match in sorted(mine, key=lambda match: -int(match["left"])):
            try:
                os.rename(self._armed / match[0], self._reached / match[0])
            except FileNotFoundError:
                continue  # another process was there at the same time
            if match["left"] == "1":
                _die(everybody=bool(match["whom"]))
            return


def _tokens(folder: Path) -> list[re.Match[str]]:
    return [match for name in os.listdir(folder) if (match := TOKEN.fullmatch(name))]


def _die(*, everybody: bool) -> None:
    if everybody:  # the test's servers lead a group of their own
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
