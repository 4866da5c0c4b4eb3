"""The monthly report: every printed number is the mart's, in both languages, and of nobody."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.reporting.figures import Build, read_figures
from crm_pipeline.lib.reporting.labels import LANGUAGES, TIER_NAMES, Labels, read_labels
from crm_pipeline.lib.reporting.tier_report import render_report, show
from crm_pipeline.lib.reporting.words import WORDS
from crm_pipeline.lib.reporting.write_report import find_build, write_reports
from tests.report_support import MARTS, Numbers, build, figures_in, publish_june, reconcile

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
NAMES = Labels(TIER_NAMES, tags={"fitness_fan": ("健身爱好者", "Fitness fan")})
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def render(folder: Path, language: str = "en") -> str:
    with duckdb.connect(str(folder / "crm.duckdb"), read_only=True) as connection:
        return render_report(read_figures(connection), NAMES, language)


@pytest.fixture(scope="module")
def june(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("report") / "build")


@pytest.mark.requirement("MEA-4")
def test_every_printed_figure_equals_the_mart(june: Path) -> None:
    """Each number is asked for again by its name, and compared as a number, not as a text."""
    for language in LANGUAGES:
        assert reconcile(render(june, language), june / "crm.duckdb", DAYS) > 100


DAYS = {
    "as_of": "2024-06-30", "first": "2024-06-01", "first_before": "2024-05-01",
    "last_before": "2024-05-31", "month_before": "2024-05-31", "first_of_year": "2023-07-01",
}  # fmt: skip


def test_the_figures_are_what_a_person_would_count(june: Path) -> None:
    printed = figures_in(render(june))
    expected = {
        "customers::customer_count": "6",
        "customers::ever_bought_count": "5",
        "new_customers::new_customer_count": "2",
        "buyers::buyer_count": "3",  # guests have no customer, refunds are no purchase
        "buyers::buyer_count_before": "2",
        "buyers::buyer_count_change_pct": "+50.0%",
        "sales::order_count": "5",
        "sales::net_amount": "200.75",
        "sales::net_amount_before": "450.00",
        "sales::net_amount_change_pct": "-55.4%",
        "sales::average_order_amount": "50.19",  # of the four orders whose money is known
        "monthly_sales:2023-07:net_amount": "10.00",
        "tiers:core:customer_count": "2",
        "tiers:core:customer_count_before": "2",
        "tiers:core:customer_share_pct": "33.3%",
        "tiers:core:spend_amount": "1,600.35",
        "tiers:core:spend_share_pct": "80.4%",
        "tiers:core:average_order_amount": "106.69",
        "tiers:potential:customer_count": "0",
        "tiers:potential:customer_count_before": "1",
        "moves:core+dormant:customer_count": "1",
        "moves:+new:customer_count": "1",
        "moves:core+core:customer_count": "1",
        "moved::moved_count": "2",
        "moved::moved_share_pct": "50.0%",
        "top_moves:potential+core:spend_amount": "700.25",
        "lifecycle:first_purchase:customer_count": "2",
        "lifecycle_moves:repeat+loyal:customer_count": "1",
        "tags:fitness_fan:holder_count": "2",
        "tags:fitness_fan:entered_count": "1",
        "tags:fitness_fan:left_count": "1",
        "tags:tea:left_count": "1",
        "clusters:1:mean_spend_amount": "398.17",
        "channels:app:received_count": "15",
        "channels:app:quiet_days": "2",
        "channels:ads:quiet_days": "–",
        "channels:ads:quarantined_share_pct": "3.0%",
        "records::received_count": "115",
        "reasons:enum:record_count": "4",
        "late:1:record_share_pct": "90.0%",
        "late::left_out_count": "10",
        "identity::recall_pct": "94.6%",
    }
    assert {name: printed.get(name) for name in expected} == expected
    assert "monthly_sales:2023-06:net_amount" not in printed
    assert "lifecycle_moves:loyal+loyal:customer_count" not in printed


def test_no_number_is_printed_that_is_no_figure(june: Path) -> None:
    allowed = {"2024-06-01 to 2024-06-30", "app", "ads"}
    months = {f"2023-{month:02}" for month in range(7, 13)} | {"2024-05", "2024-06"}
    for text in Numbers(render(june)).loose:
        if re.search(r"\d", text) and text not in allowed | months:
            said = text.replace("365 days", "").replace("within 1 days", "")
            said = re.sub(r"2024-0[56]-3[01]", "", said)
            assert not re.search(r"\d", said), text


@pytest.mark.requirement("MEA-4")
def test_both_languages_say_everything_and_print_the_same_numbers(june: Path) -> None:
    chinese, english = (render(june, language) for language in LANGUAGES)
    assert figures_in(chinese) == figures_in(english)
    assert not CHINESE.search(re.sub(r"<style>.*?</style>", "", english, flags=re.DOTALL))
    for word, (zh, en) in WORDS.items():
        assert zh and en and CHINESE.search(zh) and not CHINESE.search(en), word
        assert set(re.findall(r"{\w+}", zh)) == set(re.findall(r"{\w+}", en)), word
    spoken = " ".join(Numbers(chinese).loose)
    leftover = set(re.findall(r"[A-Za-z_]{4,}", spoken)) - {"enum"}  # a code of ours
    assert leftover == set()
    assert '<html lang="zh-CN">' in chinese and '<html lang="en">' in english


def test_the_page_needs_nothing_from_outside_and_names_nobody(june: Path) -> None:
    for language in LANGUAGES:
        page = render(june, language)
        assert not re.search(r"https?:|//\w|<script|\bsrc=|<link|@import|url\(|<iframe", page)
        assert not re.search(r"\bc[1-6]\b|customer_id", page)
        assert '<meta charset="utf-8">' in page and "viewport" in page and "@media print" in page


def test_what_no_mart_holds_yet_is_an_open_point_and_nothing_else_changes(tmp_path: Path) -> None:
    page = render(build(tmp_path / "b", marts__customer_tags=None, marts__cluster_profiles=None,
                        marts__lifecycle_transitions=None))  # fmt: skip
    assert "Not available yet: marts.customer_tags is not in this build." in page
    assert "Not available yet: marts.cluster_profiles is not in this build." in page
    assert "marts.customer_tag_changes is not" not in page
    printed = figures_in(page)
    assert not [name for name in printed if name.startswith(("tags:", "clusters:"))]
    assert printed["lifecycle:loyal:customer_count"] == "1"
    assert "Nothing to show" in render(build(tmp_path / "c", marts__cluster_profiles=(
        f"select * from ({MARTS['marts.cluster_profiles']}) where false")))  # fmt: skip


def test_the_first_month_compares_with_nothing_and_says_so(tmp_path: Path) -> None:
    history = MARTS["marts.tier_history"] + " where valid_from::date = date '2024-06-30'"
    sales = MARTS["metrics.sales_daily"] + " where business_date::date >= date '2024-06-01'"
    moves = MARTS["marts.tier_transitions"] + " where from_tier = 'none'"
    page = render(build(tmp_path / "b", marts__tier_history=history, metrics__sales_daily=sales,
                        marts__tier_transitions=moves))  # fmt: skip
    assert "There is no official month before this one" in page
    printed = figures_in(page)
    assert printed["tiers:core:customer_count_before"] == "–"
    assert "sales::net_amount_change_pct" not in printed
    assert not [name for name in printed if name.startswith(("moves:", "moved:"))]


def test_a_build_within_the_month_shows_the_tiers_of_the_day_and_equal_stretches(
    tmp_path: Path,
) -> None:
    day = MARTS["ops.build"].replace("06-30", "06-15")
    tiers = MARTS["marts.rfm_tiers"].replace("'2024-06-30')", "'2024-05-31')")
    tiers = tiers.replace("('c1', 'core', 'core'", "('c1', 'dormant', 'core'")
    page = render(build(tmp_path / "b", ops__build=day, marts__rfm_tiers=tiers))
    assert "A look within the month" in page and "to 2024-05-15" in page
    printed = figures_in(page)
    assert printed["tiers:core:customer_count"] == "1"
    assert printed["sales::net_amount"] == "120.50"
    assert printed["sales::net_amount_before"] == "50.00"
    # Nothing is on record for the day, so today's tiers are compared with those of May.
    assert printed["moves:core+dormant:customer_count"] == "2"  # c1, who is dormant today, and c3
    assert printed["moved::moved_count"] == "3"
    assert printed["top_moves:core+dormant:spend_amount"] == "1,200.10"


def test_february_is_compared_with_january_to_its_last_day() -> None:
    leap = Build(dt.date(2024, 2, 29), "CNY", "playbook", 365)
    assert leap.parameters["last_before"] == dt.date(2024, 1, 31)
    within = Build(dt.date(2024, 3, 30), "CNY", "playbook", 365)
    assert within.parameters["last_before"] == dt.date(2024, 2, 29)
    assert Build(dt.date(2024, 12, 31), "CNY", "p", 1).parameters["first_of_year"] == dt.date(
        2024, 1, 1
    )


def test_a_shop_of_nobody_has_a_report(tmp_path: Path) -> None:
    empty = {name.replace(".", "__"): f"select * from ({query}) where false"
             for name, query in MARTS.items() if name != "ops.build"}  # fmt: skip
    printed = figures_in(render(build(tmp_path / "b", **empty)))
    assert printed["customers::customer_count"] == "0"


def test_a_figure_is_printed_by_what_its_name_says() -> None:
    assert show(Decimal("1234.5"), "net_amount") == "1,234.50"
    assert show(-0.04, "x_change_pct") == "-0.0%"
    assert show(12, "customer_count") == "12"
    assert show(Decimal("12000"), "order_count") == "12,000"
    assert show(12.345, "average_silent_days") == "12.3"
    assert show(None, "x_pct") == "–"


def test_names_come_from_the_rule_tables_and_codes_stay_where_there_is_none(
    tmp_path: Path,
) -> None:
    (tmp_path / "rfm_tier_labels.csv").write_text(
        "ladder,tier,rank,name_zh,name_en\nmetals,silver,2,白银,Silver\nmetals,gold,1,黄金,Gold\n"
        "playbook,core,1,核心,Core\n", encoding="utf-8",
    )  # fmt: skip
    labels = read_labels(tmp_path, "metals")
    assert labels.tier("gold", "zh-CN") == "黄金"
    assert labels.tier_order({"silver", "gold", "odd"}) == ["gold", "silver", "odd"]
    assert labels.tier("odd", "en") == "odd"
    assert read_labels(tmp_path / "none", "playbook").tier("core", "en") == "Core"
    assert labels.cluster("high_spend_recent_browsing_2", "zh-CN") == "高消费、近期活跃、爱浏览、2"
    assert read_labels(SEEDS, "playbook").tier("core", "zh-CN")


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    return publish_june(CrmHome(tmp_path / "home").ensure())


def test_the_report_is_written_once_and_again_is_the_same_file(home: CrmHome) -> None:
    folder = find_build(home, None).build_dir
    first = write_reports(home, folder, SEEDS)
    assert [str(path.relative_to(home.reports)) for path in first] == [
        "2024-06/customer_tiers.zh-CN.html",
        "2024-06/customer_tiers.en.html",
    ]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in first]
    assert write_reports(home, folder, SEEDS) == first
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in first] == before
    assert "客户分层运营报告" in first[0].read_text(encoding="utf-8")


def test_a_look_within_the_month_never_replaces_the_months_own_report(home: CrmHome) -> None:
    day = MARTS["ops.build"].replace("06-30", "06-15")
    written = write_reports(home, build(home.root / "day", ops__build=day), SEEDS)
    assert {path.parent.name for path in written} == {"2024-06-15"}


def test_a_day_that_is_not_kept_is_refused_with_the_days_there_are(home: CrmHome) -> None:
    assert find_build(home, dt.date(2024, 6, 30)).build_id == "20240630-abc"
    with pytest.raises(PublishError, match=r"as of 2024-05-31 is kept[\s\S]*2024-06-30"):
        find_build(home, dt.date(2024, 5, 31))
    (home.published / "20240630-abc").rename(home.past / "2024-06-30")
    assert find_build(home, dt.date(2024, 6, 30)).build_dir == home.past / "2024-06-30"
    (home.published / "current").unlink()
    with pytest.raises(PublishError, match="nothing is published yet"):
        find_build(home, None)
