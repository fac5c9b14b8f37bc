"""Taking a complete file into the folders in which the client had it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from incoming_wsgi.taking import CompleteUpload
from incoming_wsgi.testing.tickets import new_upload

CONTENT = b"all the bytes of the file"


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def complete(tmp_path):
    """A complete upload with what its client said."""
    (tmp_path / "incoming").mkdir()

    def make(relative_path: str | None, filename: str = "photo.jpg") -> CompleteUpload:
        record = new_upload(filename=filename, relative_path=relative_path, length=len(CONTENT))
        path = tmp_path / "incoming" / record.id
        path.write_bytes(CONTENT)
        return CompleteUpload(record, path)

    return make


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, and every folder with a slash at its end."""
    return {
        f"{path.relative_to(folder)}{'/' if path.is_dir() else ''}": (
            b"" if path.is_dir() else path.read_bytes()
        )
        for path in folder.rglob("*")
    }


def test_the_folders_of_the_client_are_kept_where_the_app_wants_them(complete, archive):
    upload = complete("holiday/day 1/photo.jpg")
    assert upload.safe_relative_path == "holiday/day 1/photo.jpg"
    taken = upload.move_into(archive, keep_folders=True)
    assert taken == archive / "holiday" / "day 1" / "photo.jpg"
    assert taken.read_bytes() == CONTENT
    assert not upload.path.exists()


def test_the_folders_of_the_client_are_not_made_unless_the_app_wants_them(complete, archive):
    complete("holiday/day 1/photo.jpg").move_into(archive)
    assert tree(archive) == {"photo.jpg": CONTENT}


def test_a_file_of_no_folder_is_put_into_the_folder_itself(complete, archive):
    upload = complete(None)
    assert upload.safe_relative_path == "photo.jpg"
    assert upload.move_into(archive, keep_folders=True) == archive / "photo.jpg"


def test_files_of_one_folder_meet_again_and_none_replaces_another(complete, archive):
    for relative_path in ("a/b/photo.jpg", "a/photo.jpg", "a/b/photo.jpg"):
        complete(relative_path).move_into(archive, keep_folders=True)
    assert set(tree(archive)) == {
        "a/",
        "a/b/",
        "a/b/photo.jpg",
        "a/photo.jpg",
        "a/b/photo (2).jpg",
    }


def test_a_file_that_has_the_name_of_a_folder_stays(complete, archive):
    (archive / "holiday").write_text("older")
    for filename in ("one.jpg", "two.jpg"):
        upload = complete(f"holiday/day 1/{filename}", filename)
        upload.move_into(archive, keep_folders=True)
    assert tree(archive) == {
        "holiday": b"older",
        "holiday (2)/": b"",
        "holiday (2)/day 1/": b"",
        "holiday (2)/day 1/one.jpg": CONTENT,
        "holiday (2)/day 1/two.jpg": CONTENT,
    }


def test_a_folder_that_has_the_name_of_a_file_stays(complete, archive):
    complete("photo.jpg/a.txt", "a.txt").move_into(archive, keep_folders=True)
    taken = complete("photo.jpg").move_into(archive, keep_folders=True)
    assert taken == archive / "photo (2).jpg"


@pytest.mark.parametrize(
    "relative_path",
    [
        "../photo.jpg",
        "../../incoming/photo.jpg",
        "a/../../photo.jpg",
        "..\\photo.jpg",
        ".\0./photo.jpg",
        "{outside}/photo.jpg",
        "C:/../photo.jpg",
    ],
)
def test_whatever_a_client_says_nothing_is_put_outside_of_the_folder(
    complete, archive, tmp_path, relative_path
):
    outside = tmp_path / "outside"
    outside.mkdir()
    upload = complete(relative_path.format(outside=outside))
    taken = upload.move_into(archive, keep_folders=True)
    assert taken.resolve().is_relative_to(archive.resolve())
    assert taken.read_bytes() == CONTENT
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "incoming", "outside"}
    assert list(outside.iterdir()) == list((tmp_path / "incoming").iterdir()) == []


def test_the_deepest_path_that_a_client_may_send_can_be_made(complete, archive):
    upload = complete("/".join(["x" * 250] * 16))
    taken = upload.move_into(archive, keep_folders=True)
    assert taken.read_bytes() == CONTENT


def test_a_folder_that_is_not_there_is_an_error_and_the_file_stays(complete, tmp_path):
    """An archive that is not mounted must not become a folder of the disk below."""
    upload = complete("a/photo.jpg")
    with pytest.raises(FileNotFoundError):
        upload.move_into(tmp_path / "missing", keep_folders=True)
    assert upload.path.read_bytes() == CONTENT
    assert not (tmp_path / "missing").exists()


def test_a_move_into_folders_that_was_killed_half_way_goes_on_where_it_was(complete, archive):
    upload = complete("a/b/photo.jpg")
    (archive / "a" / "b").mkdir(parents=True)
    os.link(upload.path, archive / "a" / "b" / "photo.jpg")
    upload.move_into(archive, keep_folders=True)
    assert set(tree(archive)) == {"a/", "a/b/", "a/b/photo.jpg"}
    assert not upload.path.exists()


def test_a_link_to_a_folder_that_the_app_has_put_there_is_followed(complete, archive, tmp_path):
    other_disk = tmp_path / "other disk"
    other_disk.mkdir()
    (archive / "holiday").symlink_to(other_disk)
    (archive / "lost").symlink_to(tmp_path / "missing")
    complete("holiday/photo.jpg").move_into(archive, keep_folders=True)
    assert tree(other_disk) == {"photo.jpg": CONTENT}
    # One that leads nowhere is no folder.
    taken = complete("lost/photo.jpg").move_into(archive, keep_folders=True)
    assert taken == archive / "lost (2)" / "photo.jpg"
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("other_file_system", [False, True])
def test_a_move_is_on_the_disk_before_the_server_may_forget_its_file(
    complete, archive, monkeypatch, other_file_system
):
    """What the app has taken must survive a power failure as well as the record of its "done"."""
    upload = complete(None)
    synced = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), upload.path.exists()))
        fsync(descriptor)

    def link(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr("incoming_wsgi.folders.os.fsync", watch)
    if other_file_system:
        real = os.link
        monkeypatch.setattr(
            "incoming_wsgi.taking.os.link",
            lambda source, target: (link if source == upload.path else real)(source, target),
        )
    upload.move_to(archive / "taken")
    assert synced[-1] == (str(archive), other_file_system)
    assert (archive / "taken").read_bytes() == CONTENT
