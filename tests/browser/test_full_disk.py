"""A disk that is full, at the beginning or in the middle: the page waits and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from proxy import tcp_proxy
from small_disk import MIB, SmallDisk, small_disk
from uploading import App, Uploads, make_file, running_app


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 160 * MIB) as disk:
        yield disk


@pytest.fixture
def app(disk: SmallDisk) -> Iterator[App]:
    with running_app(disk.folder) as app:
        yield app


@pytest.fixture
def uploads(page: Page, app: App) -> Iterator[Uploads]:
    with tcp_proxy(app.server.port) as line:
        line.limit(8 * MIB)  # so that the upload can be caught in the middle
        yield Uploads(page, line.url)


def test_a_file_for_which_there_is_no_room_waits_for_it(
    uploads: Uploads, app: App, disk: SmallDisk, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 8 * MIB)
    disk.fill(but=(64 + 4) * MIB)  # 64 MiB are kept free
    uploads.start(path)
    uploads.wait_for("upload.trouble_code === 'storage_full'")
    assert uploads.get("[upload.bytes_acked, upload.error_code]") == [0, None]
    disk.clear()
    uploads.wait_until_arrived(app, path)
    assert "error" not in uploads.get("upload.told")


def test_an_upload_that_is_caught_by_a_full_disk_keeps_what_it_has_and_goes_on(
    uploads: Uploads, app: App, disk: SmallDisk, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 32 * MIB)
    uploads.start(path)
    uploads.wait_for("upload.frac_complete > 0.2")
    disk.fill(but=64 * MIB)
    uploads.wait_for("upload.trouble_code === 'storage_full'")
    stored = uploads.get("upload.bytes_acked")
    assert stored > 0.2 * 32 * MIB
    disk.clear()
    uploads.wait_until_arrived(app, path)
    assert "error" not in uploads.get("upload.told")
