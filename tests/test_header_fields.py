"""Header fields with a grammar of their own: what fits is read, what does not is as if not sent."""

from __future__ import annotations

import base64
import hashlib

import pytest

from incoming_wsgi.digesting import ExpectedDigest
from incoming_wsgi.errors import BadRequest
from incoming_wsgi.header_fields import (
    parse_boolean,
    parse_content_digest,
    parse_digests,
    parse_disposition,
    parse_integer,
    parse_integers,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("?1", True),
        ("?0", False),
        (" ?1 ", True),
        ("?1;a", True),
        ('?0; a=1;b=?1;c=token;d="a;b";e=:YQ==:;f=1.5', False),
        (None, None),
        ("", None),
        ("1", None),
        ("true", None),
        ("?2", None),
        ("?11", None),
        ("? 1", None),
        ("?1,?1", None),  # sent twice
        ("?1, ?0", None),
        ("?1 ;a", None),
        ("?1;", None),
        ("?1;A", None),
        ("?1;a=", None),
        ('"?1"', None),
        ("\t?1", None),
    ],
)
def test_a_boolean_is_a_question_mark_and_a_digit(text, value):
    assert parse_boolean(text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("00", 0),
        ("42", 42),
        ("-17", -17),
        ("-0", 0),
        ("999999999999999", 999_999_999_999_999),
        ("10;unit=bytes", 10),
        (" 10  ", 10),
        ("1000000000000000", None),  # sixteen digits
        (None, None),
        ("", None),
        ("+1", None),
        ("1.0", None),
        ("1e3", None),
        ("0x10", None),
        ("1_0", None),
        ("10, 10", None),
        ("10 20", None),
        ("--1", None),
        ("\u0661", None),
        ("@10", None),
        ("?1", None),
        ("10;b=(1)", None),  # parameters have no lists
    ],
)
def test_an_integer_has_at_most_fifteen_digits(text, value):
    assert parse_integer(text) == value


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("sha-256=1", {"sha-256": 1}),
        ("sha-256=1, sha-512=10", {"sha-256": 1, "sha-512": 10}),
        ("a=1\t, b=2;c=3,*d=-4", {"a": 1, "b": 2, "*d": -4}),
        (
            'a, b=?1, c="x, y=1", d=(1 2;a);e, f=1.5, g=tok/en, h=:YQ==:, i=@1, j=%"%c3%a9", k=7',
            {"k": 7},
        ),
        ("a=1, a=2", {"a": 2}),
        ("a=1, a=?0", {}),
        (None, {}),
        ("", {}),
        ("a=1,", {}),
        (",a=1", {}),
        ("a=1 b=2", {}),
        ("A=1", {}),
        ("a=1, b=", {}),
        ("a=1, b=1000000000000000", {}),
        ("a=1;", {}),
        ("a =1", {}),
        ('a=1, b="', {}),
    ],
)
def test_a_dictionary_is_read_whole_or_not_at_all(text, members):
    assert parse_integers(text) == members


def test_a_long_field_takes_no_long_time():
    """Patterns that can fit in several ways could: this would take years."""
    assert parse_integers("a=(" + "1 " * 30_000) == {}
    assert parse_integers("a;b" * 10_000 + "!") == {}
    assert parse_boolean("?1" + ";a=a" * 10_000 + "\x00") is None
    assert parse_disposition("inline" + "; a=b" * 10_000 + ";") is None


# digests

SHA256 = hashlib.sha256(b"abc")
SHA512 = hashlib.sha512(b"abc")


def spelled(digest) -> str:
    return f":{base64.b64encode(digest.digest()).decode()}:"


def test_the_sha256_comes_before_the_sha512():
    sha256, sha512 = f"sha-256={spelled(SHA256)}", f"sha-512={spelled(SHA512)}"
    expected = ExpectedDigest("sha256", SHA256.digest())
    assert parse_content_digest(sha256) == expected
    assert parse_content_digest(f"{sha512}, {sha256}") == expected
    assert parse_content_digest(sha512) == ExpectedDigest("sha512", SHA512.digest())
    assert parse_content_digest("md5=:kAFQmDzST7DWlj99KOF/cg==:") is None
    assert parse_content_digest(None) is None


def test_all_digests_that_are_known_are_found_by_the_names_of_hashlib():
    field = f"md5=:YQ==:, sha-512={spelled(SHA512)},sha-256={spelled(SHA256)}"
    assert parse_digests("Repr-Digest", field) == {
        "sha256": SHA256.digest(),
        "sha512": SHA512.digest(),
    }
    assert parse_digests("Repr-Digest", None) == {}


@pytest.mark.parametrize(
    "field",
    ["sha-256", "sha-256=abc", "sha-256=:YQ==", "sha-256=:Y:", "sha-256=:YQ==:", "=:YQ==:", ","],
)
def test_a_digest_that_cannot_be_read_is_refused_by_the_name_of_its_field(field):
    with pytest.raises(BadRequest, match="Repr-Digest"):
        parse_digests("Repr-Digest", field)


# names


def latin(text: str) -> str:
    """As WSGI spells the bytes of UTF-8."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("field", "name"),
    [
        # RFC 6266, section 5
        ("Attachment; filename=example.html", "example.html"),
        ('INLINE; FILENAME= "an example.html"', "an example.html"),
        ("attachment; filename*= UTF-8''%e2%82%ac%20rates", "€ rates"),
        ("attachment; filename=\"EURO rates\"; filename*=utf-8''%e2%82%ac%20rates", "€ rates"),
        # RFC 8187, section 3.2.3
        ("inline; filename*=UTF-8'en'%C2%A3%20rates", "£ rates"),
        ("inline; filename*=iso-8859-1'en'%A3%20rates", "£ rates"),
        ("inline; filename*=utf-8''a.txt; filename=b.txt", "a.txt"),
        (r'inline; filename="a \"b\" \\ c"', r'a "b" \ c'),
        (latin('inline; filename="größe.txt"'), "größe.txt"),
        ('inline; filename="gr\xf6\xdfe.txt"', "größe.txt"),
        ('inline;filename="a;b=c.txt";size=3', "a;b=c.txt"),
        ('form-data; name="file"; filename="a.txt"', "a.txt"),
        ('inline ; filename = "a.txt" ', "a.txt"),
        # what cannot be read of filename* leaves filename
        ("inline; filename=a.txt; filename*=utf-8''%ff", "a.txt"),
        ("inline; filename=a.txt; filename*=koi8-r''%C1", "a.txt"),
        ("inline; filename=a.txt; filename*=plain", "a.txt"),
        (None, None),
        ("", None),
        ("inline", None),
        ("inline; size=3", None),
        ('inline; filename=""', None),
        ('inline; filename="a.txt', None),
        ("inline; filename=a b.txt", None),
        ("inline; filename", None),
        ("inline; filename=a.txt; filename=b.txt", None),
        ("inline; filename=a.txt, inline", None),
        ('filename="a.txt"', None),
    ],
)
def test_the_name_of_a_content_disposition(field, name):
    assert parse_disposition(field) == name
