"""What a month end decides about sequence rules, and which are in force in the nights after it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.history import active_slices
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.scoring.sequences import (
    RULES,
    decide_month,
    is_decided,
    month_end_by,
    rules_in_force,
)
from crm_pipeline.lib.warehouse.sources import PYTHON_TABLES
from ml.sequences import CELL_COLUMNS, TOTAL_COLUMNS

pytestmark = pytest.mark.requirement("SCO-5")

APRIL, MAY, JUNE, JULY = (dt.date(2024, month, day) for month, day in
                          ((4, 30), (5, 31), (6, 30), (7, 31)))  # fmt: skip
# Customers with 4 days, 2 of them with A, 2 followed: both of A's, one, none; chance is 1:4:1.
STRONG, WEAK, CHANCE, NONE = (60, 40, 0), (20, 67, 13), (17, 66, 17), (0, 40, 60)


class Shop:
    """Decisions of one home; a month is the strength of each rule in discovery and hold-out."""

    def __init__(self, folder: Path) -> None:
        self.home = CrmHome(folder).ensure()
        self.ledger: sa.Engine = open_ledger(self.home)

    def decide(self, day: dt.date, **rules: tuple[tuple[int, ...], tuple[int, ...]]) -> Any:
        rows = []
        for name, (found, fresh) in rules.items():
            first, within = name.split("_")
            for period, customers in (("discovery", found), ("holdout", fresh)):
                for followed, number in zip((2, 1, 0), customers, strict=True):
                    rows.append([first, "z", int(within), period, 4, 2, 2, followed, 0, 0, 0, 0,
                                 number])  # fmt: skip
        cells = pd.DataFrame(rows, columns=CELL_COLUMNS)
        cells = cells[cells["customer_count"] > 0]
        totals = pd.DataFrame(columns=TOTAL_COLUMNS)
        return decide_month(self.home, self.ledger, cells, totals, day)

    def rules(self, day: dt.date) -> dict[str, tuple[Any, ...]]:
        """first_within → status, reason, since_on, retired_on."""
        shown = ("status", "reason", "since_on", "retired_on")
        return {
            f"{row['first_category']}_{row['within_days']}": tuple(row[name] for name in shown)
            for row in rules_in_force(self.home, self.ledger, day).rules.to_pylist()
        }

    def revisions(self) -> list[tuple[dt.date, int]]:
        with self.ledger.connect() as connection:
            return [(one.as_of_date, one.revision)
                    for one in active_slices(self.home, connection, RULES)]  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "home")


def test_a_rule_that_fresh_days_show_is_in_force_and_one_they_do_not_show_waits(
    shop: Shop,
) -> None:
    shop.decide(APRIL, a_7=(STRONG, STRONG), b_7=(STRONG, CHANCE), c_7=(CHANCE, STRONG),
                d_7=(STRONG, (2, 2, 0)))  # fmt: skip
    assert shop.rules(dt.date(2024, 5, 20)) == {
        "a_7": ("active", "confirmed_by_holdout", APRIL, None),
        "b_7": ("candidate", "not_confirmed_by_holdout", None, None),
        "d_7": ("candidate", "too_few_in_holdout", None, None),
    }
    assert shop.rules(dt.date(2024, 4, 29)) == {}, "no day before the month end knows its rules"
    shop.decide(MAY, a_7=(STRONG, STRONG), b_7=(STRONG, STRONG), d_7=(CHANCE, CHANCE))
    assert shop.rules(MAY) == {
        "a_7": ("active", "confirmed_by_holdout", APRIL, None),
        "b_7": ("active", "confirmed_by_holdout", MAY, None),
    }


def test_a_rule_is_retired_once_fresh_days_no_longer_show_it_and_stays_on_record(
    shop: Shop,
) -> None:
    shop.decide(APRIL, a_7=(STRONG, STRONG), b_7=(STRONG, STRONG), c_7=(STRONG, STRONG))
    # The search still finds it: it looks at the days in which it held.
    shop.decide(MAY, a_7=(STRONG, NONE), b_7=(STRONG, (2, 2, 0)))
    retired = {
        "a_7": ("retired", "faded_in_holdout", APRIL, MAY),
        "b_7": ("retired", "too_few_in_holdout", APRIL, MAY),
        "c_7": ("retired", "no_longer_bought", APRIL, MAY),
    }
    assert shop.rules(MAY) == retired
    shop.decide(JUNE, a_7=(STRONG, CHANCE))
    assert shop.rules(JUNE) == retired
    assert shop.rules(APRIL)["a_7"][0] == "active", "what April said stays what it said"
    shop.decide(JULY, a_7=(STRONG, STRONG))
    assert shop.rules(JULY)["a_7"] == ("active", "confirmed_by_holdout", JULY, None)


def test_a_rule_near_the_limit_does_not_come_and_go(shop: Shop) -> None:
    shop.decide(APRIL, a_7=(STRONG, STRONG), b_7=(STRONG, WEAK))
    assert shop.rules(APRIL)["b_7"][0] == "candidate"
    shop.decide(MAY, a_7=(CHANCE, WEAK), b_7=(STRONG, WEAK))
    assert shop.rules(MAY)["a_7"][0] == "active", "the hold-out is weaker and still speaks for it"
    assert shop.rules(MAY)["b_7"][0] == "candidate"


def test_one_window_of_a_pair_leads(shop: Shop) -> None:
    most = (70, 30, 0)
    day = shop.decide(APRIL, a_7=(STRONG, STRONG), a_14=(most, STRONG), a_30=(most, CHANCE),
                      b_7=(STRONG, STRONG), b_30=(STRONG, STRONG))  # fmt: skip
    leading = {(row["first_category"], row["within_days"]) for row in day.rules.to_pylist()
               if row["is_leading"]}  # fmt: skip
    assert leading == {("a", 14), ("b", 7)}, "the strongest in force; of two alike the shorter"


def test_deciding_again_changes_nothing_and_an_empty_month_may_be_asked_again(shop: Shop) -> None:
    shop.decide(APRIL)
    assert not is_decided(shop.home, shop.ledger, APRIL)
    shop.decide(APRIL, a_7=(STRONG, STRONG))
    shop.decide(APRIL, a_7=(STRONG, STRONG))
    assert shop.revisions() == [(APRIL, 2)]
    assert is_decided(shop.home, shop.ledger, APRIL)
    assert not is_decided(shop.home, shop.ledger, MAY)


def test_the_rules_of_a_night_fill_every_column_of_their_table(shop: Shop) -> None:
    shop.decide(APRIL, a_7=(STRONG, STRONG))
    night = dt.date(2024, 5, 3)
    rows = rules_in_force(shop.home, shop.ledger, night).as_scores(night).to_pylist()
    assert set(PYTHON_TABLES["scores.sequence_rules"]) == set(rows[0])
    assert (rows[0]["as_of_date"], rows[0]["decided_as_of_date"]) == (night, APRIL)
    assert rows[0]["support"] == 100 and rows[0]["lift"] > 1


def test_the_month_end_of_a_day_is_the_last_one_over() -> None:
    assert month_end_by(dt.date(2024, 3, 31)) == dt.date(2024, 3, 31)
    assert month_end_by(dt.date(2024, 3, 30)) == dt.date(2024, 2, 29)
    assert month_end_by(dt.date(2024, 1, 1)) == dt.date(2023, 12, 31)
