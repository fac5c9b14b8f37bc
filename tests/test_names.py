"""What becomes of a name that a browser sent."""

from __future__ import annotations

import pytest

from incoming_wsgi.names import safe_filename


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
