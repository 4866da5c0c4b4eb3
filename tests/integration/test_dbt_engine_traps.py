"""What the models rely on in the engine, shown on the smallest query."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from random import Random

import duckdb
import jinja2
import yaml

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
PROFILE = PROJECT / "profiles.yml"
MONEY = PROJECT / "macros" / "money" / "half_even.sql"
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


def test_half_even_is_exact_for_every_decimal() -> None:
    macros = jinja2.Environment(autoescape=False).from_string(MONEY.read_text(encoding="utf-8"))
    rounding = macros.module.default__half_even("amount", 2)  # type: ignore[attr-defined]
    random = Random(7)
    amounts = [Decimal(random.randint(-(10**12), 10**12)).scaleb(-3) for _ in range(2_000)]
    # Doubles know neither of these: half a cent beside a large amount, and a hair above a tie.
    amounts += [Decimal("9999999999999.995"), Decimal("-0.005"), Decimal("2.675000001")]
    with duckdb.connect() as connection:
        connection.execute("create table sums (place integer, amount decimal(38, 9))")
        connection.executemany("insert into sums values (?, ?)", list(enumerate(amounts)))
        rows = connection.execute(f"select {rounding} from sums order by place").fetchall()
    cent = Decimal("0.01")
    expected = [amount.quantize(cent, rounding=ROUND_HALF_EVEN) for amount in amounts]
    assert [row[0] for row in rows] == expected
