"""A part of the contract of `tickets/base.py`: uploads that are made of others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from ..errors import LeaseLost, StorageFull, UploadNotFound, WrongState
from ..ranges import RangeSet
from ..states import Event, UploadState
from ..tickets.base import TicketStore, Usage
from ..uploads import Upload
from .upkeep import (
    Asked,
    MakeStore,
    changes_nothing,
    new_upload,
    object_to_all,
    set_length,
    store_range,
)

__all__ = ["PartsContract"]


def new_part(store: TicketStore, final: Upload | None, length: int, **values: Any) -> Upload:
    """In which nothing is missing."""
    part = new_upload(
        length=length, concat="partial", part_of=final.id if final else None, **values
    )
    store.create(part)
    store_range(store, part, 0, length)
    return store.load(part.id)


def sum_up(_: Upload, parts: Sequence[Upload | None]) -> Mapping[str, Any]:
    return {"length": sum(part.length or 0 for part in parts if part), "due_at": 5.0}


def refuse(_: Upload, __: Sequence[Upload | None]) -> Mapping[str, Any]:
    raise KeyError


def part_of(final: Upload) -> Callable[[Upload], Mapping[str, Any]]:
    return lambda _: {"part_of": final.id, "due_at": 600.0}


class PartsContract:
    """Needs the fixtures `store` and `make_store`; see `TicketStoreContract`."""

    def test_an_upload_is_made_of_others_in_one_step(
        self, store: TicketStore, make_store: MakeStore
    ) -> None:
        final = new_upload()
        store.create(final)
        first, second = new_part(store, final, 3), new_part(store, None, 4)
        ids = [second.id, first.id, second.id]
        asked: list[list[str | None]] = []

        def decide(upload: Upload, parts: Sequence[Upload | None]) -> Mapping[str, Any]:
            asked.append([part.id if part else None for part in parts])
            return sum_up(upload, parts)

        made = store.make_final(final.id, ids, decide, part_of(final))
        assert (made.state, made.length, made.due_at) == (UploadState.UPLOADING, 11, 5.0)
        assert made.parts == " ".join(ids)
        assert asked == [ids]
        other = make_store()
        assert other.load(final.id) == made
        for part in (first, second):
            used = other.load(part.id)
            assert (used.state, used.part_of, used.due_at) == (
                UploadState.COMPLETE,
                final.id,
                600.0,
            )
        assert {part.id for part in other.find_parts(final.id)} == {first.id, second.id}
        other.close()

    def test_the_same_parts_in_the_same_order_are_the_same_upload(self, store: TicketStore) -> None:
        final, fresh = new_upload(), new_upload()
        for upload in (final, fresh):
            store.create(upload)
        ids = [new_part(store, None, 3).id, new_part(store, None, 4).id]
        assert store.find_final(ids) is None
        made = store.make_final(final.id, ids, sum_up, part_of(final))
        assert store.make_final(fresh.id, ids, refuse, part_of(fresh)) == made
        assert store.load(fresh.id) == fresh
        assert store.find_final(ids) == made
        assert store.find_final(ids[::-1]) is None
        assert store.find_final(ids[:1]) is None

    def test_what_is_refused_changes_nothing(self, store: TicketStore) -> None:
        final = new_upload()
        store.create(final)
        part = new_part(store, final, 3)
        with pytest.raises(KeyError):
            store.make_final(final.id, [part.id], refuse, part_of(final))
        with pytest.raises(StorageFull):
            store.make_final(final.id, [part.id], sum_up, part_of(final), admit=object_to_all)
        with pytest.raises(UploadNotFound):
            store.make_final("unknown", [part.id], sum_up, part_of(final))
        assert store.load(final.id) == final
        assert store.load(part.id) == part
        store.transition(final.id, Event.CANCEL, changes_nothing)
        with pytest.raises(WrongState):
            store.make_final(final.id, [part.id], sum_up, part_of(final))
        assert store.load(part.id) == part

    def test_a_part_that_is_not_known_is_for_decide_to_see(self, store: TicketStore) -> None:
        final = new_upload()
        store.create(final)
        seen: list[Upload | None] = []

        def decide(_: Upload, parts: Sequence[Upload | None]) -> Mapping[str, Any]:
            seen.extend(parts)
            raise KeyError

        with pytest.raises(KeyError):
            store.make_final(final.id, ["unknown"], decide, part_of(final))
        assert seen == [None]

    def test_of_many_at_once_one_is_made(self, store: TicketStore, make_store: MakeStore) -> None:
        ids = [new_part(store, None, 3).id, new_part(store, None, 4).id]
        finals = [new_upload() for _ in range(6)]
        for final in finals:
            store.create(final)
        start, made = threading.Barrier(6), []

        def make(final: Upload) -> None:
            other = make_store()
            start.wait()
            made.append(other.make_final(final.id, ids, sum_up, part_of(final)).id)
            other.close()

        threads = [threading.Thread(target=make, args=(final,)) for final in finals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 6
        assert len(set(made)) == 1

    def test_what_is_made_of_parts_can_not_be_written(self, store: TicketStore) -> None:
        final = new_upload(length=3)
        store.create(final)
        part = new_part(store, final, 3)
        older = store.claim_range(final.id, 0, 3, changes_nothing)
        writer = store.claim_range(part.id, 0, 3, changes_nothing)
        made = store.make_final(final.id, [part.id], sum_up, part_of(final))
        assert not store.may_write(older, 0, 3)
        assert writer.gaps == ()
        store.record_ranges(older, [(0, 3)], lambda _: {"due_at": 9.0}, release=True)
        newer = store.claim_range(final.id, 0, 3, lambda _: {"due_at": 9.0})
        assert newer.gaps == ()
        assert store.load(final.id) == made

    def test_a_file_and_the_end_of_its_parts_are_one_step(
        self, store: TicketStore, make_store: MakeStore
    ) -> None:
        final = new_upload(due_at=5.0)
        store.create(final)
        part, left_over = new_part(store, final, 3), new_part(store, final, 4)
        others = new_part(store, new_upload(), 5)
        store.make_final(final.id, [part.id, part.id], sum_up, part_of(final))
        lease = store.lease_due(5.0, 130.0, in_process=True)
        assert lease is not None
        assert lease.upload.id == final.id
        done = store.complete_final(
            final.id,
            lambda _: {"delivery_id": "d"},
            lambda _: {"reason": "joined"},
            lease=lease.token,
        )
        assert (done.state, done.received) == (UploadState.COMPLETE, RangeSet(((0, 6),)))
        assert done.delivery_id == "d"
        other = make_store()
        assert other.load(final.id) == done
        for ended, state in (
            (part, UploadState.FINISHED),
            (left_over, UploadState.CANCELLED),
        ):
            known = other.load(ended.id)
            assert (known.state, known.reason) == (state, "joined")
        assert other.find_parts(final.id) == ()
        assert other.load(others.id) == others
        other.close()
        store.renew_lease(lease, 200.0)  # it is kept

    def test_only_the_holder_of_the_lease_completes(self, store: TicketStore) -> None:
        final = new_upload(due_at=5.0)
        store.create(final)
        part = new_part(store, final, 3)
        made = store.make_final(final.id, [part.id], sum_up, part_of(final))
        first = store.lease_due(5.0, 130.0, in_process=True)
        second = store.lease_due(130.0, 160.0, in_process=True)
        assert first is not None
        assert second is not None
        with pytest.raises(LeaseLost):
            store.complete_final(final.id, changes_nothing, changes_nothing, lease=first.token)
        assert store.load(final.id).received == made.received
        assert store.load(part.id).state is UploadState.COMPLETE
        store.transition(final.id, Event.CANCEL, changes_nothing, lease=second.token)
        with pytest.raises(LeaseLost):
            store.complete_final(final.id, changes_nothing, changes_nothing, lease=second.token)
        assert store.load(final.id).received == made.received

    def test_the_usage_of_a_part_knows_the_other_parts_of_its_ticket(
        self, store: TicketStore
    ) -> None:
        final = new_upload()
        store.create(final)
        new_part(store, final, 2**62)
        unknown = new_upload(concat="partial", part_of=final.id)
        store.create(unknown)
        store_range(store, unknown, 0, 5)
        ended = new_part(store, final, 100)
        store.transition(ended.id, Event.CANCEL, changes_nothing)
        new_part(store, new_upload(), 1000)
        asked = Asked()
        part = new_upload(length=7, concat="partial", part_of=final.id)
        store.create(part, admit=asked)
        assert asked.usage is not None
        assert (asked.usage.part_bytes, asked.usage.part_count) == (2**62 + 5, 2)
        store.transition(unknown.id, Event.STORE, set_length(9), admit=asked)
        assert (asked.usage.part_bytes, asked.usage.part_count) == (2**62 + 7, 2)
        store.create(new_upload(), admit=asked)
        assert asked.usage == Usage(2**62 + 9 + 7 + 1000, 0, 4 + 7, 0)

    def test_the_usage_of_a_part_knows_what_its_ticket_is_counted_for(
        self, store: TicketStore
    ) -> None:
        final = new_upload(length=100, owner="ann")
        store.create(final)
        part = new_upload(concat="partial", part_of=final.id, owner="ann")
        asked = Asked()
        store.create(part, admit=asked)
        assert asked.usage == Usage(100, 100, 100, 1, ticket_bytes=100)
        claim = store.claim_range(part.id, 0, None, changes_nothing, admit=asked)
        store.record_ranges(claim, [(0, 60)], changes_nothing, release=True)
        assert asked.usage == Usage(100, 100, 100, 1, ticket_bytes=100)
        other = new_upload(concat="partial", part_of=final.id, owner="ann")
        store.create(other, admit=asked)
        assert asked.usage == Usage(160, 160, 100, 2, 60, 1, ticket_bytes=100)
        store.transition(final.id, Event.CANCEL, changes_nothing)
        store.claim_range(other.id, 0, None, changes_nothing, admit=asked)
        assert asked.usage == Usage(60, 60, 0, 1, 60, 1)
