"""Header fields that have a grammar of their own, as far as dialects need them.

Structured fields (RFC 9651): an Item has a value and parameters, which are passed over; a
Dictionary has members, of which the last of a name counts. They are read strictly: what does not
fit is as good as not there, as the draft wants it. Digests (RFC 9530) are another matter: whoever
sends one wants it checked, so what cannot be read is refused. The name in Content-Disposition (RFC
6266) is a courtesy; what cannot be read there is no name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from .body import shown
from .digesting import ExpectedDigest
from .errors import BadRequest

__all__ = [
    "MAX_INTEGER",
    "parse_boolean",
    "parse_content_digest",
    "parse_digests",
    "parse_disposition",
    "parse_integer",
    "parse_integers",
]

MAX_INTEGER = 10**15 - 1  # RFC 9651 3.3.1

# RFC 9651, 3.3 and 4.2.
KEY = r"[a-z*][a-z0-9_.*-]*"
VALUE = (
    r"(?:-?[0-9]{1,12}\.[0-9]{1,3}|@?-?[0-9]{1,15}|\?[01]|:[A-Za-z0-9+/=]*:"
    r'|"(?:[ !#-\[\]-~]|\\["\\])*"|%"(?:[ !#$&-~]|%[0-9a-f]{2})*"'
    r"|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
)
PARAMETERS = rf"(?:; *{KEY}(?:={VALUE})?)*"
ITEM = re.compile(rf" *({VALUE}){PARAMETERS} *")
INNER_LIST = rf"\( *(?:{VALUE}{PARAMETERS}(?: +{VALUE}{PARAMETERS})*)? *\)"
MEMBER = re.compile(rf"({KEY})(?:=({VALUE}|{INNER_LIST}))?{PARAMETERS}")
COMMA = re.compile(r"[ \t]*,[ \t]*")
BOOLEAN = re.compile(r"\?[01]")
INTEGER = re.compile(r"-?[0-9]{1,15}")

# RFC 9530 keeps these two; what else a client sends is for somebody else.
DIGEST_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}
DIGEST_MEMBER = re.compile(r"\s*([a-z0-9*_.-]+)=:([A-Za-z0-9+/=]*):\s*", re.ASCII)

# RFC 6266 4.1 and RFC 8187 3.2.
TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
DISPOSITION_TYPE = re.compile(rf"\s*{TOKEN}\s*", re.ASCII)
DISPOSITION_PARAMETER = re.compile(
    rf';\s*({TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({TOKEN}))\s*', re.ASCII | re.DOTALL
)
EXTENDED_VALUE = re.compile(
    r"([A-Za-z0-9-]+)'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)"
)
CHARSETS = {"utf-8": "utf-8", "iso-8859-1": "latin-1"}


# structured fields


def parse_boolean(text: str | None) -> bool | None:
    """An Item that is a Boolean; None for anything else."""
    value = _parse_item(text, BOOLEAN)
    return None if value is None else value == "?1"


def parse_integer(text: str | None) -> int | None:
    """An Item that is an Integer, of at most 15 digits; None for anything else."""
    value = _parse_item(text, INTEGER)
    return None if value is None else int(value)


def parse_integers(text: str | None) -> dict[str, int]:
    """Those members of a Dictionary that are Integers; empty for what is no Dictionary."""
    integers: dict[str, int] = {}
    text = (text or "").strip(" ")
    position = 0
    while match := MEMBER.match(text, position):
        name, value = match.groups()
        integers.pop(name, None)
        if value is not None and INTEGER.fullmatch(value):
            integers[name] = int(value)
        if match.end() == len(text):
            return integers
        comma = COMMA.match(text, match.end())
        if comma is None:
            break
        position = comma.end()
    return {}


def _parse_item(text: str | None, kind: re.Pattern[str]) -> str | None:
    match = ITEM.fullmatch(text or "")
    return match[1] if match and kind.fullmatch(match[1]) else None


# digests


def parse_content_digest(text: str | None) -> ExpectedDigest | None:
    """The strongest digest that we know of a Content-Digest field (RFC 9530), None without one.

    Raises BadRequest for a member that cannot be read.
    """
    known = parse_digests("Content-Digest", text)
    # SHA-256 first: it is kept with the chunk and can be compared when resuming.
    for algorithm in DIGEST_ALGORITHMS.values():
        if algorithm in known:
            return ExpectedDigest(algorithm, known[algorithm])
    return None


def parse_digests(name: str, text: str | None) -> Mapping[str, bytes]:
    """The digests that we know of a field `name`, by the algorithm's name in `hashlib`. Raises
    BadRequest for a member that cannot be read."""
    known: dict[str, bytes] = {}
    for member in text.split(",") if text else ():
        match = DIGEST_MEMBER.fullmatch(member)
        if match is None:
            raise BadRequest(f"{name} has a member {shown(member)}; write sha-256=:BASE64:")
        if match[1] in DIGEST_ALGORITHMS:
            known[DIGEST_ALGORITHMS[match[1]]] = _parse_digest(name, match[1], match[2])
    return known


def _parse_digest(name: str, key: str, text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise BadRequest(f"{name}: {shown(text)} is not Base64") from exc
    size = hashlib.new(DIGEST_ALGORITHMS[key]).digest_size
    if len(digest) != size:
        raise BadRequest(f"{name}: a {key} has {size} bytes, this one {len(digest)}")
    return digest


# names


def parse_disposition(text: str | None) -> str | None:
    """The file name of a Content-Disposition field; `filename*`, which can spell all of them,
    comes first. None if there is none, or the field cannot be read."""
    start = DISPOSITION_TYPE.match(text or "")
    if text is None or start is None:
        return None
    parameters: dict[str, str] = {}
    position = start.end()
    while match := DISPOSITION_PARAMETER.match(text, position):
        name, quoted, token = match.groups()
        value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        if parameters.setdefault(name.lower(), value) != value:
            return None
        position = match.end()
    if position != len(text):
        return None
    extended = _parse_extended(parameters.get("filename*", ""))
    return extended or _as_utf8(parameters.get("filename", "")) or None


def _parse_extended(text: str) -> str | None:
    match = EXTENDED_VALUE.fullmatch(text)
    charset = CHARSETS.get(match[1].lower()) if match else None
    if match is None or charset is None:
        return None
    try:
        return unquote_to_bytes(match[2]).decode(charset)
    except UnicodeDecodeError:
        return None


def _as_utf8(text: str) -> str:
    """WSGI spells the bytes of a header as Latin-1; browsers and others send UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
