"""What comes without a length, by whichever door, stays within the limits all the same."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_disk import MIB, small_disk
from webtest import TestApp, TestRequest

from incoming_wsgi import Incoming

KIB = 1024


@dataclass(frozen=True)
class Dialect:
    """How a client says that it does not know the length, appends, and says that this is all."""

    create: dict[str, str]
    append: dict[str, str]
    length: str

    def said(self, length: int) -> dict[str, str]:
        headers = {"Upload-Complete": "?1"} if "Upload-Complete" in self.append else {}
        return {**headers, self.length: str(length)}


TUS = Dialect(
    {"Tus-Resumable": "1.0.0", "Upload-Defer-Length": "1"},
    {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"},
    "Upload-Length",
)
DRAFT = Dialect(
    {"Upload-Complete": "?0"},
    {"Upload-Complete": "?0", "Content-Type": "application/partial-upload"},
    "Upload-Length",
)


class Site:
    def __init__(self, folder: Path, **settings) -> None:
        self.taken: list[bytes] = []
        self.folder = folder
        self.incoming = Incoming(
            folder,
            **{
                "background": False,
                "min_free_bytes": 0,
                "on_finished": lambda upload: self.taken.append(upload.path.read_bytes()),
                **settings,
            },
        )
        self.app = TestApp(self.incoming)

    def ticket(self, **terms) -> str:
        return f"/frontend/uploads/{self.incoming.new_upload(**terms)}"

    def begin(self, dialect: Dialect, **terms) -> str:
        """The URL of an upload of unknown length."""
        url = self.ticket(**terms)
        created = self.app.post(url, b"", headers=dialect.create)
        assert created.status_code == 201
        return url

    def part(self, ticket: str, status: int = 201) -> str:
        """The URL of a part of unknown length; `ticket` is a URL too."""
        headers = {**TUS.create, "Upload-Concat": "partial"}
        created = self.app.post(ticket, b"", headers=headers, status=status)
        return f"/frontend/uploads/{created.headers['Location'].rpartition('/')[2]}"

    def append(self, dialect: Dialect, url: str, offset: int, content: bytes, **more: str):
        headers = {**dialect.append, "Upload-Offset": str(offset), **more}
        return self.app.patch(url, content, headers=headers, status="*")

    def stream(self, dialect: Dialect, url: str, offset: int, content: bytes):
        """In chunks: nothing tells how many bytes will come."""
        request = TestRequest.blank(url, method="PATCH")
        request.headers.update({**dialect.append, "Upload-Offset": str(offset)})
        request.environ.pop("CONTENT_LENGTH", None)
        request.environ.update(
            {
                "HTTP_TRANSFER_ENCODING": "chunked",
                "wsgi.input_terminated": True,
                "wsgi.input": io.BytesIO(content),
            }
        )
        return request.get_response(self.incoming)

    def received(self, url: str) -> int:
        return self.incoming.status(url.rpartition("/")[2]).received.total_bytes

    def hand_over(self) -> list[bytes]:
        """What the app has been given by now."""
        self.incoming.do_housekeeping()
        return self.taken

    @property
    def stored(self) -> int:
        """What all files have together."""
        return sum(file.stat().st_size for file in (self.folder / "files").iterdir())


@pytest.fixture
def make_site(tmp_path) -> Iterator:
    made = []

    def make(**settings) -> Site:
        made.append(Site(tmp_path / f"incoming-{len(made)}", **settings))
        return made[-1]

    yield make
    for site in made:
        site.incoming.close()


both = pytest.mark.parametrize("dialect", [TUS, DRAFT], ids=["tus", "draft"])
both_bodies = pytest.mark.parametrize("send", [Site.append, Site.stream], ids=["known", "chunked"])


@both
@both_bodies
def test_an_owner_has_no_more_than_he_may_in_all_his_uploads(make_site, dialect, send):
    site = make_site(max_owner_bytes=1000 * KIB)
    urls = [site.begin(dialect, owner="bob") for _ in range(3)]
    assert send(site, dialect, urls[0], 0, bytes(600 * KIB)).status_code == 204
    refused = send(site, dialect, urls[1], 0, bytes(500 * KIB))
    assert refused.status_code == 507
    assert site.stored <= 1000 * KIB
    # What there is room for comes.
    offset = site.received(urls[1])
    assert send(site, dialect, urls[1], offset, bytes(400 * KIB - offset)).status_code == 204
    assert send(site, dialect, urls[2], 0, b"x").status_code == 507
    assert send(site, dialect, urls[0], 600 * KIB, b"x").status_code == 507
    assert site.stored == 1000 * KIB
    other = site.begin(dialect, owner="ann")
    assert send(site, dialect, other, 0, bytes(1000 * KIB)).status_code == 204


@both
@both_bodies
def test_all_uploads_together_take_no_more_than_they_may(make_site, dialect, send):
    site = make_site(max_total_bytes=1000 * KIB)
    first, second = (site.begin(dialect, owner=owner) for owner in ("ann", None))
    assert send(site, dialect, first, 0, bytes(600 * KIB)).status_code == 204
    assert send(site, dialect, second, 0, bytes(500 * KIB)).status_code == 507
    assert site.stored <= 1000 * KIB
    site.incoming.cancel_upload(first.rpartition("/")[2])
    offset = site.received(second)
    assert send(site, dialect, second, offset, bytes(1000 * KIB - offset)).status_code == 204
    assert site.stored == 1000 * KIB


@both_bodies
def test_the_parts_of_a_ticket_are_together_no_longer_than_it_allows(make_site, send):
    site = make_site()
    ticket = site.ticket(max_length_bytes=1000 * KIB)
    parts = [site.part(ticket) for _ in range(3)]
    assert send(site, TUS, parts[0], 0, bytes(600 * KIB)).status_code == 204
    assert send(site, TUS, parts[1], 0, bytes(500 * KIB)).status_code == 413
    assert site.stored <= 1000 * KIB
    offset = site.received(parts[1])
    assert send(site, TUS, parts[1], offset, bytes(400 * KIB - offset)).status_code == 204
    assert send(site, TUS, parts[2], 0, b"x").status_code == 413
    # Neither does it help to say a length.
    longer = site.append(TUS, parts[2], 0, b"x", **TUS.said(1))
    assert longer.status_code == 413
    assert site.stored == 1000 * KIB


@both
def test_what_would_not_fit_is_refused_before_a_byte_is_stored(make_site, dialect):
    site = make_site(max_owner_bytes=1000)
    url = site.begin(dialect, owner="bob")
    assert site.append(dialect, url, 0, bytes(700)).status_code == 204
    other = site.begin(dialect, owner="bob")
    assert site.append(dialect, other, 0, bytes(301)).status_code == 507
    assert site.received(other) == 0
    assert site.append(dialect, other, 0, bytes(300)).status_code == 204


@both
@both_bodies
def test_what_a_declared_file_still_lacks_is_promised_to_it(make_site, tmp_path, dialect, send):
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        site = Site(disk.folder / "incoming")
        disk.fill(but=12 * MIB)
        promised = site.ticket(length=8 * MIB)
        url = site.begin(dialect)
        assert send(site, dialect, url, 0, bytes(2 * MIB)).status_code == 204
        offset = site.received(url)
        assert send(site, dialect, url, offset, bytes(3 * MIB)).status_code == 507
        assert site.received(url) <= 4 * MIB
        offset = site.received(url)
        assert send(site, dialect, url, offset, bytes(7 * MIB // 2 - offset)).status_code == 204
        content = os.urandom(8 * MIB)
        headers = {"Content-Range": f"bytes 0-{8 * MIB - 1}/{8 * MIB}"}
        site.app.put(promised, content, headers=headers)
        assert site.hand_over() == [content]
        site.incoming.close()


@both
def test_who_has_all_that_he_may_can_still_say_that_this_is_all(make_site, dialect):
    site = make_site(max_owner_bytes=1000, max_total_bytes=1000)
    url = site.begin(dialect, owner="bob")
    assert site.append(dialect, url, 0, bytes(1000)).status_code == 204
    assert site.append(dialect, url, 1000, b"", **dialect.said(1000)).status_code in (202, 204)
    assert site.hand_over() == [bytes(1000)]


@both
def test_also_under_a_limit_that_is_narrower_by_now(make_site, tmp_path, dialect):
    """What is stored needs no more room, so that nobody loses a file that is here."""
    site = Site(tmp_path / "incoming")
    url, other = site.begin(dialect, owner="bob"), site.begin(dialect, owner="bob")
    for each in (url, other):
        assert site.append(dialect, each, 0, bytes(1000)).status_code == 204
    site.incoming.close()
    site = Site(tmp_path / "incoming", max_owner_bytes=1500)
    assert site.append(dialect, url, 1000, b"x").status_code == 507
    assert site.append(dialect, url, 1000, b"", **dialect.said(1000)).status_code in (202, 204)
    assert site.hand_over() == [bytes(1000)]
    site.incoming.close()


def test_parts_of_a_file_of_known_length_count_once_with_its_ticket(make_site):
    site = make_site(max_owner_bytes=1000, max_total_bytes=1000)
    ticket = site.ticket(owner="bob", length=900)
    parts = [site.part(ticket) for _ in range(2)]
    for part, size in zip(parts, (400, 500), strict=True):
        assert site.append(TUS, part, 0, bytes(size)).status_code == 204
        assert site.append(TUS, part, size, b"", **TUS.said(size)).status_code == 204
    assert site.append(TUS, site.part(ticket), 0, bytes(101)).status_code == 413
    headers = {"Tus-Resumable": "1.0.0", "Upload-Concat": f"final;{' '.join(parts)}"}
    site.app.post(ticket, b"", headers=headers, status=201)
    assert site.hand_over() == [bytes(900)]
