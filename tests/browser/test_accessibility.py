"""What axe-core has to say of example 1's page, light and dark, in each of its states."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal

import pytest
from accessibility import violations
from example_simple import start
from playwright import sync_api as playwright
from proxy import tcp_proxy

MIB = 1 << 20
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture
def example(tmp_path):
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_example_1_is_accessible_before_and_during_and_after_an_upload(
    example, page, tmp_path, scheme
):
    (tmp_path / "photo.jpg").write_bytes(bytes(MIB))
    page.emulate_media(color_scheme=scheme)
    with tcp_proxy(example.app.port) as proxy:
        page.goto(proxy.url)
        assert violations(page) == []

        proxy.stall()
        page.get_by_label("File to upload").set_input_files(tmp_path / "photo.jpg")
        playwright.expect(page.get_by_label("File to upload")).to_be_disabled()
        assert violations(page) == []
        proxy.resume()

        playwright.expect(page.locator("#message")).to_have_text("photo.jpg has arrived.")
        playwright.expect(page.locator("#uploads a")).to_have_text(["photo.jpg"])
        assert violations(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_example_1_is_accessible_when_it_tells_an_error(example, page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.route("**/incoming.js", lambda route: route.abort())
    page.goto(example.app.url)
    playwright.expect(page.locator("#message.error")).to_contain_text("cannot be reached")
    assert violations(page) == []


BAD = """<!DOCTYPE html><html lang="en"><title>Bad</title><main><h1>Bad</h1>
<p style="color: #999; background: #fff">Pale</p>
<div style="display: flex"><button id="tiny" style="width: 8px; height: 8px; padding: 0"
aria-label="a"></button><button style="width: 8px; height: 8px; padding: 0" aria-label="b"></button>
</div><input></main></html>"""


def test_faults_are_found_and_named_under_a_strict_content_security_policy(page):
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    page.route(
        "http://bad.test/",
        lambda route: route.fulfill(body=BAD, headers={**policy, "Content-Type": "text/html"}),
    )
    page.goto("http://bad.test/")
    found = violations(page)
    assert {line.split()[0] for line in found} == {"color-contrast", "label", "target-size"}
    assert any("#tiny" in line for line in found)
