"""Whether an answer is the one that was written down, and what all answers must be like."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from wire_lines import Answer, Request
from wire_vectors import Exchange, fill

__all__ = ["check_answer"]

HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "upgrade"}
WITHOUT_BODY = (204, 304)


def check_answer(
    answer: Answer, exchange: Exchange, request: Request, variables: dict[str, str]
) -> None:
    """What the answer's headers name (`Location ~ (?P<new>…)`) becomes a variable."""
    said = f"{exchange.method} {exchange.path} got {answer.status} {answer.body[:400]!r}"
    assert answer.status in exchange.statuses, said
    if exchange.phrase:
        assert answer.phrase == exchange.phrase
    _check_any(answer, request)
    headers = {name.lower(): value for name, value in answer.headers}
    assert len(headers) == len(answer.headers), "a header is there twice"
    for line in exchange.answer:
        _check_header(line, headers, request, variables)
    for line in exchange.answer_body:
        _check_body(fill(line, variables), answer, variables)


def _check_any(answer: Answer, request: Request) -> None:
    """Of every answer, whatever it is about."""
    assert answer.status >= 200, "WSGI cannot send an interim answer"
    for name, value in answer.headers:
        assert name.lower() not in HOP_BY_HOP
        assert (name + value).isascii()
        assert value == value.strip(), name
    names = {name.lower() for name, _ in answer.headers}
    assert "x-content-type-options" in names
    if request.method == "HEAD" or answer.status in WITHOUT_BODY:
        assert answer.body == b""
    if answer.status in WITHOUT_BODY:
        assert names.isdisjoint({"content-length", "content-type"})  # RFC 9110, 8.6
    if ("Content-Type", "application/problem+json") in answer.headers and answer.body:
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status
        assert problem["code"]
        assert problem["detail"]


def _check_header(
    line: str, headers: Mapping[str, str], request: Request, variables: dict[str, str]
) -> None:
    line = fill(line, variables)
    if line.startswith("-"):
        assert line[1:].lower() not in headers, headers
        return
    match = re.fullmatch(r"([\w-]+)(:| ~| has| lacks| within| resolves to)(?: (.*))?", line)
    assert match, f"what is expected by {line!r}?"
    name, how, expected = match[1].lower(), match[2].strip(), match[3] or ""
    assert name in headers, f"no {match[1]} in {headers}"
    value = headers[name]
    if how == ":":
        assert value == expected, line
    elif how == "~":
        _match(expected, value, variables)
    elif how == "resolves to":
        url = urlsplit(urljoin(f"http://localhost{request.path}", value))
        assert url.netloc == "localhost", value
        _match(re.escape(variables["mount"]) + expected, url.path, variables)
    elif how == "within":
        seconds, _, middle = expected.partition(" of ")
        if value.isdigit():
            seen = float(value)
        else:
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", value), value
            seen = parsedate_to_datetime(value).timestamp() - time.time()
        assert abs(seen - float(middle)) <= float(seconds), value
    else:
        listed = {part.strip().lower() for part in value.split(",")}
        wanted = {part.strip().lower() for part in expected.split(",")}
        assert wanted <= listed if how == "has" else wanted.isdisjoint(listed), (line, value)


def _match(pattern: str, value: str, variables: dict[str, str]) -> None:
    match = re.fullmatch(pattern, value)
    assert match, f"{value!r} is not like {pattern}"
    variables.update(match.groupdict())


def _check_body(expected: str, answer: Answer, variables: dict[str, str]) -> None:
    if expected == "empty":
        assert answer.body == b""
    elif expected.startswith("~ "):
        _match(expected[2:], answer.body.decode(), variables)
    else:
        _check_members(json.loads(expected), json.loads(answer.body))


def _check_members(expected: Any, seen: Any) -> None:
    """`expected` is `seen`, or of objects a part of it."""
    if isinstance(expected, dict):
        assert isinstance(seen, dict), seen
        assert expected.keys() <= seen.keys(), seen
        for name, value in expected.items():
            _check_members(value, seen[name])
    else:
        assert seen == expected, seen
