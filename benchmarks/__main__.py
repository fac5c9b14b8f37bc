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
from pathlib import Path

import click
from contestants import by_key
from machine import describe
from prepare import Tools, prepare
from publish import publish, save
from report import tables
from running import Bench, Size, run_workload
from source import Source
from workloads import WORKLOADS

HERE = Path(__file__).parent
MIB = 1024**2
GIB = 1024**3
QUICK = Size(rounds=1, bytes=64 * MIB, small_files=0.05)


@click.group(invoke_without_command=True, help=__doc__.partition("\n")[0])
@click.option(
    "--rounds", type=click.IntRange(1), default=7, show_default=True, help="Rounds of each table."
)
@click.option("--gib", default=1.0, show_default=True, help="GiB of each run; slow ones a quarter.")
@click.option("--quick", is_flag=True, help="One round of 64 MiB, to see that it works.")
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
    context.obj = cache, python, quick
    if context.invoked_subcommand is None:
        size = QUICK if quick else Size(rounds, int(gib * GIB))
        tools = prepare(cache.absolute(), python=python)
        measure(tools, size, only)
        if not quick and not only:
            publish()


def measure(tools: Tools, size: Size, only: Sequence[str]) -> None:
    """Results of all tables go to benchmarks/results, others to the cache folder."""
    rows = []
    with work_folder(tools) as folder, Source(size.bytes) as source:
        machine = describe(tools, folder)
        bench = Bench(tools, folder, source, size, click.echo)
        for workload in WORKLOADS:
            keys = [
                key
                for key in workload.contestants
                if not only or key in only or workload.name in only
            ]
            for key in [key for key in keys if not by_key[key].can_run(tools)]:
                click.echo(
                    f"{workload.name} {key}: left out, this machine has no {by_key[key].needs}"
                )
                keys.remove(key)
            if keys:
                rows += run_workload(bench, workload, keys)
    results = {
        "at": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "rounds": size.rounds,
        "gib": size.bytes / GIB,
        "rows": rows,
    }
    partial = size is QUICK or bool(only)
    path = save("throughput", results, *([tools.folder / "results"] if partial else []))
    click.echo("\n" + tables(rows, {workload.name: workload.title for workload in WORKLOADS}))
    click.echo(f"\n{path}")


@contextmanager
def work_folder(tools: Tools) -> Iterator[Path]:
    """For what is stored meanwhile; all of it is deleted at the very end."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=tools.folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@main.command()
def report() -> None:
    """Write docs/performance.md from benchmarks/results."""
    publish()


if __name__ == "__main__":
    main()
