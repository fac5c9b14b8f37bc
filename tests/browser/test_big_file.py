"""A big file through example 1's own page, two gunicorn workers and the handover, into the app.

256 MiB, or as many MiB as BIG_FILE_MIB says.
"""

from __future__ import annotations

import hashlib
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from example_simple import Simple, start
from playwright import sync_api as playwright
from processes import resident_bytes, workers
from waiting import wait_until

MIB = 1 << 20
SIZE = int(os.environ.get("BIG_FILE_MIB", "256")) * MIB
LONGEST_S = 60 + SIZE / (5 * MIB)

pytestmark = pytest.mark.timeout(3 * LONGEST_S)


@pytest.fixture
def example(tmp_path):
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


@pytest.fixture
def big_file(tmp_path):
    """Random bytes and their SHA-256; removed at the end, for it may be gigabytes."""
    path = tmp_path / "big.bin"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE // (16 * MIB)):
            block = os.urandom(16 * MIB)
            digest.update(block)
            file.write(block)
    yield path, digest.hexdigest()
    path.unlink()


def choose(page: playwright.Page, path: Path) -> None:
    page.get_by_label("File to upload").set_input_files(path)


def wait_until_it_is_there(page: playwright.Page, example: Simple, name: str, digest: str) -> None:
    # wait_for_function would be cut off by the page's default; this says what the page says.
    message = page.locator("#message")
    playwright.expect(message).to_have_text(f"{name} has arrived.", timeout=LONGEST_S * 1000)
    arrived = hashlib.sha256()
    with (example.uploads / name).open("rb") as file:
        while block := file.read(MIB):
            arrived.update(block)
    assert arrived.hexdigest() == digest
    (example.uploads / name).unlink()


def sent(page: playwright.Page) -> float:
    return page.evaluate("document.getElementById('bar').value")


def test_it_arrives_with_its_digest_and_the_server_stays_small(example, page, big_file, tmp_path):
    small = tmp_path / "small.bin"
    small.write_bytes(os.urandom(64 * MIB))
    page.goto(example.app.url)
    choose(page, small)  # now both workers and their threads are at work
    playwright.expect(page.locator("#message")).to_have_text("small.bin has arrived.")
    playwright.expect(page.get_by_label("File to upload")).to_be_enabled()
    server = [example.app.pid, *workers(example.app.pid)]
    assert len(server) == 3
    before = sum(map(resident_bytes, server))

    path, digest = big_file
    choose(page, path)
    most = 0

    def over() -> bool:
        nonlocal most
        most = max(most, sum(map(resident_bytes, server)))
        return "big.bin" in page.locator("#message").text_content()

    wait_until(over, "the end of the upload", LONGEST_S)
    wait_until_it_is_there(page, example, "big.bin", digest)
    print(f"grown by {(most - before) / MIB:.1f} MiB to {most / MIB:.1f} MiB")
    assert most - before < 30 * MIB


def test_it_arrives_though_a_worker_is_killed_in_the_middle(example, page, big_file):
    path, digest = big_file
    page.goto(example.app.url)
    wait_until(lambda: len(workers(example.app.pid)) == 2, "two workers")
    choose(page, path)
    wait_until(lambda: sent(page) > 0.3, "a third of the file", LONGEST_S)
    victim = workers(example.app.pid)[0]
    os.kill(victim, signal.SIGKILL)
    assert sent(page) < 1
    wait_until(
        lambda: len(now := workers(example.app.pid)) == 2 and victim not in now, "a new worker"
    )
    wait_until_it_is_there(page, example, "big.bin", digest)
