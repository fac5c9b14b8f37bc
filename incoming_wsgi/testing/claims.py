"""The contract of `tickets/base.py` on bytes: who may write which, what is kept, what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ..errors import LeaseLost, UploadNotFound, WrongState
from ..states import Event, UploadState
from ..tickets.base import Decide, Lease, Then, TicketStore
from ..uploads import MAX_LENGTH, ChunkDigest, Upload
from .upkeep import MakeStore, changes_nothing, new_upload, set_length

__all__ = ["ClaimsContract", "due", "raises_key_error", "received"]


def due(at: float) -> Callable[[Upload], Mapping[str, Any]]:
    return lambda _: {"due_at": at}


def raises_key_error(_: Upload) -> Mapping[str, Any]:
    raise KeyError("no")


def received(store: TicketStore, upload: Upload) -> list[tuple[int, int]]:
    return list(store.load(upload.id).received)


class ClaimsContract:
    """Needs the fixtures `store`, `make_store` and `upload`; see `TicketStoreContract`."""

    # bytes

    def test_ranges_are_merged_whatever_their_order(
        self, store: TicketStore, upload: Upload
    ) -> None:
        for start, stop in ((50, 60), (10, 20), (20, 30), (70, 80), (30, 50)):
            claim = store.claim_range(upload.id, start, stop, changes_nothing)
            store.record_ranges(claim, [(start, stop)], changes_nothing, release=True)
        assert received(store, upload) == [(10, 60), (70, 80)]
        assert store.load(upload.id).state is UploadState.UPLOADING

    def test_one_chunk_may_fill_many_gaps(self, store: TicketStore, upload: Upload) -> None:
        for start in range(0, 100, 10):
            claim = store.claim_range(upload.id, start, start + 5, changes_nothing)
            store.record_ranges(claim, claim.gaps, changes_nothing, release=True)
        older = store.claim_range(upload.id, 15, 40, changes_nothing)
        claim = store.claim_range(upload.id, 3, 77, changes_nothing)
        assert claim.gaps == (
            (5, 10),
            *((start, start + 5) for start in range(15, 75, 10)),
            (75, 77),
        )
        assert claim.displaced
        after = store.record_ranges(claim, claim.gaps, changes_nothing, release=True)
        expected = [(0, 77), (80, 85), (90, 95)]
        assert list(after.received) == received(store, upload) == expected
        assert after.received.total_bytes == 87
        store.record_ranges(older, [(15, 20)], changes_nothing, release=True)
        assert received(store, upload) == expected

    def test_a_claim_names_the_gaps(self, store: TicketStore, upload: Upload) -> None:
        claim = store.claim_range(upload.id, 10, 20, changes_nothing)
        store.record_ranges(claim, [(10, 20)], changes_nothing, release=True)
        assert store.claim_range(upload.id, 5, 30, changes_nothing).gaps == ((5, 10), (20, 30))
        assert store.claim_range(upload.id, 12, 18, changes_nothing).gaps == ()

    def test_a_claim_changes_what_decide_says(self, store: TicketStore) -> None:
        upload = new_upload()
        store.create(upload)
        claim = store.claim_range(upload.id, 0, 10, set_length(10))
        assert claim.upload.length == store.load(upload.id).length == 10

    def test_the_newest_claim_has_a_byte(
        self, store: TicketStore, make_store: MakeStore, upload: Upload
    ) -> None:
        older = store.claim_range(upload.id, 0, 50, changes_nothing)
        assert not older.displaced
        assert store.may_write(older, 0, 50)
        newer = make_store().claim_range(upload.id, 20, 30, changes_nothing)
        assert newer.displaced
        assert store.may_write(newer, 20, 30)
        assert not store.may_write(older, 15, 25)
        assert store.may_write(older, 0, 20)
        assert store.may_write(older, 30, 50)

    def test_claims_that_do_not_overlap_do_not_disturb_each_other(
        self, store: TicketStore, upload: Upload
    ) -> None:
        first = store.claim_range(upload.id, 0, 50, changes_nothing)
        second = store.claim_range(upload.id, 50, 100, changes_nothing)
        assert not second.displaced
        assert store.may_write(first, 0, 50)
        assert store.may_write(second, 50, 100)

    def test_what_a_newer_claim_has_taken_over_is_not_recorded_by_the_older(
        self, store: TicketStore, upload: Upload
    ) -> None:
        older = store.claim_range(upload.id, 0, 50, changes_nothing)
        store.claim_range(upload.id, 20, 30, changes_nothing)
        store.record_ranges(older, [(0, 50)], changes_nothing, release=True)
        assert received(store, upload) == [(0, 20), (30, 50)]

    def test_recorded_bytes_may_not_be_written_by_an_older_claim_even_when_the_newer_has_ended(
        self, store: TicketStore, upload: Upload
    ) -> None:
        older = store.claim_range(upload.id, 0, 50, changes_nothing)
        newer = store.claim_range(upload.id, 0, 50, changes_nothing)
        store.record_ranges(newer, [(0, 25)], changes_nothing, release=True)
        assert not store.may_write(older, 0, 10)
        assert not store.may_write(older, 20, 30)

    def test_what_was_taken_over_stays_so_when_the_newer_ends_without_a_record(
        self, store: TicketStore, upload: Upload
    ) -> None:
        """The newer has written over the older's bytes, and its digest was wrong."""
        older = store.claim_range(upload.id, 0, 50, changes_nothing)
        newer = store.claim_range(upload.id, 20, 30, changes_nothing)
        store.record_ranges(newer, [], changes_nothing, release=True)
        assert not store.may_write(older, 25, 35)
        store.record_ranges(
            older, [(0, 50)], changes_nothing, release=True, digest=ChunkDigest(0, 50, "aa")
        )
        assert received(store, upload) == [(0, 20), (30, 50)]
        assert store.find_digests(upload.id) == ()

    def test_a_claim_that_was_never_given_back_does_not_hold_up_a_newer_one(
        self, store: TicketStore, make_store: MakeStore, upload: Upload
    ) -> None:
        make_store().claim_range(upload.id, 0, 50, changes_nothing)  # its process has died
        newer = store.claim_range(upload.id, 0, 100, changes_nothing)
        assert newer.displaced
        store.record_ranges(newer, [(0, 100)], changes_nothing, release=True)
        assert received(store, upload) == [(0, 100)]

    def test_progress_is_recorded_while_the_claim_goes_on(
        self, store: TicketStore, upload: Upload
    ) -> None:
        claim = store.claim_range(upload.id, 0, 50, changes_nothing)
        store.record_ranges(claim, [(0, 10)], changes_nothing, release=False)
        assert received(store, upload) == [(0, 10)]
        assert store.may_write(claim, 10, 50)
        store.record_ranges(claim, [(10, 50)], changes_nothing, release=True)
        assert received(store, upload) == [(0, 50)]
        assert not store.may_write(claim, 10, 50)

    def test_what_is_recorded_again_with_what_is_between_is_one_range(
        self, store: TicketStore, upload: Upload
    ) -> None:
        claim = store.claim_range(upload.id, 0, 60, changes_nothing)
        parts = [(0, 10), (20, 30), (40, 50)]
        store.record_ranges(claim, parts, changes_nothing, release=False, synced=True)
        after = store.record_ranges(claim, [(5, 60)], changes_nothing, release=True, synced=True)
        assert list(after.received) == received(store, upload) == [(0, 60)]
        assert after.received.total_bytes == 60
        assert store.take_unsynced(1e12, 1e12) is None

    def test_nothing_may_be_written_to_a_cancelled_upload(
        self, store: TicketStore, upload: Upload
    ) -> None:
        claim = store.claim_range(upload.id, 0, 50, changes_nothing)
        store.transition(upload.id, Event.CANCEL, changes_nothing)
        assert not store.may_write(claim, 0, 50)
        after = store.record_ranges(claim, [(0, 50)], changes_nothing, release=True)
        assert after.state is UploadState.CANCELLED
        assert list(after.received) == []

    def test_digests_are_kept_with_their_chunks(self, store: TicketStore, upload: Upload) -> None:
        digests = (ChunkDigest(0, 10, "aa"), ChunkDigest(10, 20, "bb"))
        for digest in reversed(digests):
            claim = store.claim_range(upload.id, digest.start, digest.stop, changes_nothing)
            store.record_ranges(
                claim, [(digest.start, digest.stop)], changes_nothing, release=True, digest=digest
            )
        assert store.find_digests(upload.id) == digests

    @pytest.mark.parametrize("start", [0, 5])
    @pytest.mark.parametrize("is_recorded", [False, True])
    def test_a_digest_of_bytes_that_another_has_taken_over_is_not_kept(
        self, store: TicketStore, upload: Upload, start: int, is_recorded: bool
    ) -> None:
        older = store.claim_range(upload.id, 0, 10, changes_nothing)
        newer = store.claim_range(upload.id, start, 10, changes_nothing)
        if is_recorded:
            store.record_ranges(newer, [(start, 10)], changes_nothing, release=True)
        store.record_ranges(
            older, [(0, 10)], changes_nothing, release=True, digest=ChunkDigest(0, 10, "aa")
        )
        assert store.find_digests(upload.id) == ()

    def test_a_repeat_of_what_is_stored_changes_what_decide_says(
        self, store: TicketStore, upload: Upload
    ) -> None:
        for due_at in (10.0, 20.0):
            claim = store.claim_range(upload.id, 0, 10, due(due_at))
            store.record_ranges(claim, [(0, 10)], due(due_at), release=True)
            assert store.load(upload.id).due_at == due_at
        assert store.claim_range(upload.id, 0, 10, due(30.0)).upload.due_at == 30.0
        assert store.load(upload.id).due_at == 30.0

    # what follows

    def test_what_follows_the_last_byte_comes_with_it(
        self, store: TicketStore, make_store: MakeStore, upload: Upload
    ) -> None:
        seen: list[tuple[str, list[tuple[int, int]], str, int]] = []

        def see(**changes: Any) -> Callable[[Upload], Mapping[str, Any]]:
            def decide(u: Upload) -> Mapping[str, Any]:
                seen.append((u.state.value, list(u.received), u.delivery_id, u.attempt))
                return changes

            return decide

        then = Then(
            (
                (Event.COMPLETE, see(delivery_id="d", due_at=50.0)),
                (Event.HAND_OVER, see(attempt=1, due_at=60.0)),
            ),
            lease="token",
        )
        claim = store.claim_range(upload.id, 0, 100, changes_nothing)
        store.record_ranges(claim, [(0, 90)], changes_nothing, release=False, then=then)
        assert seen == []
        assert store.load(upload.id).state is UploadState.UPLOADING
        after = store.record_ranges(claim, [(90, 100)], changes_nothing, release=False, then=then)
        assert seen == [("UPLOADING", [(0, 100)], "", 0), ("COMPLETE", [(0, 100)], "d", 0)]
        assert make_store().load(upload.id) == after
        assert (after.state, after.delivery_id, after.attempt, after.due_at) == (
            UploadState.HANDING_OVER,
            "d",
            1,
            60.0,
        )
        # It takes no bytes any more.
        assert not store.may_write(claim, 90, 100)
        store.record_ranges(claim, [(90, 100)], changes_nothing, release=True, then=then)
        assert len(seen) == 2
        # The lease is one like any other.
        assert store.lease_due(59.0, 90.0, in_process=True) is None
        store.renew_lease(Lease(after, "token"), 70.0)
        assert store.lease_due(69.0, 90.0, in_process=True) is None
        store.transition(upload.id, Event.FINISH, changes_nothing, lease="token")
        with pytest.raises(LeaseLost):
            store.renew_lease(Lease(after, "token"), 80.0)

    def test_nothing_follows_for_a_claim_from_which_something_was_taken(
        self, store: TicketStore, upload: Upload
    ) -> None:
        """Others may have stored since it was made sure of all bytes."""
        then = Then(((Event.COMPLETE, due(50.0)),))
        older = store.claim_range(upload.id, 0, 100, changes_nothing)
        newer = store.claim_range(upload.id, 20, 30, changes_nothing)
        store.record_ranges(newer, [(20, 30)], changes_nothing, release=True)
        after = store.record_ranges(older, [(0, 100)], changes_nothing, release=True, then=then)
        assert after.is_complete
        assert after.state is UploadState.UPLOADING
        assert store.load(upload.id) == after

    def test_what_follows_without_a_lease_is_anybodys(
        self, store: TicketStore, upload: Upload
    ) -> None:
        claim = store.claim_range(upload.id, 0, 100, changes_nothing)
        then = Then(((Event.COMPLETE, due(10.0)),))
        store.record_ranges(claim, [(0, 100)], changes_nothing, release=True, then=then)
        lease = store.lease_due(10.0, 40.0, in_process=True)
        assert lease is not None
        assert lease.upload.state is UploadState.COMPLETE

    @pytest.mark.parametrize(
        ("last", "error"),
        [
            ((Event.CONFIRM, changes_nothing), WrongState),
            ((Event.FINISH, raises_key_error), KeyError),
        ],
    )
    def test_what_cannot_follow_undoes_what_it_was_to_follow(
        self, store: TicketStore, upload: Upload, last: tuple[Event, Decide], error: type[Exception]
    ) -> None:
        then = Then(((Event.COMPLETE, due(7.0)), last), lease="token")
        claim = store.claim_range(upload.id, 0, 100, changes_nothing)
        before = store.load(upload.id)
        with pytest.raises(error):
            store.record_ranges(claim, [(0, 100)], due(8.0), release=True, then=then)
        assert store.load(upload.id) == before
        assert store.may_write(claim, 0, 100)

    # writers that are stopped

    def test_who_is_stopped_writes_nothing_more_and_records_what_he_has(
        self, store: TicketStore, upload: Upload
    ) -> None:
        claim = store.claim_range(upload.id, 0, 100, changes_nothing)
        assert store.may_write(claim, 0, 40)
        assert store.find_writers(upload.id) == {claim.owner}
        assert store.stop_writers(upload.id, [claim.owner], at_once=False) == {claim.owner}
        assert not store.may_write(claim, 40, 100)
        assert store.stop_writers(upload.id, [claim.owner], at_once=False) == {claim.owner}
        store.record_ranges(claim, [(0, 40)], changes_nothing, release=True)
        assert received(store, upload) == [(0, 40)]
        assert store.stop_writers(upload.id, [claim.owner], at_once=False) == frozenset()
        assert store.find_writers(upload.id) == frozenset()

    def test_who_is_stopped_at_once_records_nothing_and_is_waited_for(
        self, store: TicketStore, upload: Upload
    ) -> None:
        claim = store.claim_range(upload.id, 0, 100, changes_nothing)
        assert store.stop_writers(upload.id, [claim.owner], at_once=True) == frozenset()
        assert not store.may_write(claim, 0, 40)
        store.record_ranges(claim, [(0, 40)], changes_nothing, release=True)
        assert received(store, upload) == []
        newer = store.claim_range(upload.id, 0, 50, changes_nothing)
        assert newer.displaced, "the older one may be in the middle of a block"
        assert store.may_write(newer, 0, 50)

    def test_a_newer_claim_displaces_one_that_is_stopped_and_leaves_its_rest_stopped(
        self, store: TicketStore, upload: Upload
    ) -> None:
        older = store.claim_range(upload.id, 0, 100, changes_nothing)
        store.stop_writers(upload.id, [older.owner], at_once=False)
        newer = store.claim_range(upload.id, 30, 60, changes_nothing)
        assert newer.displaced
        assert newer.gaps == ((30, 60),)
        assert store.may_write(newer, 30, 60)
        assert not store.may_write(older, 0, 30)
        assert not store.may_write(older, 60, 100)
        store.record_ranges(older, [(0, 50)], changes_nothing, release=True)
        assert received(store, upload) == [(0, 30)]

    def test_who_comes_after_the_question_is_not_stopped(
        self, store: TicketStore, upload: Upload
    ) -> None:
        older = store.claim_range(upload.id, 0, 50, changes_nothing)
        asked = store.find_writers(upload.id)
        newer = store.claim_range(upload.id, 50, 100, changes_nothing)
        store.stop_writers(upload.id, asked, at_once=False)
        store.stop_writers(upload.id, asked, at_once=True)
        assert not store.may_write(older, 0, 50)
        assert store.may_write(newer, 50, 100)

    def test_nobody_is_stopped_where_nobody_writes(
        self, store: TicketStore, upload: Upload
    ) -> None:
        assert store.find_writers(upload.id) == frozenset()
        assert store.stop_writers(upload.id, ["nobody"], at_once=False) == frozenset()
        with pytest.raises(UploadNotFound):
            store.find_writers("nobody")

    def test_a_claim_to_the_end_reaches_as_far_as_the_file_will(self, store: TicketStore) -> None:
        upload = new_upload()
        store.create(upload)
        other = store.claim_range(upload.id, 10, 20, changes_nothing)
        store.record_ranges(other, [(10, 20)], changes_nothing, release=True)
        older = store.claim_range(upload.id, 5, None, changes_nothing)
        assert older.gaps == ((5, 10), (20, MAX_LENGTH))
        claim = store.claim_range(upload.id, 0, None, set_length(100))
        assert claim.displaced
        assert claim.gaps == ((0, 10), (20, 100))
        assert not store.may_write(older, 5, 10)
        after = store.record_ranges(claim, [(0, 10)], changes_nothing, release=True)
        assert list(after.received) == [(0, 20)]

    @pytest.mark.parametrize("way", ["claim", "declaration"])
    def test_a_length_that_becomes_known_ends_what_is_claimed_beyond_it(
        self, store: TicketStore, way: str
    ) -> None:
        upload = new_upload()
        store.create(upload)
        older = store.claim_range(upload.id, 0, None, changes_nothing)
        if way == "claim":
            newer = store.claim_range(upload.id, 2, 5, set_length(5))
            assert newer.gaps == ((2, 5),)
        else:
            store.transition(upload.id, Event.DECLARE, set_length(5))
        assert not store.may_write(older, 5, 8)
        assert store.may_write(older, 0, 2)
        after = store.record_ranges(older, [(0, 8)], changes_nothing, release=True)
        assert list(after.received) == [(0, 2 if way == "claim" else 5)]

    def test_those_that_append_can_be_told_from_others(
        self, store: TicketStore, upload: Upload
    ) -> None:
        other = store.claim_range(upload.id, 0, 10, changes_nothing)
        assert store.find_writers(upload.id, appends=True) == frozenset()
        append = store.claim_range(upload.id, 50, None, changes_nothing)
        assert store.find_writers(upload.id, appends=True) == {append.owner}
        assert store.find_writers(upload.id) == {append.owner, other.owner}

    def test_behind_the_end_is_nothing_to_write_or_to_record(self, store: TicketStore) -> None:
        upload = new_upload()
        store.create(upload)
        claim = store.claim_range(upload.id, 0, None, changes_nothing)
        assert store.may_write(claim, 60, 100)
        store.transition(upload.id, Event.DECLARE, set_length(80))
        assert store.may_write(claim, 60, 80)
        assert not store.may_write(claim, 60, 100)
        assert not store.may_write(claim, 80, 100)
        after = store.record_ranges(claim, [(0, 100)], changes_nothing, release=True)
        assert list(after.received) == received(store, upload) == [(0, 80)]
