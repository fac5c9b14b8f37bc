"""tuspyserver with its default settings, but for the size of files."""

from __future__ import annotations

import os

from fastapi import FastAPI
from tuspyserver import create_tus_router

FOLDER = os.environ["BENCHMARK_FOLDER"] + "/files"
application = FastAPI()
application.include_router(create_tus_router(files_dir=FOLDER, max_size=1 << 40))
