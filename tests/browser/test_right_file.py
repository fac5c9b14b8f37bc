"""The file on the disk is not the one that was chosen: it is said, and nothing is mixed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from proxy import tcp_proxy
from uploading import App, Uploads, chunks_held, make_file, running_app

MIB = 1 << 20


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running_app(tmp_path) as app:
        yield app


@pytest.fixture
def uploads(page: Page, app: App) -> Iterator[Uploads]:
    with tcp_proxy(app.server.port) as proxy:
        proxy.limit(8 * MIB)
        yield Uploads(page, proxy.url)


def test_a_file_that_is_changed_while_it_is_sent(
    app: App, uploads: Uploads, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "report.pdf", 24 * MIB)
    uploads.start(path)
    uploads.wait_for("upload.frac_complete > 0.1")

    with path.open("r+b") as file:
        file.seek(20 * MIB)
        file.write(b"changed")

    uploads.wait_for("upload.error_code !== null")
    assert uploads.get("upload.error_code") == "file_unreadable"
    assert "changed, moved or deleted" in uploads.get("upload.error_msg")
    assert list(app.arrived.iterdir()) == []


def test_a_file_that_is_removed_while_it_is_sent(
    app: App, uploads: Uploads, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "report.pdf", 24 * MIB)
    uploads.start(path)
    uploads.wait_for("upload.frac_complete > 0.1")

    path.unlink()

    uploads.wait_for("upload.error_code !== null")
    assert uploads.get("upload.error_code") == "file_unreadable"
    assert uploads.get("incoming.resumable().then((all) => all.length)") == 1


@pytest.mark.parametrize("position", [3, 8 * MIB])
def test_another_file_of_the_same_name_length_and_time_is_not_the_same_file(
    app: App, uploads: Uploads, page: Page, tmp_path: Path, position: int
) -> None:
    path = make_file(tmp_path, "report.pdf", 24 * MIB)
    times = path.stat()
    with chunks_held(page, 16 * MIB):
        uploads.start(path)
        uploads.wait_for("upload.bytes_acked > 15 << 20")
        ticket = uploads.get("upload.upload_id")
        page.reload()

    content = bytearray(path.read_bytes())
    # Of at most five chunks so far four are compared: make sure that one of them is changed.
    for start in range(position, 15 * MIB, MIB):
        content[start] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    uploads.start(path, ticket=ticket)

    uploads.wait_for("upload.error_code !== null")
    assert uploads.get("upload.error_code") == "file_changed"
    assert "not the same file" in uploads.get("upload.error_msg")
    assert list(app.arrived.iterdir()) == []
