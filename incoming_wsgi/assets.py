"""The files of the browser library, as responses that can be revalidated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from webob import Response

__all__ = ["Assets"]

# For a classic script tag, and for import: the library, and the element with the library in it.
NAMES = ("incoming.js", "incoming.mjs", "incoming-upload.js", "incoming-upload.mjs")
# In an installed package, and in the project's own folder.
FOLDERS = (Path(__file__).with_name("static"), Path(__file__).parent.with_name("static"))


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    etag: str


class Assets:
    """Read at the first request, then kept: a few files of some kilobytes."""

    def __init__(self) -> None:
        self._assets: dict[str, _Asset] | None = None

    def find(self, name: str) -> Response | None:
        """The file `name`, None if there is no such file. It becomes a 304 if the client has it."""
        if self._assets is None:
            self._assets = _read()
        asset = self._assets.get(name)
        if asset is None:
            return None
        response = Response(
            asset.content,
            content_type="text/javascript",
            charset="UTF-8",
            conditional_response=True,
        )
        response.etag = asset.etag
        response.headers["Cache-Control"] = "no-cache"
        return response


def _read() -> dict[str, _Asset]:
    folder = next(folder for folder in FOLDERS if folder.is_dir())
    contents = {name: (folder / name).read_bytes() for name in NAMES}
    return {
        name: _Asset(content, hashlib.sha256(content).hexdigest()[:32])
        for name, content in contents.items()
    }
