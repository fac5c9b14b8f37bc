"""Incoming under any server, with a log that says how bodies are read, and its files left in place.

`INCOMING_STORAGE_DIR` and other settings as for the stand-alone server.
"""

import logging
import os

from incoming_wsgi.standalone import make_incoming

logging.basicConfig(level=logging.INFO)

application = make_incoming(os.environ)
