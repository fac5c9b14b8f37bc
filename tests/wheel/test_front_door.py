"""The README's first command, as printed, in a clean clone. The second is what runs this."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from waiting import wait_until

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def clone(tmp_path):
    """What a stranger gets: what is committed, or what would be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folder = tmp_path / "clone"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return folder


def test_the_first_command_starts_the_examples(clone):
    section = (clone / "README.md").read_text().partition("## See it run")[2]
    command = re.search(r"```sh\n(.+?)\n```", section, re.DOTALL)[1]
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "TOX", "INCOMING", "PYTEST"))
    }
    process = subprocess.Popen(
        ["sh", "-c", command],
        cwd=clone,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        address = next(
            (line.split()[1] for line in process.stdout if line.startswith("Open http://")), None
        )
        assert address, "no address was printed"
        links = re.findall(r'<a href="(.+?)">', read(address))
        assert len(links) == len(list((clone / "examples").glob("[0-9]*-*/backend.py"))) > 0
        for link in links:
            assert "<h1>" in read(link)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    # They end with it, even if it is killed.
    for link in links:
        wait_until(lambda link=link: not is_there(link), "the end of the examples")


def read(address):
    with urllib.request.urlopen(address, timeout=30) as page:
        return page.read().decode()


def is_there(address):
    try:
        read(address)
    except OSError:
        return False
    return True
