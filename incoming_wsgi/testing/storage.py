"""The contract of `storage/base.py` as tests; see `incoming_wsgi.testing`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ..errors import BytesLost
from ..storage.base import Piped, Storage
from ..uploads import new_upload_id
from .joining import JoinContract, MakeStorage, allow

__all__ = ["StorageContract"]


def refuse() -> bool:
    return False


class StorageContract(JoinContract):
    """Give a fixture `make_storage`: a function that returns a new object on the same place."""

    @pytest.fixture
    def make_storage(self) -> MakeStorage:
        raise TypeError("a subclass of StorageContract needs a fixture make_storage")

    @pytest.fixture
    def storage(self, make_storage: MakeStorage) -> Storage:
        storage = make_storage()
        storage.prepare()
        return storage

    @pytest.fixture
    def upload_id(self) -> str:
        return new_upload_id()

    def test_prepare_may_be_called_by_every_process(self, make_storage: MakeStorage) -> None:
        make_storage().prepare()
        make_storage().prepare()

    def test_blocks_in_any_order_make_the_file(
        self, storage: Storage, make_storage: MakeStorage, upload_id: str
    ) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            assert writer.write(6, b"world", allow) is True
        with make_storage().open_writer(upload_id, create=False) as writer:
            assert writer.write(0, bytearray(b"hello "), allow) is True
            assert writer.write(11, memoryview(b"!"), allow) is True
        storage.seal(upload_id, 12)
        assert storage.locate(upload_id).read_bytes() == b"hello world!"

    def test_a_block_in_a_pipe_is_stored_like_any_other(
        self, storage: Storage, upload_id: str
    ) -> None:
        if not storage.takes_pipes:
            return
        source, sink = os.pipe()
        try:
            with storage.open_writer(upload_id, create=True) as writer:
                os.write(sink, b"worldhello ")
                assert writer.write(6, Piped(source, 5), allow) is True
                assert writer.write(0, Piped(source, 6), allow) is True
                os.write(sink, b"WORLD")
                assert writer.write(6, Piped(source, 5), refuse) is False
        finally:
            os.close(source)
            os.close(sink)
        storage.seal(upload_id, 11)
        assert storage.locate(upload_id).read_bytes() == b"hello world"

    def test_opening_again_keeps_what_is_there(self, storage: Storage, upload_id: str) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"kept", allow)
        with storage.open_writer(upload_id, create=True):
            pass
        storage.seal(upload_id, 4)
        assert storage.locate(upload_id).read_bytes() == b"kept"

    def test_a_refused_block_changes_nothing(self, storage: Storage, upload_id: str) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"first", allow)
            assert writer.write(0, b"other", refuse) is False
            assert writer.write(5, b"more", refuse) is False
        storage.seal(upload_id, 5)
        assert storage.locate(upload_id).read_bytes() == b"first"

    def test_writing_without_a_beginning_is_refused(self, storage: Storage, upload_id: str) -> None:
        with pytest.raises(BytesLost), storage.open_writer(upload_id, create=False):
            pass

    def test_fence_waits_for_a_block_that_has_its_permit(
        self, storage: Storage, make_storage: MakeStorage, upload_id: str
    ) -> None:
        permitted, go_on = threading.Event(), threading.Event()
        order: list[str] = []

        def slowly() -> bool:
            permitted.set()
            assert go_on.wait(10)
            order.append("written")
            return True

        def write() -> None:
            with storage.open_writer(upload_id, create=True) as writer:
                writer.write(0, b"older", slowly)

        def fence() -> None:
            with make_storage().open_writer(upload_id, create=True) as writer:
                fencing.set()
                writer.fence()
                order.append("fenced")

        fencing = threading.Event()
        older = threading.Thread(target=write)
        older.start()
        assert permitted.wait(10)
        newer = threading.Thread(target=fence)
        newer.start()
        assert fencing.wait(10)
        newer.join(0.1)  # long enough for a fence that does not wait to have passed
        go_on.set()
        older.join(10)
        newer.join(10)
        assert order == ["written", "fenced"]

    def test_seal_makes_an_empty_file_exist(self, storage: Storage, upload_id: str) -> None:
        storage.seal(upload_id, 0)
        assert storage.exists(upload_id, 0)
        assert storage.locate(upload_id).read_bytes() == b""

    def test_sealing_twice_is_harmless(self, storage: Storage, upload_id: str) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"abc", allow)
            writer.flush()
        storage.seal(upload_id, 3)
        storage.seal(upload_id, 3)
        assert storage.locate(upload_id).read_bytes() == b"abc"

    def test_seal_refuses_a_file_that_is_shorter(self, storage: Storage, upload_id: str) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"abc", allow)
        with pytest.raises(BytesLost, match="3 bytes instead of"):
            storage.seal(upload_id, 4)

    def test_seal_cuts_off_what_is_beyond_the_end(self, storage: Storage, upload_id: str) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"abc", allow)
        storage.seal(upload_id, 2)
        assert storage.locate(upload_id).read_bytes() == b"ab"

    def test_seal_refuses_a_file_that_is_gone(self, storage: Storage, upload_id: str) -> None:
        with pytest.raises(BytesLost):
            storage.seal(upload_id, 3)

    def test_delete_removes_and_may_be_repeated(self, storage: Storage, upload_id: str) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"abc", allow)
        assert storage.exists(upload_id, 3)
        storage.delete(upload_id)
        storage.delete(upload_id)
        assert not storage.exists(upload_id, 3)

    def test_one_upload_does_not_touch_another(self, storage: Storage) -> None:
        first, second = new_upload_id(), new_upload_id()
        for upload_id, block in ((first, b"first"), (second, b"second")):
            with storage.open_writer(upload_id, create=True) as writer:
                writer.write(0, block, allow)
        storage.delete(first)
        storage.seal(second, 6)
        assert storage.locate(second).read_bytes() == b"second"

    def test_a_file_that_the_app_has_taken_exists_no_more(
        self, storage: Storage, upload_id: str, tmp_path: Path
    ) -> None:
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"abc", allow)
        storage.seal(upload_id, 3)
        assert storage.locate(upload_id).is_absolute()
        storage.locate(upload_id).rename(tmp_path / "taken")
        assert not storage.exists(upload_id, 3)

    def test_sync_needs_bytes(self, storage: Storage, upload_id: str) -> None:
        with pytest.raises(BytesLost):
            storage.sync(upload_id)
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"abc", allow)
            storage.sync(upload_id)
        assert storage.locate(upload_id).read_bytes() == b"abc"

    def test_there_is_room_or_nobody_knows(self, storage: Storage) -> None:
        room = storage.find_room()
        assert room is None or 0 < room.free <= room.total

    def test_one_has_an_upload_to_himself_at_a_time(
        self, storage: Storage, make_storage: MakeStorage, upload_id: str
    ) -> None:
        other = make_storage()
        with storage.hold(upload_id) as held:
            assert held is True
            with other.hold(upload_id) as held:
                assert held is False
            with storage.hold(upload_id) as held:
                assert held is False
            with other.hold(new_upload_id()) as held:
                assert held is True
        with other.hold(upload_id) as held:
            assert held is True

    def test_a_hold_ends_with_an_exception_too(self, storage: Storage, upload_id: str) -> None:
        with pytest.raises(RuntimeError), storage.hold(upload_id):
            raise RuntimeError
        with storage.hold(upload_id) as held:
            assert held is True

    def test_a_hold_does_not_hinder_writing_and_sealing(
        self, storage: Storage, make_storage: MakeStorage, upload_id: str
    ) -> None:
        with storage.hold(upload_id), make_storage().open_writer(upload_id, create=True) as writer:
            writer.fence()
            assert writer.write(0, b"abc", allow)
            storage.seal(upload_id, 3)

    def test_what_is_there_is_listed_but_for_what_was_left_to_the_app(
        self, storage: Storage, make_storage: MakeStorage
    ) -> None:
        ids = [new_upload_id() for _ in range(4)]
        for upload_id in ids:
            with storage.open_writer(upload_id, create=True) as writer:
                writer.write(0, b"abc", allow)
        assert sorted(storage.list_ids()) == sorted(ids)
        storage.leave(ids[0])
        storage.leave(ids[0])
        storage.delete(ids[1])
        with storage.hold(ids[2]):
            assert sorted(make_storage().list_ids()) == sorted(ids[2:])
        assert storage.locate(ids[0]).read_bytes() == b"abc"

    def test_nothing_where_there_were_bytes_is_not_the_file(
        self, storage: Storage, upload_id: str
    ) -> None:
        with storage.open_writer(upload_id, create=True):
            pass
        assert not storage.exists(upload_id, 3)
        assert storage.exists(upload_id, 0)

    def test_who_comes_too_late_takes_back_what_he_has_begun_and_nothing_else(
        self, storage: Storage, make_storage: MakeStorage, upload_id: str
    ) -> None:
        with storage.open_writer(upload_id, create=True) as first:
            with make_storage().open_writer(upload_id, create=True) as second:
                second.take_back()  # it was there already
                assert storage.exists(upload_id, 0)
            first.take_back()
            assert not storage.exists(upload_id, 0)
        with storage.open_writer(upload_id, create=True) as writer:
            writer.write(0, b"abc", allow)
            writer.take_back()
        assert storage.locate(upload_id).read_bytes() == b"abc"

    @pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a b"])
    def test_a_name_that_is_no_id_never_becomes_a_path(self, storage: Storage, name: str) -> None:
        with pytest.raises(ValueError, match="upload id"):
            storage.locate(name)
