"""The README's lines, as they stand there, do what it says."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright import sync_api as playwright
from servers import gunicorn

README = Path(__file__).parents[2] / "README.md"


def test_the_two_files_of_the_readme_take_a_file(page, tmp_path):
    text = README.read_text()
    (tmp_path / "app.py").write_text(re.search(r"```python\n(.+?)```", text, re.DOTALL)[1])
    (tmp_path / "page.html").write_text(re.search(r"```html\n(.+?)```", text, re.DOTALL)[1])
    (tmp_path / "archive").mkdir()
    content = os.urandom(5_000_000)
    (tmp_path / "report.bin").write_bytes(content)

    with gunicorn("app:application", "--workers", "2", folder=tmp_path) as server:
        page.goto(server.url)
        page.locator("#file").set_input_files(tmp_path / "report.bin")
        playwright.expect(page.locator("#message")).to_have_text("It has arrived.")
        playwright.expect(page.locator("#file")).to_be_disabled()  # the ticket is used up

        # The same page with a ticket that nobody has issued: it says so.
        html = page.request.get(server.url).text().replace('Uploader("', 'Uploader("0')
        page.route(server.url + "/", lambda route: route.fulfill(body=html))
        page.goto(server.url)
        page.locator("#file").set_input_files(tmp_path / "report.bin")
        playwright.expect(page.locator("#message")).to_contain_text("There is no such upload")

    assert (tmp_path / "archive" / "report.bin").read_bytes() == content
