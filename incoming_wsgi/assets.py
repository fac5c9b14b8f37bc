"""The files of the browser library, as answers that can be revalidated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .responses import Answer, Headers, has_already

__all__ = ["Assets"]

# For a classic script tag, and for import: the library, and the element with the library in it.
NAMES = ("incoming.js", "incoming.mjs", "incoming-upload.js", "incoming-upload.mjs")
# In an installed package, and in the project's own folder.
FOLDERS = (Path(__file__).with_name("static"), Path(__file__).parent.with_name("static"))
CONTENT_TYPE = ("Content-Type", "text/javascript; charset=UTF-8")


class Assets:
    """Read at the first request, then kept: a few files of some kilobytes."""

    def __init__(self) -> None:
        self._assets: dict[str, tuple[str, bytes]] | None = None  # the entity tag, the content

    def find(self, name: str, environ: Mapping[str, Any]) -> Answer | None:
        """The file `name`, None if there is no such file; a 304 if the client has it."""
        if self._assets is None:
            self._assets = _read()
        if name not in self._assets:
            return None
        etag, content = self._assets[name]
        # Kept in a cache, but asked for each time: a page must not get two halves of two versions.
        validators: Headers = (("ETag", etag), ("Cache-Control", "no-cache"))
        if has_already(environ, etag):
            return Answer(304, validators)
        return Answer(200, (CONTENT_TYPE, *validators), content)


def _read() -> dict[str, tuple[str, bytes]]:
    folder = next(folder for folder in FOLDERS if folder.is_dir())
    contents = {name: (folder / name).read_bytes() for name in NAMES}
    return {
        name: (f'"{hashlib.sha256(content).hexdigest()[:32]}"', content)
        for name, content in contents.items()
    }
