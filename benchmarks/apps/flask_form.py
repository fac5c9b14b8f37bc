"""A form with a file, taken as Flask's manual says."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from flask import Flask, request

FILES = Path(os.environ["BENCHMARK_FOLDER"]) / "files"
application = Flask(__name__)


@application.post("/form")
def take() -> str:
    request.files["file"].save(FILES / uuid.uuid4().hex)
    return "taken"
