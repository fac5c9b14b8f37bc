"""Measure incoming_wsgi beside its peers; docs/performance.md is made of the results.

python benchmarks                   the tables of speed, a quarter of an hour
python benchmarks growth            a full ticket store, many uploads at once, a huge file
python benchmarks instructions      what a request costs whatever the neighbours do
python benchmarks report            docs/performance.md from benchmarks/results
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from contestants import by_key
from counting import count
from growth import FULL
from growth import measure as measure_growth
from machine import describe
from prepare import prepare
from publish import publish, save
from report import tables
from running import Bench, Size, run_workload
from source import Source
from workloads import WORKLOADS

HERE = Path(__file__).parent
MIB = 1024**2
GIB = 1024**3
# Fits into the /dev/shm that containers have.
QUICK = Size(rounds=1, bytes=32 * MIB, small_files=0.02)


@dataclass(frozen=True)
class Given:
    """On the command line."""

    size: Size
    cache: Path
    python: str | None


@click.group(invoke_without_command=True, help=__doc__.partition("\n")[0])
@click.option(
    "--rounds", type=click.IntRange(1), default=7, show_default=True, help="Rounds of each table."
)
@click.option("--gib", default=1.0, show_default=True, help="GiB of each run; slow ones a quarter.")
@click.option("--quick", is_flag=True, help="One round of 32 MiB, to see that it works.")
@click.option(
    "--only", "only", multiple=True, metavar="NAME", help="A table or a row of it; repeatable."
)
@click.option(
    "--cache",
    default=HERE / ".cache",
    type=click.Path(path_type=Path),
    help="Where programs are made and files are stored; benchmarks/.cache.",
)
@click.option(
    "--python",
    metavar="PATH",
    help="A Python that has incoming_wsgi and servers already; no registry is asked then.",
)
@click.pass_context
def main(
    context: click.Context,
    rounds: int,
    gib: float,
    quick: bool,
    only: Sequence[str],
    cache: Path,
    python: str | None,
) -> None:
    known = {*by_key, *(workload.name for workload in WORKLOADS)}
    if unknown := sorted(set(only) - known):
        raise click.UsageError(
            f"--only knows no {', '.join(unknown)}, but {', '.join(sorted(known))}"
        )
    size = QUICK if quick else Size(rounds, int(gib * GIB))
    context.obj = given = Given(size, cache.absolute(), python)
    if context.invoked_subcommand is None:
        results = measure_speed(given, only)
        keep("throughput", results, given, partly=bool(only))
        titles = {workload.name: workload.title for workload in WORKLOADS}
        click.echo("\n" + tables(results["rows"], titles))
        if any(row["failures"] for row in results["rows"]):
            raise click.ClickException("some runs failed")


def measure_speed(given: Given, only: Sequence[str]) -> dict[str, Any]:
    rows = []
    with at_work(given, given.size.bytes) as bench:
        machine = describe(bench.tools, bench.folder)
        for workload in WORKLOADS:
            keys = []
            for key in workload.contestants:
                if only and key not in only and workload.name not in only:
                    continue
                if by_key[key].can_run(bench.tools):
                    keys.append(key)
                else:
                    bench.say(f"{workload.name} {key}: left out, no {by_key[key].needs} here")
            if keys:
                rows += run_workload(bench, workload, keys)
    return {
        "at": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "rounds": given.size.rounds,
        "gib": given.size.bytes / GIB,
        "rows": rows,
    }


@main.command()
@click.pass_obj
def growth(given: Given) -> None:
    """A full ticket store, many uploads at once, a file of many ranges."""
    full = (1_000, 10_000) if given.size is QUICK else FULL
    with at_work(given, GIB) as bench:
        results = measure_growth(bench, full=full)
    keep("growth", results, given)


@main.command()
@click.pass_obj
def instructions(given: Given) -> None:
    """The instructions of one request, counted by valgrind's callgrind."""
    keep("instructions", count(prepare(given.cache, python=given.python), click.echo), given)


@main.command()
def report() -> None:
    """Write docs/performance.md from benchmarks/results."""
    publish()


@contextmanager
def at_work(given: Given, source_bytes: int) -> Iterator[Bench]:
    """What is stored meanwhile is deleted at the very end."""
    tools = prepare(given.cache, python=given.python)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=tools.folder))
    try:
        with Source(source_bytes) as source:
            yield Bench(tools, folder, source, given.size, click.echo)
    finally:
        shutil.rmtree(folder)


def keep(name: str, results: dict[str, Any], given: Given, *, partly: bool = False) -> None:
    """Complete results are published; what only shows that it works stays in the cache folder."""
    if partly or given.size is QUICK:
        click.echo(save(name, results, given.cache / "results"))
    else:
        click.echo(save(name, results))
        publish()


if __name__ == "__main__":
    main()
