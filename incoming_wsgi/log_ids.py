"""The last look at what the library logs: a whole id is the right to make an upload.

The events name an upload by `log_id()`. But an exception says what it likes, and the path of a file
ends with its id: whatever looks like an id is cut to what a log may show, and a traceback is made
text before any handler sees it, since who has the exception has all it knows.
"""

from __future__ import annotations

import logging
import re

from .uploads import log_id

__all__ = ["ShortIds"]

# As `new_upload_id` makes them.
WHOLE_ID = re.compile(
    "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)


class ShortIds(logging.Filter):
    """For the logger "incoming_wsgi". A filter of a logger comes before its handlers, whoever has
    chosen them."""

    def __init__(self) -> None:
        super().__init__()
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        shortened = _shorten(message)
        if shortened != message:
            record.msg, record.args = shortened, None
        if record.exc_info:
            record.exc_text = _shorten(self._formatter.formatException(record.exc_info))
            record.exc_info = None
        return True


def _shorten(text: str) -> str:
    return WHOLE_ID.sub(lambda match: log_id(match[0]) + "…", text)
