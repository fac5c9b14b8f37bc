"""A part of the contract of `tickets/base.py`: admission, syncing, and the chores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ..errors import StorageFull
from ..states import Event
from ..tickets.base import TicketStore, Usage
from ..uploads import Upload, new_upload_id

__all__ = ["MakeStore", "UpkeepContract", "changes_nothing", "new_upload", "set_length"]

MakeStore = Callable[[], TicketStore]


def new_upload(**values: Any) -> Upload:
    return Upload(
        **{
            "id": new_upload_id(),
            "created_at": 1000.0,
            "due_at": 2000.0,
            "signal_finish_url": "http://app.example/finished",
            **values,
        }
    )


def changes_nothing(_: Upload) -> Mapping[str, Any]:
    return {}


def set_length(length: int | None) -> Callable[[Upload], Mapping[str, Any]]:
    return lambda _: {"length": length}


def store_range(
    store: TicketStore, upload: Upload, start: int, stop: int, *, synced: bool = False
) -> None:
    claim = store.claim_range(upload.id, start, stop, changes_nothing)
    store.record_ranges(claim, claim.gaps, changes_nothing, release=True, synced=synced)


def new_upload_in(store: TicketStore) -> Upload:
    """Of an unknown length, and nobody's."""
    upload = new_upload()
    store.create(upload)
    return upload


def object_to_all(_: Upload, __: Usage) -> None:
    raise StorageFull("no room")


class Asked:
    """Admits everything and remembers what it was asked."""

    def __init__(self) -> None:
        self.lengths: list[int | None] = []
        self.received: list[int] = []
        self.usage: Usage | None = None

    def __call__(self, upload: Upload, usage: Usage) -> None:
        self.lengths.append(upload.length)
        self.received.append(upload.received.total_bytes)
        self.usage = usage


class UpkeepContract:
    """Needs the fixtures `store` and `make_store`; see `TicketStoreContract`."""

    # admission

    def test_an_objection_undoes_what_it_is_about(self, store: TicketStore) -> None:
        refused = new_upload()
        with pytest.raises(StorageFull):
            store.create(refused, admit=object_to_all)
        assert store.find(refused.id) is None
        upload = new_upload()
        store.create(upload)
        with pytest.raises(StorageFull):
            store.transition(upload.id, Event.DECLARE, set_length(5), admit=object_to_all)
        with pytest.raises(StorageFull):
            store.claim_range(upload.id, 0, 5, set_length(5), admit=object_to_all)
        assert store.load(upload.id) == upload

    def test_of_the_known_lengths_only_one_that_is_new_is_to_be_admitted(
        self, store: TicketStore
    ) -> None:
        upload = new_upload()
        store.create(upload)
        asked = Asked()
        store.transition(upload.id, Event.DECLARE, set_length(5), admit=asked)
        store.transition(upload.id, Event.DECLARE, set_length(5), admit=asked)
        store.claim_range(upload.id, 0, 5, set_length(5), admit=asked)
        store.claim_range(upload.id, 0, 5, set_length(7), admit=asked)
        assert asked.lengths == [5, 7]

    def test_as_long_as_the_length_is_unknown_every_change_is_to_be_admitted(
        self, store: TicketStore
    ) -> None:
        upload = new_upload()
        store.create(upload)
        asked = Asked()
        store.transition(upload.id, Event.DECLARE, changes_nothing, admit=asked)
        claim = store.claim_range(upload.id, 0, None, changes_nothing, admit=asked)
        store.record_ranges(claim, [(0, 4)], changes_nothing, release=True)
        store.claim_range(upload.id, 4, None, changes_nothing, admit=asked)
        assert asked.lengths == [None, None, None]
        assert asked.received == [0, 0, 4]
        with pytest.raises(StorageFull):
            store.claim_range(upload.id, 4, None, lambda _: {"reason": "x"}, admit=object_to_all)
        assert store.load(upload.id).reason is None

    def test_usage_is_what_all_others_have_and_lack(self, store: TicketStore) -> None:
        for length, owner in ((100, "ann"), (200, "bob"), (None, "ann")):
            store.create(new_upload(length=length, owner=owner))
        stored = new_upload(length=1000, owner="ann")
        store.create(stored)
        store_range(store, stored, 0, 300)
        complete = new_upload(length=50, owner="ann")
        store.create(complete)
        store_range(store, complete, 0, 50)
        store.transition(complete.id, Event.COMPLETE, changes_nothing)
        for event in (Event.FINISH, Event.CANCEL):  # of these nothing is left
            gone = new_upload(length=7, owner="ann")
            store.create(gone)
            store.transition(gone.id, Event.COMPLETE, changes_nothing)
            store.transition(gone.id, event, changes_nothing)
        asked = Asked()
        store.create(new_upload(length=10_000, owner="ann"), admit=asked)
        assert asked.usage == Usage(
            total_bytes=100 + 200 + 1000 + 50,
            owner_bytes=100 + 1000 + 50,
            promised_bytes=100 + 200 + 700,
            owner_open=3,
        )

    def test_of_a_file_of_unknown_length_is_counted_what_is_stored(
        self, store: TicketStore
    ) -> None:
        asked = Asked()

        def usage() -> Usage | None:
            with pytest.raises(StorageFull):
                store.create(new_upload(owner="ann"), admit=refused)
            return asked.usage

        def refused(upload: Upload, usage: Usage) -> None:
            asked(upload, usage)
            raise StorageFull("no room")

        upload = new_upload(owner="ann")
        store.create(upload)
        assert usage() == Usage(0, 0, 0, 1)
        store_range(store, upload, 0, 2**40)
        store_range(store, new_upload_in(store), 0, 3)
        store_range(store, upload, 2**40, 2**40 + 30)
        assert usage() == Usage(2**40 + 33, 2**40 + 30, 0, 1)
        store.forget_unsynced(upload.id)
        assert usage() == Usage(3, 0, 0, 1)
        store_range(store, upload, 0, 20)
        claim = store.claim_range(upload.id, 20, None, changes_nothing, admit=asked)
        assert asked.usage == Usage(3, 0, 0, 0)
        # The length, with the last bytes.
        store.record_ranges(claim, [(20, 25)], set_length(25), release=True)
        assert usage() == Usage(28, 25, 0, 1)
        store.transition(upload.id, Event.COMPLETE, changes_nothing)
        assert usage() == Usage(28, 25, 0, 0)
        store.transition(upload.id, Event.FINISH, changes_nothing)
        assert usage() == Usage(3, 0, 0, 0)

    def test_a_length_that_becomes_known_or_is_taken_back_is_counted_once(
        self, store: TicketStore
    ) -> None:
        upload = new_upload_in(store)
        store_range(store, upload, 0, 20)
        asked = Asked()
        for length, expected in (
            (100, Usage(100, 0, 80, 0)),
            (None, Usage(20, 0, 0, 0)),
            (20, Usage(20, 0, 0, 0)),
        ):
            store.transition(upload.id, Event.STORE, set_length(length))
            store.create(new_upload(), admit=asked)
            assert asked.usage == expected
        store.transition(upload.id, Event.CANCEL, changes_nothing)
        store.create(new_upload(), admit=asked)
        assert asked.usage == Usage(0, 0, 0, 0)

    def test_an_upload_without_an_owner_shares_with_nobody(self, store: TicketStore) -> None:
        store.create(new_upload(length=100))
        asked = Asked()
        store.create(new_upload(length=1), admit=asked)
        assert asked.usage == Usage(100, 0, 100, 0)

    def test_usage_of_those_that_are_there_already_is_of_all_others_too(
        self, store: TicketStore
    ) -> None:
        store.create(new_upload(length=100, owner="ann"))
        upload = new_upload(owner="ann")
        store.create(upload)
        asked = Asked()
        store.transition(upload.id, Event.DECLARE, set_length(5), admit=asked)
        assert asked.usage == Usage(100, 100, 100, 1)
        store.claim_range(upload.id, 0, 5, set_length(7), admit=asked)
        assert asked.usage == Usage(100, 100, 100, 1)
        store_range(store, upload, 0, 5)
        store.create(new_upload(owner="ann"), admit=asked)
        assert asked.usage == Usage(107, 107, 102, 2)

    def test_lengths_of_more_than_64_bits_together_are_no_trouble(self, store: TicketStore) -> None:
        for _ in range(3):
            store.create(new_upload(length=2**63 - 1))
        asked = Asked()
        store.create(new_upload(), admit=asked)
        assert asked.usage == Usage(3 * (2**63 - 1), 0, 3 * (2**63 - 1), 0)

    # syncing

    def test_what_was_recorded_without_a_sync_is_to_be_synced_after_a_moment(
        self, store: TicketStore
    ) -> None:
        first, second = new_upload(length=100), new_upload(length=100)
        for upload in (first, second):
            store.create(upload)
        assert store.take_unsynced(1e12, 1e12) is None
        store_range(store, first, 0, 10, synced=True)
        assert store.take_unsynced(1e12, 1e12) is None
        store_range(store, first, 20, 30)
        store_range(store, second, 40, 50)
        assert store.take_unsynced(0.0, 1e12) is None
        taken = [store.take_unsynced(1e12, 2e12) for _ in range(2)]
        assert {upload.id for upload in taken if upload} == {first.id, second.id}
        assert store.take_unsynced(1e12, 2e12) is None
        # Whoever took them may have died.
        assert store.take_unsynced(2e12, 3e12) is not None

    def test_an_upload_is_synced_when_all_of_it_is(self, store: TicketStore) -> None:
        upload = new_upload(length=100)
        store.create(upload)
        store_range(store, upload, 0, 10)
        taken = store.take_unsynced(1e12, 1e12)
        assert taken is not None
        store_range(store, upload, 10, 20)  # meanwhile
        store.mark_synced(upload.id, taken.received, 1e12)
        assert store.take_unsynced(2e12, 2e12) is not None
        store.mark_synced(upload.id, [(10, 20)], 2e12)
        assert store.take_unsynced(3e12, 3e12) is None
        store.mark_synced("nobody", [(0, 1)], 3e12)  # forgotten meanwhile

    @pytest.mark.parametrize("start", [0, 60])
    def test_what_was_forgotten_meanwhile_is_not_marked_as_synced(
        self, store: TicketStore, start: int
    ) -> None:
        """The sync of another, of which the system told nobody else, has failed."""
        upload = new_upload(length=100)
        store.create(upload)
        store_range(store, upload, 0, 30)
        taken = store.take_unsynced(1e12, 1e12)
        assert taken is not None
        store.forget_unsynced(upload.id)
        store_range(store, upload, start, start + 30)  # as many bytes, which nobody has synced
        store.mark_synced(upload.id, taken.received, 1e12)
        assert store.take_unsynced(1e12, 2e12) is not None
        store.forget_unsynced(upload.id)
        assert list(store.load(upload.id).received) == []

    def test_only_what_is_stored_is_marked_as_synced(self, store: TicketStore) -> None:
        upload = new_upload(length=100)
        store.create(upload)
        store_range(store, upload, 20, 30)
        store_range(store, upload, 50, 60)
        assert store.take_unsynced(1e12, 1e12) is not None
        store.mark_synced(upload.id, [(0, 25), (55, 70)], 1e12)
        assert store.take_unsynced(1e12, 2e12) is not None
        store.forget_unsynced(upload.id)
        assert list(store.load(upload.id).received) == [(20, 25), (55, 60)]

    def test_what_could_not_be_synced_is_not_stored_any_more(self, store: TicketStore) -> None:
        upload = new_upload(length=100)
        store.create(upload)
        store_range(store, upload, 0, 10, synced=True)
        store_range(store, upload, 20, 30)
        claim = store.claim_range(upload.id, 40, 50, changes_nothing)
        store.forget_unsynced(upload.id)
        assert list(store.load(upload.id).received) == [(0, 10)]
        assert store.take_unsynced(1e12, 1e12) is None
        assert not store.may_write(claim, 40, 50)
        # Its owner may be about to write the block for which he asked before.
        newer = store.claim_range(upload.id, 40, 50, changes_nothing)
        assert (newer.gaps, newer.displaced) == (((40, 50),), True)
        store.record_ranges(claim, [(40, 50)], changes_nothing, release=True)
        assert store.may_write(newer, 40, 50)
        store_range(store, upload, 20, 30)
        assert list(store.load(upload.id).received) == [(0, 10), (20, 30)]
        store.forget_unsynced("nobody")

    def test_what_is_complete_is_never_forgotten(self, store: TicketStore) -> None:
        upload = new_upload(length=10)
        store.create(upload)
        store_range(store, upload, 0, 10)
        store.transition(upload.id, Event.COMPLETE, changes_nothing)
        store.forget_unsynced(upload.id)
        assert list(store.load(upload.id).received) == [(0, 10)]

    # chores

    def test_a_chore_is_one_callers_turn_when_it_is_due(
        self, store: TicketStore, make_store: MakeStore
    ) -> None:
        other = make_store()
        assert store.take_turn("sweep", 100.0, 200.0) is True
        assert other.take_turn("sweep", 100.0, 200.0) is False
        assert store.take_turn("sweep", 199.0, 300.0) is False
        assert other.take_turn("another", 100.0, 200.0) is True
        assert other.take_turn("sweep", 200.0, 300.0) is True
        assert store.take_turn("sweep", 200.0, 300.0) is False
        # What is due later than it will be again was written down by a clock that was ahead.
        assert store.take_turn("sweep", 50.0, 150.0) is True
        other.close()

    def test_orphans_are_ids_of_no_upload_and_remembered_from_the_first_time(
        self, store: TicketStore, make_store: MakeStore
    ) -> None:
        upload = new_upload()
        store.create(upload)
        orphan, later = new_upload_id(), new_upload_id()
        assert store.note_orphans([upload.id, orphan], 100.0) == {orphan: 100.0}
        store.close()
        other = make_store()
        assert other.note_orphans([orphan, later], 200.0) == {orphan: 100.0, later: 200.0}
        assert other.note_orphans([upload.id], 300.0) == {}
        other.close()
