"""What a month end decides about clusters, and who is where in the nights after it."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.history import active_slices
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.scoring.clusters import (
    ASSIGNED,
    FITS,
    assign_day,
    decide_month,
    is_on_record,
    last_decision,
)
from ml.clusters import ClusterConfig, adjusted_rand_index
from tests.cluster_support import plant

APRIL, MAY, JUNE = dt.date(2024, 4, 30), dt.date(2024, 5, 31), dt.date(2024, 6, 30)


@dataclass(frozen=True)
class Shop:
    home: CrmHome
    ledger: sa.Engine

    def decide(self, features: pd.DataFrame, day: dt.date) -> dict[str, object]:
        return decide_month(self.home, self.ledger, features, day)

    def slices(self, table: str) -> list[tuple[dt.date, int]]:
        with self.ledger.connect() as connection:
            found = active_slices(self.home, connection, table)
        return [(one.as_of_date, one.revision) for one in found]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    home = CrmHome(tmp_path / "home").ensure()
    return Shop(home, open_ledger(home))


def shift(features: pd.DataFrame) -> pd.DataFrame:
    """A month in which everybody behaves like somebody else."""
    order = np.random.default_rng(3).permutation(len(features))
    return features.assign(customer_id=features["customer_id"].to_numpy()[order])


@pytest.mark.requirement("CUS-13")
def test_the_first_month_is_let_in_and_nights_assign_by_it(shop: Shop) -> None:
    assert assign_day(shop.home, shop.ledger, plant(), APRIL).note is not None
    decision = shop.decide(plant(), APRIL)
    assert (decision["is_first"], decision["is_published"]) == (True, True)
    assert decision["fitted_as_of_date"] == APRIL
    night = assign_day(shop.home, shop.ledger, plant(seed=2), dt.date(2024, 5, 10))
    assert len(night.rows) == 240 and night.note is None
    assert set(night.rows["model_version"]) == {decision["version_in_force"]}
    assert set(night.rows["fitted_as_of_date"]) == {APRIL}
    before = assign_day(shop.home, shop.ledger, plant(), dt.date(2024, 4, 29))
    assert before.rows.empty, "no day before the month end knows its clusters"


@pytest.mark.requirement("CUS-13")
def test_a_like_month_takes_over_and_a_shifted_one_leaves_last_months_model_in_force(
    shop: Shop,
) -> None:
    april = shop.decide(plant(), APRIL)
    may = shop.decide(plant(seed=2), MAY)
    assert (may["is_first"], may["is_published"], may["common_customer_count"]) == (
        False,
        True,
        240,
    )
    assert may["version_in_force"] == may["fitted_version"] != april["fitted_version"]
    assert may["same_data_rand_index"] == pytest.approx(1.0, abs=0.05)

    june = shop.decide(shift(plant(seed=3)), JUNE)
    assert june["is_published"] is False
    assert "below 0.6" in str(june["reason"])
    # People moved and the model did not: on one month's data the old one groups alike.
    assert june["same_data_rand_index"] == pytest.approx(1.0, abs=0.05)
    assert june["fitted_version"] not in (None, may["fitted_version"])
    assert (june["version_in_force"], june["fitted_as_of_date"]) == (may["fitted_version"], MAY)
    night = assign_day(shop.home, shop.ledger, plant(), dt.date(2024, 7, 3))
    assert set(night.rows["model_version"]) == {may["fitted_version"]}
    assert night.decision == june
    assert last_decision(shop.home, shop.ledger, before=JUNE) == may


def test_a_month_is_compared_with_who_was_where_in_the_month_before_it(shop: Shop) -> None:
    shop.decide(plant(), APRIL)
    shop.decide(shift(plant(seed=3)), MAY)
    june = shop.decide(shift(plant(seed=4)), JUNE)
    # May's customers were put into April's clusters, as they behaved in May: so June is like May.
    assert june["is_published"] is True
    assert june["adjusted_rand_index"] is not None


def test_deciding_a_month_again_changes_nothing_and_other_data_is_a_new_revision(
    shop: Shop,
) -> None:
    first = shop.decide(plant(), APRIL)
    assert shop.decide(plant().sample(frac=1, random_state=1), APRIL) == first
    assert shop.slices(FITS) == [(APRIL, 1)]
    assert shop.slices(ASSIGNED) == [(APRIL, 1)]
    again = shop.decide(plant(seed=5), APRIL)
    assert again["is_first"] is True, "a month is not compared with itself"
    assert shop.slices(FITS) == [(APRIL, 2)]
    assert is_on_record(shop.home, shop.ledger, APRIL)
    assert not is_on_record(shop.home, shop.ledger, MAY)


def test_a_refused_month_stays_refused_when_it_is_decided_again(shop: Shop) -> None:
    """It is compared with the month before, never with what it has put on record itself."""
    shop.decide(plant(), APRIL)
    first = shop.decide(shift(plant(seed=3)), MAY)
    assert shop.decide(shift(plant(seed=3)), MAY) == first
    assert first["is_published"] is False


def test_a_shop_too_small_for_clusters_has_none_and_says_why(shop: Shop) -> None:
    decision = shop.decide(plant(size=10), APRIL)
    assert (decision["fitted_version"], decision["version_in_force"]) == (None, None)
    night = assign_day(shop.home, shop.ledger, plant(size=10), MAY)
    assert night.rows.empty
    assert night.note == "clusters: 30 customers with an order; needed are 50"
    grown = shop.decide(plant(), MAY)
    assert (grown["is_first"], grown["is_published"]) == (True, True)


def test_a_shop_that_shrank_keeps_its_model(shop: Shop) -> None:
    april = shop.decide(plant(), APRIL)
    may = shop.decide(plant(size=10), MAY)
    assert may["version_in_force"] == april["version_in_force"]
    night = assign_day(shop.home, shop.ledger, plant(size=10), MAY)
    index, common = adjusted_rand_index(
        night.rows, assign_day(shop.home, shop.ledger, plant(), MAY).rows
    )
    assert (index, common) == (1.0, 30)


def test_a_lost_model_gives_no_clusters_and_a_remedy_until_a_month_is_fitted(shop: Shop) -> None:
    shop.decide(plant(), APRIL)
    shutil.rmtree(shop.home.models / "clusters")
    night = assign_day(shop.home, shop.ledger, plant(), MAY)
    assert night.rows.empty and "do: " in str(night.note)
    may = shop.decide(plant(seed=2), MAY)
    assert may["is_published"] is True, "last month's assignments are history and still there"


def test_a_lost_model_and_a_shifted_month_still_end_in_a_decision(shop: Shop) -> None:
    shop.decide(plant(), APRIL)
    shutil.rmtree(shop.home.models / "clusters")
    may = shop.decide(shift(plant(seed=2)), MAY)
    assert may["is_published"] is False
    assert assign_day(shop.home, shop.ledger, plant(), MAY).rows.empty
    june = shop.decide(plant(seed=4), JUNE)
    assert june["is_published"] is True, "compared with April, the last month anybody was assigned"


def test_the_gate_is_a_setting(shop: Shop) -> None:
    shop.decide(plant(), APRIL)
    lenient = ClusterConfig(min_adjusted_rand_index=-1.0)
    may = decide_month(shop.home, shop.ledger, shift(plant(seed=2)), MAY, lenient)
    assert may["is_published"] is True
