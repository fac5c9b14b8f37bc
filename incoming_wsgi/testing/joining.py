"""A part of the contract of `storage/base.py`: making one upload of others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..errors import BytesLost
from ..storage.base import Storage
from ..uploads import new_upload_id

__all__ = ["JoinContract", "MakeStorage", "allow"]

MakeStorage = Callable[[], Storage]

# More than a block of any storage, and no multiple of one.
LONG = bytes(range(256)) * (33 << 12) + b"end"


def allow() -> bool:
    return True


def go_on() -> None:
    pass


def make(storage: Storage, content: bytes) -> str:
    """The id of a sealed upload with that content."""
    upload_id = new_upload_id()
    with storage.open_writer(upload_id, create=True) as writer:
        if content:
            writer.write(0, content, allow)
    storage.seal(upload_id, len(content))
    return upload_id


class Stopped(Exception):
    pass


class JoinContract:
    """Needs the fixtures `storage` and `make_storage`; see `StorageContract`."""

    @pytest.fixture
    def can_join(self, storage: Storage) -> None:
        if not storage.can_join:
            pytest.skip("this storage does not join")

    @pytest.mark.usefixtures("can_join")
    @pytest.mark.parametrize(
        "contents",
        [
            [b"hello ", b"", b"world"],
            [b"alone"],
            [b"", b""],
            [LONG, b"odd", LONG],
        ],
    )
    def test_parts_become_one_in_their_order_and_stay(
        self, storage: Storage, make_storage: MakeStorage, contents: list[bytes]
    ) -> None:
        ids = [make(storage, content) for content in contents]
        whole, length = new_upload_id(), sum(map(len, contents))
        parts = list(zip(ids, map(len, contents), strict=True))
        with storage.hold(whole):
            make_storage().join(whole, parts, go_on)
        storage.seal(whole, length)
        assert storage.locate(whole).read_bytes() == b"".join(contents)
        assert [storage.locate(part).read_bytes() for part in ids] == contents
        assert sorted(storage.list_ids()) == sorted([*ids, whole])

    @pytest.mark.usefixtures("can_join")
    def test_a_part_may_be_there_twice(self, storage: Storage) -> None:
        first, second, whole = make(storage, b"ab"), make(storage, b"c"), new_upload_id()
        storage.join(whole, [(first, 2), (second, 1), (first, 2)], go_on)
        assert storage.locate(whole).read_bytes() == b"abcab"

    @pytest.mark.usefixtures("can_join")
    def test_what_was_there_before_is_gone(self, storage: Storage) -> None:
        whole = make(storage, b"longer than what comes")
        storage.join(whole, [(make(storage, b"short"), 5)], go_on)
        storage.join(whole, [(make(storage, b"again"), 5)], go_on)
        assert storage.locate(whole).read_bytes() == b"again"

    @pytest.mark.usefixtures("can_join")
    def test_who_is_stopped_leaves_everything_as_it_was(self, storage: Storage) -> None:
        part, whole = make(storage, LONG), make(storage, b"before")
        calls = 0

        def stop() -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise Stopped

        with pytest.raises(Stopped):
            storage.join(whole, [(part, len(LONG))], stop)
        assert storage.locate(whole).read_bytes() == b"before"
        storage.join(whole, [(part, len(LONG))], go_on)
        assert storage.locate(whole).read_bytes() == LONG

    @pytest.mark.usefixtures("can_join")
    @pytest.mark.parametrize("length", [None, 2, 4])
    def test_a_part_that_is_not_as_it_should_be_is_said_and_changes_nothing(
        self, storage: Storage, length: int | None
    ) -> None:
        first, whole = make(storage, b"first"), make(storage, b"before")
        second = new_upload_id() if length is None else make(storage, b"abc")
        with pytest.raises(BytesLost, match=second[:8]):
            storage.join(whole, [(first, 5), (second, length or 3)], go_on)
        assert storage.locate(whole).read_bytes() == b"before"
        assert storage.locate(first).read_bytes() == b"first"
