"""MB/s of files sent by pages in headless Chromium: incoming.js beside tus-js-client and Uppy.

    python benchmarks/browser                    the whole table, about 5 minutes
    python benchmarks/browser --only incoming    the rows of some pages alone
    python benchmarks/browser --output FILE      where the table goes (Markdown; all figures as JSON
                                                 beside it), instead of results/browser.md here

Each page sends one file of random bytes, from a click to the client's word that it is done. For
incoming.js that is the word that the app has the file; tus clients know of no app and are done with
the last answer. Every server runs from the first round to the last. In each round each row has one
turn, in an order that rotates; of the rounds medians are taken. In the first, what is stored is
compared with the file. File and servers' folders are in memory (tmpfs) if the machine has one, so
that no disk is measured.

@tus/server's file store does not join parts (the extension "concatenation"), so that
`parallelUploads` of tus-js-client and Uppy cannot be had there.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from chromium import INSECURE_HOST, Chromium, chromium, cpu_seconds, process_tree
from report import Turn, write_report
from rows import ROWS, Row
from servers import Server, install_packages, running

MIB = 1 << 20
BLOCK_BYTES = 16 * MIB


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    rows = [row for row in ROWS if not options.only or row.page in options.only]
    if any(row.server == "tus" for row in rows):
        install_packages()
    turns: list[Turn] = []
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="benchmark-browser-", dir=options.folder)
            )
        )
        path = folder / "file.bin"
        _fill(path, options.mib * MIB)
        names = sorted({row.server for row in rows})
        servers = {
            name: stack.enter_context(running(name, folder / name, workers=options.workers))
            for name in names
        }
        browser = stack.enter_context(chromium())
        for row in rows:  # a first, small round: every page, process and connection is warm
            small = folder / "small.bin"
            small.write_bytes(os.urandom(4 * MIB))
            _take_turn(browser, servers[row.server], row, small, compare=True)
        for number in range(options.rounds):
            shift = number * len(rows) // options.rounds
            for row in rows[shift:] + rows[:shift]:
                turn = _take_turn(browser, servers[row.server], row, path, compare=number == 0)
                print(f"{number + 1}/{options.rounds} {turn}", file=sys.stderr, flush=True)
                turns.append(turn)
        write_report(turns, rows, options, chromium_version=browser.version)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks/browser", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--mib", type=int, default=512, help="length of the file (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each row (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="of gunicorn (%(default)s)")
    pages = sorted({row.page for row in ROWS})
    parser.add_argument("--only", action="append", choices=pages, help="may be given several times")
    memory = "/dev/shm"
    parser.add_argument(
        "--folder",
        default=memory if os.access(memory, os.W_OK) else None,
        help="where the file and what is stored are, for the time of the run (%(default)s)",
    )
    here = Path(__file__).resolve().parent
    parser.add_argument("--output", type=Path, default=here / "results" / "browser.md")
    return parser.parse_args(arguments)


def _fill(path: Path, length: int) -> None:
    with path.open("wb") as file:
        for start in range(0, length, BLOCK_BYTES):
            file.write(os.urandom(min(BLOCK_BYTES, length - start)))


def _take_turn(browser: Chromium, server: Server, row: Row, path: Path, *, compare: bool) -> Turn:
    host = "localhost" if row.is_secure else INSECURE_HOST
    processes = process_tree(server.pid)
    before_s = cpu_seconds(processes)
    sending = browser.send(f"http://{host}:{server.port}/{row.page}.html", path, row.options)
    server_cpu_s = cpu_seconds(processes) - before_s
    if sending.is_secure != row.is_secure:
        raise SystemExit(f"{row.name}: secure context: {sending.is_secure}")
    if sending.stored_as is not None:
        stored = server.stored / sending.stored_as.rpartition("/")[2]
        if compare and not filecmp.cmp(path, stored, shallow=False):
            raise SystemExit(f"{row.name}: {stored} is not what was sent")
        stored.unlink()
    return Turn(
        row=row.name,
        bytes=path.stat().st_size,
        seconds=sending.seconds,
        requests=len(sending.requests),
        browser_cpu_s=sending.browser_cpu_s,
        server_cpu_s=server_cpu_s,
    )


if __name__ == "__main__":
    main()
