"""The benchmark of the browser library runs, and compares what it measures with what was sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tools import program

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "browser"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program("chromium", "chromium-browser", "google-chrome", variable="CHROMIUM")
    command = [sys.executable, str(BENCHMARK), "--mib", "3", "--rounds", "2"]
    command += ["--folder", str(folder), "--output", str(folder / "table.md"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_each_row_has_a_turn_in_each_round_and_a_line_in_the_table(tmp_path):
    done = run(tmp_path, "--only", "incoming", "--only", "bare")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "table.json").read_text())
    turns = told["turns"]
    rows = {turn["row"] for turn in turns}
    assert len(rows) == 11  # 1 to 4 chunks at once with digests and without, three without a client
    assert len(turns) == 2 * len(rows)
    assert all(turn["bytes"] == 3 << 20 and turn["seconds"] > 0 for turn in turns)
    table = (tmp_path / "table.md").read_text()
    for row in rows:
        assert f"| {row} | **" in table
    assert set(told["conditions"]["versions"]) >= {"Chromium", "gunicorn", "tus-js-client"}
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"table.md", "table.json"}
