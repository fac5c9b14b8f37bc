"""What a web app is to do with an upload, as a query: `answers=wait,done&moves=yes`.

The query travels in the callback URL, or as the owner of a ticket for a function.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode

__all__ = ["Instructions"]


class Instructions:
    """`moves`: the app takes the file away before it answers."""

    def __init__(self, query: str) -> None:
        said = parse_qs(query)
        self.moves = said.get("moves") == ["yes"]
        self._answers = said.get("answers", ["done"])[0].split(",")

    def answer(self, number: int) -> str:
        """To the call with this number, the first is 1; the last answer stands for all that follow.
        Neither done nor wait: the app fails."""
        return self._answers[min(number, len(self._answers)) - 1]

    @staticmethod
    def query(*, moves: bool, answers: str, remove: bool) -> str:
        return urlencode(
            {
                "answers": answers,
                "moves": "yes" if moves else "no",
                "remove": "yes" if remove else "no",
            }
        )
