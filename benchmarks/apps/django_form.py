"""A form with a file, taken as Django's manual says."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

FOLDER = Path(os.environ["BENCHMARK_FOLDER"])

settings.configure(
    ALLOWED_HOSTS=["*"],
    FILE_UPLOAD_TEMP_DIR=str(FOLDER),
    MIDDLEWARE=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of no consequence",
)


def take(request: HttpRequest) -> HttpResponse:
    with open(FOLDER / "files" / uuid.uuid4().hex, "wb") as file:
        for chunk in request.FILES["file"].chunks():
            file.write(chunk)
    return HttpResponse("taken")


urlpatterns = [path("form", take)]
application = WSGIHandler()
