"""The log of the stand-alone server: one line an event, on stderr.

    2026-03-01T12:00:00.123Z INFO pid=4711 upload=1a2b3c4d event=complete length=1048576

The time is UTC. The library itself only writes to the logger "incoming_wsgi"; where that goes is
the app's choice when Incoming is a part of one, and this room is not used then.
"""

from __future__ import annotations

import logging
import time
from typing import Any

__all__ = ["LOGGING", "LineFormatter", "configure_logs"]

LOGGER = "incoming_wsgi"
# Line feeds and other control characters, as Python writes them: what a client has sent must not
# look like a line of its own.
ESCAPES = {
    code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}


class LineFormatter(logging.Formatter):
    """Time, level, process, message; a traceback stands in the same line."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s pid=%(process)d %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(ESCAPES)


# For `logging.config.dictConfig` and gunicorn's `logconfig_dict`, whose own events come along.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": LineFormatter}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "stream": "ext://sys.stderr",
        }
    },
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        LOGGER: {"level": "INFO", "propagate": True},
        "gunicorn.error": {"level": "INFO", "propagate": True},
    },
}


def configure_logs(level: int = logging.INFO) -> None:
    """Write the library's events to stderr, unless somebody has said already where they go."""
    logger = logging.getLogger(LOGGER)
    chosen = [*logger.handlers, *logging.getLogger().handlers]
    if any(not isinstance(handler, logging.NullHandler) for handler in chosen):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logger.addHandler(handler)
    logger.setLevel(level)
