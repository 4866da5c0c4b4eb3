"""One number for what a build says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from publish_support import build_warehouse

from crm_pipeline.lib.publish import ResultHash, hash_published

Edit = Callable[..., ResultHash]


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """Hashes a build after some statements."""
    number = iter(range(100))

    def run(*statements: str) -> ResultHash:
        path = tmp_path / f"w{next(number)}" / "crm.duckdb"
        build_warehouse(path)
        with duckdb.connect(str(path)) as connection:
            for statement in statements:
                connection.execute(statement)
        return hash_published(path)

    return run


def differing(first: ResultHash, second: ResultHash) -> set[str]:
    return {name for name in first.tables if first.tables[name] != second.tables.get(name)}


def test_the_same_build_has_the_same_hash(edit: Edit) -> None:
    assert edit() == edit()


@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize(
    "statement",
    [
        "create or replace table marts.fct_order_lines as "
        "from marts.fct_order_lines order by line_id desc",
        "update marts.customer_360 set scored_at = now()",
        "alter table marts.customer_360 add column run_id varchar default 'r2'",
        "update ops.feed_balance set feed = 'other'",
        "update marts.customer_360 set churn_probability = 0.1 + 0.15",
        "update marts.customer_360 set churn_probability = churn_probability + 1e-15",
    ],
)
def test_order_clock_run_ids_ops_and_the_last_digits_of_floats_do_not_count(
    edit: Edit, statement: str
) -> None:
    assert edit(statement).total == edit().total


@pytest.mark.requirement("SRV-3")
def test_of_a_log_of_nights_the_last_night_counts(edit: Edit) -> None:
    log = (
        "create table marts.outreach_decisions as select * from (values "
        "(date '2026-06-29', 'send'), (date '2026-06-30', 'no_consent')) as v (as_of_date, outcome)"
    )
    earlier = "delete from marts.outreach_decisions where outcome = 'send'"
    last = "update marts.outreach_decisions set outcome = 'capped' where outcome = 'no_consent'"
    assert edit(log) == edit(log, earlier)
    assert differing(edit(log), edit(log, last)) == {"marts.outreach_decisions"}


def test_other_customer_ids_for_the_same_accounts_do_not_count(edit: Edit) -> None:
    renamed = [
        f"update marts.{table} set customer_id = md5('other' || customer_id)"
        for table in ("source_customers", "dim_customers", "customer_360", "rfm_tiers")
    ]
    assert edit(*renamed) == edit()
    assert differing(edit(*renamed[:-1]), edit()) == {"marts.rfm_tiers"}


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("update marts.fct_order_lines set line_amount = line_amount + 0.000001 "
         "where line_id = 7", "marts.fct_order_lines"),
        ("insert into marts.dim_products values ('sku')", "marts.dim_products"),
        ("update marts.dim_products set sku = null", "marts.dim_products"),
        ("update marts.dim_products set sku = ''", "marts.dim_products"),
        ("alter table marts.dim_products rename sku to code", "marts.dim_products"),
        ("update staging.daily set line_count = 5", "metrics.daily"),
        ("update marts.rfm_tiers set rfm_tier = 'core' where customer_id = "
         "(select min(customer_id) from marts.rfm_tiers)", "marts.rfm_tiers"),
        ("update marts.customer_360 set churn_probability = 0.2501", "marts.customer_360"),
    ],
)  # fmt: skip
def test_every_other_difference_counts_and_names_its_table(
    edit: Edit, statement: str, table: str
) -> None:
    plain, changed = edit(), edit(statement)
    assert changed.total != plain.total
    assert differing(changed, plain) == {table}


def test_cells_do_not_run_into_each_other(edit: Edit) -> None:
    table = "create or replace table marts.dim_products as select {} as a, {} as b"
    hashes = {
        edit(table.format(*pair)).total
        for pair in (("'x'", "'yz'"), ("'xy'", "'z'"), ("null", "'xyz'"), ("''", "'xyz'"))
    }
    assert len(hashes) == 4


def test_swapping_values_between_rows_counts(edit: Edit) -> None:
    table = "create or replace table marts.dim_products as select * from (values {}) as t(a, b)"
    assert edit(table.format("(1, 2), (3, 4)")).total != edit(table.format("(1, 4), (3, 2)")).total


def test_a_build_without_accounts_can_be_hashed(edit: Edit) -> None:
    assert edit("drop table marts.source_customers").total
