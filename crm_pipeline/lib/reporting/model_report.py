"""The report of one training as one HTML document per language.

Add here: a section.
Not here: figures (``model_figures``), sentences (``model_words``), elements and charts (``html``,
``charts``).

Every printed number carries ``data-figure="table:row:column"``: the place it has, unrounded, in
``<version>.figures.json`` beside the page. Numbers along a chart's axes carry ``data-axis``.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.reporting.charts import Axis, Bar, Line, bar_chart, line_chart
from crm_pipeline.lib.reporting.html import Content, Markup, join, page, table, tag
from crm_pipeline.lib.reporting.labels import LANGUAGES
from crm_pipeline.lib.reporting.model_figures import (
    KEYS,
    MODEL,
    HealthCheck,
    ModelReport,
    Row,
    Text,
    compute_figures,
)
from crm_pipeline.lib.reporting.model_words import BETTER, WORDS
from ml.backtest import FeatureEffect

__all__ = ["HealthCheck", "ModelReport", "render_model_report", "write_model_reports"]

STYLE = """
.verdict { border-left: .3rem solid #0072b2; padding: .4rem .8rem; background: #f6f8fa; }
.verdict.held { border-color: #d55e00; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .875rem; }
td { white-space: nowrap; }
dt { color: #57606a; } dd { margin: 0; overflow-wrap: anywhere; }
.bad { font-weight: 700; color: #a33f00; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
.grid figure { margin: 0; break-inside: avoid; } figcaption { font-size: .875rem; }
footer { margin-top: 2.5rem; border-top: 1px solid #d0d7de; padding-top: .5rem; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .35rem; } }
"""
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
BARS_SHOWN, CURVES_SHOWN = 12, 9
SUBJECTS = ("churn", "clv")


def render_model_report(report: ModelReport, language: str) -> str:
    """The report in one language."""
    made = _Page(report, compute_figures(report), language)
    return page(made.title, join(made.sections()), language=language, style=STYLE)


def write_model_reports(home: CrmHome, report: ModelReport) -> list[Path]:
    """Writes ``reports/models/<name>/<version>.<language>.html``; returns the pages.

    Beside them ``<version>.figures.json`` holds every figure unrounded. A file that would not
    change is not touched.

    Raises:
        PublishError: the model's name or version cannot be a file name.
    """
    for part in (report.name, report.version):
        if not FILE_NAME.fullmatch(part):
            raise PublishError(
                f"{part!r} cannot name a report",
                remedy="name models and versions with letters, digits, '-', '_' and '.'",
            )
    folder = home.reports / "models" / report.name
    figures = compute_figures(report)
    text = json.dumps(figures, ensure_ascii=False, indent=1, default=_as_json, allow_nan=False)
    _write(folder / _figures_file(report), text)
    written = []
    for language in LANGUAGES:
        target = folder / f"{report.version}.{language}.html"
        _write(target, render_model_report(report, language))
        written.append(target)
    return written


def show(value: Any, column: str) -> str:
    """A figure as it is printed: by what its column's name says it is."""
    if value is None:
        return "–"
    if (column.startswith("is_") or column.endswith("_suspected")) and value in (0, 1):
        return "✓" if value else "✗"
    if isinstance(value, (dt.date, str)):
        return str(value)
    if column in ("total_error_pct", "difference_pct"):
        return f"{value:+,.1f}%"
    if column.endswith("lift_at_10pct") or column == "lift":
        return f"{value:,.2f}×"
    if column.endswith("_pct"):
        return f"{value:,.1f}%"
    if column.endswith("_amount"):
        return f"{value:,.2f}"
    if column.endswith(("_count", "_days", "decile")):
        return f"{value:,.0f}"
    return _by_size(value)


@dataclass(frozen=True)
class _Page:
    report: ModelReport
    figures: Mapping[str, Sequence[Row]]
    language: str

    @property
    def title(self) -> str:
        return self.say_of("title")

    def say(self, word: str, **filled: object) -> str:
        """A sentence in the report's language."""
        return WORDS[word][LANGUAGES.index(self.language)].format(**filled)

    def say_of(self, word: str) -> str:
        """The sentence about this kind of model."""
        name = self.report.name if self.report.name in SUBJECTS else "other"
        return self.say(f"{word}_{name}")

    def name(self, kind: str, code: str) -> Content:
        """What people call a measure, a rule or a check; what has no name keeps its code."""
        said = self._plain(kind, code)
        if said == code:
            return tag("code", code)
        return tag("b", said) if code == MODEL else said

    def figure(
        self, of: str, row: Row, column: str, kind: str | None = None, **more: str
    ) -> Markup:
        """One number, with where it comes from."""
        key = "+".join(str(row[part]) for part in KEYS[of])
        if column.startswith("mean_") and not self.report.is_probability:
            kind = f"{column}_amount"
        text = show(row[column], kind or column)
        return tag(more.get("name", "span"), text, data_figure=f"{of}:{key}:{column}")

    def sections(self) -> Iterator[Content]:
        yield from self._head()
        yield from self._what()
        yield from self._section("checks", self._checks)
        yield tag("h2", self.say("versus"))
        yield from self._versus()
        if self.report.newest is None:
            yield tag("h2", self.say("measures"))
            yield tag("p", self.say("no_backtest"))
        yield from self._section("measures", self._measures)
        yield from self._section("gains", self._gains)
        yield from self._section("deciles", self._calibration, title="calibration")
        yield from self._section("deciles", self._deciles)
        yield from self._section("budget", self._budget)
        yield from self._section("intervals", self._intervals)
        yield from self._section("effects", self._effects)
        yield from self._section("drift", self._drift)
        yield from self._section("training", self._training)
        said = self.say("footer", file=_figures_file(self.report))
        yield tag("footer", tag("p", said, class_="muted"))

    def _section(
        self, of: str, body: Callable[[Sequence[Row]], Iterator[Content]], title: str | None = None
    ) -> Iterator[Content]:
        """A section nothing is known for is left out."""
        rows = self.figures[of]
        if rows:
            yield tag("h2", self.say(title or of))
            yield from body(rows)

    def _note(self, word: str, **filled: object) -> Markup:
        return tag("p", self.say(word, **filled), class_="muted")

    def _text(self, text: Text) -> str:
        return text if isinstance(text, str) else text[LANGUAGES.index(self.language)]

    def _head(self) -> Iterator[Content]:
        (about,) = self.figures["about"]
        yield tag("h1", self.title)
        promoted = self.report.is_promoted
        reasons = join(tag("li", self._text(reason)) for reason in self.report.reasons)
        yield tag(
            "div",
            tag("b", self.say("promoted" if promoted else "kept_back")),
            tag("ul", reasons) if reasons else None,
            class_="verdict" if promoted else "verdict held",
        )
        names = ("version", "champion_version", "trained_until", "horizon_days", "code_version",
                 "data_sha256")  # fmt: skip
        yield tag(
            "dl",
            join(
                join([tag("dt", self.say(name)), tag("dd", self.figure("about", about, name))])
                for name in names
            ),
        )

    def _what(self) -> Iterator[Content]:
        yield tag("h2", self.say("what"))
        yield tag("p", self.say_of("what"))
        yield tag("p", tag("b", self.say("use")), self.say_of("use"))
        yield tag("p", tag("b", self.say("not_use")), self.say("not_use_text"))
        (about,) = self.figures["about"]
        if self.report.newest is not None:
            text = WORDS["judged"][LANGUAGES.index(self.language)]
            before, between, after = re.split(r"\{day\}|\{days\}", text)
            day, days = (self.figure("about", about, c) for c in ("cutoff_date", "judged_days"))
            yield tag("p", before, day, between, days, after, class_="muted")

    def _checks(self, rows: Sequence[Row]) -> Iterator[Content]:
        yield self._note("checks_note")
        head = [self.say(word) for word in ("check", "value", "limit", "state")]
        yield table(head, ([
            self.name("check", row["name"]),
            self.figure("checks", row, "value", row["name"]),
            self.figure("checks", row, "limit", row["name"]),
            self._state(row),
        ] for row in rows))  # fmt: skip

    def _state(self, row: Row) -> Markup:
        if row["passed"]:
            return tag("span", self.say("passed"))
        said = self.say("failed")
        if row["value"] is None:
            said = f"{said} ({self.say('not_measured')})"
        return tag("span", said, class_="bad")

    def _versus(self) -> Iterator[Content]:
        rows = self.figures["versus"]
        if self.report.champion_version is None:
            yield tag("p", self.say("first_version"))
            return
        if not rows:
            yield tag("p", self.say("no_common_days"))
            return
        yield self._note("versus_note")
        words = ("measure", "better", "challenger", "champion", "difference", "cutoff_count")
        yield table([self.say(word) for word in words], ([
            self.name("measure", row["measure"]),
            self.say(BETTER.get(row["measure"], "higher")),
            self.figure("versus", row, "challenger", row["measure"]),
            self.figure("versus", row, "champion", row["measure"]),
            self.figure("versus", row, "difference", "difference_pct"
                        if row["measure"].endswith("error_pct") else "difference"),
            self.figure("versus", row, "cutoff_count"),
        ] for row in rows), text_columns=2)  # fmt: skip

    def _measures(self, rows: Sequence[Row]) -> Iterator[Content]:
        yield self._note("measures_note")
        columns = [name for name in rows[0] if name not in KEYS["measures"]]
        columns = [name for name in columns if any(row[name] is not None for row in rows)]
        head = [self.say("cutoff"), self.say("who")]
        head += [self.say(f"measure_{name}") for name in columns]
        yield table(head, ([
            self.say("mean") if row["cutoff_date"] == "mean" else self.figure(
                "measures", row, "cutoff_date"),
            self.name("baseline", row["who"]),
            *(self.figure("measures", row, name) for name in columns),
        ] for row in rows), text_columns=2)  # fmt: skip
        context = {(row["name"], row["cutoff_date"]): row for row in self.figures["context"]}
        if context:
            yield tag("h3", self.say("context"))
            names, days = (list(dict.fromkeys(part)) for part in zip(*context, strict=True))
            head = [self.say("figure"), *(self._day(day) for day in days)]
            yield table(head, ([
                self.name("figure", name),
                *(self.figure("context", context[name, day], "value", name)
                  if (name, day) in context else None for day in days),
            ] for name in names))  # fmt: skip

    def _day(self, day: str) -> Markup:
        """A day that heads a column: any figure of it names it."""
        row = next(row for row in self.figures["context"] if row["cutoff_date"] == day)
        return self.figure("context", row, "cutoff_date")

    def _gains(self, rows: Sequence[Row]) -> Iterator[Content]:
        yield self._note("gains_note")
        names = list(dict.fromkeys(row["who"] for row in rows))
        lines = [
            Line(
                self._plain("baseline", who),
                [(row["share_pct"], row["captured_pct"]) for row in rows if row["who"] == who],
            )
            for who in names
        ]
        held = "share_churned" if self.report.is_probability else "share_spent"
        percent = "{:.0f}%".format
        yield line_chart(
            lines,
            title=self.say("gains"),
            across=Axis(self.say("share_chosen"), percent),
            up=Axis(self.say(held), percent),
            diagonal=True,
        )

    def _plain(self, kind: str, code: str) -> str:
        word = f"{kind}_{code}"
        return self.say(word) if word in WORDS else code

    def _calibration(self, rows: Sequence[Row]) -> Iterator[Content]:
        yield self._note("calibration_note")
        dots = sorted((row["mean_predicted"], row["mean_actual"]) for row in rows)
        yield line_chart(
            [Line(self.say("groups"), dots, is_dotted=True)],
            title=self.say("calibration"),
            across=Axis(self.say("mean_predicted"), _by_size_short),
            up=Axis(self.say("mean_actual"), _by_size_short),
            diagonal=True,
        )

    def _deciles(self, rows: Sequence[Row]) -> Iterator[Content]:
        yield self._note("deciles_note")
        columns = {
            "decile": "decile", "customers": "customer_count", "mean_predicted": "mean_predicted",
            "mean_actual": "mean_actual", "captured_pct": "captured_pct", "lift": "lift",
        }  # fmt: skip
        yield self._table("deciles", rows, columns)

    def _budget(self, rows: Sequence[Row]) -> Iterator[Content]:
        yield self._note("budget_note")
        columns = {
            "customers": "customer_count", "hit_pct": "hit_pct",
            "captured_left_pct": "captured_pct", "plain_lift": "lift",
        }  # fmt: skip
        yield self._table(
            "budget", rows, columns, who=lambda row: self.name("baseline", row["who"])
        )

    def _intervals(self, rows: Sequence[Row]) -> Iterator[Content]:
        (about,) = self.figures["about"]
        before, after = WORDS["intervals_note"][LANGUAGES.index(self.language)].split("{nominal}%")
        yield tag("p", before, self.figure("about", about, "interval_pct"), after, class_="muted")
        columns = {
            "customers": "customer_count", "mean_low": "mean_low", "mean_actual": "mean_actual",
            "mean_high": "mean_high", "below_pct": "below_pct", "covered_pct": "covered_pct",
            "above_pct": "above_pct",
        }  # fmt: skip

        def group(row: Row) -> Content:
            return (
                self.say("all") if row["group"] == "all" else self.figure("intervals", row, "group")
            )

        yield self._table("intervals", rows, columns, group=group)

    def _effects(self, rows: Sequence[Row]) -> Iterator[Content]:
        yield self._note("effects_note")
        strongest = sorted(rows, key=lambda row: (-row["share_pct"], row["feature"]))
        yield bar_chart(
            [
                (
                    row["feature"],
                    [Bar(row["share_pct"], self.figure("effects", row, "share_pct", name="tspan"))],
                )
                for row in strongest[:BARS_SHOWN]
            ],
            title=self.say("effects"),
            label_width=230,
        )
        effects = {effect.feature: effect for effect in self.report.effects}
        drawn = [effects[row["feature"]] for row in strongest[:CURVES_SHOWN]]
        yield tag(
            "div", join(self._curve(one) for one in drawn if len(one.points) > 1), class_="grid"
        )

    def _curve(self, effect: FeatureEffect) -> Markup:
        chart = line_chart(
            [Line(effect.feature, effect.points, is_dotted=len(effect.points) <= 3)],
            title=effect.feature,
            across=Axis(self.say("feature_value"), _by_size_short),
            up=Axis(self.say("mean_prediction"), _by_size_short),
            width=300,
            height=200,
        )
        return tag("figure", tag("figcaption", tag("code", effect.feature)), chart)

    def _drift(self, rows: Sequence[Row]) -> Iterator[Content]:
        (about,) = self.figures["about"]
        before, after = WORDS["drift_note"][LANGUAGES.index(self.language)].split("{limit}")
        yield tag("p", before, self.figure("about", about, "drift_limit"), after, class_="muted")

        def state(row: Row) -> Markup:
            if row["psi"] is None or row["psi"] > self.report.drift_limit:
                return tag("span", self.say("moved"), class_="bad")
            return tag("span", self.say("steady"))

        head = [self.say(word) for word in ("feature", "state", "psi")]
        yield table(head, ([
            tag("code", row["feature"]), state(row), self.figure("drift", row, "psi"),
        ] for row in rows), text_columns=2)  # fmt: skip

    def _training(self, rows: Sequence[Row]) -> Iterator[Content]:
        head = [self.say("figure"), self.say("value")]
        yield table(head, ([
            self.name("figure", row["name"]), self.figure("training", row, "value", row["name"]),
        ] for row in rows))  # fmt: skip

    def _table(
        self,
        of: str,
        rows: Sequence[Row],
        columns: Mapping[str, str],
        **names: Callable[[Row], Content],
    ) -> Markup:
        head = [self.say(word) for word in (*names, *columns)]
        body = (
            [
                *(name(row) for name in names.values()),
                *(self.figure(of, row, column) for column in columns.values()),
            ]
            for row in rows
        )
        return table(head, body)


def _figures_file(report: ModelReport) -> str:
    return f"{report.version}.figures.json"


def _by_size(value: float) -> str:
    """Three figures that count, whatever is measured."""
    size = abs(value)
    if size >= 1000 or (size >= 100 and float(value).is_integer()):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if size >= 100 else f"{value:,.2f}" if size >= 10 else f"{value:,.3f}"


def _by_size_short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _as_json(value: dt.date) -> str:
    return value.isoformat()


def _write(target: Path, text: str) -> None:
    content = text.encode()
    if not target.exists() or target.read_bytes() != content:
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
