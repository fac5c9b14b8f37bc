"""The benchmarks report what was measured, and docs/ say what the results do. How fast anything is
stands in docs/performance.md; nothing here depends on it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent.parent
# At the end: a room there must not hide one of the tests' own with the same name.
sys.path.append(str(HOME / "benchmarks"))

from chart import Panel, draw  # noqa: E402
from publish import publish  # noqa: E402
from report import fill_in, made, server_table, tables, target_table  # noqa: E402
from summaries import median  # noqa: E402
from targets import TARGETS  # noqa: E402

QUIET, BUSY = 0.05, 0.9


def figures(mb_s, *, others=QUIET, **more):
    return {
        "mb_s": mb_s,
        "cpu_s_gb": 0.5,
        "client_cpu_s_gb": 0.3,
        "took_s": 1.0,
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
        "again": 0,
        "failures": list(failures),
    }


def lines_of(table, beginning):
    return [line for line in table.splitlines() if line.startswith(f"| {beginning}")]


# the report


def test_a_target_is_the_median_of_the_quotients_of_each_round():
    rows = [
        row("one8m", "sink", figures(2000), figures(1000), figures(4000)),
        row("one8m", "ours-w1", figures(1400), figures(1000), figures(2400)),
        row("par8m", "sink", figures(2000)),
        row("par8m", "ours-w2", figures(1480)),
    ]
    table = target_table(rows, None)
    assert lines_of(table, "one connection, 1 worker: to the C sink") == [
        "| one connection, 1 worker: to the C sink | at least 0.7 | 0.70 (0.60–1.00) | yes |"
    ]
    assert lines_of(table, "four connections, 2 workers: to the C sink") == [
        "| four connections, 2 workers: to the C sink | at least 0.75 | 0.74 | **no** |"
    ]


def test_of_rounds_in_which_both_were_quiet_there_are_enough():
    rows = [
        row("one8m", "nginx", *(figures(1000) for _ in range(3)), figures(1, others=BUSY)),
        row("one8m", "ours-w1", *(figures(1200) for _ in range(4))),
    ]
    (line,) = lines_of(target_table(rows, None), "one connection, 1 worker: to nginx")
    assert "| 1.20 (1.20–1.20) |" in line


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


def test_what_failed_once_is_nowhere_whatever_else_it_did():
    rows = [
        row("one8m", "sink", figures(2000), title="The sink"),
        row("one8m", "ours-w1", figures(9000), figures(9000), failures=["wrong"], title="Ours"),
    ]
    assert lines_of(target_table(rows, None), "one connection, 1 worker: to the C sink") == [
        "| one connection, 1 worker: to the C sink | at least 0.7 | not measured |  |"
    ]
    text = tables(rows, {"one8m": "One connection"})
    assert "9000" not in text
    assert "`one8m`, Ours: **failed**, no figures." in text
    assert "9000" not in draw(rows, [Panel("one8m", "T", ("sink", "ours-w1"))])
    assert "9000" not in server_table(rows)


def test_memory_grows_from_before_the_first_round_to_the_highest_peak_of_all():
    rounds = [
        figures(1, rss_idle_mib=50.0, rss_peak_mib=53.0),
        figures(1, rss_idle_mib=53.0, rss_peak_mib=60.0, others=BUSY),
        *(figures(1, rss_idle_mib=59.0, rss_peak_mib=59.0) for _ in range(3)),
    ]
    rows = [row("conc64", "ours-w1", *rounds, title="Ours")]
    assert lines_of(target_table(rows, None), "memory growth") == [
        "| memory growth, 64 uploads at once | at most 8 MiB | 10.00 MiB | **no** |"
    ]
    assert "| 50 → 60 |" in tables(rows, {"conc64": "64"})


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
    assert median(row("one8m", "sink", *rounds), "mb_s") == expected


def test_a_table_says_how_many_runs_were_quiet_and_which_failed():
    rows = [
        row("one8m", "sink", figures(2000), figures(1000, others=BUSY), title="The sink"),
        row("one8m", "nginx", title="nginx", failures=["refused"]),
        row("one8m", "drop", figures(3000), figures(3000), title="Nothing"),
    ]
    text = tables(rows, {"one8m": "One connection"})
    assert lines_of(text, "The sink") == [
        "| The sink | **1500** (1000–2000) | 0.50 (0.50–0.50) | 0.30 | 5.0 / 9.0 | 50 → 53 "
        "| 2 (1, 0) |"
    ]
    assert lines_of(text, "nginx") == []
    assert "Load generator to the fastest row: 2.0." in text


def test_in_a_short_run_a_few_ticks_of_others_are_nothing():
    short = [figures(each, took_s=0.1, others=0.25) for each in (100, 200, 300)]
    assert median(row("one8m", "sink", *short, figures(900, others=BUSY)), "mb_s") == 200


def test_results_say_when_they_are_of_another_commit():
    results = {"at": "2026-01-31", "commit": "abc", "machine": {"processor": "P"}}
    assert made(results, "abc") == "Measured on 2026-01-31, commit abc, P."
    assert made(results, "def").endswith("**That is not the commit of the tables.**")


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


# docs/


def test_the_pages_and_the_chart_are_those_of_the_results(tmp_path):
    names = ("performance.md", "performance.svg", "deploy.md")
    for name in names:
        shutil.copy(HOME / "docs" / name, tmp_path)
    publish(docs=tmp_path)
    for name in names:
        assert (tmp_path / name).read_text() == (HOME / "docs" / name).read_text(), name


def test_the_chart_has_the_better_of_the_sinks(tmp_path):
    for name in ("performance.md", "deploy.md"):
        shutil.copy(HOME / "docs" / name, tmp_path)
    rows = [
        row("one8m", "sink", figures(1000), title="splice"),
        row("one8m", "sink-recv", figures(2000), title="recv"),
        row("par8m", "sink", figures(1000), title="splice"),
        row("small", "small-w2", {**figures(1), "uploads_s": 5.0, "cpu_ms_upload": 1.0}),
    ]
    for each in rows[-1]["rounds"]:
        each["client_cpu_ms_upload"] = 0.1
    results = {"at": "", "commit": "", "machine": {}, "rounds": 1, "gib": 1, "rows": rows}
    (tmp_path / "throughput.json").write_text(json.dumps(results))
    publish(tmp_path, tmp_path)
    picture = ElementTree.fromstring((tmp_path / "performance.svg").read_text())
    shown = [text.text for text in picture.findall("{*}text")]
    assert shown.count("recv") == 1
    assert shown.count("splice") == 1  # the other panel's


def test_no_page_has_markers_with_nothing_between_them():
    found = 0
    for page in (HOME / "docs").glob("*.md"):
        for name, part in re.findall(
            r"<!-- ([\w-]+) -->(.*?)<!-- (?:end of |/)\1 -->", page.read_text(), re.DOTALL
        ):
            assert part.strip(), f"{page.name}: {name}"
            found += 1
    assert found >= 6
