"""The contract of `tickets/base.py` as tests; see `incoming_wsgi.testing`."""

from __future__ import annotations

import threading

import pytest

from ..errors import LeaseLost, TicketStoreError, UploadNotFound, WrongState
from ..states import Event, UploadState
from ..tickets.base import TicketStore
from ..uploads import ChunkDigest, Upload
from .claims import ClaimsContract, raises_key_error, received
from .parts import PartsContract
from .upkeep import MakeStore, UpkeepContract, changes_nothing, new_upload

__all__ = ["TicketStoreContract", "changes_nothing", "new_upload"]


class TicketStoreContract(ClaimsContract, UpkeepContract, PartsContract):
    """Give a fixture `make_store`: a function that returns a new object on the same place."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        raise TypeError("a subclass of TicketStoreContract needs a fixture make_store")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> TicketStore:
        store = make_store()
        store.prepare()
        return store

    @pytest.fixture
    def upload(self, store: TicketStore) -> Upload:
        upload = new_upload(length=100)
        store.create(upload)
        return upload

    # tickets

    def test_an_upload_is_found_as_it_was_created(
        self, store: TicketStore, make_store: MakeStore
    ) -> None:
        upload = new_upload(
            owner="ann",
            secret="s & ß = +%",
            remove_file_when_finished=False,
            max_length_bytes=2**62,
            filename="Grüße 你好 🎈.bin",
            length=5 * 2**40,
            content_type="video/mp4",
            last_modified=1_700_000_000_123,
            relative_path="Ferien/Tag 1/Grüße 你好 🎈.bin",
        )
        store.create(upload)
        assert make_store().find(upload.id) == upload

    def test_an_unknown_id_is_not_found(self, store: TicketStore) -> None:
        assert store.find("unknown") is None
        with pytest.raises(UploadNotFound):
            store.load("unknown")
        with pytest.raises(UploadNotFound):
            store.transition("unknown", Event.CANCEL, changes_nothing)
        with pytest.raises(UploadNotFound):
            store.claim_range("unknown", 0, 1, changes_nothing)

    def test_an_id_is_used_once(self, store: TicketStore, upload: Upload) -> None:
        with pytest.raises(TicketStoreError):
            store.create(upload)

    def test_the_list_has_the_newest_first(self, store: TicketStore) -> None:
        uploads = [new_upload() for _ in range(3)]
        for upload in uploads:
            store.create(upload)
        store.transition(uploads[1].id, Event.CANCEL, changes_nothing)
        assert [u.id for u in store.list_uploads(limit=2)] == [uploads[2].id, uploads[1].id]
        assert [u.id for u in store.list_uploads(state=UploadState.CANCELLED)] == [uploads[1].id]
        assert store.count_by_state() == {UploadState.CREATED: 2, UploadState.CANCELLED: 1}

    def test_a_transition_changes_state_and_fields_together(
        self, store: TicketStore, upload: Upload
    ) -> None:
        changed = store.transition(
            upload.id, Event.CANCEL, lambda u: {"reason": f"was {u.state.value}", "due_at": 7.0}
        )
        assert (changed.state, changed.reason, changed.due_at) == (
            UploadState.CANCELLED,
            "was CREATED",
            7.0,
        )
        assert store.load(upload.id) == changed

    def test_an_illegal_transition_changes_nothing(
        self, store: TicketStore, upload: Upload
    ) -> None:
        with pytest.raises(WrongState):
            store.transition(upload.id, Event.FINISH, lambda _: {"reason": "changed"})
        assert store.load(upload.id) == upload

    def test_what_decide_raises_ends_the_transaction_without_a_change(
        self, store: TicketStore, upload: Upload
    ) -> None:
        with pytest.raises(KeyError):
            store.transition(upload.id, Event.CANCEL, raises_key_error)
        with pytest.raises(KeyError):
            store.claim_range(upload.id, 0, 10, raises_key_error)
        assert store.load(upload.id) == upload

    def test_of_many_that_want_the_same_transition_one_gets_it(
        self, store: TicketStore, make_store: MakeStore, upload: Upload
    ) -> None:
        store.transition(upload.id, Event.COMPLETE, changes_nothing)
        outcomes: list[str] = []
        start = threading.Barrier(8)

        def hand_over() -> None:
            other = make_store()
            start.wait()
            try:
                other.transition(upload.id, Event.FINISH, changes_nothing)
                outcomes.append("got it")
            except WrongState:
                outcomes.append("too late")
            other.close()

        threads = [threading.Thread(target=hand_over) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["got it"] + ["too late"] * 7

    # work that is due

    def test_only_what_is_due_is_leased_and_the_longest_due_first(self, store: TicketStore) -> None:
        late, later, not_yet = new_upload(due_at=10.0), new_upload(due_at=5.0), new_upload()
        for upload in (late, later, not_yet):
            store.create(upload)
        leased = [store.lease_due(100.0, 130.0, in_process=True) for _ in range(3)]
        assert [lease and lease.upload.id for lease in leased] == [later.id, late.id, None]
        assert store.next_due_at(in_process=True) == 130.0

    def test_a_lease_ends_with_its_time(self, store: TicketStore) -> None:
        upload = new_upload(due_at=10.0)
        store.create(upload)
        first = store.lease_due(100.0, 130.0, in_process=True)
        assert first is not None
        assert store.lease_due(129.0, 159.0, in_process=True) is None
        second = store.lease_due(130.0, 160.0, in_process=True)
        assert second is not None
        with pytest.raises(LeaseLost):
            store.transition(upload.id, Event.EXPIRE, changes_nothing, lease=first.token)
        with pytest.raises(LeaseLost):
            store.renew_lease(first, 1000.0)
        with pytest.raises(LeaseLost):
            store.remove(upload.id, lease=first.token)
        store.transition(upload.id, Event.EXPIRE, changes_nothing, lease=second.token)

    def test_a_renewed_lease_lasts_longer(self, store: TicketStore) -> None:
        upload = new_upload(due_at=10.0)
        store.create(upload)
        lease = store.lease_due(100.0, 130.0, in_process=True)
        assert lease is not None
        store.renew_lease(lease, 200.0)
        assert store.lease_due(199.0, 229.0, in_process=True) is None

    def test_a_transition_ends_the_lease_unless_its_holder_keeps_it(
        self, store: TicketStore
    ) -> None:
        upload = new_upload(due_at=10.0, length=0)
        store.create(upload)
        store.transition(upload.id, Event.COMPLETE, changes_nothing)
        lease = store.lease_due(100.0, 130.0, in_process=True)
        assert lease is not None
        store.transition(
            upload.id, Event.HAND_OVER, changes_nothing, lease=lease.token, keep_lease=True
        )
        store.transition(upload.id, Event.DELAY, changes_nothing, lease=lease.token)
        with pytest.raises(LeaseLost):
            store.transition(upload.id, Event.HAND_OVER, changes_nothing, lease=lease.token)

    def test_activity_of_the_client_ends_a_lease(self, store: TicketStore) -> None:
        upload = new_upload(due_at=10.0, length=100)
        store.create(upload)
        lease = store.lease_due(100.0, 130.0, in_process=True)
        assert lease is not None
        store.claim_range(upload.id, 0, 10, changes_nothing)
        with pytest.raises(LeaseLost):
            store.transition(upload.id, Event.EXPIRE, changes_nothing, lease=lease.token)
        assert store.load(upload.id).state is UploadState.UPLOADING

    def test_a_process_without_the_callback_passes_its_uploads_over(
        self, store: TicketStore
    ) -> None:
        complete = new_upload(due_at=10.0, signal_finish_url=None)
        idle = new_upload(due_at=20.0, signal_finish_url=None)
        for upload in (complete, idle):
            store.create(upload)
        store.transition(complete.id, Event.COMPLETE, changes_nothing)
        lease = store.lease_due(100.0, 130.0, in_process=False)
        assert lease is not None
        assert lease.upload.id == idle.id
        assert store.lease_due(100.0, 130.0, in_process=False) is None
        other = store.lease_due(100.0, 130.0, in_process=True)
        assert other is not None
        assert other.upload.id == complete.id

    def test_a_removed_upload_is_forgotten_with_all_that_was_known(
        self, store: TicketStore
    ) -> None:
        upload = new_upload(due_at=10.0, length=100)
        store.create(upload)
        claim = store.claim_range(upload.id, 0, 10, changes_nothing)
        store.record_ranges(
            claim, [(0, 10)], changes_nothing, release=True, digest=ChunkDigest(0, 10, "aa")
        )
        lease = store.lease_due(100.0, 130.0, in_process=True)
        assert lease is not None
        store.remove(upload.id, lease=lease.token)
        assert store.find(upload.id) is None
        assert store.find_digests(upload.id) == ()
        store.create(upload)
        assert received(store, upload) == []
