"""Measure incoming_wsgi beside its peers; the figures of docs/ are made of the results.

python benchmarks                   the tables of speed, a quarter of an hour
python benchmarks growth            a full ticket store, many uploads at once, a huge file
python benchmarks instructions      what a request costs whatever the neighbours do
python benchmarks report            the figures of docs/ from benchmarks/results
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import growth as growing
from contestants import by_key
from counting import count
from machine import circumstances
from prepare import prepare
from publish import TITLES, publish, save
from report import tables
from running import Bench, Size, run_workload
from source import Source
from workloads import WORKLOADS

HERE = Path(__file__).parent
MIB = 1024**2
GIB = 1024**3
# So that a run and some more is below the 1 GiB that warm.py tells of.
FULL = Size(rounds=7, bytes=3 * GIB // 4)
# Fits into the /dev/shm that containers have.
QUICK = Size(rounds=1, bytes=32 * MIB, small_files=0.02)


@dataclass(frozen=True)
class Given:
    """On the command line."""

    size: Size
    only: Sequence[str]
    cache: Path
    python: str | None
    published: bool


@click.group(invoke_without_command=True, help=__doc__.partition("\n")[0])
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=FULL.rounds,
    show_default=True,
    help="Rounds of each table.",
)
@click.option(
    "--gib",
    default=FULL.bytes / GIB,
    show_default=True,
    help="GiB of each run of the tables of speed; slow ones a quarter.",
)
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
@click.option(
    "--publish",
    "published",
    is_flag=True,
    help="Replace results and pages also if --rounds or --gib are others than these.",
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
    published: bool,
) -> None:
    known = {*by_key, *(workload.name for workload in WORKLOADS)}
    if unknown := sorted(set(only) - known):
        raise click.UsageError(
            f"--only knows no {', '.join(unknown)}, but {', '.join(sorted(known))}"
        )
    if only and (published or context.invoked_subcommand is not None):
        raise click.UsageError("--only is for tables of speed that are not published")
    size = QUICK if quick else Size(rounds, int(gib * GIB))
    published = published or (size == FULL and not only)
    # As it stands: a venv's Python is a link, and resolved it would not be the venv's.
    python = None if python is None else os.path.abspath(python)
    context.obj = given = Given(size, only, cache.absolute(), python, published)
    if context.invoked_subcommand is None:
        results = measure_speed(given)
        keep("throughput", results, given)
        click.echo("\n" + tables(results["rows"], TITLES))
        if any(row["failures"] for row in results["rows"]):
            raise click.ClickException("some runs failed")


def measure_speed(given: Given) -> dict[str, Any]:
    """Kept in the cache folder after each table."""
    rows: list[dict[str, Any]] = []
    with at_work(given, given.size.bytes) as bench:
        results = {
            **circumstances(bench.tools, bench.tools.folder),
            "rounds": given.size.rounds,
            "gib": given.size.bytes / GIB,
            "rows": rows,
        }
        for workload in WORKLOADS:
            keys = []
            for key in workload.contestants:
                if given.only and key not in given.only and workload.name not in given.only:
                    continue
                if by_key[key].can_run(bench.tools):
                    keys.append(key)
                else:
                    bench.say(f"{workload.name} {key}: left out, no {by_key[key].needs} here")
            if keys:
                rows += run_workload(bench, workload, keys)
                save("throughput", results, given.cache / "results")
    return results


@main.command()
@click.pass_obj
def growth(given: Given) -> None:
    """A full ticket store, many uploads at once, a file of many ranges."""
    extent = growing.QUICK if given.size is QUICK else growing.FULL
    with at_work(given, extent.source_bytes) as bench:
        results = growing.measure(bench, extent)
    keep("growth", results, given)


@main.command()
@click.pass_obj
def instructions(given: Given) -> None:
    """The instructions of one request, counted by valgrind's callgrind."""
    keep("instructions", count(prepare(given.cache, python=given.python), click.echo), given)


@main.command()
def report() -> None:
    """Write the figures of docs/ from benchmarks/results."""
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


def keep(name: str, results: dict[str, Any], given: Given) -> None:
    """Results of full size are published; what only shows that it works stays in the cache."""
    if given.published:
        click.echo(save(name, results))
        publish()
    else:
        click.echo(save(name, results, given.cache / "results"))


if __name__ == "__main__":
    main()
