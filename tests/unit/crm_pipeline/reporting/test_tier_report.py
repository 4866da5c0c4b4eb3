"""The monthly report: every printed number is the mart's, in both languages, and of nobody."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.publish.manifest import Manifest
from crm_pipeline.lib.reporting.figures import QUERIES, Build, read_figures
from crm_pipeline.lib.reporting.labels import LANGUAGES, TIER_NAMES, Labels, read_labels
from crm_pipeline.lib.reporting.tier_report import render_report, show
from crm_pipeline.lib.reporting.words import WORDS
from crm_pipeline.lib.reporting.write_report import find_build, write_reports

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
NAMES = Labels(TIER_NAMES, tags={"fitness_fan": ("健身爱好者", "Fitness fan")})
CHINESE = re.compile(r"[\u4e00-\u9fff]")

# Six customers at the end of June; four of them had a tier at the end of May. c6 never bought.
MARTS = {
    "ops.build": "select date '2024-06-30' as as_of_date, 'CNY' as reporting_currency, "
    "'playbook' as ladder, 365 as rfm_window_days",
    "marts.rfm_tiers": """
        select * replace (
            spend_amount_in_window::decimal(18, 2) as spend_amount_in_window,
            first_seen_date::date as first_seen_date,
            official_as_of_date::date as official_as_of_date
        )
        from (values
            ('c1', 'core', 'core', 900.10, 9, 9, 2, '2023-01-01', '2024-06-30'),
            ('c2', 'core', 'core', 700.25, 6, 6, 5, '2023-01-01', '2024-06-30'),
            ('c3', 'dormant', 'dormant', 300, 2, 2, 100, '2023-01-01', '2024-06-30'),
            ('c4', 'new', 'new', 50, 1, 1, 3, '2023-05-05', '2024-06-30'),
            ('c5', 'new', 'new', 40.5, 1, 1, 1, '2024-06-20', '2024-06-30'),
            ('c6', 'general_value', 'general_value', 0, 0, 0, 10, '2024-06-20', '2024-06-30')
        ) as t(customer_id, rfm_tier, official_rfm_tier, spend_amount_in_window,
               order_count_in_window, order_count, days_since_last_order, first_seen_date,
               official_as_of_date)""",
    "marts.tier_history": """
        select * replace (
            valid_from::date as valid_from, nullif(valid_until, '')::date as valid_until
        )
        from (values
            ('c1', 'core', '2024-04-30', ''),
            ('c2', 'potential', '2024-05-31', '2024-06-30'), ('c2', 'core', '2024-06-30', ''),
            ('c3', 'core', '2024-05-31', '2024-06-30'), ('c3', 'dormant', '2024-06-30', ''),
            ('c4', 'new', '2024-05-31', ''), ('c5', 'new', '2024-06-30', ''),
            ('c6', 'general_value', '2024-06-30', '')
        ) as t(customer_id, rfm_tier, valid_from, valid_until)""",
    "marts.fct_orders": """
        select * replace (business_date::date as business_date)
        from (values
            ('c1', 'sale', '2024-06-28'), ('c1', 'sale', '2024-06-29'),
            ('c4', 'sale', '2024-06-27'),
            ('c5', 'sale', '2024-06-29'), ('c2', 'refund', '2024-06-01'),
            ('c2', 'sale', '2024-05-30'), ('c1', 'sale', '2024-05-01'), (null, 'sale', '2024-06-02')
        ) as t(customer_id, document_kind, business_date)""",
    "metrics.sales_daily": """
        select * replace (business_date::date as business_date,
                          net_amount::decimal(18, 2) as net_amount)
        from (values
            ('app', '2024-06-01', 3, 0, 120.50), ('pos', '2024-06-30', 2, 1, 80.25),
            ('app', '2024-05-31', 4, 0, 400), ('app', '2024-05-15', 1, 0, 50),
            ('app', '2023-07-01', 1, 0, 10), ('app', '2023-06-30', 9, 0, 9999)
        ) as t(channel, business_date, order_count, unconverted_order_count, net_amount)""",
    "marts.lifecycle_stages": "select * from (values ('c1', 'loyal'), ('c2', 'repeat'), "
    "('c3', 'churned'), ('c4', 'first_purchase'), ('c5', 'first_purchase'), ('c6', 'aware')) "
    "as t(customer_id, lifecycle_stage)",
    "marts.lifecycle_transitions": "select * replace (month_end::date as month_end) from (values "
    "('2024-06-30', 'lifecycle', 'repeat', 'loyal', 1), "
    "('2024-06-30', 'lifecycle', 'loyal', 'loyal', 7), "
    "('2024-06-30', 'aipl', 'aware', 'interest', 55), "
    "('2024-05-31', 'lifecycle', 'repeat', 'churned', 66)) "
    "as t(month_end, stage_model, from_stage, to_stage, customer_count)",
    "marts.customer_tags": "select * from (values ('c1', 'fitness_fan'), ('c2', 'fitness_fan')) "
    "as t(customer_id, tag)",
    "marts.customer_tag_changes": "select * replace (changed_on::date as changed_on) from (values "
    "('c1', 'fitness_fan', 'entered', '2024-06-02'), ('c3', 'fitness_fan', 'left', '2024-06-30'), "
    "('c2', 'fitness_fan', 'entered', '2024-05-31'), ('c4', 'tea', 'left', '2024-06-30')) "
    "as t(customer_id, tag, change, changed_on)",
    "marts.cluster_profiles": "select 1 as cluster_number, 'high_spend_recent' as cluster_name, "
    "date '2024-06-30' as fitted_as_of_date, 5 as customer_count, 100.0 as customer_share_pct, "
    "22.2 as mean_days_since_last_order, 3.8::double as mean_order_count_in_window, "
    "398.17::double as mean_spend_in_window_amount, 1.5::double as mean_product_view_count",
    "ops.feed_balance": "select * from (values ('app', 10, 8, 1, 1), ('app', 5, 5, 0, 0), "
    "('ads', 100, 97, 3, 0)) as t(channel, received_count, accepted_count, quarantined_count, "
    "duplicate_count)",
    "marts.customer_timeline": "select * from (values ('app', date '2024-06-28'), "
    "('app', date '2024-06-01')) as t(feed_channel, business_date)",
    "ops.quarantine_summary": "select * from (values ('f', 'enum', 3), ('g', 'enum', 1), "
    "('f', 'key', 2)) as t(feed, reason_code, record_count)",
    "ops.late_records": "select * from (values ('f', 1, 60, true), ('g', 1, 30, true), "
    "('f', null, 10, false)) as t(feed, within_days, record_count, is_in_time)",
    "marts.identity_quality": "select 'full_rules' as rule_set, 452 as reviewed_pair_count, "
    "1.0::double as pairwise_precision, .9457::double as pairwise_recall, 9 as account_count, "
    "6 as customer_count",
}  # fmt: skip


def build(folder: Path, **instead: str | None) -> Path:
    """A build folder; a mart that is given anew replaces the usual one, None leaves it out."""
    folder.mkdir(parents=True)
    queries = {**MARTS, **{name.replace("__", "."): query for name, query in instead.items()}}
    with duckdb.connect(str(folder / "crm.duckdb")) as connection:
        for schema in ("marts", "metrics", "ops"):
            connection.execute(f"create schema {schema}")
        for address, query in queries.items():
            if query is not None:
                connection.execute(f"create table {address} as {query}")
    return folder


def render(folder: Path, language: str = "en") -> str:
    with duckdb.connect(str(folder / "crm.duckdb"), read_only=True) as connection:
        return render_report(read_figures(connection), NAMES, language)


class Numbers(HTMLParser):
    """What the page prints: figures by name, other texts, and cells without a figure."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.figures: dict[str, list[str]] = {}
        self.loose: list[str] = []
        self._open: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self._open.append(
                dict(attrs).get("data-figure") or ("style" if tag == "style" else None)
            )

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        name = self._open[-1] if self._open else None
        if name and name != "style":
            self.figures.setdefault(name, []).append(data)
        elif name is None:
            self.loose.append(data)


def figures_in(page: str) -> dict[str, str]:
    found = Numbers(page).figures
    assert all(len(set(texts)) == 1 for texts in found.values()), "one figure, one number"
    return {name: texts[0] for name, texts in found.items()}


@pytest.fixture(scope="module")
def june(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("report") / "build")


def parse(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("%", "").replace("+", ""))


@pytest.mark.requirement("MEA-4")
def test_every_printed_figure_equals_the_mart(june: Path) -> None:
    """Each number is asked for again by its name, and compared as a number, not as a text."""
    with duckdb.connect(str(june / "crm.duckdb"), read_only=True) as connection:
        asked: dict[str, list[dict[str, object]]] = {}
        for name, query in QUERIES.items():
            sql = re.sub(r"\$(\w+)", lambda found: f"date '{DAYS[found[1]]}'", query.sql)
            cursor = connection.execute(sql)
            columns = [column[0] for column in cursor.description or []]
            asked[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    for language in LANGUAGES:
        printed = figures_in(render(june, language))
        assert len(printed) > 100
        for name, text in printed.items():
            query, key, column = name.split(":")
            (row,) = [
                row
                for row in asked[query]
                if "+".join(str(row[part]) for part in QUERIES[query].key) == key
            ]
            value = row[column]
            if value is None:
                assert text == "–", name
            elif isinstance(value, dt.date):
                assert text == value.isoformat(), name
            else:
                shown = len(text.rstrip("%").partition(".")[2])
                assert abs(parse(text) - Decimal(str(value))) <= Decimal(10) ** -shown / 2, name


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
    page = render(build(tmp_path / "b", marts__tier_history=history, metrics__sales_daily=sales))
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
def home(tmp_path: Path) -> Iterator[CrmHome]:
    home = CrmHome(tmp_path / "home").ensure()
    folder = build(home.published / "20240630-abc")
    made_at = dt.datetime(2024, 7, 1, tzinfo=dt.UTC)
    manifest = Manifest("20240630-abc", dt.date(2024, 6, 30), made_at, 1, "f", {}, folder)
    (folder / "manifest.json").write_text(manifest.to_json())
    (home.published / "current").symlink_to(folder.name)
    yield home


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


def test_a_day_that_is_not_kept_is_refused_with_the_days_there_are(home: CrmHome) -> None:
    assert find_build(home, dt.date(2024, 6, 30)).build_id == "20240630-abc"
    with pytest.raises(PublishError, match=r"as of 2024-05-31 is kept[\s\S]*2024-06-30"):
        find_build(home, dt.date(2024, 5, 31))
    (home.published / "current").unlink()
    with pytest.raises(PublishError, match="nothing is published yet"):
        find_build(home, None)
