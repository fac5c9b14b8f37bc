"""The upload record, and what becomes of a name that a browser sent."""

from __future__ import annotations

import re
import uuid

import pytest

from incoming_wsgi import BadRequest, Incoming, WrongSecret
from incoming_wsgi.uploads import log_id, new_upload_id, safe_filename


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


def test_half_of_a_surrogate_pair_is_refused_or_replaced(tmp_path):
    incoming = Incoming(tmp_path, on_finished=lambda upload: None, background=False)
    upload_id = incoming.new_upload(filename="a\ud800.txt")
    assert incoming.status(upload_id).filename == "a?.txt"
    for name in ("owner", "secret", "signal_finish_url"):
        with pytest.raises(BadRequest, match=f"{name} is .*; it must be a text"):
            incoming.new_upload(**{name: "\ud800"})
    with pytest.raises(BadRequest, match="secret is 5; it must be a text"):
        incoming.new_upload(secret=5)
    assert incoming.status(incoming.new_upload(owner=42)).owner == "42"
    with pytest.raises(WrongSecret):
        incoming.cancel_upload(upload_id, secret="\ud800")
    with pytest.raises(BadRequest, match=r"length is 1\.5; it must be a whole number"):
        incoming.new_upload(length=1.5)
    incoming.close()


def test_ids_are_random_uuids():
    ids = {new_upload_id() for _ in range(1000)}
    assert len(ids) == 1000
    for upload_id in ids:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", upload_id)
        assert uuid.UUID(upload_id).version == 4


def test_logs_show_no_more_than_eight_characters_of_an_id():
    assert log_id("5d193227-06b0-4ea9-8ff0-a44407b7b260") == "5d193227"
