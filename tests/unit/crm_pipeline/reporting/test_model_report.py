"""The report of a training says what its look back found, in both languages, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.reporting.labels import LANGUAGES
from crm_pipeline.lib.reporting.model_figures import KEYS, compute_figures
from crm_pipeline.lib.reporting.model_report import (
    HealthCheck,
    ModelReport,
    render_model_report,
    write_model_reports,
)
from crm_pipeline.lib.reporting.model_words import BETTER, WORDS
from ml.backtest import Backtest, FeatureEffect
from tests.model_report_support import churn_report, clv_report
from tests.report_support import Numbers, figures_in

CHINESE = re.compile(r"[\u4e00-\u9fff]")
TICKS = re.compile(r'<text[^>]*data-axis="tick"[^>]*>[^<]*</text>')


def parse(text: str) -> Decimal:
    return Decimal(re.sub(r"[,%+×]", "", text))


@pytest.mark.requirement("SCO-7")
@pytest.mark.parametrize("report", [churn_report(), clv_report()], ids=["churn", "clv"])
def test_every_printed_figure_stands_unrounded_in_the_file_beside_the_page(
    report: ModelReport, tmp_path: Path
) -> None:
    pages = write_model_reports(CrmHome(tmp_path).ensure(), report)
    kept = json.loads(pages[0].with_name(f"{report.version}.figures.json").read_text())
    printed = figures_in(pages[0].read_text())
    assert len(printed) > 80
    for name, text in printed.items():
        of, key, column = name.split(":")
        (row,) = [row for row in kept[of] if "+".join(str(row[part]) for part in KEYS[of]) == key]
        value = row[column]
        if value is None:
            assert text == "–", name
        elif text in "✓✗":
            assert value == float(text == "✓"), name
        elif isinstance(value, str):
            assert text == value, name
        else:
            places = len(text.rstrip("%×").partition(".")[2])
            assert abs(parse(text) - Decimal(str(value))) <= Decimal(10) ** -places / 2, name


@pytest.mark.requirement("SCO-7")
def test_the_figures_are_those_of_the_look_back_counted_anew() -> None:
    report = churn_report()
    printed = figures_in(render_model_report(report, "en"))
    newest = report.backtests[-1].customers
    auc = roc_auc_score(newest["actual"], newest["predicted"])
    assert printed["measures:2024-06-09+model:auc"] == f"{auc:.3f}"
    means = np.mean([roc_auc_score(b.customers["actual"], b.customers["bg_nbd"])
                     for b in report.backtests])  # fmt: skip
    assert printed["measures:mean+bg_nbd:auc"] == f"{means:.3f}"
    both = [np.mean([b.figures["auc"] for b in side])
            for side in (report.backtests, report.champion_backtests)]  # fmt: skip
    assert printed["versus:auc:difference"] == f"{both[0] - both[1]:.3f}"

    ranked = newest.sort_values("predicted", ascending=False, ignore_index=True)
    top = ranked.head(round(len(ranked) / 10))
    assert printed["deciles:1:mean_predicted"] == f"{top['predicted'].mean():.3f}"
    assert printed["deciles:1:mean_actual"] == f"{top['actual'].mean():.3f}"
    lift = top["actual"].mean() / ranked["actual"].mean()
    assert printed["deciles:1:lift"] == f"{lift:.2f}×"
    assert printed["measures:2024-06-09+model:lift_at_10pct"] == printed["deciles:1:lift"]
    assert printed["deciles:10:captured_pct"] == "100.0%"

    named = newest[newest["playbook"]]
    chosen = ranked.head(len(named))
    assert printed["budget:playbook:customer_count"] == str(len(named))
    assert printed["budget:playbook:hit_pct"] == f"{100 * named['actual'].mean():.1f}%"
    assert printed["budget:model:hit_pct"] == f"{100 * chosen['actual'].mean():.1f}%"
    found = 100 * chosen["actual"].sum() / newest["actual"].sum()
    assert printed["budget:model:captured_pct"] == f"{found:.1f}%"


@pytest.mark.requirement("SCO-7")
def test_coverage_counts_the_outcomes_inside_their_interval() -> None:
    report = clv_report()
    printed = figures_in(render_model_report(report, "en"))
    customers = report.backtests[0].customers
    inside = customers["actual"].between(customers["low"], customers["high"])
    assert printed["intervals:all:covered_pct"] == f"{100 * inside.mean():.1f}%"
    assert printed["about::interval_pct"] == "83.2%"  # what the look back says was promised
    top = customers.nlargest(round(len(customers) / 5), "predicted").index
    assert printed["intervals:1:covered_pct"] == f"{100 * inside[top].mean():.1f}%"
    assert not [name for name in printed if name.startswith(("budget:", "versus:", "drift:"))]
    assert printed["context:2024-06-09+is_bg_nbd_champion:value"] == "✓"
    assert not [name for name in printed if "is_tweedie_champion" in name or "decile_01" in name]


def test_equal_predictions_share_their_outcomes_whatever_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(5)
    customers = pd.DataFrame({"actual": rng.integers(0, 2, 500) * 1.0,
                              "predicted": rng.integers(0, 3, 500) / 4,
                              "rfm": rng.integers(0, 4, 500) * 1.0})  # fmt: skip

    def figures(frame: pd.DataFrame) -> object:
        made = Backtest(dt.date(2024, 6, 9), 90, {}, frame)
        found = compute_figures(churn_report(backtests=[made]))
        return found["deciles"], found["gains"], found["intervals"]

    shuffled = customers.sample(frac=1, random_state=1)
    assert figures(customers) == figures(shuffled)


@pytest.mark.parametrize("report", [churn_report(), clv_report()], ids=["churn", "clv"])
def test_no_number_is_printed_that_is_neither_a_figure_nor_on_an_axis(report: ModelReport) -> None:
    page = TICKS.sub("", render_model_report(report, "en"))
    allowed = {effect.feature for effect in report.effects} | set(report.drift)
    for text in Numbers(page).loose:
        if text not in allowed:
            assert not re.search(r"\d", text.replace(f"{report.version}.figures.json", "")), text


def test_both_languages_say_everything_and_print_the_same_numbers() -> None:
    for report in (churn_report(), clv_report()):
        chinese, english = (render_model_report(report, language) for language in LANGUAGES)
        assert figures_in(chinese) == figures_in(english)
        assert not CHINESE.search(re.sub(r"<style>.*?</style>", "", english, flags=re.DOTALL))
        assert '<html lang="zh-CN">' in chinese and '<html lang="en">' in english
        # Columns keep their names; everything else is said in Chinese.
        said = re.sub(r"(<(code|text|title)\b[^>]*>)[^<]*", r"\1", chinese)
        spoken = " ".join(Numbers(said).loose)
        spoken = spoken.replace(f"{report.version}.figures.json", "")
        assert not set(re.findall(r"[A-Za-z_]{4,}", spoken)) - {"Brier"}
    for word, (zh, en) in WORDS.items():
        assert zh and en and not CHINESE.search(en), word
        assert CHINESE.search(zh) or zh == en, word
        assert set(re.findall(r"{\w+}", zh)) == set(re.findall(r"{\w+}", en)), word
    assert {f"measure_{name}" for name in BETTER} <= set(WORDS)


def test_the_page_needs_nothing_from_outside_and_no_script() -> None:
    for language in LANGUAGES:
        page = render_model_report(churn_report(), language)
        assert not re.search(
            r"https?:|//\w|<script|\bsrc=|<link|@import|url\(|<iframe|\bon\w+=", page
        )
        assert '<meta charset="utf-8">' in page and "viewport" in page and "@media print" in page


def test_whatever_is_written_in_a_training_stays_text() -> None:
    bad = '<script>alert("1")</script>'
    made = churn_report(
        version=bad,
        champion_version=bad,
        code_version=bad,
        reasons=[bad, (bad, bad)],
        effects=[FeatureEffect(bad, 100.0, ((0.0, 0.1), (1.0, 0.2)))],
        checks=[HealthCheck(bad, 0.1, 0.2, True)],
        drift={bad: 0.1},
        training={bad: 1.0},
    )
    newest = made.backtests[-1]
    customers = newest.customers.rename(columns={"rfm": bad})
    made = replace(made, backtests=[replace(newest, customers=customers,
                                            figures={bad: 1.0, "auc": 0.5})])  # fmt: skip
    for language in LANGUAGES:
        page = render_model_report(made, language)
        assert "<script" not in page and "&lt;script&gt;" in page
        assert 'data-figure="drift:&lt;script' in page


def test_a_base_too_small_for_a_look_back_has_a_report_that_says_so(tmp_path: Path) -> None:
    made = churn_report(backtests=[], champion_version=None, champion_backtests=[], effects=[],
                        checks=[], drift={}, is_promoted=False)  # fmt: skip
    page = render_model_report(made, "en")
    assert "too few customers" in page and "The first version" in page
    assert "Not in use" in page and "Lift chart" not in page
    assert len(write_model_reports(CrmHome(tmp_path).ensure(), made)) == 2


@pytest.mark.parametrize("count", [1, 2, 7, 11])
def test_a_handful_of_customers_has_as_many_groups_as_it_can_fill(count: int) -> None:
    frame = pd.DataFrame({"actual": [0.0] * count, "predicted": np.linspace(0, 1, count)})
    made = churn_report(
        backtests=[Backtest(dt.date(2024, 6, 9), 90, {"auc": float("nan")}, frame)],
        champion_backtests=[],
    )
    rows = compute_figures(made)["deciles"]
    assert sum(row["customer_count"] for row in rows) == count
    assert all(row["customer_count"] > 0 for row in rows)
    page = render_model_report(made, "zh-CN")
    assert figures_in(page)["deciles:1:lift"] == "–"  # nobody left, so nothing can be lifted
    assert "nan" not in page and "inf" not in page
    assert "两个版本没有共同的检验日" in page


def test_a_failed_check_and_a_moved_input_stand_out() -> None:
    page = render_model_report(churn_report(), "en")
    assert page.count('class="bad"') == 3
    assert "failed (not measured)" in page
    assert figures_in(page)["drift:spend_365d_amount:psi"] == "0.310"


def test_writing_again_changes_no_file_and_a_version_that_is_no_file_name_is_refused(
    tmp_path: Path,
) -> None:
    home = CrmHome(tmp_path).ensure()
    pages = write_model_reports(home, churn_report())
    folder = home.reports / "models" / "churn"
    version = churn_report().version
    assert [path.name for path in pages] == [f"{version}.zh-CN.html", f"{version}.en.html"]
    assert all(path.parent == folder for path in pages)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(before) == 3
    write_model_reports(home, churn_report())
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    for bad in ("../up", "a/b", "", ".hidden"):
        with pytest.raises(PublishError, match="cannot name a report"):
            write_model_reports(home, churn_report(version=bad))
