"""The Markdown of docs/performance.md and docs/deploy.md that is made of results.

What stands between a pair of markers is written anew; the text around it is somebody's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median as middle
from typing import Any

from summaries import (
    QUIET,
    Rows,
    find,
    growth_mib,
    median,
    quiet_rounds,
    used_rounds,
    was_measured,
)
from targets import TARGETS, measured

__all__ = [
    "fill_in",
    "growth_tables",
    "instructions_table",
    "machine_table",
    "made",
    "server_table",
    "tables",
    "target_table",
]

LEFT_OUT = "not measured"


def fill_in(text: str, parts: Mapping[str, str]) -> str:
    """`text` with what stands between `<!-- NAME -->` and `<!-- end of NAME -->` replaced by
    `parts[NAME]`. Raises ValueError for markers that are missing."""
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"there must be one {begin} and one {end}")
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n\n{part.strip()}\n\n{end}{after}"
    return text


def tables(rows: Rows, titles: Mapping[str, str]) -> str:
    """A table of each workload, in the order of `titles`."""
    parts = []
    for workload, title in titles.items():
        of_it = [row for row in rows if row["workload"] == workload]
        good = [row for row in of_it if was_measured(row)]
        if good:
            parts.append(f"### `{workload}`: {title}\n\n{_table(good)}")
            parts += _generator(good)
        parts += [
            f"`{workload}`, {row['title']}: **failed**, no figures."
            for row in of_it
            if row["failures"]
        ]
    return "\n\n".join(parts)


def _table(rows: Rows) -> str:
    small = "uploads_s" in rows[0]["rounds"][0]
    if small:
        heads = ["uploads/s (min–max)", "CPU ms each (min–max)", "client CPU ms each"]
        names = ["uploads_s", "cpu_ms_upload", "client_cpu_ms_upload"]
    else:
        heads = ["MB/s (min–max)", "CPU s/GB (min–max)", "client CPU s/GB"]
        names = ["mb_s", "cpu_s_gb", "client_cpu_s_gb"]
    heads = ["", *heads, "request p50 / p99 ms", "memory idle → peak MiB", "runs (quiet, again)"]
    return _markdown(heads, [_line(row, names) for row in rows])


def _line(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    rate, cpu, client = names
    used = used_rounds(row)
    rates, costs = [each[rate] for each in used], [each[cpu] for each in used]
    idle_mib = row["rounds"][0]["rss_idle_mib"]
    return [
        row["title"],
        f"**{median(row, rate):.0f}** ({min(rates):.0f}–{max(rates):.0f})",
        f"{median(row, cpu):.2f} ({min(costs):.2f}–{max(costs):.2f})",
        f"{median(row, client):.2f}",
        f"{median(row, 'p50_ms'):.1f} / {median(row, 'p99_ms'):.1f}",
        f"{idle_mib:.0f} → {idle_mib + growth_mib(row):.0f}",
        f"{len(row['rounds'])} ({len(quiet_rounds(row))}, {row['again']})",
    ]


def _generator(rows: Rows) -> list[str]:
    """Whether the load generator was the limit."""
    rate = "uploads_s" if "uploads_s" in rows[0]["rounds"][0] else "mb_s"
    rates = {row["key"]: median(row, rate) for row in rows}
    own = rates.pop("drop", None)
    if own is None or not rates:
        return []
    return [f"Load generator to the fastest row: {own / max(rates.values()):.1f}."]


def target_table(rows: Rows, growth: Mapping[str, Any] | None) -> str:
    lines = []
    for target in TARGETS:
        values = measured(target, rows, growth)
        bound = "at most" if target.at_most else "at least"
        wanted = f"{bound} {target.wanted:g}{target.unit}"
        if not values:
            lines.append([target.what, wanted, LEFT_OUT, ""])
            continue
        value = middle(values)
        said = f"{value:.2f}{target.unit}"
        if len(values) > 1:
            said += f" ({min(values):.2f}–{max(values):.2f})"
        lines.append([target.what, wanted, said, "yes" if target.is_met(value) else "**no**"])
    return _markdown(["", "wanted", "measured (min–max)", "reached"], lines)


# For docs/deploy.md: its name there, its row among the large files, and among the small ones.
SERVERS = (
    ("gunicorn `gthread`, 1 worker", "one8m", "ours-w1", None),
    ("gunicorn `gthread`, 2 workers", "one8m", "ours-w2", "small-w2"),
    ("gunicorn `gevent`, 1 worker", "servers", "ours-gevent", None),
    ("uWSGI, `http11-socket`, 1 process", "servers", "ours-uwsgi", "small-uwsgi"),
    ("granian, 1 worker", "servers", "ours-granian", None),
    ("waitress without options", "servers", "ours-waitress", None),
    ("waitress as below", "servers", "ours-waitress-tuned", None),
    ("wsgiref, a thread for each connection", "servers", "ours-wsgiref", None),
    ("nginx, buffering off → gunicorn, 1 worker", "servers", "ours-nginx-streaming", None),
    ("nginx, buffering on → gunicorn, 1 worker", "servers", "ours-nginx-buffering", None),
)


def server_table(rows: Rows) -> str:
    lines = []
    for what, workload, key, small_key in SERVERS:
        row = find(rows, workload, key)
        if row is None:
            continue
        small = find(rows, "small", small_key) if small_key else None
        lines.append(
            [
                what,
                f"{median(row, 'mb_s'):.0f}",
                f"{median(row, 'cpu_s_gb'):.2f}",
                f"{max(figures['rss_peak_mib'] for figures in row['rounds']):.0f}",
                f"{median(small, 'uploads_s'):.0f}" if small else "",
            ]
        )
    heads = ["", "MB/s", "CPU s/GB", "memory MiB", "files of 10 KiB/s"]
    return (
        "One connection with requests of 8 MiB, and files of 10 KiB on four connections; memory at "
        "its peak, all processes. From the tables of [performance.md](performance.md), where the "
        f"client has the same cores: to compare them by.\n\n{_markdown(heads, lines)}"
    )


def made(results: Mapping[str, Any], commit: str | None) -> str:
    """When, of what, on what, and whether that is `commit`."""
    machine = results["machine"]
    said = f"{results['at']}, commit {results['commit']}, {machine['processor']}"
    other = "" if results["commit"] == commit else " **That is not the commit of the tables.**"
    return f"Measured on {said}.{other}"


def machine_table(results: Mapping[str, Any]) -> str:
    facts = {
        **results["machine"],
        "run": f"{results['at']}, commit {results['commit']}, {results['rounds']} rounds, "
        f"{results['gib']:g} GiB for each run",
        "quiet": f"others had less than {QUIET:.0%} of one core",
    }
    return _markdown(["", ""], [[name, value] for name, value in facts.items()])


def growth_tables(growth: Mapping[str, Any]) -> str:
    full = [
        [what, f"{each['empty_ms']:.2f}", f"{each['full_ms']:.2f}", f"{each['ratio']:.2f}"]
        for what, each in growth["full"].items()
    ]
    memory = [
        [str(each["uploads"]), f"{each['rss_idle_mib']:.0f} → {each['rss_peak_mib']:.0f}"]
        for each in growth["memory"]
    ]
    ranges = [
        [f"{each['ranges']:,}", f"{each['chunk_ms']:.2f}", f"{each['status_ms']:.2f}"]
        for each in growth["ranges"]
    ]
    uploads = f"{growth['open']:,} open and {growth['finished']:,} finished uploads"
    return "\n\n".join(
        [
            f"Median time of a request, one after the other on one connection, with {uploads}, and "
            "with none (in turns):",
            _markdown(["", "empty ms", "full ms", "ratio"], full),
            f"Resident memory of gunicorn with one worker of 8 threads while so many uploads send "
            f"{growth['chunk_mib']} MiB chunks at once, each on its own connection:",
            _markdown(["uploads at once", "idle → peak MiB"], memory),
            "A file of 5 TiB, in the process without a server, sent in random order: time of a "
            "chunk of 4 KiB and of the question what is there, by the number of ranges it is in:",
            _markdown(["ranges", "chunk ms", "status ms"], ranges),
        ]
    )


def instructions_table(instructions: Mapping[str, Any]) -> str:
    lines = [[each["what"], f"{each['instructions']:,.0f}"] for each in instructions["counts"]]
    return f"Counted with {instructions['how']}:\n\n" + _markdown(["", "instructions"], lines)


def _markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
