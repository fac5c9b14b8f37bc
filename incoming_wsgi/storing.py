"""What a request with bytes makes of an upload: from its claim to the record and, if nothing is
missing any more, to completion. Whatever protocol it speaks; HTTP is unknown here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .agreement import check_not_gone
from .completion import Completion
from .digesting import ExpectedDigest
from .errors import BytesLost
from .last_bytes import Caller, LastBytes
from .receiving import Receiving
from .states import UploadState, takes_bytes
from .storage.base import Block, Piped, Storage
from .tickets.base import TicketStore, WriteClaim
from .uploads import Upload

__all__ = ["Storing"]


@dataclass(frozen=True, slots=True)
class Storing:
    """One for all requests."""

    tickets: TicketStore
    storage: Storage
    completion: Completion
    receiving: Receiving
    caller: Caller | None

    def receive(
        self,
        claim: WriteClaim,
        start: int,
        blocks: Iterable[Block | Piped],
        digest: ExpectedDigest | None,
    ) -> Upload:
        """What the bytes of a claim have made of the upload."""
        try:
            if _may_be_the_last(claim):
                upload = self._receive_last(claim, start, blocks, digest)
            else:
                upload = self.receiving.receive(claim, start, blocks, digest)
        except BytesLost as exc:
            upload = self.completion.lost(claim.upload, exc)
        except Exception:
            self._clear_away_if_gone(self.tickets.load(claim.upload.id))
            raise
        upload = self.complete_if_nothing_is_missing(upload)
        self._clear_away_if_gone(upload)
        return upload

    def _receive_last(
        self,
        claim: WriteClaim,
        start: int,
        blocks: Iterable[Block | Piped],
        digest: ExpectedDigest | None,
    ) -> Upload:
        """With the claim on all that is missing."""
        is_whole = claim.gaps == ((0, claim.upload.length),)
        is_sha256 = digest is not None and digest.algorithm == "sha256"
        with LastBytes(
            claim.upload,
            tickets=self.tickets,
            storage=self.storage,
            completion=self.completion,
            caller=self.caller,
            sha256=digest.value.hex() if digest and is_sha256 and is_whole else None,
        ) as last:
            upload = self.receiving.receive(claim, start, blocks, digest, last.seal)
            last.recorded(upload)
        return upload

    def complete_if_nothing_is_missing(self, upload: Upload) -> Upload:
        if takes_bytes(upload.state) and upload.is_complete:
            return self.completion.complete(upload)
        return upload

    def _clear_away_if_gone(self, upload: Upload) -> None:
        """A request that was under way at the cancellation may have made the file anew."""
        if upload.state is UploadState.CANCELLED:
            self.storage.delete(upload.id)
            check_not_gone(upload)


def _may_be_the_last(claim: WriteClaim) -> bool:
    """Whether it has all that is missing. Told by the number of bytes: nothing of its gaps is
    stored."""
    upload = claim.upload
    claimed = sum(stop - start for start, stop in claim.gaps)
    is_all = claimed > 0 and upload.received.total_bytes + claimed == upload.length
    return is_all and not upload.is_part
