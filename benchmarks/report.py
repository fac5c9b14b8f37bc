"""The Markdown of docs/performance.md that is made of results.

What stands between a pair of markers is written anew; the text around it is somebody's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from summaries import QUIET, Rows, quiet_rounds, summary, used_rounds
from targets import TARGETS, reached

__all__ = [
    "fill_in",
    "growth_tables",
    "instructions_table",
    "machine_table",
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
        measured = [row for row in of_it if row["rounds"]]
        if measured:
            parts.append(f"### `{workload}`: {title}\n\n{_table(measured)}")
        parts += [
            f"`{workload}`, {row['title']}: {len(row['failures'])} runs failed."
            for row in of_it
            if row["failures"]
        ]
    return "\n\n".join(parts)


def _table(rows: Rows) -> str:
    small = "uploads_s" in rows[0]["rounds"][0]
    if small:
        heads = ["uploads/s (min–max)", "CPU ms each", "client CPU ms each"]
        names = ["uploads_s", "cpu_ms_upload", "client_cpu_ms_upload"]
    else:
        heads = ["MB/s (min–max)", "CPU s/GB", "client CPU s/GB"]
        names = ["mb_s", "cpu_s_gb", "client_cpu_s_gb"]
    heads = ["", *heads, "request p50 / p99 ms", "memory idle → peak MiB", "runs (quiet)"]
    return _markdown(heads, [_line(row, names) for row in rows])


def _line(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    rate, cpu, client = names
    values = [figures[rate] for figures in used_rounds(row)]
    return [
        row["title"],
        f"**{summary(row, rate):.0f}** ({min(values):.0f}–{max(values):.0f})",
        f"{summary(row, cpu):.2f}",
        f"{summary(row, client):.2f}",
        f"{summary(row, 'p50_ms'):.1f} / {summary(row, 'p99_ms'):.1f}",
        f"{summary(row, 'rss_idle_mib'):.0f} → {summary(row, 'rss_peak_mib'):.0f}",
        f"{len(row['rounds'])} ({len(quiet_rounds(row))})",
    ]


def target_table(rows: Rows, growth: Mapping[str, Any] | None) -> str:
    lines = []
    for target in TARGETS:
        value = reached(target, rows, growth)
        bound = "at most" if target.at_most else "at least"
        wanted = f"{bound} {target.wanted:g}{target.unit}"
        if value is None:
            lines.append([target.what, wanted, LEFT_OUT, ""])
        else:
            met = "yes" if target.is_met(value) else "**no**"
            lines.append([target.what, wanted, f"{value:.2f}{target.unit}", met])
    return _markdown(["", "wanted", "measured", "reached"], lines)


def machine_table(results: Mapping[str, Any]) -> str:
    facts = {
        **results["machine"],
        "run": f"{results['at']}, {results['rounds']} rounds, {results['gib']:g} GiB for each run",
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
            "A file of 5 TiB, sent in random order: time of a chunk of 4 KiB and of the question "
            "what is there, by the number of ranges it is in:",
            _markdown(["ranges", "chunk ms", "status ms"], ranges),
        ]
    )


def instructions_table(instructions: Mapping[str, Any]) -> str:
    lines = [[each["what"], f"{each['instructions']:,.0f}"] for each in instructions["counts"]]
    return f"Counted with {instructions['how']}:\n\n" + _markdown(["", "instructions"], lines)


def _markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
