"""The web app is down when the file completes, and so is Incoming for a while: nothing is lost."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest
import requests
from example_simple import start
from playwright import sync_api as playwright
from waiting import wait_until

MIB = 1 << 20


@pytest.fixture
def example(tmp_path):
    with ExitStack() as stack:
        yield start("beside", tmp_path, stack)


def test_the_page_says_finished_when_both_are_up_again(example, page, tmp_path):
    content = os.urandom(5 * MIB)
    (tmp_path / "report.bin").write_bytes(content)
    page.goto(example.app.url)
    ticket = page.locator("#file").get_attribute("data-upload-id")
    upload = f"{example.incoming.url}/backend/uploads/{ticket}"

    def record() -> dict:
        return requests.get(upload, timeout=30).json()

    example.app.kill()
    page.get_by_label("File to upload").set_input_files(tmp_path / "report.bin")
    page.wait_for_function("document.getElementById('bar').value == 1")
    numbers = page.locator("#numbers")
    playwright.expect(numbers).to_contain_text("5,242,880 of 5,242,880 bytes (100 %)")
    wait_until(lambda: record()["attempt"] >= 1, "a first attempt")
    example.incoming.kill()
    example.incoming.start()
    before = record()["attempt"]
    page.wait_for_timeout(300)  # the page goes on asking meanwhile
    assert page.locator("#message").text_content() == ""
    assert list(example.uploads.iterdir()) == []

    example.app.start()
    playwright.expect(page.locator("#message")).to_have_text("report.bin has arrived.")
    assert (example.uploads / "report.bin").read_bytes() == content
    assert record()["state"] == "FINISHED"
    assert record()["attempt"] > before
