"""docs/javascript.md names all that a page can meet, and its sizes are those of the files."""

from __future__ import annotations

import gzip
import re
from collections.abc import Set
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "static"
DOCUMENT = (ROOT / "docs" / "javascript.md").read_text()
# Without comments, which have quotes and words of their own.
TYPES = re.sub(r"/\*.*?\*/", "", (STATIC / "incoming.d.ts").read_text(), flags=re.DOTALL)
ERRORS = (STATIC / "src" / "errors.js").read_text()
KIB = 1024


def cut(text: str, start: str, end: str) -> str:
    """What stands between two lines of these beginnings."""
    found = re.search(rf"^{start}(.*?)^{end}", text, re.DOTALL | re.MULTILINE)
    assert found is not None, start
    return found[1]


def members(interface: str) -> Set[str]:
    body = cut(TYPES, rf"export interface {interface}\b[^\n]*{{\n", "}")
    return set(re.findall(r"^  (?:readonly )?(\w+)\??[:(<]", body, re.MULTILINE))


def named_in_document() -> Set[str]:
    """All in backquotes, as it is and without arguments: `pause("unpause")` names pause."""
    text = re.sub(r"^```.*?^```$", "", DOCUMENT, flags=re.DOTALL | re.MULTILINE)
    quoted = set(re.findall(r"`([^`\n]+)`", text))
    return quoted | {re.sub(r"\(.*\)$", "", code) for code in quoted}


# Of each kind: the names, and how many there were when this was written.
NAMES: dict[str, tuple[Set[str], int]] = {
    "exports": (
        set(re.findall(r"^export (?:type|function|interface|const) (\w+)", TYPES, re.M)),
        15,
    ),
    "global": (set(re.findall(r"^  var (\w+): Library;", TYPES, re.M)), 1),
    "Library": (members("Library"), 5),
    "Configuration": (members("Configuration"), 4),
    "UploaderOptions": (members("UploaderOptions"), 2),
    "Uploader": (members("Uploader"), 38),
    "phases": (set(re.findall(r'"(\w+)"', cut(TYPES, r"  readonly phase:", "  readonly"))), 10),
    "events": (members("UploaderEventMap"), 4),
    "ResumableUpload": (members("ResumableUpload"), 11),
    "ErrorCode": (
        set(re.findall(r'"(\w+)"', cut(TYPES, "export type ErrorCode", r"  \| \(string"))),
        10,
    ),
    "BY_CODE": (set(re.findall(r"^  (\w+): ", cut(ERRORS, "const BY_CODE", "};"), re.M)), 11),
}


@pytest.mark.parametrize("kind", NAMES)
def test_every_name_is_in_the_document(kind: str) -> None:
    names, how_many = NAMES[kind]
    assert len(names) >= how_many, sorted(names)
    assert names - named_in_document() == set()


def test_every_code_that_the_library_itself_gives_is_in_the_document() -> None:
    sources = [path.read_text() for path in (STATIC / "src").glob("*.js")]
    codes = {code for text in sources for code in re.findall(r'\bcode: "(\w+)"', text)}
    assert {"in_another_tab", "app_waits", "stalled", "bad_answer"} <= codes
    assert codes - named_in_document() == set()


def test_the_sizes_are_upper_bounds() -> None:
    rows = re.findall(r"^\| `([\w.-]+)`.*? \| (\d+) KiB \| (\d+) KiB \|$", DOCUMENT, re.MULTILINE)
    assert [name for name, *_ in rows] == ["incoming.js", "incoming-upload.js"]
    for name, as_it_is, compressed in rows:
        content = (STATIC / name).read_bytes()
        assert len(content) <= int(as_it_is) * KIB, name
        assert len(gzip.compress(content, 9)) <= int(compressed) * KIB, name
