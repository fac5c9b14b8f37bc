"""The stand-alone application for any WSGI server, configured by `INCOMING_*` variables:

    INCOMING_STORAGE_DIR=/var/lib/incoming gunicorn --threads 8 incoming_wsgi.wsgi:application

To import this module is to make the application: a variable that is missing or wrong is a
ValueError here, before the first request. No thread is started by that, since a server may import
first and fork later (`--preload`). So after a restart it is the first request, be it a health
check, that sets a process to work on handovers that are due; `incoming serve` waits for none.
"""

from __future__ import annotations

import os

from .logs import configure_logs
from .standalone import make_application, make_incoming

__all__ = ["application"]

configure_logs()
application = make_application(make_incoming(os.environ))
