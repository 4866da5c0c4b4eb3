"""What the models rely on in the engine, shown on the smallest query."""

from __future__ import annotations

from pathlib import Path

import duckdb
import yaml

PROFILE = Path(__file__).resolve().parents[2] / "dbt_project" / "profiles.yml"
# One customer with one order, no order cancelled: the sum is 1, so it is above 0.
COUNTED = """
    select uncancelled_count > 0
    from (
        select orders.id, sum(case when cancelled.id is null then 1 else 0 end) as uncancelled_count
        from orders
        left join (select id from headers where status = 'cancelled') as cancelled
            on orders.id = cancelled.id
        group by orders.id
    )
"""


def test_a_sum_after_a_left_join_with_nothing_is_compared_rightly() -> None:
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    settings = profile["crm_pipeline"]["outputs"]["warehouse"]["settings"]
    with duckdb.connect() as connection:
        for name, value in settings.items():
            connection.execute(f"set {name} = '{value}'")
        connection.execute("create table headers (id varchar, status varchar)")
        connection.execute("create table orders as select 'o1' as id")
        assert connection.execute(COUNTED).fetchall() == [(True,)]
