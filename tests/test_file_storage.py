"""Files in a folder: the contract, and what is the file system's own."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from incoming_wsgi.errors import FileTooLarge, NotSynced, StorageError, StorageFull
from incoming_wsgi.storage._writer import FileWriter
from incoming_wsgi.storage.file import FileStorage
from incoming_wsgi.testing import StorageContract


def allow() -> bool:
    return True


CANNOT = [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM]


class TestFileStorageContract(StorageContract):
    @pytest.fixture
    def make_storage(self, tmp_path):
        return lambda: FileStorage(tmp_path / "storage")


@pytest.fixture
def storage(tmp_path):
    storage = FileStorage(tmp_path / "storage")
    storage.prepare()
    return storage


def test_nothing_is_left_of_the_trial_at_the_start(storage):
    assert not [path for path in storage.folder.rglob("*") if not path.is_dir()]


def test_files_are_for_their_owner_alone(storage):
    with storage.open_writer("some-id", create=True) as writer:
        writer.write(0, b"x", allow)
    assert stat.S_IMODE(storage.locate("some-id").stat().st_mode) == 0o600
    assert stat.S_IMODE(storage.files.stat().st_mode) == 0o700


def test_a_chunk_at_a_far_offset_takes_no_room_before_it(storage):
    with storage.open_writer("sparse", create=True) as writer:
        writer.write(5 * 2**40 - 1, b"x", allow)
    status = storage.locate("sparse").stat()
    assert status.st_size == 5 * 2**40
    assert status.st_blocks * 512 < 2**20


def test_relative_folders_do_not_follow_a_later_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = FileStorage("storage")
    monkeypatch.chdir("/")
    storage.prepare()
    assert storage.locate("id") == tmp_path / "storage" / "files" / "id"


def test_a_file_in_place_of_the_folder_is_refused_with_its_name(tmp_path):
    (tmp_path / "taken").write_text("not a folder")
    with pytest.raises(StorageError, match=r"taken.* is not a folder"):
        FileStorage(tmp_path / "taken").prepare()


def test_a_folder_of_a_foreign_kind_is_refused():
    # /proc takes no files whoever asks, so this works for root too.
    with pytest.raises(StorageError, match="cannot be made"):
        FileStorage("/proc/incoming").prepare()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads
def test_a_folder_that_this_user_may_not_write_to_is_refused():
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o555)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if os.geteuid() == 0:  # root may write everywhere
                    os.setgid(65534)
                    os.setuid(65534)
                with pytest.raises(StorageError, match="this user may write to"):
                    FileStorage(Path(name) / "storage").prepare()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("missing", ["flock", "fdatasync"])
def test_a_file_system_without_what_uploads_need_is_refused(tmp_path, monkeypatch, missing):
    def fail(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(
        f"incoming_wsgi.storage.file.{'fcntl' if missing == 'flock' else 'os'}.{missing}", fail
    )
    with pytest.raises(StorageError, match="a local file system with flock"):
        FileStorage(tmp_path / "storage").prepare()
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOLCK, errno.ENOSYS, None])
def test_where_bytes_cannot_be_locked_an_upload_is_held_all_the_same(tmp_path, monkeypatch, number):
    """With None they can, it only does not help."""

    def lock(*_):
        if number is not None:
            raise OSError(number, os.strerror(number))
        return b""

    monkeypatch.setattr("fcntl.fcntl", lock)
    storage, other = FileStorage(tmp_path / "storage"), FileStorage(tmp_path / "storage")
    storage.prepare()
    other.prepare()
    with storage.hold("some-id") as is_held:
        assert is_held
        with other.hold("some-id") as is_held:
            assert not is_held
        with other.hold("another") as is_held:
            assert is_held
    with other.hold("some-id") as is_held:
        assert is_held


def test_a_hold_is_on_the_file_that_the_next_one_opens(storage, monkeypatch):
    """Somebody clears the folder up between opening the file and locking it."""
    lock, locks = fcntl.fcntl, storage.folder / "locks"

    def clear_up(*args):
        monkeypatch.undo()
        locks.unlink()
        return lock(*args)

    monkeypatch.setattr("fcntl.fcntl", clear_up)
    with storage.hold("some-id") as is_held:
        assert is_held
        assert locks.exists()
        with storage.hold("some-id") as is_held:
            assert not is_held


def test_a_symbolic_link_in_place_of_a_file_is_not_followed(storage, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    storage.locate("some-id").symlink_to(victim)
    with pytest.raises(StorageError), storage.open_writer("some-id", create=True):
        pass
    assert victim.read_bytes() == b"untouched"


def test_no_room_is_its_own_error():
    writer = FileWriter(os.open("/dev/full", os.O_RDWR), min_free_bytes=0)
    with writer, pytest.raises(StorageFull, match="No space left on device"):
        writer.write(0, b"x", allow)


def test_many_writers_of_one_file_do_not_disturb_each_other(storage):
    block = 64 * 1024

    def write(number: int) -> None:
        with storage.open_writer("shared", create=True) as writer:
            for index in range(number, 64, 4):
                writer.write(index * block, bytes([index]) * block, allow)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    storage.seal("shared", 64 * block)
    content = storage.locate("shared").read_bytes()
    assert content == b"".join(bytes([index]) * block for index in range(64))


def test_descriptors_are_given_back(storage):
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    for _ in range(3):
        with storage.open_writer("some-id", create=True) as writer:
            writer.write(0, b"abc", allow)
        storage.seal("some-id", 3)
        with pytest.raises(StorageError):
            storage.seal("some-id", 4)
    assert descriptors() == before


def test_sealing_syncs_the_file_and_then_its_folder(storage, monkeypatch):
    synced = []

    def watch(name):
        real = getattr(os, name)

        def sync(descriptor):
            synced.append((name, os.readlink(f"/proc/self/fd/{descriptor}")))
            real(descriptor)

        monkeypatch.setattr(f"incoming_wsgi.storage.file.os.{name}", sync)

    with storage.open_writer("some-id", create=True) as writer:
        writer.write(0, b"abc", allow)
        watch("fdatasync")
        watch("fsync")
        storage.seal("some-id", 3)
    assert synced == [("fdatasync", str(storage.locate("some-id"))), ("fsync", str(storage.files))]


# files that are made of others


@pytest.fixture
def halves(storage):
    """The parts of a file, and all of it."""
    content = os.urandom(5 << 20)
    parts = [("first", content[: 3 << 20]), ("second", content[3 << 20 :])]
    for name, block in parts:
        with storage.open_writer(name, create=True) as writer:
            writer.write(0, block, allow)
    return [(name, len(block)) for name, block in parts], content


def go_on() -> None:
    pass


def is_clean(storage) -> bool:
    """Nothing is left of what was begun."""
    return os.listdir(storage.folder / "held") == []


@pytest.mark.parametrize("error", [*CANNOT, None, 0])
def test_where_the_kernel_cannot_copy_the_bytes_go_through_memory(
    storage, halves, monkeypatch, error
):
    def cannot(*_):
        if error == 0:  # some file systems say that all is copied
            return 0
        raise OSError(error, os.strerror(error))

    if error is None:
        monkeypatch.delattr(os, "copy_file_range")
    else:
        monkeypatch.setattr(os, "copy_file_range", cannot)
    parts, content = halves
    storage.join("whole", parts, go_on)
    assert storage.locate("whole").read_bytes() == content
    assert is_clean(storage)


def test_a_kernel_that_copies_less_than_it_is_asked_for_is_asked_again(
    storage, halves, monkeypatch
):
    copy = os.copy_file_range
    monkeypatch.setattr(
        os,
        "copy_file_range",
        lambda source, target, count, *offsets: copy(source, target, min(count, 700_001), *offsets),
    )
    parts, content = halves
    storage.join("whole", parts, go_on)
    assert storage.locate("whole").read_bytes() == content


@pytest.mark.parametrize(
    ("error", "kind"),
    [(errno.ENOSPC, StorageFull), (errno.EFBIG, FileTooLarge), (errno.EIO, StorageError)],
)
def test_an_error_while_joining_leaves_the_parts_and_nothing_else(
    storage, halves, monkeypatch, error, kind
):
    def fail(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "copy_file_range", fail)
    parts, content = halves
    with pytest.raises(kind):
        storage.join("whole", parts, go_on)
    assert is_clean(storage)
    assert sorted(storage.list_ids()) == ["first", "second"]
    monkeypatch.undo()
    storage.join("whole", parts, go_on)
    assert storage.locate("whole").read_bytes() == content


def test_what_does_not_fit_beside_the_reserve_is_not_begun(tmp_path, halves, storage):
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    other = FileStorage(storage.folder, min_free_bytes=free - (2 << 20))
    copied = []
    with pytest.raises(StorageFull):
        other.join("whole", halves[0], lambda: copied.append(1))
    assert copied == [1]  # asked before the first block, of which there is room for
    assert is_clean(storage)


def test_a_disk_that_does_not_take_what_is_made_is_an_error(storage, halves, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "broken")

    parts, content = halves
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(NotSynced):
        storage.join("whole", parts, go_on)
    monkeypatch.undo()
    # What the disk has not taken is not believed a second time.
    assert is_clean(storage)
    storage.join("whole", parts, go_on)
    assert storage.locate("whole").read_bytes() == content
