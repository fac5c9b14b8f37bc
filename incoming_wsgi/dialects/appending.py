"""What tus and the draft do alike: an offset that is told stays true, the newest request has the
upload, and the answer to the last bytes waits for the web app."""

from __future__ import annotations

from dataclasses import dataclass

from ..agreement import Append
from ..config import Settings
from ..digesting import ExpectedDigest
from ..engine import Engine
from ..outcomes import check_outcome
from ..rights import Rights
from ..uploads import Upload
from .request import Request

__all__ = ["CANCELLED_BY_CLIENT", "Appending"]

CANCELLED_BY_CLIENT = "cancelled by the user"


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
                return self.engine.load(upload_id)
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
        """For what the web app makes of it. Raises what `check_outcome` does."""
        upload = self.engine.wait_for_outcome(upload, self.settings.outcome_wait_s, asks=asks)
        check_outcome(upload)
        return upload

    def check_outcome(self, upload_id: str) -> None:
        """For a request that is refused for its offset: the upload may be complete, and not have
        been taken, which comes first."""
        self.wait(self.engine.load(upload_id), asks=True)
