"""HTML made by our own hand: every text escaped, nothing fetched from anywhere.

Add here: an element several pages need.
Not here: what a page says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already; everything else is escaped when it is put into a page."""

    __slots__ = ()


Content = str | Markup | None

# Okabe and Ito's colours: told apart with every common kind of colour blindness.
INK, LINE, BLUE, ORANGE, SKY = "#1b1f24", "#d0d7de", "#0072b2", "#d55e00", "#56b4e9"

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.25rem; color: #1b1f24; background: #fff;
  font: 16px/1.5 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC",
  "Source Han Sans SC", "WenQuanYi Zen Hei", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; padding-bottom: .25rem;
  border-bottom: 2px solid #0072b2; break-after: avoid; }
h3 { font-size: 1rem; margin: 1.25rem 0 .35rem; break-after: avoid; }
p { margin: .4rem 0; max-width: 46rem; }
.muted { color: #57606a; font-size: .875rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; margin: .5rem 0; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #d0d7de; text-align: left;
  vertical-align: top; }
td:first-child, tbody th { min-width: 7.5rem; vertical-align: top; }
thead th { border-bottom: 2px solid #8c959f; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, th.number { font-weight: 600; vertical-align: bottom; white-space: normal; }
code { font: .85em/1.4 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; max-width: 40rem; margin: .5rem 0; }
svg text { font-family: inherit; fill: #1b1f24; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr));
  gap: .75rem; margin: 1rem 0; }
.card { border: 1px solid #d0d7de; border-radius: .4rem; padding: .6rem .8rem;
  break-inside: avoid; }
.card b { display: block; font-size: 1.4rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
@media (max-width: 34rem) { body { padding: .75rem; } th, td { padding: .25rem .4rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; }
  table, svg { break-inside: avoid; } thead { display: table-header-group; }
  .scroll { overflow: visible; } .screen { display: none; } }
"""


def tag(name: str, *children: Content, **attributes: str | int | float | None) -> Markup:
    """One element; ``class_`` is written class, ``data_figure`` data-figure; None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Content]) -> Markup:
    """Texts escaped, markup as it is."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(child)
            for child in children
            if child is not None
        )
    )


def table(
    head: Sequence[Content], rows: Iterable[Sequence[Content]], *, text_columns: int = 1
) -> Markup:
    """A table; all columns behind the first ``text_columns`` are numbers."""

    def cells(name: str, row: Sequence[Content]) -> Markup:
        kinds = (None if place < text_columns else "number" for place in range(len(row)))
        return join(tag(name, cell, class_=kind) for cell, kind in zip(row, kinds, strict=True))

    body = join(tag("tr", cells("td", row)) for row in rows)
    top = tag("thead", tag("tr", cells("th", head)))
    return tag("div", tag("table", top, tag("tbody", body)), class_="scroll")


def page(title: str, body: Content, *, language: str, style: str = "") -> str:
    """A whole document that needs nothing beside itself."""
    head = join(
        [
            Markup('<meta charset="utf-8">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", title),
            Markup(f"<style>{STYLE}{style}</style>"),
        ]
    )
    document = tag("html", tag("head", head), tag("body", body), lang=language)
    return f"<!doctype html>\n{document}\n"
