"""Large-file uploads for Python web applications, as a WSGI library.

from incoming_wsgi import Incoming

incoming = Incoming("var/incoming", on_finished=take_file)
app.wsgi_app = incoming.wrap(app.wsgi_app, prefix="/incoming")
ticket = incoming.new_upload()
"""

import logging

from .app import Incoming
from .config import Settings
from .errors import (
    BadRequest,
    BytesLost,
    ChunkTooLarge,
    Conflict,
    DigestMismatch,
    FileChanged,
    FileTooLarge,
    Forbidden,
    IncomingError,
    IncompleteBody,
    InconsistentLength,
    LeaseLost,
    LengthRequired,
    LengthUnknown,
    MethodNotAllowed,
    NotFound,
    NotSynced,
    NotTaken,
    NotTakenYet,
    OffsetMismatch,
    RangeNotSatisfiable,
    RequestEnded,
    StorageError,
    StorageFull,
    Superseded,
    TicketStoreError,
    TooLarge,
    TooLate,
    TooManyParts,
    TooManyUploads,
    TypeNotAllowed,
    Unavailable,
    UploadGone,
    UploadNotFound,
    VersionNotSupported,
    WrongMediaType,
    WrongSecret,
    WrongSignature,
    WrongState,
)
from .handover import OnCancelled, OnFinished
from .log_ids import ShortIds
from .names import safe_filename
from .rights import Authorize, AuthorizeCreation
from .states import UploadState
from .taking import CompleteUpload, Refused
from .uploads import Upload

__version__ = "0.2.0"

# Where its log goes is for the app to say; until then nowhere.
logging.getLogger(__name__).addHandler(logging.NullHandler())
logging.getLogger(__name__).addFilter(ShortIds())

__all__ = [
    "Authorize",
    "AuthorizeCreation",
    "BadRequest",
    "BytesLost",
    "ChunkTooLarge",
    "CompleteUpload",
    "Conflict",
    "DigestMismatch",
    "FileChanged",
    "FileTooLarge",
    "Forbidden",
    "Incoming",
    "IncomingError",
    "IncompleteBody",
    "InconsistentLength",
    "LeaseLost",
    "LengthRequired",
    "LengthUnknown",
    "MethodNotAllowed",
    "NotFound",
    "NotSynced",
    "NotTaken",
    "NotTakenYet",
    "OffsetMismatch",
    "OnCancelled",
    "OnFinished",
    "RangeNotSatisfiable",
    "Refused",
    "RequestEnded",
    "Settings",
    "StorageError",
    "StorageFull",
    "Superseded",
    "TicketStoreError",
    "TooLarge",
    "TooLate",
    "TooManyParts",
    "TooManyUploads",
    "TypeNotAllowed",
    "Unavailable",
    "Upload",
    "UploadGone",
    "UploadNotFound",
    "UploadState",
    "VersionNotSupported",
    "WrongMediaType",
    "WrongSecret",
    "WrongSignature",
    "WrongState",
    "__version__",
    "safe_filename",
]
