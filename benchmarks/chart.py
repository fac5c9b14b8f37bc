"""One chart of the two main tables as SVG: a bar for each row, MB/s, and its CPU beside it."""

from __future__ import annotations

from html import escape

from figures import Rows, find, summary

__all__ = ["draw"]

WIDTH, LABELS, BARS = 900, 330, 400
ROW, BAR = 21, 14
TITLE, GAP = 34, 20
INK, PALE, GRID = "#24292f", "#57606a", "#d8dee4"
# Ours, the limit, everybody else.
COLOURS = {"ours": "#0969da", "sink": "#8c959f", "": "#d4a72c"}


def draw(rows: Rows, panels: dict[str, tuple[str, tuple[str, ...]]]) -> str:
    """`panels`: workload → its title, and the keys that are shown, from top to bottom."""
    longest = max(
        (summary(row, "mb_s") for row in rows if row["workload"] in panels and _shown(row, panels)),
        default=1.0,
    )
    step = _step(longest)
    parts: list[str] = []
    y = 10
    for workload, (title, keys) in panels.items():
        shown = [row for key in keys if (row := find(rows, workload, key)) is not None]
        parts += _panel(title, shown, y, longest, step)
        y += TITLE + ROW * len(shown) + GAP + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _shown(row: dict, panels: dict[str, tuple[str, tuple[str, ...]]]) -> bool:
    return row["key"] in panels[row["workload"]][1]


def _step(longest: float) -> int:
    """Of the grid: four to eight lines."""
    return next(step for step in (50, 100, 250, 500, 1000, 2000, 5000) if longest / step <= 8)


def _panel(title: str, rows: Rows, y: int, longest: float, step: int) -> list[str]:
    parts = [_text(0 + 10, y + 16, title, weight=600)]
    parts.append(_text(WIDTH - 10, y + 16, "MB/s  ·  server CPU s/GB", anchor="end", fill=PALE))
    top, bottom = y + TITLE - 6, y + TITLE + ROW * len(rows)
    for value in range(0, int(longest) + 1, step):
        x = LABELS + BARS * value / longest
        parts.append(f'<path d="M{x:.1f} {top}V{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 14, str(value), anchor="middle", fill=PALE, size=11))
    for number, row in enumerate(rows):
        middle = y + TITLE + ROW * number + ROW / 2
        speed = summary(row, "mb_s")
        colour = COLOURS.get(row["key"].partition("-")[0], COLOURS[""])
        weight = 600 if row["key"].startswith("ours") else 400
        parts.append(_text(LABELS - 8, middle + 4, row["title"], anchor="end", weight=weight))
        parts.append(
            f'<rect x="{LABELS}" y="{middle - BAR / 2:.1f}" width="{BARS * speed / longest:.1f}" '
            f'height="{BAR}" fill="{colour}"/>'
        )
        words = f"{speed:.0f}  ·  {summary(row, 'cpu_s_gb'):.2f}"
        parts.append(_text(WIDTH - 10, middle + 4, words, anchor="end", weight=weight))
    return parts


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
