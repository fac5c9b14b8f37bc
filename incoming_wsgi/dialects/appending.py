"""What tus and the draft do alike: an offset that is told stays true, the newest request has the
upload, and the answer to the last bytes waits for the web app."""

from __future__ import annotations

from dataclasses import dataclass

from ..agreement import Append
from ..config import Settings
from ..digesting import ExpectedDigest
from ..engine import Engine
from ..errors import IncomingError, NotTakenYet, WrongState
from ..outcomes import check_outcome
from ..rights import Rights
from ..states import UploadState
from ..uploads import Upload
from .request import CANCELLED_BY_CLIENT, Request

__all__ = ["Appending", "find_status"]


@dataclass(frozen=True, slots=True)
class Appending:
    engine: Engine
    settings: Settings
    rights: Rights

    def ask(self, request: Request, upload_id: str) -> Upload:
        """The upload, to be told of. Raises what `wait` does."""
        self.rights.check(request.environ, upload_id, "query")
        return self.wait(self.settle(request, upload_id), asks=True)

    def settle(self, request: Request, upload_id: str) -> Upload:
        """The upload, whose offset stays as it is told, if this client may stop those who write."""
        if self.engine.is_written_to(upload_id):
            if not self.rights.have(request.environ, upload_id, "store"):
                upload = self.engine.load(upload_id)
                check_outcome(upload)
                return upload
            request.in_flight.end_others(upload_id)
        return self.engine.settle(upload_id)

    def receive(
        self, request: Request, upload_id: str, said: Append, digest: ExpectedDigest | None
    ) -> Upload:
        piped = digest is None and self.engine.takes_pipes
        blocks = request.stream(upload_id, keep=2 if digest else 1, piped=piped)
        return self.engine.append(upload_id, said, blocks, digest=digest)

    def cancel(self, request: Request, upload_id: str) -> None:
        """Raises WrongState if it is too late."""
        self.rights.check(request.environ, upload_id, "cancel")
        request.in_flight.end_others(upload_id)
        self.engine.cancel(upload_id, reason=CANCELLED_BY_CLIENT, tell_app=True)

    def wait(self, upload: Upload, *, asks: bool = False) -> Upload:
        """For what the web app makes of it. Raises what `check_outcome` does, and NotTakenYet if
        there are too many who wait: to most clients anything else would be a success."""
        wait_s = self.settings.outcome_wait_s
        known = self.engine.wait_for_outcome(upload, wait_s, asks=asks)
        if known is None:
            raise NotTakenYet(reason="the web app has not answered yet")
        check_outcome(known)
        return known

    def tell_outcome_first(self, upload_id: str) -> None:
        """For a request that is refused for its offset: the upload may be complete, and not have
        been taken."""
        self.wait(self.engine.load(upload_id), asks=True)


def find_status(error: IncomingError) -> int:
    """Clients would ask again after a 409, in vain."""
    if isinstance(error, WrongState):
        return 423 if error.state == UploadState.HANDING_OVER.value else 403
    return error.status
