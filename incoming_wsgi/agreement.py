"""What a client says of its file, and whether that agrees with what is known of the upload.

Pure: given an upload and what was said, the fields that change, or the error that says why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import (
    FileChanged,
    FileTooLarge,
    Forbidden,
    InconsistentLength,
    LengthUnknown,
    OffsetMismatch,
    UploadGone,
)
from .states import UploadState
from .uploads import Upload

__all__ = [
    "Append",
    "Declaration",
    "agree_on_extent",
    "check_can_be_written",
    "check_not_gone",
    "check_not_shorter",
    "check_offset",
    "check_same_file",
    "declared_anew",
    "declared_besides",
    "said_length",
]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a client says of the file it will send. None: it does not say; of the length, that it
    will say so later."""

    length: int | None
    filename: str | None = None
    content_type: str | None = None
    last_modified: int | None = None
    relative_path: str | None = None
    expected_sha256: str | None = None  # of the whole file, lower-case hex
    wants_sha256: bool = False
    metadata: str | None = None  # the Upload-Metadata of a tus client, as it came


@dataclass(frozen=True, slots=True)
class Append:
    """What a request says of the bytes that it brings, which go where what is stored ends.

    `offset`: where that is, as the client sees it. `size`: how many they are, None if only their
    end will tell. `length`: of the whole file, None if it does not say. `is_last`: whether the
    file ends with them; None: it does not say, but would have said that it does not know the length
    when the upload was created. `may_overlap`: what is stored already may be among them; it is
    read, and dropped.
    """

    offset: int
    size: int | None
    length: int | None = None
    is_last: bool | None = None
    may_overlap: bool = False

    @property
    def end(self) -> int | None:
        return None if self.size is None else self.offset + self.size


def check_not_gone(upload: Upload) -> None:
    if upload.state is UploadState.CANCELLED:
        raise UploadGone(reason=upload.reason or "")


def check_can_be_written(upload: Upload) -> None:
    """Raises UploadGone if it is cancelled, Forbidden if it is made of other uploads."""
    check_not_gone(upload)
    if upload.parts is not None:
        raise Forbidden("This upload is made of others; nothing can be written to it.")


# declarations


def declared_anew(upload: Upload, declaration: Declaration) -> dict[str, Any]:
    """What changes while no bytes have come: it may be another file than was declared before."""
    _check_same_sha256(upload, declaration)
    return {
        "length": declaration.length,
        "length_deferred": declaration.length is None,
        "filename": declaration.filename or upload.filename,
        "content_type": declaration.content_type,
        "last_modified": declaration.last_modified,
        "relative_path": declaration.relative_path,
        "expected_sha256": upload.expected_sha256 or declaration.expected_sha256,
        "wants_sha256": upload.wants_sha256 or declaration.wants_sha256,
        "metadata": declaration.metadata,
    }


def declared_besides(upload: Upload, declaration: Declaration) -> dict[str, Any]:
    """What a client says for the first time though it has sent bytes before."""
    check_same_file(upload, declaration)
    changes = {
        name: getattr(declaration, name)
        for name in (
            "filename",
            "content_type",
            "last_modified",
            "relative_path",
            "expected_sha256",
            "metadata",
        )
        if getattr(upload, name) is None and getattr(declaration, name) is not None
    }
    if declaration.length is not None:
        check_not_shorter(upload, declaration.length)
        changes.update({"length": declaration.length, **said_length(upload)})
    return changes


def check_same_file(upload: Upload, declaration: Declaration) -> None:
    for what in ("length", "filename", "last_modified"):
        expected, provided = getattr(upload, what), getattr(declaration, what)
        if expected is not None and provided is not None and expected != provided:
            raise FileChanged(what=what, expected=expected, provided=provided)
    _check_same_sha256(upload, declaration)


def _check_same_sha256(upload: Upload, declaration: Declaration) -> None:
    """Once said it stays, whoever said it, and also if another file may still be declared: it could
    be the web app that insists on it."""
    expected = upload.expected_sha256 or upload.sha256
    provided = declaration.expected_sha256
    if expected is not None and provided is not None and expected != provided:
        raise FileChanged(what="sha256", expected=expected, provided=provided)


def said_length(upload: Upload) -> Mapping[str, Any]:
    """What changes with a request that says how long the file is, and means it."""
    return {"length_deferred": False} if upload.length_deferred else {}


# appends


def check_offset(upload: Upload, said: Append) -> None:
    offset = upload.received.prefix_bytes
    if said.offset != offset and not (said.may_overlap and said.offset < offset):
        raise OffsetMismatch(expected=offset, provided=said.offset)


def agree_on_extent(upload: Upload, said: Append) -> dict[str, Any]:
    """How long the file is by all that was said. Raises LengthUnknown, InconsistentLength,
    FileTooLarge for what goes beyond a known length."""
    length = upload.length
    for provided in (said.length, said.end if said.is_last else None):
        if provided is None:
            continue
        if length not in (None, provided):
            raise InconsistentLength(expected=length, provided=provided)
        check_not_shorter(upload, provided)
        length = provided
    if length is None and said.is_last is None and not upload.length_deferred:
        raise LengthUnknown
    if said.end is not None and length is not None and said.end > length:
        raise FileTooLarge(length=said.end, max_length_bytes=length)
    return {"length": length, "length_deferred": length is None}


def check_not_shorter(upload: Upload, length: int) -> None:
    """Than what is stored."""
    ranges = upload.received.ranges
    if ranges and ranges[-1][1] > length:
        raise InconsistentLength(expected=ranges[-1][1], provided=length)
