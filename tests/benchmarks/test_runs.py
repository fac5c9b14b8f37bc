"""The benchmarks run, measure what a server costs, and notice what was stored wrongly."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tools import program

HOME = Path(__file__).parent.parent.parent
# At the end: a room there must not hide one of the tests' own with the same name.
sys.path.append(str(HOME / "benchmarks"))

import dialects  # noqa: E402
import running  # noqa: E402
from contestants import by_key  # noqa: E402
from measuring import Meter, resident_mib  # noqa: E402
from prepare import prepare  # noqa: E402
from running import Bench, Size, in_turn, run_workload  # noqa: E402
from source import Source, WrongContent  # noqa: E402
from workloads import WORKLOADS, Workload  # noqa: E402

KIB = 1024
NEEDS_CC = pytest.mark.usefixtures("compiler")


@pytest.fixture
def compiler():
    return program("cc")


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


# what it cost

BURN = """
import sys, time
bytes(64 * 1024 * 1024).replace(b"\\0", b"1")  # an old peak
print("ready", flush=True)
sys.stdin.readline()
before = time.process_time()
memory = bytes(32 * 1024 * 1024).replace(b"\\0", b"1")
while time.process_time() - before < 0.4:
    pass
del memory
print(time.process_time() - before, flush=True)
sys.stdin.readline()
"""


def test_a_meter_counts_the_cpu_and_the_memory_of_a_child_and_its_children():
    inner = [sys.executable, "-c", BURN]
    outer = f"import subprocess; subprocess.run({inner!r})"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        idle_mib = resident_mib([child.pid])
        meter = Meter([child.pid])
        child.stdin.write("go\n")
        child.stdin.flush()
        used_s = float(child.stdout.readline())
        cost = meter.stop(client_cpu_s=0)
        child.stdin.write("end\n")
    assert cost.cpu_s == pytest.approx(used_s, abs=0.05)
    assert cost.rss_peak_mib - idle_mib == pytest.approx(32, abs=4)


# the run


def test_nobody_always_runs_behind_the_same_one():
    for workload in WORKLOADS:
        keys = list(workload.contestants)
        orders = [in_turn(workload.name, number, keys) for number in range(7)]
        assert all(sorted(order) == sorted(keys) for order in orders)
        for key in keys:
            before = [order[order.index(key) - 1] for order in orders]
            assert len(set(before)) > 2, (workload.name, key)


@pytest.fixture
def bench(tmp_path):
    tools = prepare(tmp_path, python=sys.executable)
    with Source(256 * KIB) as source:
        yield Bench(tools, tmp_path / "run", source, Size(rounds=3, bytes=256 * KIB), print)


TWO = Workload("two", "", 2, 2, None, (), chunk_bytes=32 * KIB)


class Damaging(dialects.Put):
    """Sends another byte than it says, once."""

    def prepare(self, run):
        *others, last = super().prepare(run)
        byte = bytes([run.source.part(last.offset, 1)[0] ^ 1])
        return [
            *others,
            replace(last, before=byte, offset=last.offset + 1, body_bytes=last.body_bytes - 1),
        ]


@NEEDS_CC
def test_one_damaged_byte_and_a_row_has_no_figures(bench, monkeypatch):
    damaging = replace(by_key["sink"], key="damaging", dialect=Damaging())
    damaging = replace(by_key["sink"], key="damaging", dialect=Damaging())
    monkeypatch.setitem(by_key, "damaging", damaging)
    good, damaged = run_workload(bench, TWO, ["sink", "damaging"])
    assert len(good["rounds"]) == 3
    assert not good["failures"]
    assert damaged["rounds"] == []
    (failure,) = damaged["failures"]
    assert "not there as they were sent" in failure


@NEEDS_CC
def test_a_run_with_cold_memory_is_made_again_but_not_for_ever(bench, monkeypatch):
    costs = iter([1.0, 1.4, 1.0, 9.0, 9.0, 1.1, 9.0, 9.0, 9.0])
    figures = running._Side._figures
    monkeypatch.setattr(
        running._Side, "_figures", lambda *all: {**figures(*all), "cpu_s_gb": next(costs)}
    )
    (row,) = run_workload(bench, TWO, ["sink"], rounds=5)
    assert [each["cpu_s_gb"] for each in row["rounds"]] == [1.0, 1.4, 1.0, 1.1, 9.0]
    assert row["again"] == 4


def test_requests_are_of_the_same_size_for_all(monkeypatch):
    for workload in WORKLOADS:
        sizes = set()
        for key in workload.contestants:
            side = object.__new__(running._Side)
            side._contestant, side._workload = by_key[key], workload
            side._bench = Bench(None, None, None, Size(rounds=1, bytes=768 * KIB**2), print)
            pieces = side._pieces()
            assert len({piece.connection for piece in pieces}) == workload.connections
            sizes |= {length for piece in pieces for _, length in piece.chunks()}
        assert sizes == {10 * KIB if workload.small else 8 * KIB**2}


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
        assert figures["bytes"] == (40 * 10 * KIB if workload == "small" else 32 * KIB**2)
        assert figures["took_s"] > 0
        assert figures["rss_peak_mib"] > 0
    assert (HOME / "docs/performance.md").read_bytes() == published
    assert not list(tmp_path.glob("run-*"))
