"""Which host a URL names, in one spelling, and whether it is one of those that may be called.

Parsers of URLs do not agree on every text ("http://good\\@evil/"). What they may read in different
ways is refused here, and `posting.py` compares once more what it connects to with what was checked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import idna

__all__ = ["Origin", "check_host", "is_among", "normal_name"]

DEFAULT_PORTS = {"http": 80, "https": 443}
# A name or an IPv4 address, an IPv6 address with or without brackets; then a port.
HOST = re.compile(
    r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:/@\\?#\s]+))(?::([0-9]{1,5}))?|([0-9a-fA-F:.]+)"
)
LABELS = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
PLAIN_AUTHORITY = re.compile(r"[^\\\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """`name` in the spelling of `normal_name`."""

    scheme: str
    name: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Where `url` leads. Raises ValueError for what is no http or https URL without doubt."""
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not PLAIN_AUTHORITY.fullmatch(parts.netloc):
            raise ValueError("not the URL of a host")
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        return cls(parts.scheme, normal_name(parts.hostname or ""), port)


def normal_name(name: str) -> str:
    """One spelling for each host: lower case, ASCII, without a dot at the end; an IPv6 address
    without brackets, as short as can be. Raises ValueError for what is no host."""
    if ":" in name:
        return str(ipaddress.IPv6Address(name.removeprefix("[").removesuffix("]")))
    if not name.isascii():  # as `requests` does it: there are two standards, and they differ
        name = idna.encode(name, uts46=True).decode("ascii")
    normal = name.removesuffix(".").lower()
    if not LABELS.fullmatch(normal):
        raise ValueError("not a host")
    return normal


def check_host(text: str) -> None:
    """Raises ValueError if `text` is neither a host nor host:port."""
    _parse(text)


def is_among(url: str, hosts: Sequence[str] | None) -> bool:
    """Whether `url` leads to one of `hosts`: each a name or address, for any port of it, or with
    ":port" for that one. None stands for every host."""
    if hosts is None:
        return True
    try:
        origin = Origin.of(url)
    except ValueError:  # UnicodeError is one
        return False
    return any(
        name == origin.name and port in (None, origin.port) for name, port in map(_parse, hosts)
    )


def _parse(text: str) -> tuple[str, int | None]:
    found = HOST.fullmatch(text)
    if found is None:
        raise ValueError("not a host")
    bracketed, name, port, address = found.groups()
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError("not a port")
    return normal_name(bracketed or name or address), None if port is None else int(port)
