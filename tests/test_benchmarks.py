"""The benchmarks work, compare what they store, and report what was measured. How fast anything is
stands in docs/performance.md; nothing here depends on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
# At the end: a room there must not hide one of the tests' own with the same name.
sys.path.append(str(HOME / "benchmarks"))

from chart import Panel, draw  # noqa: E402
from report import fill_in, tables, target_table  # noqa: E402
from source import Source, WrongContent  # noqa: E402
from summaries import summary  # noqa: E402
from targets import TARGETS  # noqa: E402

QUIET, BUSY = 0.05, 0.9


def figures(mb_s, *, others=QUIET, **more):
    return {
        "mb_s": mb_s,
        "cpu_s_gb": 0.5,
        "client_cpu_s_gb": 0.3,
        "p50_ms": 5.0,
        "p99_ms": 9.0,
        "rss_idle_mib": 50.0,
        "rss_peak_mib": 53.0,
        "others": others,
        **more,
    }


def row(workload, key, *rounds, title=None, failures=()):
    return {
        "workload": workload,
        "key": key,
        "title": title or key,
        "rounds": list(rounds),
        "failures": list(failures),
    }


def lines_of(table, beginning):
    return [line for line in table.splitlines() if line.startswith(f"| {beginning}")]


# the report


def test_a_target_is_the_quotient_of_two_medians_of_the_same_table():
    rows = [
        row("one8m", "sink", figures(2000), figures(1900), figures(2600)),
        row("one8m", "ours-w1", figures(1300), figures(1400), figures(1500)),
        row("par8m", "sink", figures(2000)),
        row("par8m", "ours-w2", figures(1480)),
    ]
    table = target_table(rows, None)
    assert lines_of(table, "one connection, 1 worker: to the C sink") == [
        "| one connection, 1 worker: to the C sink | at least 0.7 | 0.70 | yes |"
    ]
    assert lines_of(table, "four connections, 2 workers: to the C sink") == [
        "| four connections, 2 workers: to the C sink | at least 0.75 | 0.74 | **no** |"
    ]


def test_the_limit_is_the_better_of_the_two_sinks():
    rows = [
        row("one8m", "sink", figures(1000, cpu_s_gb=0.8)),
        row("one8m", "sink-recv", figures(2000, cpu_s_gb=0.4)),
        row("one8m", "ours-w1", figures(1500, cpu_s_gb=0.5)),
    ]
    table = target_table(rows, None)
    assert "to the C sink | at least 0.7 | 0.75 | yes |" in table
    assert "to the C sink | at most 1.5 | 1.25 | yes |" in table


def test_a_target_of_what_was_not_measured_is_not_called_reached():
    table = target_table([row("one8m", "ours-w1", figures(9999))], None)
    assert table.count("not measured") == len(TARGETS)
    assert "yes" not in table


def test_what_may_not_grow_is_held_against_the_worst_round():
    rounds = [figures(1, rss_peak_mib=peak) for peak in (51.0, 60.0, 52.0)]
    table = target_table([row("conc64", "ours-w1", *rounds)], None)
    assert lines_of(table, "memory growth") == [
        "| memory growth, 64 uploads at once | at most 8 MiB | 10.00 MiB | **no** |"
    ]


def test_growth_is_reported_as_it_was_measured():
    full = {"create": {"ratio": 1.1}, "chunk": {"ratio": 1.3}, "status": {"ratio": 1.0}}
    table = target_table([], {"full": full})
    reached = [line.split(" | ")[2:] for line in table.splitlines() if "1,000,000" in line]
    assert reached == [["1.10", "yes |"], ["1.30", "**no** |"], ["1.00", "yes |"]]


@pytest.mark.parametrize(
    ("quiet", "busy", "expected"),
    [
        ((100, 200, 300), (900,), 200),  # enough that are quiet
        ((100, 200), (600, 900), 400),  # not enough: all count
    ],
)
def test_noisy_runs_count_only_where_there_are_too_few_quiet_ones(quiet, busy, expected):
    rounds = [figures(each) for each in quiet] + [figures(each, others=BUSY) for each in busy]
    assert summary(row("one8m", "sink", *rounds), "mb_s") == expected


def test_a_table_says_how_many_runs_were_quiet_and_which_failed():
    rows = [
        row("one8m", "sink", figures(2000), figures(1000, others=BUSY), title="The sink"),
        row("one8m", "nginx", title="nginx", failures=["refused"]),
    ]
    text = tables(rows, {"one8m": "One connection"})
    assert lines_of(text, "The sink") == [
        "| The sink | **1500** (1000–2000) | 0.50 | 0.30 | 5.0 / 9.0 | 50 → 53 | 2 (1) |"
    ]
    assert lines_of(text, "nginx") == []
    assert "`one8m`, nginx: 1 runs failed." in text


def test_text_around_the_markers_stays():
    page = "Before.\n<!-- tables -->\nold\n<!-- end of tables -->\nAfter.\n"
    written = fill_in(page, {"tables": "new"})
    assert written == "Before.\n<!-- tables -->\n\nnew\n\n<!-- end of tables -->\nAfter.\n"
    assert fill_in(written, {"tables": "new"}) == written


def test_a_page_without_its_markers_is_not_written():
    with pytest.raises(ValueError, match="end of tables"):
        fill_in("<!-- tables -->", {"tables": "new"})


def test_bars_are_as_long_as_their_figures():
    rows = [row("one8m", "sink", figures(2000)), row("one8m", "nginx", figures(500))]
    picture = ElementTree.fromstring(draw(rows, [Panel("one8m", "T & U", ("sink", "nginx"))]))
    bars = picture.findall("{*}rect")[1:]  # the first is the ground
    first, second = (float(bar.attrib["width"]) for bar in bars)
    assert first == pytest.approx(4 * second)
    assert "T & U" in [text.text for text in picture.findall("{*}text")]


# what was stored


@pytest.fixture
def source():
    with Source(1000) as made:
        yield made


def stored(folder, **contents):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return list(folder.iterdir())


def test_what_was_stored_as_it_was_sent_passes(source, tmp_path):
    files = stored(tmp_path, one=source.part(600, 400), two=source.part(0, 600))
    source.compare(files, [(0, 600), (600, 400)])


@pytest.mark.parametrize("wrong", ["zeros", "short", "missing", "twice"])
def test_what_was_stored_otherwise_is_noticed(source, tmp_path, wrong):
    files = stored(tmp_path, one=source.part(0, 600), two=source.part(600, 400))
    if wrong == "zeros":
        (tmp_path / "one").write_bytes(bytes(600))
    elif wrong == "short":
        (tmp_path / "one").write_bytes(source.part(0, 599))
    elif wrong == "missing":
        files.remove(tmp_path / "one")
    else:
        (tmp_path / "two").write_bytes(source.part(0, 600))
    with pytest.raises(WrongContent):
        source.compare(files, [(0, 600), (600, 400)])


# the run

NEEDS_CC = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@NEEDS_CC
def test_a_quick_run_measures_what_it_is_asked_for(tmp_path):
    """With the servers of this environment; what is published is left alone."""
    published = (HOME / "docs/performance.md").read_bytes()
    wanted = ["sink", "ours-sha256", "small-w2"]
    command = [sys.executable, "benchmarks", "--quick", "--cache", tmp_path]
    command += ["--python", sys.executable, *(f"--only={key}" for key in wanted)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results/throughput.json").read_text())
    measured = {(row["workload"], row["key"]): row["rounds"] for row in results["rows"]}
    assert sorted(measured) == [
        ("one8m", "ours-sha256"),
        ("one8m", "sink"),
        ("par8m", "sink"),
        ("small", "small-w2"),
    ]
    for (workload, _), (figures,) in measured.items():
        assert figures["bytes"] == (40 * 10 * 1024 if workload == "small" else 32 * 1024**2)
        assert figures["took_s"] > 0
        assert figures["rss_peak_mib"] > 0
    assert (HOME / "docs/performance.md").read_bytes() == published
    assert not list(tmp_path.glob("run-*"))
