"""What axe-core finds wrong with a page: WCAG 2.2, levels A and AA, and good practice.

    assert violations(page) == []

It judges the page as it stands, in its colours and its state; what axe cannot decide by itself is
not told. axe-core is one of the packages of `npm ci`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tools import missing

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["violations"]

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
# Rules that are in these sets, but off until they are asked for.
RULES = ["target-size"]
RUN = """
    ([tags, rules]) => axe.run(document, {
        runOnly: { type: "tag", values: tags },
        rules: Object.fromEntries(rules.map((rule) => [rule, { enabled: true }])),
        resultTypes: ["violations"],
    })
"""


def violations(page: Page) -> list[str]:
    """A readable paragraph for each element and each rule that it breaks."""
    # As a script of the debugger's and not of the page's: no content security policy forbids it.
    page.evaluate(_axe())
    found = page.evaluate(RUN, [TAGS, RULES])["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}\n"
        f"  {' '.join(map(str, node['target']))}  {node['html']}\n"
        f"  {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


@cache
def _axe() -> str:
    if not AXE.exists():
        missing("axe-core is not there: `npm ci` installs it")
    # An expression, so that it is not wrapped and `axe` gets into the window.
    return AXE.read_text() + "\n;0"
