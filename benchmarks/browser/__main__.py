"""MB/s of files sent by pages in headless Chromium: incoming.js beside tus-js-client and Uppy.

python benchmarks/browser            all rows, and the part of docs/performance.md; 5 minutes
python benchmarks/browser report     that part from benchmarks/browser/results

What the rows are and how they are measured stands there, under "In the browser".
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).resolve().parent
# At the end: the rooms of the other benchmarks, whose __main__ is not this one.
sys.path.append(str(HERE.parent))

from chromium import INSECURE_HOST, Chromium, chromium  # noqa: E402
from commands import COMMANDS, install_clients, lacking  # noqa: E402
from measuring import Meter, resident_mib  # noqa: E402
from prepare import Tools, prepare  # noqa: E402
from publish import load, save  # noqa: E402
from rows import ROWS, Row  # noqa: E402
from source import Source, WrongContent  # noqa: E402
from starting import Running  # noqa: E402
from table import circumstances_of_all, publish, table  # noqa: E402
from warm import Pool  # noqa: E402

GB = 1e9
MIB = 1 << 20
RESULTS = HERE / "results"
MEMORY = Path("/dev/shm")  # file and what is stored of it: no disk is measured
ROOM_BYTES = 16 * MIB  # for databases and logs
WARM_UP_BYTES = 4 * MIB
SEED = 20  # of the order of each round


@click.group(invoke_without_command=True, help=__doc__.partition("\n")[0])
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--mib",
    type=click.IntRange(WARM_UP_BYTES // MIB),
    default=512,
    show_default=True,
    help="Length of the file.",
)
@click.option("--quick", is_flag=True, help="One round of 4 MiB, to see that it works.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(sorted({row.page for row in ROWS})),
    help="The rows of one page; repeatable.",
)
@click.option(
    "--cache",
    default=HERE.parent / ".cache",
    type=click.Path(path_type=Path),
    help="Where programs are made; benchmarks/.cache.",
)
@click.option(
    "--python",
    metavar="PATH",
    help="A Python that has incoming_wsgi and gunicorn already; no registry is asked then.",
)
@click.pass_context
def main(
    context: click.Context,
    rounds: int,
    mib: int,
    quick: bool,
    only: Sequence[str],
    cache: Path,
    python: str | None,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if quick:
        rounds, mib = 1, WARM_UP_BYTES // MIB
    _check_room(mib * MIB)
    tools = prepare(cache.absolute(), python=python)
    rows = [row for row in ROWS if not only or row.page in only]
    for row in rows:
        if what := lacking(row.server, tools):
            click.echo(f"{row.key}: left out, no {what} here")
    rows = [row for row in rows if not lacking(row.server, tools)]
    if any(row.server == "tus" for row in rows):
        install_clients(tools)
    results = {
        **_measure(tools, rows, length=mib * MIB, rounds=rounds),
        "rounds": rounds,
        "gib": mib / 1024,
    }
    if quick or len(rows) < len(ROWS):
        click.echo(save("browser", results, tools.folder / "results"))
    else:
        click.echo(save("browser", results, RESULTS))
        publish(results)
    click.echo("\n" + table(results))
    if any(row["failures"] for row in results["rows"]):
        raise click.ClickException("some runs failed")


@main.command()
def report() -> None:
    """Write the part of docs/performance.md from benchmarks/browser/results."""
    results = load("browser", RESULTS)
    if results is None:
        raise click.ClickException(f"there is nothing in {RESULTS}")
    publish(results)


def _check_room(length: int) -> None:
    """In a container the folder may have 64 MiB, whoever may write there."""
    wanted, free = 2 * length + ROOM_BYTES, shutil.disk_usage(MEMORY).free
    if free < wanted:
        raise click.UsageError(
            f"{MEMORY} has {free // MIB} MiB free, and {wanted // MIB} are needed: make it larger "
            "(docker run --shm-size), or the file smaller (--mib)"
        )


def _measure(tools: Tools, rows: Sequence[Row], *, length: int, rounds: int) -> dict[str, Any]:
    kept: dict[str, dict[str, Any]] = {
        row.key: {"key": row.key, "title": row.title, "rounds": [], "failures": []} for row in rows
    }
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="incoming-benchmark-browser-", dir=MEMORY)
            )
        )
        names = sorted({row.server for row in rows})
        bench = _Bench(
            # A source has one byte more than it is told.
            source=stack.enter_context(Source(length - 1)),
            browser=stack.enter_context(chromium()),
            servers={
                name: stack.enter_context(_running(name, tools, folder / name)) for name in names
            },
        )
        with Source(WARM_UP_BYTES - 1) as small:
            for row in rows:  # every page, process and connection is warm, and the content right
                bench.take_turn(row, small, check=True)
        for number in range(rounds):
            order = random.Random(SEED + number).sample(rows, len(rows))
            for row in order:
                try:
                    figures = bench.take_turn(row, bench.source, check=number == 0)
                except (OSError, RuntimeError, WrongContent) as exc:
                    kept[row.key]["failures"].append(str(exc))
                    click.echo(f"{number + 1} {row.key}: FAILED: {exc}")
                else:
                    kept[row.key]["rounds"].append(figures)
                    click.echo(f"{number + 1} {row.key}: {_brief(figures)}")
        of_what = circumstances_of_all(tools, folder, chromium=bench.browser.version)
    return {**of_what, "rows": list(kept.values())}


@contextmanager
def _running(name: str, tools: Tools, folder: Path) -> Iterator[Running]:
    running = Running(COMMANDS[name], tools, folder, {"PYTHONPATH": str(HERE)})
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


class _Bench:
    """What runs from the first round to the last."""

    def __init__(self, source: Source, browser: Chromium, servers: dict[str, Running]) -> None:
        self.source = source
        self.browser = browser
        self._servers = servers
        self._pool = Pool()

    def take_turn(self, row: Row, source: Source, *, check: bool) -> dict[str, Any]:
        running = self._servers[row.server]
        host = "localhost" if row.is_secure else INSECURE_HOST
        length = source.path.stat().st_size
        self._pool.hold(length)
        try:
            idle_mib = resident_mib(running.pids)
            url = f"http://{host}:{running.port}/{row.page}.html"
            with self.browser.page(url, source.path) as page:
                self._pool.release()
                meter = Meter(running.pids)
                sending = page.send(row.options)
                browser_cpu_s = sum(sending.browser_cpu_s.values())
                cost = meter.stop(client_cpu_s=browser_cpu_s)
            if sending.is_secure != row.is_secure:
                raise RuntimeError(f"{row.key}: secure context: {sending.is_secure}")
            if check and sending.stored_as is not None:
                stored = running.folder / "files" / sending.stored_as.rpartition("/")[2]
                source.compare([stored], [(0, length)])
        finally:
            self._pool.release()
            _cut(running.folder / "files")
        return {
            "mb_s": length / 1e6 / sending.seconds,
            "took_s": sending.seconds,
            "bytes": length,
            "requests": len(sending.requests),
            "browser_cpu_s_gb": browser_cpu_s / (length / GB),
            "browser_cpu_s": sending.browser_cpu_s,
            "server_cpu_s_gb": cost.cpu_s / (length / GB),
            "rss_idle_mib": idle_mib,
            "rss_peak_mib": cost.rss_peak_mib,
            "others": cost.others,
        }


def _cut(folder: Path) -> None:
    """What has been stored to nothing: it is deleted when all has been measured."""
    for path in folder.iterdir():
        if not path.name.endswith(".json"):  # @tus/server's word of an upload
            with path.open("r+b") as file:
                file.truncate(0)


def _brief(figures: dict[str, Any]) -> str:
    return (
        f"{figures['mb_s']:.0f} MB/s, CPU s/GB: browser {figures['browser_cpu_s_gb']:.2f}, "
        f"server {figures['server_cpu_s_gb']:.2f}, others {figures['others']:.2f}"
    )


if __name__ == "__main__":
    main()
