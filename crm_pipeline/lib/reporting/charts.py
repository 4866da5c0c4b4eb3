"""Charts as inline SVG: they print, they need no script, and every number is text.

Add here: a form of chart.
Not here: which figures are drawn (``tier_report``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crm_pipeline.lib.reporting.html import BLUE, INK, ORANGE, Content, Markup, join, tag

# Narrow, so that the text is still read on a phone, where the whole chart shrinks to the screen.
WIDTH, LABEL_WIDTH, VALUE_WIDTH = 540, 160, 90
BAR, GAP = 15, 10


@dataclass(frozen=True)
class Bar:
    """One bar: how long it is, and what stands behind it."""

    value: float
    text: Content


def bar_chart(
    rows: Sequence[tuple[str, Sequence[Bar]]], *, title: str, legend: Sequence[str] = ()
) -> Markup:
    """Horizontal bars; the second of a row is orange and outlined, so grey print tells them apart.

    Args:
        rows: label, and one or two bars each.
        title: what the chart shows, for those who do not see it.
        legend: names of the bars, when there are two.
    """
    bars = max((len(bars) for _, bars in rows), default=1)
    step = bars * (BAR + 2) + GAP
    top = 26 if legend else 4
    longest = max((bar.value for _, row in rows for bar in row), default=0) or 1
    parts: list[Content] = [tag("title", title)]
    for place, name in enumerate(legend):
        left = LABEL_WIDTH + place * 150
        parts.append(_rect(left, 4, 12, place))
        parts.append(_text(left + 18, 14, name, "start"))
    for number, (label, row) in enumerate(rows):
        y = top + number * step
        middle = y + (len(row) * (BAR + 2)) / 2 + 4
        parts.append(_text(LABEL_WIDTH - 10, middle, label, "end"))
        for place, bar in enumerate(row):
            room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
            length = max(1.0, room * max(0.0, bar.value) / longest)
            line = y + place * (BAR + 2)
            parts.append(_rect(LABEL_WIDTH, line, length, place))
            parts.append(_text(LABEL_WIDTH + length + 6, line + 12, bar.text, "start"))
    height = top + len(rows) * step
    return tag("svg", join(parts), viewBox=f"0 0 {WIDTH} {height}", role="img")


def _rect(x: float, y: float, width: float, place: int) -> Markup:
    fill, edge = (BLUE, BLUE) if place == 0 else ("#fbe3d3", ORANGE)
    return tag("rect", x=_number(x), y=_number(y), width=_number(width), height=BAR,
               fill=fill, stroke=edge)  # fmt: skip


def _text(x: float, y: float, content: Content, anchor: str) -> Markup:
    return tag("text", content, x=_number(x), y=_number(y), text_anchor=anchor,
               font_size=13, fill=INK)  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
