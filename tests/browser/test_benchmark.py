"""The benchmark of the browser library runs, and compares what it measures with what was sent."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from tools import program

HOME = Path(__file__).parents[2]
BENCHMARK = HOME / "benchmarks" / "browser"
LARGEST_FILE_BYTES = 64 << 20  # the machine's memory is not to be filled, whatever is wrong
PUBLISHED = (HOME / "docs" / "performance.md", BENCHMARK / "results" / "browser.json")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program("chromium", "chromium-browser", "google-chrome", variable="CHROMIUM")
    program("cc")  # for the programs of all benchmarks
    command = [sys.executable, BENCHMARK, *arguments]
    limits = (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )


def test_each_row_has_a_turn_in_each_round_and_a_line_in_the_table(tmp_path):
    """With the servers of this environment; what is published is left alone."""
    published = [path.read_bytes() for path in PUBLISHED]
    given = ["--mib", "4", "--rounds", "2", "--python", sys.executable, "--cache", tmp_path]
    done = run(*given, "--only", "incoming", "--only", "bare")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results" / "browser.json").read_text())
    rows = results["rows"]
    assert len(rows) == 11  # 1 to 4 chunks at once with digests and without, three without a client
    for row in rows:
        assert [figures["bytes"] for figures in row["rounds"]] == [4 << 20, 4 << 20]
        assert all(figures["took_s"] > 0 for figures in row["rounds"])
        assert row["failures"] == []
        assert f"| {row['title']} | **" in done.stdout
    versions = results["machine"]["versions"]
    assert all(name in versions for name in ("Chrome", "gunicorn", "tus-js-client"))
    assert [path.read_bytes() for path in PUBLISHED] == published


def test_a_file_for_which_there_is_no_room_in_memory_is_refused_at_once(tmp_path):
    done = run("--mib", str(1 << 30), "--cache", tmp_path)
    assert done.returncode == 2
    assert "/dev/shm has " in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_document_has_the_results(tmp_path):
    """Of the last run; `python benchmarks/browser report` writes it."""
    page, results = PUBLISHED
    _, part = page.read_text().split("<!-- browser -->")
    part, _ = part.split("<!-- end of browser -->")
    for row in json.loads(results.read_text())["rows"]:
        (line,) = (line for line in part.splitlines() if line.startswith(f"| {row['title']} | "))
        speeds = sorted(figures["mb_s"] for figures in row["rounds"])
        low, high = line.split("(")[1].split(")")[0].split("–")
        assert {int(low), int(high)} <= {round(speed) for speed in speeds}
