"""The chart of the main tables as SVG: a bar for each row, its figure and its CPU beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from contestants import by_key
from summaries import Row, Rows, find, median

__all__ = ["Panel", "draw"]

WIDTH, LABELS, BARS = 1000, 440, 400
ROW, BAR = 21, 14
TITLE, FOOT, GAP = 28, 18, 24
INK, PALE, GRID = "#24292f", "#57606a", "#d8dee4"
COLOURS = {"ours": "#0969da", "limit": "#8c959f", "peer": "#d4a72c"}
STEPS = (50, 100, 250, 500, 1000, 2500, 5000, 10000)
LINES = 6  # of the grid, at most


@dataclass(frozen=True)
class Panel:
    workload: str
    title: str
    keys: tuple[str, ...]
    """From top to bottom."""
    figure: str = "mb_s"
    cpu: str = "cpu_s_gb"
    units: str = "MB/s  ·  server CPU s/GB"


def draw(rows: Rows, panels: Sequence[Panel]) -> str:
    """Panels of one figure have one scale. Rows that were not measured are left out."""
    parts: list[str] = []
    y = 10
    for panel in panels:
        shown = _shown(rows, panel)
        longest = max(
            median(row, panel.figure)
            for other in panels
            if other.figure == panel.figure
            for row in _shown(rows, other)
        )
        parts += _panel(panel, shown, y, longest)
        y += TITLE + ROW * len(shown) + FOOT + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" font-family="system-ui, sans-serif">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _shown(rows: Rows, panel: Panel) -> Rows:
    return [row for key in panel.keys if (row := find(rows, panel.workload, key)) is not None]


def _panel(panel: Panel, rows: Rows, y: int, longest: float) -> list[str]:
    parts = [
        _text(10, y + 16, panel.title, weight=600),
        _text(WIDTH - 10, y + 16, panel.units, anchor="end", fill=PALE),
    ]
    top, bottom = y + TITLE, y + TITLE + ROW * len(rows)
    step = next(step for step in STEPS if longest / step <= LINES or step == STEPS[-1])
    for value in range(0, int(longest) + 1, step):
        x = LABELS + BARS * value / longest
        parts.append(f'<path d="M{x:.1f} {top}V{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 14, f"{value:,}", anchor="middle", fill=PALE, size=11))
    for number, row in enumerate(rows):
        parts += _bar(panel, row, top + ROW * number + ROW / 2, longest)
    return parts


def _bar(panel: Panel, row: Row, middle: float, longest: float) -> list[str]:
    value = median(row, panel.figure)
    role = by_key[row["key"]].role
    weight = 600 if role == "ours" else 400
    return [
        _text(LABELS - 8, middle + 4.5, row["title"], anchor="end", weight=weight),
        f'<rect x="{LABELS}" y="{middle - BAR / 2:.1f}" width="{BARS * value / longest:.1f}" '
        f'height="{BAR}" fill="{COLOURS[role]}"/>',
        _text(
            WIDTH - 10,
            middle + 4.5,
            f"{value:,.0f}  ·  {median(row, panel.cpu):.2f}",
            anchor="end",
            weight=weight,
        ),
    ]


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    weight: int = 400,
    fill: str = INK,
    size: int = 13,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}" fill="{fill}">{escape(words)}</text>'
    )
