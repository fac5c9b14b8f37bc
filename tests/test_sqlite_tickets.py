"""The ticket store on SQLite: the contract, and what many processes and foreign files do to it."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import random
import sqlite3
import stat
import sys
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from incoming_wsgi.errors import (
    IncomingError,
    StorageFull,
    TicketStoreError,
    Unavailable,
    WrongState,
)
from incoming_wsgi.ranges import RangeSet
from incoming_wsgi.states import Event, UploadState
from incoming_wsgi.testing import TicketStoreContract
from incoming_wsgi.testing.tickets import changes_nothing, new_upload
from incoming_wsgi.tickets._connections import Connection
from incoming_wsgi.tickets._filesystems import is_network_file_system
from incoming_wsgi.tickets.base import Then, Usage
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore
from incoming_wsgi.uploads import ChunkDigest


@pytest.fixture
def make_store(tmp_path):
    stores = []

    def make() -> SQLiteTicketStore:
        stores.append(SQLiteTicketStore(tmp_path / "incoming.db"))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store):
    store = make_store()
    store.prepare()
    return store


class TestSQLiteTicketStoreContract(TicketStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: SQLiteTicketStore(tmp_path / "incoming.db")


# many processes


CHUNK = 10
CHUNKS = 60
PROCESSES = 8


def _hammer(path: Path, shared: str, number: int, errors) -> None:
    """Creates, ranges and transitions, as fast as they go."""
    try:
        store = SQLiteTicketStore(path)
        chosen = random.Random(number)
        chunks = list(range(CHUNKS))
        chosen.shuffle(chunks)
        for index in chunks:
            # Every process brings every chunk of the shared upload, and uploads of its own.
            claim = store.claim_range(
                shared, index * CHUNK, index * CHUNK + CHUNK, lambda u: {"attempt": u.attempt + 1}
            )
            if claim.gaps and store.may_write(claim, *claim.gaps[0]):
                store.record_ranges(claim, claim.gaps, changes_nothing, release=True)
            own = new_upload(owner=f"process {number}")
            store.create(own)
            store.transition(own.id, Event.COMPLETE, changes_nothing)
            store.transition(own.id, Event.FINISH, changes_nothing)
        store.close()
    except BaseException as exc:
        errors.put(f"process {number}: {type(exc).__name__}: {exc}")
        raise


def test_eight_processes_lose_no_update_and_are_never_locked_out(store, tmp_path):
    shared = new_upload(length=CHUNK * CHUNKS)
    store.create(shared)
    context = multiprocessing.get_context("spawn")
    errors = context.SimpleQueue()
    processes = [
        context.Process(target=_hammer, args=(store.path, shared.id, number, errors))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [errors.get() for _ in range(0 if errors.empty() else 1)] == []
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    after = store.load(shared.id)
    assert after.received == RangeSet(((0, CHUNK * CHUNKS),))
    counts = store.count_by_state()
    assert counts == {UploadState.UPLOADING: 1, UploadState.FINISHED: PROCESSES * CHUNKS}
    # The claims that found a gap each counted one up, and none of them was lost.
    assert after.attempt >= CHUNKS


def _count(path: Path, upload_id: str, times: int) -> None:
    store = SQLiteTicketStore(path)
    for _ in range(times):
        store.transition(upload_id, Event.DECLARE, lambda u: {"attempt": u.attempt + 1})
    store.close()


def test_eight_processes_that_read_and_write_count_exactly(store):
    upload = new_upload()
    store.create(upload)
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_count, args=(store.path, upload.id, 100)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert store.load(upload.id).attempt == 100 * PROCESSES


def _prepare(path: Path) -> None:
    SQLiteTicketStore(path).prepare()


def test_eight_processes_may_start_at_once_on_a_new_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "new.db"
    processes = [context.Process(target=_prepare, args=(path,)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES


def test_a_start_waits_for_another_that_has_just_made_the_database(tmp_path):
    """SQLite itself does not: what changes the journal mode is refused at once."""
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE x (y)")
    end = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    end.start()
    SQLiteTicketStore(path).prepare()
    end.join()
    other.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_parent_and_child_of_a_fork_lose_nothing_to_each_other(store):
    """The parent has connections open, in several threads and in use, when it forks; it closes
    while the child is at work, which would delete the child's log if the child went on with what
    SQLite remembers from before the fork."""
    upload = new_upload()
    store.create(upload)
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            store.transition(upload.id, Event.DECLARE, lambda u: {"attempt": u.attempt + 1})
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    children = []
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for _ in range(50):
                    store.transition(upload.id, Event.DECLARE, lambda u: {"attempt": u.attempt + 1})
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
        store.count_by_state()
        store.close()
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    stop.set()
    thread.join()
    assert codes == [0] * 10
    assert store.load(upload.id).attempt == counted + 10 * 50
    with store._database.using() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_a_child_does_not_wait_for_a_thread_of_its_parent(store, monkeypatch):
    """Which has its turn to write, and no connection yet, when the process forks."""
    monkeypatch.setattr("incoming_wsgi.tickets._database.BUSY_TIMEOUT_S", 1.0)
    has_it, end = threading.Event(), threading.Event()

    def wait() -> None:
        with store._database._connections.turn:
            has_it.set()
            end.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    has_it.wait()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.create(new_upload())
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    end.set()
    thread.join()
    assert code == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_a_fork_waits_for_who_closes_the_store(store, monkeypatch):
    """In the middle of that SQLite's book of locks is not what it will be."""
    close, closing_, has_forked, closed = Connection.close, *(threading.Event() for _ in range(3))

    def close_slowly(connection: Connection) -> None:
        closing_.set()
        has_forked.wait(0.5)  # which is what must not happen
        close(connection)
        closed.set()

    monkeypatch.setattr(Connection, "close", close_slowly)
    store.create(new_upload())
    thread = threading.Thread(target=store.close)
    thread.start()
    closing_.wait()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if closed.is_set() else 1)
    has_forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_a_connection_that_cannot_be_closed_for_a_fork_holds_nobody_up(store, monkeypatch):
    def fail(connection: Connection) -> None:
        failures.append(connection)
        close(connection)
        raise sqlite3.OperationalError("disk I/O error")

    close, failures = Connection.close, []
    monkeypatch.setattr(Connection, "close", fail)
    with store._database.using(), store._database.using():
        pass  # two are open
    pid = os.fork()
    monkeypatch.undo()
    if pid == 0:
        code = 1
        try:
            store.create(new_upload())
            code = 0
        finally:
            os._exit(code)
    thread = threading.Thread(target=store.create, args=(new_upload(),), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(failures) == 2
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.count_by_state() == {UploadState.CREATED: 2}


def test_nothing_is_open_before_the_first_use(tmp_path):
    store = SQLiteTicketStore(tmp_path / "incoming.db")
    store.prepare()
    opened = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    assert not any(path.startswith(str(tmp_path)) for path in opened)


def test_threads_that_come_one_after_the_other_share_a_connection(store):
    def open_descriptors() -> int:
        return sum(
            os.path.realpath(path).startswith(str(store.path))
            for path in Path("/proc/self/fd").iterdir()
        )

    store.count_by_state()
    before = open_descriptors()
    for _ in range(20):
        thread = threading.Thread(target=store.count_by_state)
        thread.start()
        thread.join()
    # SQLite itself keeps one descriptor back for the next connection: closing it would drop the
    # locks of the others (POSIX locks belong to the process).
    assert open_descriptors() <= before + 1


def test_connections_stay_open_after_many_were_in_use_at_once(store, monkeypatch):
    with ExitStack() as many:
        for _ in range(20):
            many.enter_context(store._database.using())
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: opened.append(a) or connect(*a, **k))
    for _ in range(5):
        store.create(new_upload())
        store.count_by_state()
    assert not opened


# the file


def test_the_database_is_for_its_owner_alone(store):
    store.create(new_upload())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}, modes


def test_it_runs_in_wal(store):
    with store._database.using() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_where_wal_is_not_to_be_had_sqlite_syncs_each_commit(tmp_path, monkeypatch):
    """It says so by staying as it is: some file systems have no shared memory."""
    real = sqlite3.connect

    class NoWAL(Connection):
        def execute(self, sql, *parameters):
            return super().execute(sql.replace("journal_mode = wal", "journal_mode"), *parameters)

    monkeypatch.setattr(
        "incoming_wsgi.tickets._database.sqlite3.connect",
        lambda path, **options: real(path, **{**options, "factory": NoWAL}),
    )
    store = SQLiteTicketStore(tmp_path / "incoming.db")
    store.prepare()
    upload = new_upload()
    store.create(upload)
    with store._database.using() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert store.load(upload.id) == upload
    store.close()


def test_it_does_not_run_in_wal_on_a_network_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "incoming_wsgi.tickets._database.is_network_file_system", lambda folder: folder == tmp_path
    )
    store = SQLiteTicketStore(tmp_path / "incoming.db")
    store.prepare()
    upload = new_upload()
    store.create(upload)
    with store._database.using() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert store.load(upload.id) == upload
    store.close()


MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:45 / /home rw,relatime shared:2 - nfs4 server:/home rw
24 23 254:1 / /home/local rw - xfs /dev/vdb rw
25 22 0:46 / /mnt/my\\040share rw - cifs //server/share rw
26 22 0:47 / /mnt/ssh rw - fuse.sshfs me@server: rw
27 22 0:48 / /twice rw - nfs server:/x rw
28 22 254:2 / /twice rw - ext4 /dev/vdc rw
29 22 0:49 / /mnt/Grüße rw - nfs server:/y rw
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/", False),
        ("/var/lib", False),
        ("/home", True),
        ("/home/ann/incoming", True),
        ("/home/local/incoming", False),
        ("/homes", False),
        ("/mnt/my share/incoming", True),
        ("/mnt/ssh", True),
        ("/twice/x", False),
        ("/mnt/Grüße/incoming", True),
    ],
)
def test_network_file_systems_are_recognised(tmp_path, folder, expected):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO)
    assert is_network_file_system(Path(folder), mounts) is expected


def test_without_a_list_of_mounts_a_disk_is_local(tmp_path):
    assert is_network_file_system(tmp_path, tmp_path / "missing") is False


def test_the_database_of_another_program_is_refused_and_kept(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (x)")
    connection.close()
    with pytest.raises(TicketStoreError, match="database of another program"):
        SQLiteTicketStore(path).prepare()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
    connection.close()


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    path = tmp_path / "notes.db"
    path.write_bytes(b"my notes, not a database" * 100)
    with pytest.raises(TicketStoreError, match="not usable"):
        SQLiteTicketStore(path).prepare()
    assert path.read_bytes().startswith(b"my notes")


def test_the_database_of_a_newer_version_is_refused(store):
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TicketStoreError, match="newer version"):
        SQLiteTicketStore(store.path).prepare()


def test_a_database_of_form_1_is_brought_to_the_present_form_and_keeps_its_uploads(tmp_path):
    path = tmp_path / "incoming.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "database_form_1.sql").read_text())
    store = SQLiteTicketStore(path)
    store.prepare()
    old = new_upload(
        id="5d193227-06b0-4ea9-8ff0-a44407b7b260",
        state=UploadState.UPLOADING,
        owner="ann",
        secret="s3cret",
        max_length_bytes=5000,
        filename="Grüße.txt",
        length=100,
        content_type="text/plain",
        last_modified=1_700_000_000_123,
        received=RangeSet(((0, 40),)),
    )
    assert store.list_uploads() == (old,)
    assert store.find_digests(old.id) == (ChunkDigest(0, 40, "ab" * 32),)
    store.transition(old.id, Event.DECLARE, lambda _: {"relative_path": "a/b.txt"})
    added = new_upload(relative_path="c/d.txt")
    store.create(added)
    store.prepare()  # of the present form: nothing to do
    assert store.list_uploads() == (added, replace(old, relative_path="a/b.txt"))
    store.close()


def usage_for(store, owner):
    """As somebody is told who wants another ticket for that owner."""
    told = []

    def refuse(_, usage):
        told.append(usage)
        raise StorageFull("no room")

    with pytest.raises(StorageFull):
        store.create(new_upload(owner=owner), admit=refuse)
    return told[0]


def test_a_database_of_form_3_is_brought_to_the_present_form_and_counted(tmp_path):
    path = tmp_path / "incoming.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "database_form_3.sql").read_text())

    def ident(number: int) -> str:
        return f"00000000-0000-4000-8000-{number:012d}"

    store = SQLiteTicketStore(path, boot_id=ident(1))
    store.prepare()
    longest = 2**63 - 1
    promised = 50 + (longest - 4) + longest
    assert usage_for(store, None) == Usage(150 + 2 * longest, 0, promised, 0)
    assert usage_for(store, "ann") == Usage(150 + 2 * longest, 100, promised, 2)
    assert usage_for(store, "bob") == Usage(150 + 2 * longest, longest + 50, promised, 1)
    assert usage_for(store, "cid") == usage_for(store, "dot") == usage_for(store, None)
    assert list(store.load(ident(1)).received) == [(0, 40), (60, 70)]
    assert store.load(ident(1)).received.total_bytes == 50
    # What was under way and unsynced goes on.
    for number, part in ((1, (60, 70)), (3, (5, 9))):
        taken = store.take_unsynced(1e12, 1e12)
        assert taken is not None
        assert taken.id == ident(number)
        store.mark_synced(taken.id, [part], 1e12)
    assert store.take_unsynced(1e12, 1e12) is None
    claim = store.claim_range(ident(1), 40, 100, changes_nothing)
    assert (claim.gaps, claim.displaced) == (((40, 60), (70, 100)), True)
    assert store.record_ranges(claim, claim.gaps, changes_nothing, release=True).is_complete
    assert usage_for(store, None).promised_bytes == promised - 50
    store.close()


def test_a_database_of_form_4_counts_what_is_stored_of_unknown_lengths_from_now_on(tmp_path):
    path = tmp_path / "incoming.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "database_form_4.sql").read_text())

    def ident(number: int) -> str:
        return f"00000000-0000-4000-8000-{number:012d}"

    def usages() -> dict[str, tuple[int, int]]:
        told = {owner: usage_for(store, owner) for owner in ("ann", "bob", "cid", "eve")}
        return {owner: (usage.owner_bytes, usage.owner_open) for owner, usage in told.items()}

    store = SQLiteTicketStore(path, boot_id=ident(1))
    store.prepare()
    longest = 2**63 - 1
    total, promised = 100 + 7 + 14 + longest + 50, 60 + longest
    assert usage_for(store, None) == Usage(total, 0, promised, 0)
    assert usages() == {"ann": (107, 2), "bob": (longest + 50, 1), "cid": (0, 0), "eve": (0, 1)}
    # From here on it is as in any other database.
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        older.execute("INSERT INTO ranges (upload, start, stop) VALUES (2, 7, 10)")
    claim = store.claim_range(ident(6), 0, None, changes_nothing)
    store.record_ranges(claim, [(0, 5)], changes_nothing, release=True)
    claim = store.claim_range(ident(1), 0, None, changes_nothing)
    store.record_ranges(claim, [(40, 90)], changes_nothing, release=True)
    assert usage_for(store, None) == Usage(total + 8, 0, promised - 50, 0)
    assert usages() == {"ann": (110, 2), "bob": (longest + 50, 1), "cid": (0, 0), "eve": (5, 1)}
    store.transition(ident(2), Event.CANCEL, changes_nothing)
    store.transition(ident(3), Event.STORE, lambda _: {"length": 100})
    assert usage_for(store, "ann") == Usage(total + 8 - 10 + 86, 100, promised - 50 + 86, 1)
    store.close()


def test_growth_of_a_file_of_known_length_is_counted_in_one_row(store):
    """The owner's row says the same before and after, so it is left alone."""
    upload = new_upload(length=100, owner="ann")
    store.create(upload)
    with store._database.using() as connection:
        connection.execute(
            "CREATE TRIGGER leave_alone BEFORE UPDATE ON owner_usage"
            " BEGIN SELECT RAISE(ABORT, 'touched'); END"
        )
    claim = store.claim_range(upload.id, 0, 100, changes_nothing)
    store.record_ranges(claim, [(0, 40)], changes_nothing, release=False)
    store.record_ranges(claim, [(40, 100)], changes_nothing, release=True)
    assert usage_for(store, "ann") == Usage(100, 100, 0, 1)


def test_what_a_process_of_an_older_version_still_writes_is_counted(store):
    """When the new version starts, those of the old may have requests to end."""
    upload = new_upload(length=100)
    store.create(upload)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as older:
        older.execute("INSERT INTO ranges (upload, start, stop) VALUES (1, 0, 40)")
        older.execute("DELETE FROM ranges WHERE upload = 1 AND start = 0")
        older.execute("INSERT INTO ranges (upload, start, stop) VALUES (1, 0, 100)")
    assert store.load(upload.id).is_complete
    assert usage_for(store, None) == Usage(100, 0, 0, 0)


def test_of_an_owner_who_has_nothing_here_any_more_nothing_is_kept(store):
    uploads = [new_upload(owner=owner, due_at=10.0) for owner in ("ann", "bob", "")]
    for upload in uploads:
        store.create(upload)
    store.transition(uploads[0].id, Event.CANCEL, changes_nothing)
    lease = store.lease_due(100.0, 200.0, in_process=True)
    while lease.upload.id != uploads[1].id:
        lease = store.lease_due(100.0, 200.0, in_process=True)
    store.remove(uploads[1].id, lease=lease.token)
    with store._database.using() as connection:
        assert connection.execute("SELECT owner FROM owner_usage").fetchall() == [("",)]


# a power failure


class Disk:
    """What is synced, in the place of `fdatasync`: the thread, and the file."""

    def __init__(self, monkeypatch) -> None:
        self.synced: list[tuple[threading.Thread, str]] = []
        self.before = lambda: None
        monkeypatch.setattr("incoming_wsgi.tickets._database.fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self.before()
        file = os.path.realpath(f"/proc/self/fd/{descriptor}")
        os.fdatasync(descriptor)
        self.synced.append((threading.current_thread(), file))

    def syncs(self, call) -> int:
        """How often `call` syncs the log before it returns."""
        before = len(self.synced)
        call()
        assert {file for _, file in self.synced[before:]} <= {f"{self.path}-wal"}
        return len(self.synced) - before


@pytest.fixture
def disk(monkeypatch, store):
    disk = Disk(monkeypatch)
    disk.path = store.path
    return disk


COMPLETE_NOW = Then(((Event.COMPLETE, changes_nothing), (Event.HAND_OVER, changes_nothing)))


def test_what_must_last_is_on_the_disk_when_the_method_returns(store, disk):
    upload, other = new_upload(length=20), new_upload(length=20)
    assert disk.syncs(lambda: store.create(upload)) == 1
    assert disk.syncs(lambda: store.create(other)) == 1
    assert disk.syncs(lambda: store.transition(upload.id, Event.DECLARE, changes_nothing)) == 0
    assert disk.syncs(lambda: store.claim_range(upload.id, 0, 9, changes_nothing)) == 0
    claim = store.claim_range(upload.id, 0, 20, changes_nothing)

    def record(start: int, stop: int) -> None:
        store.record_ranges(
            claim, [(start, stop)], changes_nothing, release=False, then=COMPLETE_NOW
        )

    assert disk.syncs(lambda: record(0, 10)) == 0
    assert disk.syncs(lambda: record(10, 20)) == 1
    assert disk.syncs(lambda: store.transition(upload.id, Event.FINISH, changes_nothing)) == 1
    assert disk.syncs(lambda: store.transition(other.id, Event.COMPLETE, changes_nothing)) == 1


def test_nobody_is_told_that_nothing_is_missing_before_that_is_on_the_disk(store, disk):
    """Between the commit and its sync others see the upload complete already."""
    upload = new_upload(length=20)
    store.create(upload)
    claim = store.claim_range(upload.id, 0, 20, changes_nothing)
    others = store.claim_range(upload.id, 5, 6, changes_nothing)
    committed, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        if threading.current_thread() is thread:
            committed.set()
            assert go_on.wait(30)

    disk.before = wait
    thread = threading.Thread(
        target=lambda: (
            store.record_ranges(claim, [(0, 5), (6, 20)], changes_nothing, release=True)
            and store.transition(upload.id, Event.COMPLETE, changes_nothing)
        )
    )
    thread.start()
    try:
        assert committed.wait(30)
        assert store.path.exists()
        assert disk.syncs(lambda: store.find(upload.id)) == 1
        assert disk.syncs(lambda: store.claim_range(upload.id, 0, 5, changes_nothing)) == 1
        assert (
            disk.syncs(lambda: store.record_ranges(others, [(5, 6)], changes_nothing, release=True))
            == 1
        )
    finally:
        go_on.set()
        thread.join()


def test_nobody_acts_on_a_cancellation_before_it_is_on_the_disk(store, disk):
    upload = new_upload(length=20)
    store.create(upload)
    claim = store.claim_range(upload.id, 0, 20, changes_nothing)
    store.transition(upload.id, Event.CANCEL, changes_nothing)
    assert disk.syncs(lambda: store.find(upload.id)) == 1
    record = (claim, claim.gaps, changes_nothing)
    assert disk.syncs(lambda: store.record_ranges(*record, release=True)) == 1
    assert disk.syncs(lambda: store.lease_due(5000.0, 6000.0, in_process=True)) == 1


def test_who_waits_for_the_disk_does_not_hold_up_other_writers(store, disk):
    committed, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        if threading.current_thread() is thread:
            committed.set()
            assert go_on.wait(30)

    disk.before = wait
    thread = threading.Thread(target=store.create, args=(new_upload(),))
    thread.start()
    try:
        assert committed.wait(30)
        store.create(new_upload())
        other = SQLiteTicketStore(store.path)  # as in another process
        other.create(new_upload())
        other.close()
    finally:
        go_on.set()
        thread.join()
    assert store.count_by_state() == {UploadState.CREATED: 3}


class FailingDisk:
    """A disk that fails to write the log when it is told to, and what a crash of the machine leaves
    there then: without what it has failed to write, unless that was written again since."""

    def __init__(self, disk: Disk, monkeypatch) -> None:
        self.failures = 0  # to come
        self.number = errno.EIO
        self._path = disk.path
        self._log = Path(f"{disk.path}-wal")
        self._lost: set[int] = set()
        self._synced = 0
        self._pwrite = os.pwrite
        disk.before = self._sync
        monkeypatch.setattr("os.pwrite", self._write_again)

    def _sync(self) -> None:
        size = self._log.stat().st_size
        if self.failures:
            self.failures -= 1
            self._lost.update(range(self._synced, size))
            raise OSError(self.number, os.strerror(self.number))
        self._synced = size

    def _write_again(self, descriptor: int, block: bytes, position: int) -> int:
        assert os.pread(descriptor, len(block), position) == block
        self._lost.difference_update(range(position, position + len(block)))
        return self._pwrite(descriptor, block, position)

    def after_a_crash(self, folder: Path) -> SQLiteTicketStore:
        folder.mkdir()
        log = bytearray(self._log.read_bytes())
        for position in self._lost:
            log[position] = 0
        folder.joinpath("copy.db").write_bytes(self._path.read_bytes())
        folder.joinpath("copy.db-wal").write_bytes(log)
        store = SQLiteTicketStore(folder / "copy.db")
        store.prepare()
        return store


@pytest.fixture
def failing(disk, store, monkeypatch):
    store.create(new_upload())  # opens the log
    return FailingDisk(disk, monkeypatch)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_what_is_acknowledged_after_a_failed_sync_survives_a_crash(
    store, failing, number, tmp_path
):
    """The kernel tells of its failure once, and all that is committed later stands behind it."""
    older, later = new_upload(), new_upload()
    store.create(older)
    failing.failures, failing.number = 1, number
    with pytest.raises(TicketStoreError):  # whatever it is: the commit may stand
        store.create(new_upload())
    store.create(later)
    store.transition(older.id, Event.CANCEL, changes_nothing)
    with closing(failing.after_a_crash(tmp_path / "crash")) as after:
        assert after.load(older.id).state is UploadState.CANCELLED
        assert after.load(later.id).state is UploadState.CREATED


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, TicketStoreError), (errno.ENOSPC, StorageFull)]
)
def test_nothing_is_acknowledged_before_the_disk_has_taken_all(
    store, failing, number, error, tmp_path
):
    cancelled, refused, later = new_upload(), new_upload(), new_upload()
    store.create(cancelled)
    failing.failures, failing.number = 1000, number
    with pytest.raises(TicketStoreError):
        store.transition(cancelled.id, Event.CANCEL, changes_nothing)
    with pytest.raises(error):  # and has not happened
        store.create(refused)
    with pytest.raises(error):
        store.find(cancelled.id)
    assert store.find(refused.id) is None
    failing.failures = 0
    assert store.load(cancelled.id).state is UploadState.CANCELLED
    store.create(later)
    with closing(failing.after_a_crash(tmp_path / "crash")) as after:
        assert after.load(cancelled.id).state is UploadState.CANCELLED
        assert after.load(later.id).state is UploadState.CREATED
        assert after.find(refused.id) is None


def test_who_has_not_been_told_of_a_failed_sync_does_not_believe_his_own(store, failing, disk):
    """The kernel tells of it only those who had the log open before."""
    upload = new_upload()
    sync, fails = disk.before, []

    def fail_meanwhile() -> None:
        if not fails:
            fails.append(True)
            failing.failures = 1000
            with pytest.raises(TicketStoreError):  # another thread
                store.create(new_upload())
            failing.failures = 0
        sync()

    disk.before = fail_meanwhile
    with pytest.raises(TicketStoreError):
        store.create(upload)
    disk.before = sync
    assert store.load(upload.id) == upload


def test_a_durable_store_syncs_before_others_see_it(tmp_path, disk):
    store = SQLiteTicketStore(tmp_path / "durable.db", durable=True)
    store.prepare()
    assert disk.syncs(lambda: store.create(new_upload())) == 0
    with store._database.using() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    store.close()


def test_a_thread_that_waits_for_its_turn_too_long_says_so(store, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.tickets._database.BUSY_TIMEOUT_S", 0.05)
    errors = []

    def create() -> None:
        try:
            store.create(new_upload())
        except Unavailable as exc:
            errors.append(exc)

    thread = threading.Thread(target=create)
    with store._database.writing():
        thread.start()
        thread.join()
    assert len(errors) == 1
    store.create(new_upload())


def test_a_process_that_waits_for_another_too_long_says_so(store, monkeypatch):
    """The other one stands still in the middle of a transaction; or has ended, however."""
    monkeypatch.setattr("incoming_wsgi.tickets._database.BUSY_TIMEOUT_S", 0.05)
    store.create(new_upload())
    other = os.open(f"{store.path}-wal", os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            store.create(new_upload())
        assert store.count_by_state() == {UploadState.CREATED: 1}
    finally:
        os.close(other)
    store.create(new_upload())


class Interrupted(BaseException):
    """As KeyboardInterrupt, or what else the handler of a signal raises."""


def interrupt_after(number: int, call) -> bool:
    """Do `call`, and interrupt it where a signal might: when the store's code has got an answer
    from C for this many times. False if it has come to its end before."""
    left = number

    def count(frame, event, _) -> None:
        nonlocal left
        if event == "c_return" and Path(frame.f_code.co_filename).parent.name == "tickets":
            left -= 1
            if left == 0:
                raise Interrupted

    sys.setprofile(count)
    try:
        call()
    except Interrupted:
        pass
    finally:
        sys.setprofile(None)
    return left <= 0


@pytest.mark.parametrize(
    "write",
    [
        lambda store, upload: store.create(new_upload()),  # durable
        lambda store, upload: store.transition(upload.id, Event.DECLARE, changes_nothing),
        lambda store, upload: store.find_digests(upload.id),
    ],
    ids=["durable", "writing", "reading"],
)
def test_who_is_interrupted_anywhere_leaves_nothing_that_others_wait_for(store, write, monkeypatch):
    monkeypatch.setattr("incoming_wsgi.tickets._database.BUSY_TIMEOUT_S", 1.0)
    upload = new_upload()
    store.create(upload)
    other = SQLiteTicketStore(store.path)  # as in another process
    errors: list[tuple[int, str, IncomingError]] = []

    def create(number: int, who: str, chosen: SQLiteTicketStore) -> None:
        try:
            chosen.create(new_upload())
        except IncomingError as exc:
            errors.append((number, who, exc))

    number = 1
    while interrupt_after(number, lambda: write(store, upload)):
        thread = threading.Thread(target=create, args=(number, "another thread", store))
        thread.start()
        thread.join()
        create(number, "another process", other)
        create(number, "itself", store)
        assert not errors
        number += 1
    other.close()
    assert number > 5


def test_a_state_is_changed_only_from_the_state_that_was_seen(store):
    upload = new_upload()
    store.create(upload)
    store.transition(upload.id, Event.CANCEL, changes_nothing)
    with pytest.raises(WrongState) as caught:
        store.transition(upload.id, Event.COMPLETE, changes_nothing)
    assert (caught.value.state, caught.value.event) == ("CANCELLED", "complete")


def test_a_new_connection_does_not_drop_the_locks_of_the_others(store):
    """POSIX locks of a process end when it closes any descriptor of the file."""

    def locks() -> list[str]:
        shared = store.path.with_name(store.path.name + "-shm")
        inodes = {str(path.stat().st_ino) for path in (store.path, shared)}
        # Without the number before the colon: it counts the locks of the whole machine.
        lines = [x.partition(": ")[2] for x in Path("/proc/locks").read_text().splitlines()]
        return [
            x
            for x in lines
            if x.split()[4].rpartition(":")[2] in inodes and f" {os.getpid()} " in x
        ]

    store.create(new_upload())
    with store._database.using() as connection:
        connection.execute("BEGIN IMMEDIATE")
        before = locks()
        assert before, "a connection of SQLite in WAL holds a shared lock on its database"
        thread = threading.Thread(target=store.count_by_state)
        thread.start()
        thread.join()
        other = SQLiteTicketStore(store.path)
        other.count_by_state()
        assert locks() == before
        other.close()
        assert locks() == before
        connection.execute("ROLLBACK")
