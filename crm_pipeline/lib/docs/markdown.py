"""Small pieces of Markdown.

Add here: shapes several generated pages share.
Not here: what a page says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def heading(title: str, source: str) -> str:
    """Title of a generated page and the note that nobody should edit it."""
    return f"# {title}\n\n<!-- Generated from {source} by `make docs`. Do not edit. -->\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars and newlines inside cells are escaped."""
    lines = [_line(columns), "|" + "---|" * len(columns)]
    lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """``text`` as code; empty stays empty."""
    return f"`{text}`" if text else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
