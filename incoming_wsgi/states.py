"""The life of an upload, as a table.

    CREATED → UPLOADING → COMPLETE → HANDING_OVER → FINISHED
                             ↑             │  └→ AWAITING_CONFIRMATION → FINISHED
                             └── (again) ──┘
    and CANCELLED (nobody wants it) and FAILED (the app would not take it; the file is kept).

The table is complete: each state has a row, each event a column, None where it is not legal.
`next_state()` is pure; a ticket store applies it as a guarded update. Requests that repeat what has
happened already are answered without an event. There is no "paused": over HTTP a pause is the
absence of requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from .errors import WrongState

__all__ = ["TRANSITIONS", "Event", "UploadState", "next_state", "takes_bytes"]


class UploadState(str, Enum):
    CREATED = "CREATED"  # the ticket is issued, no byte is stored
    UPLOADING = "UPLOADING"
    COMPLETE = "COMPLETE"  # nothing is missing, the file is sealed, the handover is due
    HANDING_OVER = "HANDING_OVER"  # the app is being asked at this moment
    AWAITING_CONFIRMATION = "AWAITING_CONFIRMATION"  # the app said "wait"
    FINISHED = "FINISHED"  # the app has taken the file
    CANCELLED = "CANCELLED"  # by the page, by the backend, or because its time was over
    FAILED = "FAILED"  # the app would not take it; the file is kept and can be handed over again


class Event(str, Enum):
    """In the order of the table's columns."""

    DECLARE = "declare"  # the client says which file it will send
    STORE = "store"  # a request brings bytes, for the first time or again, or all of an empty file
    COMPLETE = "complete"  # nothing is missing and the file is sealed
    HAND_OVER = "hand_over"  # an attempt begins; a second time: its process has died
    DELAY = "delay"  # an attempt got no good answer; again later
    WAIT = "wait"  # the app said "wait"
    FINISH = "finish"  # the app said "done", or has taken the file away
    CONFIRM = "confirm"  # the app called finish_upload, maybe before its "wait" was read
    GIVE_UP = "give_up"  # no good answer for too long
    RETRY = "retry"  # somebody asked to hand a failed upload over again
    CANCEL = "cancel"  # the page, the backend, or the loss of what was stored
    EXPIRE = "expire"  # nothing moved for too long
    TELL = "tell"  # the app was called about the cancellation


_NEW, _UPL, _COM, _HAN = (
    UploadState.CREATED,
    UploadState.UPLOADING,
    UploadState.COMPLETE,
    UploadState.HANDING_OVER,
)
_AWA, _FIN, _CAN, _FAI = (
    UploadState.AWAITING_CONFIRMATION,
    UploadState.FINISHED,
    UploadState.CANCELLED,
    UploadState.FAILED,
)
___ = None

# fmt: off
_ROWS: Mapping[UploadState, tuple[UploadState | None, ...]] = {
    #       decl. store compl. hand  delay wait  fin.  conf. g.up  retry canc. expire tell
    _NEW: ( _NEW, _UPL, _COM,  ___,  ___,  ___,  ___,  ___,  ___,  ___,  _CAN, _CAN,  ___ ),
    _UPL: ( _UPL, _UPL, _COM,  ___,  ___,  ___,  ___,  ___,  ___,  ___,  _CAN, _CAN,  ___ ),
    _COM: ( ___,  ___,  ___,   _HAN, ___,  ___,  _FIN, ___,  _FAI, ___,  _CAN, ___,   ___ ),
    _HAN: ( ___,  ___,  ___,   _HAN, _COM, _AWA, _FIN, _FIN, _FAI, ___,  ___,  ___,   ___ ),
    _AWA: ( ___,  ___,  ___,   ___,  ___,  ___,  _FIN, _FIN, _FAI, ___,  ___,  ___,   ___ ),
    _FIN: ( ___,  ___,  ___,   ___,  ___,  ___,  ___,  ___,  ___,  ___,  ___,  ___,   ___ ),
    _CAN: ( ___,  ___,  ___,   ___,  ___,  ___,  ___,  ___,  ___,  ___,  ___,  ___,   _CAN),
    _FAI: ( ___,  ___,  ___,   ___,  ___,  ___,  ___,  ___,  ___,  _COM, _CAN, ___,   ___ ),
}
# fmt: on

TRANSITIONS: Mapping[UploadState, Mapping[Event, UploadState | None]] = {
    state: dict(zip(Event, row, strict=True)) for state, row in _ROWS.items()
}


def next_state(state: UploadState, event: Event) -> UploadState:
    """Where `event` leads from `state`. Raises WrongState when the table has no way."""
    target = TRANSITIONS[state][event]
    if target is None:
        raise WrongState(state=state.value, event=event.value)
    return target


def takes_bytes(state: UploadState) -> bool:
    """Whether bytes can still be missing in `state`."""
    return state in (UploadState.CREATED, UploadState.UPLOADING)
