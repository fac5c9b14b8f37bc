"""One request over a socket of its own, of which every byte and every pause is the caller's."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import requests

from incoming_wsgi.ranges import RangeSet

__all__ = ["RawPut", "RawRequest", "query", "received_of"]

TIMEOUT_S = 4.0


class RawRequest:
    """Its head has been sent, and a body of `size` bytes announced. A context manager; OSError when
    the line is lost."""

    def __init__(self, url: str, method: str, size: int, fields: dict[str, str]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S)
        self._method = method
        head = [
            f"{method} {parts.path} HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            f"Content-Length: {size}",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        try:
            self.send("\r\n".join([*head, "", ""]).encode())
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> RawRequest:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, block: bytes) -> None:
        self._socket.sendall(block)

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and JSON; of an answer without a body, the fields."""
        with HTTPResponse(self._socket, method=self._method) as response:
            try:
                response.begin()
                body = response.read()
                return response.status, json.loads(body) if body else dict(response.getheaders())
            except (HTTPException, ValueError) as exc:
                raise OSError("no whole answer") from exc


class RawPut(RawRequest):
    """A PUT of `[start, stop)`. `digest_of`: the bytes of which the head gives the digest, right or
    wrong."""

    def __init__(
        self, url: str, start: int, stop: int, length: int, *, digest_of: bytes | None = None
    ) -> None:
        fields = {"Content-Range": f"bytes {start}-{stop - 1}/{length}"}
        if digest_of is not None:
            digest = base64.b64encode(hashlib.sha256(digest_of).digest()).decode()
            fields["Content-Digest"] = f"sha-256=:{digest}:"
        super().__init__(url, "PUT", stop - start, fields)


def query(url: str) -> tuple[str, RangeSet] | None:
    """State and received ranges; None if there was no answer."""
    try:
        response = requests.get(url, timeout=TIMEOUT_S, headers={"Connection": "close"})
        if response.status_code != 200:
            return None
        facts = response.json()
    except (requests.RequestException, ValueError):
        return None
    return facts["state"], received_of(facts)


def received_of(facts: dict[str, Any]) -> RangeSet:
    return RangeSet.of((start, stop) for start, stop in facts["received"])
