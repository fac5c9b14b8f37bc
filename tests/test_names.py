"""What becomes of a name that a browser sent."""

from __future__ import annotations

import os.path
import random

import pytest

from incoming_wsgi.names import safe_filename, safe_relative_path


@pytest.mark.parametrize(
    ("sent", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Grüße 你好 🎈.txt", "Grüße 你好 🎈.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\report.pdf", "report.pdf"),
        ("/etc/", "upload"),
        ("", "upload"),
        (None, "upload"),
        (".", "upload"),
        ("..", "upload"),
        ("...", "upload"),
        ("   ", "upload"),
        ("a/..", "upload"),
        (".htaccess", ".htaccess"),
        ("a\0b\nc\r\x7f.txt", "abc.txt"),
        ("a\u2028b.txt", "ab.txt"),
        ("invoice\u202ecod.exe", "invoicecod.exe"),
        ("half \ud83d surrogate", "half  surrogate"),
        ("-rf", "-rf"),
        ("<b>.txt", "<b>.txt"),
        ('"quoted".txt', '"quoted".txt'),
    ],
)
def test_a_safe_name_can_be_joined_to_a_folder(sent, safe):
    assert safe_filename(sent) == safe


@pytest.mark.parametrize("sent", ["a" * 300 + ".txt", "ü" * 200 + ".txt", "你" * 120 + ".txt"])
def test_a_long_name_is_cut_between_characters_and_keeps_its_suffix(sent):
    safe = safe_filename(sent)
    assert 250 <= len(safe.encode()) <= 255
    assert safe.endswith(".txt")
    assert sent.startswith(safe.removesuffix(".txt"))


def test_a_name_that_is_all_suffix_is_cut_too():
    assert safe_filename("." + "x" * 300) == "." + "x" * 254


@pytest.mark.parametrize("sent", [" " * 300 + "abc", "." * 300 + "a" * 40, "." * 250 + ".a" * 20])
def test_a_name_of_which_cutting_leaves_no_letter_is_replaced(sent):
    assert safe_filename(sent).strip(". ")


# where a file was in a folder that was chosen


@pytest.mark.parametrize(
    ("sent", "safe"),
    [
        ("holiday/day 1/photo.jpg", "holiday/day 1/photo.jpg"),
        ("Urlaub/Größe 你好 🎈/photo.jpg", "Urlaub/Größe 你好 🎈/photo.jpg"),
        ("photo.jpg", "photo.jpg"),
        ("", "photo.jpg"),
        (None, "photo.jpg"),
        # upwards, nowhere, absolute
        ("../../etc/photo.jpg", "etc/photo.jpg"),
        ("a/../../b/photo.jpg", "a/b/photo.jpg"),
        ("a/./b//c/photo.jpg", "a/b/c/photo.jpg"),
        ("/etc/cron.d/photo.jpg", "etc/cron.d/photo.jpg"),
        ("//server/share/photo.jpg", "server/share/photo.jpg"),
        ("/", "photo.jpg"),
        ("../..", "photo.jpg"),
        (".../. ./ /a/photo.jpg", "a/photo.jpg"),
        ("~/.ssh/photo.jpg", "~/.ssh/photo.jpg"),  # only a shell knows that one
        # backslashes and drives
        ("holiday\\day 1\\photo.jpg", "holiday/day 1/photo.jpg"),
        ("..\\..\\windows/photo.jpg", "windows/photo.jpg"),
        ("C:\\Users\\ann\\photo.jpg", "Users/ann/photo.jpg"),
        ("c:users/photo.jpg", "users/photo.jpg"),
        ("a/C:/b/photo.jpg", "a/b/photo.jpg"),
        ("C:D:../a/photo.jpg", "a/photo.jpg"),
        ("\\\\?\\C:\\a\\photo.jpg", "?/a/photo.jpg"),
        # what would become dangerous only when something else was taken away
        (".\0./a/photo.jpg", "a/photo.jpg"),
        (".\u202e./a/photo.jpg", "a/photo.jpg"),
        ("C\0:../a/photo.jpg", "a/photo.jpg"),
        ("C:\u200e./a/photo.jpg", "a/photo.jpg"),
        ("a\n\x1b[2J/b\u2028c/d\ud83d/photo.jpg", "a[2J/bc/d/photo.jpg"),
        # nothing is decoded
        ("%2e%2e/%2Fetc/photo.jpg", "%2e%2e/%2Fetc/photo.jpg"),
        ("..\uff0f../a/photo.jpg", "..\uff0f../a/photo.jpg"),
    ],
)
def test_a_safe_relative_path_can_be_joined_to_a_folder(sent, safe):
    assert safe_relative_path(sent, "photo.jpg") == safe


@pytest.mark.parametrize(
    ("sent", "filename", "safe"),
    [
        ("a/other.jpg", "photo.jpg", "a/photo.jpg"),
        ("a/..", "photo.jpg", "a/photo.jpg"),
        ("a/b/", "photo.jpg", "a/b/photo.jpg"),
        ("a/photo.jpg", "../b/photo.jpg", "a/photo.jpg"),
        ("a/photo.jpg", "..", "a/upload"),
        ("a/photo.jpg", None, "a/upload"),
        (None, None, "upload"),
    ],
)
def test_a_relative_path_ends_in_the_files_own_safe_name(sent, filename, safe):
    assert safe_relative_path(sent, filename) == safe


def test_a_long_folder_is_cut_as_a_long_name_is():
    sent = "ü" * 200 + "/" + "x" * 300 + ".app/photo.jpg"
    assert safe_relative_path(sent, "photo.jpg") == ("ü" * 127 + "/" + "x" * 251 + ".app/photo.jpg")


def test_of_too_many_folders_those_next_to_the_file_stay():
    sent = "".join(f"{number}/" for number in range(1, 41)) + "photo.jpg"
    expected = "".join(f"{number}/" for number in range(10, 41)) + "photo.jpg"
    assert expected.count("/") == 31
    assert safe_relative_path(sent, "photo.jpg") == expected


def test_of_a_path_that_is_too_long_the_folders_next_to_the_file_stay():
    folders = [letter * 125 for letter in "àáâãäåæçèéêëìíî"]
    # Twelve of 251 bytes with their slashes are 3012, and the file's name makes 3072.
    name = "x" * 60
    assert safe_relative_path("/".join([*folders, name]), name) == "/".join([*folders[3:], name])
    longer = "x" * 61
    assert safe_relative_path("/".join([*folders, name]), longer) == (
        "/".join([*folders[4:], longer])
    )


def test_whatever_is_sent_a_relative_path_never_leaves_the_folder():
    pieces = ["/", "\\", ".", "..", " ", "\0", "C:", ":", "~", "\u202e", "\n", "ü", "a", "x" * 260]
    chosen = random.Random(7)
    for _ in range(5000):
        sent = "".join(chosen.choices(pieces, k=chosen.randrange(1, 90)))
        filename = chosen.choice(["photo.jpg", "..", sent, None])
        path = safe_relative_path(sent, filename)
        segments = path.split("/")
        assert os.path.normpath(f"/srv/archive/{path}") == f"/srv/archive/{path}", sent
        assert segments[-1] == safe_filename(filename), sent
        assert len(segments) <= 32, sent
        assert len(path.encode()) <= 3072, sent
        assert all(len(segment.encode()) <= 255 for segment in segments), sent
        assert all(segment.strip(". ") for segment in segments), sent
        assert not any(char in path for char in "\\\0\n\u202e"), sent
