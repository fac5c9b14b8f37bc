"""docs/examples.md: its code is that of the examples, and its commands are understood."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Sequence

from example_apps import EXAMPLES

from incoming_wsgi.cli import main as incoming

ROOT = EXAMPLES.parent
DOCUMENT = ROOT / "docs" / "examples.md"


def blocks(*languages: str) -> Sequence[str]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return [code for language, code in found if language in languages]


def normalised(text: str) -> str:
    return " ".join(text.split())


def test_the_document_shows_the_code_as_it_is() -> None:
    folders = sorted(EXAMPLES.glob("[0-9]*-*"))
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    code = [normalised(path.read_text()) for path in files]
    shown = blocks("python", "html", "js")

    assert len(shown) > 20
    for block in shown:
        assert any(normalised(block) in text for text in code), block


def test_the_commands_of_the_document_are_understood() -> None:
    commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    starts = [words for words in commands if words[1].endswith("backend.py")]
    assert [words for words in commands if words[1:2] == ["examples"]]
    servers = [words for words in commands if words[0].endswith("/incoming")]
    assert (len(starts), len(servers)) == (5, 1)

    for _, script, *options in starts:
        runpy.run_path(str(ROOT / script))["main"].make_context("backend.py", options)
    for _, command, *options in servers:
        incoming.commands[command].make_context(command, options)
