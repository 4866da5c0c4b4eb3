"""Charts as inline SVG: they print, they need no script, and every number is text.

Add here: a form of chart.
Not here: which figures are drawn (``tier_report``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crm_pipeline.lib.reporting.html import BLUE, INK, LINE, ORANGE, SKY, Content, Markup, join, tag

# Narrow, so that the text is still read on a phone, where the whole chart shrinks to the screen.
WIDTH, LABEL_WIDTH, VALUE_WIDTH = 540, 160, 90
BAR, GAP = 15, 10
LEGEND_ROW = 20
# Colour and dashes: either tells the lines apart, so grey print does too.
STROKES = ((BLUE, None), (ORANGE, "7 4"), (SKY, "2 3"), ("#57606a", "10 3 2 3"), (INK, "1 5"))


@dataclass(frozen=True)
class Bar:
    """One bar: how long it is, and what stands behind it."""

    value: float
    text: Content


def bar_chart(
    rows: Sequence[tuple[str, Sequence[Bar]]],
    *,
    title: str,
    legend: Sequence[str] = (),
    label_width: int = LABEL_WIDTH,
) -> Markup:
    """Horizontal bars; the second of a row is orange and outlined, so grey print tells them apart.

    Args:
        rows: label, and one or two bars each.
        title: what the chart shows, for those who do not see it.
        legend: names of the bars, when there are two.
        label_width: room for the labels.
    """
    bars = max((len(bars) for _, bars in rows), default=1)
    step = bars * (BAR + 2) + GAP
    top = 26 if legend else 4
    longest = max((bar.value for _, row in rows for bar in row), default=0) or 1
    parts: list[Content] = [tag("title", title)]
    for place, name in enumerate(legend):
        left = label_width + place * 150
        parts.append(_rect(left, 4, 12, place))
        parts.append(_text(left + 18, 14, name, "start"))
    for number, (label, row) in enumerate(rows):
        y = top + number * step
        middle = y + (len(row) * (BAR + 2)) / 2 + 4
        parts.append(_text(label_width - 10, middle, label, "end"))
        for place, bar in enumerate(row):
            room = WIDTH - label_width - VALUE_WIDTH
            length = max(1.0, room * max(0.0, bar.value) / longest)
            line = y + place * (BAR + 2)
            parts.append(_rect(label_width, line, length, place))
            parts.append(_text(label_width + length + 6, line + 12, bar.text, "start"))
    height = top + len(rows) * step
    return tag("svg", join(parts), viewBox=f"0 0 {WIDTH} {height}", role="img")


@dataclass(frozen=True)
class Line:
    """One line of a chart; ``is_dotted`` marks each of its points."""

    name: str
    points: Sequence[tuple[float, float]]
    is_dotted: bool = False


@dataclass(frozen=True)
class Axis:
    """What is measured along one side, and how its numbers are written."""

    name: str
    show: Callable[[float], str]


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    across: Axis,
    up: Axis,
    width: int = WIDTH,
    height: int = 280,
    diagonal: bool = False,
) -> Markup:
    """Lines over a shared pair of axes; the first is the one the chart is about.

    Args:
        lines: at most as many as there are strokes, each with finite points at rising places.
        title: what the chart shows, for those who do not see it.
        across: the horizontal axis.
        up: the vertical axis.
        width: of the drawing, which is scaled to the page.
        height: of the drawing without its legend.
        diagonal: draws where both axes have equal values.
    """
    shown = [line for line in lines if line.points][: len(STROKES)]
    xs = [x for line in shown for x, _ in line.points] or [0.0]
    ys = [y for line in shown for _, y in line.points] or [0.0]
    x_ticks = _list_ticks(min(xs), max(xs), 3 if width < WIDTH else 6)
    y_ticks = _list_ticks(min(ys), max(ys), 3 if width < WIDTH else 5)
    room_left = 12 + 7 * max(len(up.show(tick)) for tick in y_ticks)
    per_row = 2 if width >= WIDTH else 1
    rows = -(-len(shown) // per_row) if len(shown) > 1 else 0
    top = 10 + rows * LEGEND_ROW + 16
    left, right, bottom = room_left, width - 18, top + height - 70

    def place_x(x: float) -> float:
        return left + (right - left) * (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])

    def place_y(y: float) -> float:
        return bottom - (bottom - top) * (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])

    parts: list[Content] = [tag("title", title)]
    for number, line in enumerate(shown if rows else ()):
        start, base = number % per_row * (width // per_row), 12 + number // per_row * LEGEND_ROW
        parts.append(_stroke([(start + 4, base - 4), (start + 34, base - 4)], number))
        parts.append(_text(start + 40, base, line.name, "start"))
    for tick in y_ticks:
        parts.append(_grid(left, place_y(tick), right, place_y(tick)))
        parts.append(_tick(left - 6, place_y(tick) + 4, up.show(tick), "end"))
    for tick in x_ticks:
        parts.append(_grid(place_x(tick), bottom, place_x(tick), bottom + 4))
        parts.append(_tick(place_x(tick), bottom + 18, across.show(tick), "middle"))
    parts.append(_text(left, top - 8, up.name, "start"))
    parts.append(_text(right, bottom + 36, across.name, "end"))
    if diagonal:
        low, high = max(x_ticks[0], y_ticks[0]), min(x_ticks[-1], y_ticks[-1])
        parts.append(_grid(place_x(low), place_y(low), place_x(high), place_y(high), "#8c959f"))
    for number, line in reversed(list(enumerate(shown))):
        places = [(place_x(x), place_y(y)) for x, y in line.points]
        parts.append(_stroke(places, number))
        for x, y in places if line.is_dotted else ():
            parts.append(tag("circle", cx=_number(x), cy=_number(y), r=4, fill=STROKES[number][0]))
    return tag("svg", join(parts), viewBox=f"0 0 {width} {_number(bottom + 44)}", role="img")


def _list_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, about ``count`` steps."""
    if high <= low:
        low, high = min(low, 0.0), max(high, low + 1.0)
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(factor for factor in (1, 2, 5, 10) if factor * size >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, max(last, first + 1) + 1)]


def _stroke(points: Sequence[tuple[float, float]], number: int) -> Markup:
    colour, dashes = STROKES[number]
    listed = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return tag("polyline", points=listed, fill="none", stroke=colour, stroke_width=2,
               stroke_dasharray=dashes)  # fmt: skip


def _grid(x1: float, y1: float, x2: float, y2: float, colour: str = LINE) -> Markup:
    return tag("line", x1=_number(x1), y1=_number(y1), x2=_number(x2), y2=_number(y2),
               stroke=colour)  # fmt: skip


def _tick(x: float, y: float, content: str, anchor: str) -> Markup:
    return tag("text", content, x=_number(x), y=_number(y), text_anchor=anchor, font_size=12,
               fill=INK, data_axis="tick")  # fmt: skip


def _rect(x: float, y: float, width: float, place: int) -> Markup:
    fill, edge = (BLUE, BLUE) if place == 0 else ("#fbe3d3", ORANGE)
    return tag("rect", x=_number(x), y=_number(y), width=_number(width), height=BAR,
               fill=fill, stroke=edge)  # fmt: skip


def _text(x: float, y: float, content: Content, anchor: str) -> Markup:
    return tag("text", content, x=_number(x), y=_number(y), text_anchor=anchor,
               font_size=13, fill=INK)  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
