"""Example 1 in Firefox: the other engine sends, breaks off and reads files in its own way."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from example_simple import Example, start
from firefox import Firefox, FirefoxError
from proxy import Proxy, tcp_proxy
from waiting import wait_until

MIB = 1 << 20
FAST_CLOCK = """
    const real = window.setTimeout;
    window.setTimeout = (callback, milliseconds) => real(callback, milliseconds / 20);
"""


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    with ExitStack() as stack:
        yield start("gunicorn", tmp_path, stack)


def make_file(folder: Path, name: str, length: int) -> Path:
    path = folder / name
    path.write_bytes(random.Random(length).randbytes(length))
    return path


def send_slowly(firefox: Firefox, proxy: Proxy, path: Path, *, first: str = "") -> None:
    """Choose the file on the page; when this returns, a part of it has arrived."""
    proxy.limit(4 * MIB)
    firefox.goto(proxy.url)
    firefox.evaluate(first)
    firefox.choose("#file", path)
    firefox.wait_for("document.getElementById('bar').value > 0.1")
    assert sent(firefox) < 0.9


def sent(firefox: Firefox) -> float:
    return float(firefox.evaluate("return document.getElementById('bar').value"))


def test_a_selected_file_arrives_whole_and_is_in_the_list(
    example: Example, firefox: Firefox, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "Grüße 你好 <b>.bin", 10 * MIB)
    firefox.goto(example.app.url)

    firefox.choose("#file", path)

    firefox.wait_for_text("#message", "Grüße 你好 <b>.bin has arrived.")
    firefox.wait_for_text("#numbers", "10,485,760 of 10,485,760 bytes (100 %) – Finished")
    firefox.wait_for_text("#uploads a", path.name)
    assert (example.uploads / path.name).read_bytes() == path.read_bytes()


def test_an_upload_goes_on_when_the_server_has_been_killed(
    example: Example, firefox: Firefox, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 10 * MIB)
    with tcp_proxy(example.app.port) as proxy:
        send_slowly(firefox, proxy, path)

        proxy.refuse()
        example.app.kill()
        firefox.wait_for_text("#numbers", " – Trying again: ")
        assert sent(firefox) < 1
        proxy.limit(None)
        example.app.start()
        proxy.accept()

        firefox.wait_for_text("#message", "film.mp4 has arrived.")
        assert (example.uploads / "film.mp4").read_bytes() == path.read_bytes()


def test_an_upload_goes_on_when_its_connections_are_reset(
    example: Example, firefox: Firefox, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 10 * MIB)
    with tcp_proxy(example.app.port) as proxy:
        firefox.goto(proxy.url)
        proxy.cut_after(MIB, times=3)
        firefox.choose("#file", path)

        firefox.wait_for_text("#message", "film.mp4 has arrived.")
        assert proxy.connections > 3
        assert (example.uploads / "film.mp4").read_bytes() == path.read_bytes()


def test_an_upload_goes_on_when_its_connections_are_closed_without_an_answer(
    example: Example, firefox: Firefox, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 10 * MIB)
    with tcp_proxy(example.app.port) as proxy:
        send_slowly(firefox, proxy, path)

        def has_ended() -> bool:
            proxy.half_close(towards="client")  # again, for Firefox itself tries a second time
            return " – Uploading" not in firefox.text("#numbers")

        wait_until(has_ended, "the end of the chunks under way")
        assert " – Trying again: " in firefox.text("#numbers")
        proxy.limit(None)

        firefox.wait_for_text("#message", "film.mp4 has arrived.")
        assert (example.uploads / "film.mp4").read_bytes() == path.read_bytes()


def test_a_file_that_is_cut_short_on_the_way_is_said(
    example: Example, firefox: Firefox, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "report.bin", 40 * MIB)
    with tcp_proxy(example.app.port) as proxy:
        # Firefox says nothing: it takes a time-out, and nobody is to wait for that here.
        send_slowly(firefox, proxy, path, first=FAST_CLOCK)

        os.truncate(path, 39 * MIB)
        proxy.limit(None)

        firefox.wait_for_text("#message.error", "Trouble with report.bin: ")
        assert "The file cannot be read any more" in firefox.text("#message")
        assert list(example.uploads.iterdir()) == []


def test_an_error_that_no_page_catches_is_found(firefox: Firefox, example: Example) -> None:
    firefox.goto(example.app.url)
    firefox.evaluate("setTimeout(() => { throw new Error('on purpose'); })")
    firefox.evaluate("return new Promise((resolve) => setTimeout(resolve))")
    [mistake] = firefox.take_mistakes()
    assert mistake.startswith("Error: on purpose")
    with pytest.raises(FirefoxError, match="no such element"):
        firefox.click("#nowhere")
