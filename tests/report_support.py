"""A small published build to report on, and a reader of what a report prints.

Add here: what several tests of reports need. Not here: assertions about one report.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import duckdb

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.publish.manifest import Manifest
from crm_pipeline.lib.reporting.figures import QUERIES

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
            ('c1', 'core', 'core', 900.10, 9, 19, 2, '2023-01-01', '2024-06-30'),
            ('c2', 'core', 'core', 700.25, 6, 6, 5, '2023-01-01', '2024-06-30'),
            ('c3', 'dormant', 'dormant', 300, 2, 2, 100, '2023-01-01', '2024-06-30'),
            ('c4', 'new', 'new', 50, 1, 1, 3, '2023-05-05', '2024-06-30'),
            ('c5', 'new', 'new', 40.5, 1, 1, 1, '2024-06-20', '2024-06-30'),
            ('c6', 'general_value', 'general_value', 0, 0, 0, 10, '2024-06-20', '2024-06-30')
        ) as t(customer_id, rfm_tier, official_rfm_tier, spend_amount_in_window,
               order_count_in_window, order_count, days_since_last_order, first_seen_date,
               official_as_of_date)""",
    "marts.tier_history": """
        select * from (select * replace (
            valid_from::date as valid_from, nullif(valid_until, '')::date as valid_until
        ), 'playbook' as ladder
        from (values
            ('c1', 'core', null, '2024-04-30', ''),
            ('c2', 'potential', null, '2024-05-31', '2024-06-30'),
            ('c2', 'core', 'potential', '2024-06-30', ''),
            ('c3', 'core', null, '2024-05-31', '2024-06-30'),
            ('c3', 'dormant', 'core', '2024-06-30', ''),
            ('c4', 'new', null, '2024-05-31', ''), ('c5', 'new', null, '2024-06-30', ''),
            ('c6', 'general_value', null, '2024-06-30', '')
        ) as t(customer_id, rfm_tier, previous_rfm_tier, valid_from, valid_until)
        union all by name
        select * from (values  -- a tier of another ladder, which this report is not about
            ('c1', 'gold', date '2024-03-31', null::date, 'diamond_gold_silver')
        ) as other(customer_id, rfm_tier, valid_from, valid_until, ladder)) as stays""",
    "marts.tier_transitions": "select * replace (month_end::date as month_end) from (values "
    "('2024-06-30', 'playbook', 'core', 'core', 'stayed', 1), "
    "('2024-06-30', 'playbook', 'core', 'dormant', 'down', 1), "
    "('2024-06-30', 'playbook', 'potential', 'core', 'up', 1), "
    "('2024-06-30', 'playbook', 'new', 'new', 'stayed', 1), "
    "('2024-06-30', 'playbook', 'none', 'new', 'entered', 1), "
    "('2024-06-30', 'playbook', 'none', 'general_value', 'entered', 1), "
    "('2024-06-30', 'metals', 'gold', 'silver', 'down', 99), "
    "('2024-05-31', 'playbook', 'none', 'core', 'entered', 77)) "
    "as t(month_end, ladder, from_tier, to_tier, direction, customer_count)",
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


def parse(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("%", "").replace("+", ""))


def reconcile(page: str, database: Path, days: Mapping[str, str]) -> int:
    """Asks the build for every printed figure again, and compares them as numbers; how many."""
    asked: dict[str, list[dict[str, object]]] = {}
    with duckdb.connect(str(database), read_only=True) as connection:
        for name in {figure.split(":")[0] for figure in figures_in(page)}:
            sql = re.sub(r"\$(\w+)", lambda found: f"date '{days[found[1]]}'", QUERIES[name].sql)
            cursor = connection.execute(sql)
            columns = [column[0] for column in cursor.description or []]
            asked[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    printed = figures_in(page)
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
    return len(printed)


def publish_june(home: CrmHome) -> CrmHome:
    """Makes the build the current one of a home."""
    folder = build(home.published / "20240630-abc")
    made_at = dt.datetime(2024, 7, 1, tzinfo=dt.UTC)
    manifest = Manifest("20240630-abc", dt.date(2024, 6, 30), made_at, 1, "f", {}, folder)
    (folder / "manifest.json").write_text(manifest.to_json())
    (home.published / "current").symlink_to(folder.name)
    return home
