"""《客户分层运营报告》: the monthly report as one HTML document per language.

Add here: a section.
Not here: figures (``figures``), sentences (``words``), elements and charts (``html``, ``charts``).

Every printed number carries ``data-figure="query:row:column"``, so that anybody can ask the build
for it again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crm_pipeline.lib.reporting.charts import Bar, bar_chart
from crm_pipeline.lib.reporting.figures import QUERIES, Figures, Row
from crm_pipeline.lib.reporting.html import Content, Markup, join, page, table, tag
from crm_pipeline.lib.reporting.labels import LANGUAGES, Labels
from crm_pipeline.lib.reporting.words import WORDS

STYLE = """
.card small { color: #57606a; display: block; }
td.heat { text-align: right; font-variant-numeric: tabular-nums; }
td.heat.moved { font-weight: 700; }
.wide th { white-space: normal; }
footer { margin-top: 2.5rem; border-top: 1px solid #d0d7de; padding-top: .5rem; }
"""


def render_report(figures: Figures, labels: Labels, language: str) -> str:
    """The report in one language."""
    made = _Report(figures, labels, language)
    return page(made.say("title"), join(made.sections()), language=language, style=STYLE)


def show(value: Any, column: str) -> str:
    """A figure as it is printed: by what its column's name says it is."""
    if value is None:
        return "–"
    if isinstance(value, dt.date):
        return value.isoformat()
    if column.endswith("_change_pct"):
        return f"{value:+,.1f}%"
    if column.endswith("_pct"):
        return f"{value:,.1f}%"
    if column.endswith("_amount") or column.endswith("_amount_before"):
        return f"{value:,.2f}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, (int, Decimal)):
        return f"{int(value):,}"
    return str(value)


@dataclass(frozen=True)
class _Report:
    figures: Figures
    labels: Labels
    language: str

    def say(self, word: str, **filled: object) -> str:
        """A sentence in the report's language."""
        return WORDS[word][LANGUAGES.index(self.language)].format(**filled)

    def figure(self, query: str, row: Row, column: str, name: str = "span") -> Markup:
        """One number, with where it comes from."""
        key = "+".join(str(row[part]) for part in QUERIES[query].key)
        return tag(name, show(row[column], column), data_figure=f"{query}:{key}:{column}")

    def sections(self) -> Iterator[Content]:
        yield from self._head()
        yield from self._section("headline", ("customers", "sales"), self._headline)
        yield from self._section("tiers", ("tiers",), self._tiers)
        yield from self._section("moves", ("moves",), self._moves)
        yield from self._section("lifecycle", ("lifecycle",), self._lifecycle)
        yield from self._section("tags", ("tags",), self._tags)
        yield from self._section("clusters", ("clusters",), self._clusters)
        yield from self._section("quality", ("channels", "records"), self._quality)
        yield tag("h2", self.say("open_points"))
        yield from self._open_points()
        yield tag(
            "footer",
            tag("p", self.say("footer", as_of=self.figures.build.as_of), class_="muted"),
        )

    def _head(self) -> Iterator[Content]:
        build = self.figures.build
        days = build.parameters
        yield tag("h1", self.say("title"))
        yield tag("p", tag("b", self.say("month", first=days["first"], last=build.as_of)))
        kind = "official" if self._is_official() else "provisional"
        said = self.say(kind, before=days["month_before"], last_before=days["last_before"])
        money = self.say("money_note", currency=build.currency, days=build.window_days)
        yield tag("p", said, " ", money, class_="muted")

    def _is_official(self) -> bool:
        return bool(self.figures.one("customers").get("official_count"))

    def _section(
        self, title: str, queries: Sequence[str], body: Callable[[], Iterator[Content]]
    ) -> Iterator[Content]:
        """A section whose marts are absent is an open point instead."""
        if any(name not in self.figures.rows for name in queries):
            return
        yield tag("h2", self.say(title))
        if any(self.figures.rows[name] for name in queries):
            yield from body()
        else:
            yield tag("p", self.say("empty"))

    def _headline(self) -> Iterator[Content]:
        customers = self.figures.one("customers")
        ever = self.figure("customers", customers, "ever_bought_count")
        below = join([self.say("ever_bought_count"), " ", ever])
        number = self.figure("customers", customers, "customer_count")
        cards = [self._card("customer_count", number, below)]
        for query, column in (
            ("new_customers", "new_customer_count"),
            ("buyers", "buyer_count"),
            ("sales", "order_count"),
            ("sales", "net_amount"),
            ("sales", "average_order_amount"),
        ):
            row = self.figures.one(query)
            if row:
                below = self._change(query, row, column)
                cards.append(self._card(column, self.figure(query, row, column), below))
        moved = self.figures.one("moved")
        if moved and self.figures.rows["moves"]:
            share = self.figure("moved", moved, "moved_share_pct")
            below = join([share, " ", self.say("moved_share")])
            number = self.figure("moved", moved, "moved_count")
            cards.append(self._card("moved_count", number, below))
        yield tag("div", join(cards), class_="cards")
        months = self.figures.rows.get("monthly_sales", ())
        if len(months) > 1:
            yield tag("h3", self.say("sales_by_month"))
            yield bar_chart(
                [(row["month"], [self._bar("monthly_sales", row, "net_amount")]) for row in months],
                title=self.say("sales_by_month"),
            )

    def _change(self, query: str, row: Row, column: str) -> Markup:
        if row[f"{column}_before"] is None or row[f"{column}_change_pct"] is None:
            return join([self.say("no_before")])
        return join([
            self.figure(query, row, f"{column}_change_pct"), " ", self.say("against"), " (",
            self.figure(query, row, f"{column}_before"), ")",
        ])  # fmt: skip

    def _card(self, word: str, number: Markup, below: Content) -> Markup:
        return tag("div", self.say(word), tag("b", number), tag("small", below), class_="card")

    def _bar(self, query: str, row: Row, column: str) -> Bar:
        return Bar(float(row[column] or 0), self.figure(query, row, column, "tspan"))

    def _tiers(self) -> Iterator[Content]:
        rows = {row["tier"]: row for row in self.figures.rows["tiers"]}
        order = self.labels.tier_order(set(rows))
        yield bar_chart(
            [
                (
                    self.labels.tier(code, self.language),
                    [
                        self._bar("tiers", rows[code], "customer_share_pct"),
                        self._bar("tiers", rows[code], "spend_share_pct"),
                    ],
                )
                for code in order
            ],
            title=self.say("tiers"),
            legend=(self.say("customer_share"), self.say("spend_share")),
        )
        columns = {
            "customers": "customer_count", "customers_before": "customer_count_before",
            "customer_share": "customer_share_pct", "spend": "spend_amount",
            "spend_share": "spend_share_pct", "average_order_amount": "average_order_amount",
            "silent_days": "average_silent_days",
        }  # fmt: skip
        yield self._table("tiers", [rows[code] for code in order], {"tier": self._tier}, columns)

    def _tier(self, row: Row) -> str:
        return self.labels.tier(row["tier"], self.language)

    def _table(
        self,
        query: str,
        rows: Sequence[Row],
        names: Mapping[str, Callable[[Row], Content]],
        columns: Mapping[str, str],
    ) -> Markup:
        head = [self.say(word) for word in (*names, *columns)]
        body = (
            [
                *(name(row) for name in names.values()),
                *(self.figure(query, row, column) for column in columns.values()),
            ]
            for row in rows
        )
        return table(head, body, text_columns=len(names))

    def _moves(self) -> Iterator[Content]:
        rows = self.figures.rows["moves"]
        sources = self.labels.tier_order({row["from_tier"] for row in rows if row["from_tier"]})
        sources += [""] if any(not row["from_tier"] for row in rows) else []
        targets = self.labels.tier_order({row["to_tier"] for row in rows})
        cells = {(row["from_tier"], row["to_tier"]): row for row in rows}
        most = max(row["customer_count"] for row in rows)

        def cell(source: str, target: str) -> Markup:
            row = cells.get((source, target))
            if row is None:
                return tag("td")
            # Light enough for black text at its darkest.
            strength = 0.08 + 0.42 * (row["customer_count"] / most) ** 0.5
            kind = "heat" if source == target else "heat moved"
            colour = f"background: rgba(86, 180, 233, {strength:.2f})"
            return tag("td", self.figure("moves", row, "customer_count"), class_=kind,
                       style=colour)  # fmt: skip

        names = [self.labels.tier(code, self.language) for code in targets]
        head = join(tag("th", name, class_="number") for name in names)
        lines = (
            tag("tr", tag("th", self.labels.tier(source, self.language)),
                join(cell(source, target) for target in targets))
            for source in sources
        )  # fmt: skip
        grid = tag("table", tag("thead", tag("tr", tag("th"), head)), tag("tbody", join(lines)),
                   class_="wide")  # fmt: skip
        yield tag("p", self.say("moves_note"), class_="muted")
        yield tag("div", grid, class_="scroll")
        yield tag("h3", self.say("top_moves"))
        top = self.figures.rows["top_moves"]
        if not top:
            yield tag("p", self.say("empty"))
            return
        yield tag("p", self.say("top_moves_note"), class_="muted")
        ends = {
            "from": lambda row: self.labels.tier(row["from_tier"], self.language),
            "to": lambda row: self.labels.tier(row["to_tier"], self.language),
        }
        figures = {"customers": "customer_count", "spend": "spend_amount"}
        yield self._table("top_moves", top, ends, figures)

    def _lifecycle(self) -> Iterator[Content]:
        rows = {row["stage"]: row for row in self.figures.rows["lifecycle"]}
        order = [code for code in self.labels.stages if code in rows]
        order += sorted(set(rows) - set(order))
        yield bar_chart(
            [
                (
                    self.labels.stage(code, self.language),
                    [self._bar("lifecycle", rows[code], "customer_count")],
                )
                for code in order
            ],
            title=self.say("lifecycle"),
        )
        yield self._table(
            "lifecycle",
            [rows[code] for code in order],
            {"stage": lambda row: self.labels.stage(row["stage"], self.language)},
            {"customers": "customer_count", "customer_share": "customer_share_pct"},
        )
        moves = self.figures.rows.get("lifecycle_moves", ())
        if moves:
            yield tag("h3", self.say("lifecycle_moves"))
            yield self._table(
                "lifecycle_moves",
                moves,
                {
                    "from_stage": lambda r: self.labels.stage(r["from_stage"], self.language),
                    "to_stage": lambda r: self.labels.stage(r["to_stage"], self.language),
                },
                {"customers": "customer_count"},
            )

    def _tags(self) -> Iterator[Content]:
        yield self._table(
            "tags",
            self.figures.rows["tags"],
            {"tag": lambda row: self.labels.tag(row["tag"], self.language)},
            {"holders": "holder_count", "entered": "entered_count", "left": "left_count"},
        )

    def _clusters(self) -> Iterator[Content]:
        rows = self.figures.rows["clusters"]
        fitted = rows[0]["fitted_as_of_date"]
        yield tag("p", self.say("clusters_note", fitted=fitted), class_="muted")
        columns = {
            "customers": "customer_count", "customer_share": "customer_share_pct",
            "silent_days": "mean_silent_days", "orders": "mean_orders",
            "spend": "mean_spend_amount", "views": "mean_views",
        }  # fmt: skip
        name = {"cluster": lambda row: self.labels.cluster(row["cluster_name"], self.language)}
        yield self._table("clusters", rows, name, columns)

    def _quality(self) -> Iterator[Content]:
        yield tag("p", self.say("quality_note"), class_="muted")
        counts = {
            "received": "received_count", "accepted": "accepted_count",
            "quarantined": "quarantined_count", "duplicate": "duplicate_count",
            "quarantined_share": "quarantined_share_pct",
        }  # fmt: skip
        columns = {
            "files": "file_count",
            **counts,
            "latest": "latest_date",
            "quiet_days": "quiet_days",
        }
        name = {"channel": lambda row: row["channel"]}
        yield self._table("channels", self.figures.rows["channels"], name, columns)
        everything = {"all_channels": lambda row: ""}
        yield self._table("records", self.figures.rows["records"], everything, counts)
        if self.figures.rows.get("late"):
            yield tag("h3", self.say("late"))
            yield self._table(
                "late",
                self.figures.rows["late"],
                {"late": self._within},
                {"records": "record_count", "share": "record_share_pct",
                 "left_out": "left_out_count"},
            )  # fmt: skip
        if self.figures.rows.get("reasons"):
            yield tag("h3", self.say("reasons"))
            reason = {"reason": lambda row: tag("code", row["reason_code"])}
            rows = self.figures.rows["reasons"]
            yield self._table("reasons", rows, reason, {"records": "record_count"})
        if self.figures.rows.get("identity"):
            yield tag("h3", self.say("identity"))
            columns = {
                "accounts": "account_count", "identified": "customer_count",
                "reviewed_pairs": "reviewed_pair_count", "precision": "precision_pct",
                "recall": "recall_pct",
            }  # fmt: skip
            yield self._table("identity", self.figures.rows["identity"], {}, columns)

    def _within(self, row: Row) -> str:
        return self.say("within", days=row["within"]) if row["within"] else self.say("later")

    def _open_points(self) -> Iterator[Content]:
        points = [self.say("not_available", marts=mart) for mart in self.figures.absent_marts]
        if "moves" in self.figures.rows and not self.figures.rows["moves"]:
            points.append(self.say("no_moves"))
        if points:
            yield tag("ul", join(tag("li", point) for point in points))
        else:
            yield tag("p", self.say("nothing_open"))
