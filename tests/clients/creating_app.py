"""A web app whose users' tus clients make uploads without a ticket, as the app allows each.

Who they are says a header, and so does, for a test, who is told of what has arrived.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from webob import Response

from incoming_wsgi import Forbidden, Incoming


def may_create(
    environ: dict[str, object], metadata: Mapping[str, str], length: int | None
) -> str | None:
    user = environ.get("HTTP_X_USER")
    if user is None:
        return None
    if str(metadata.get("filename")).endswith(".exe"):
        raise Forbidden("no programs, please")
    return incoming.new_upload(
        owner=str(user),
        signal_finish_url=str(environ["HTTP_X_CALLBACK"]),
        remove_file_when_finished=False,
    )


incoming = Incoming(
    os.environ["INCOMING_STORAGE_DIR"],
    authorize_creation=may_create,
    backend_api=True,
    handover_retry_s=0.2,
)
application = incoming.wrap(Response(status=404), prefix="/incoming")
