"""Simulated customers with a known truth. Add here: fixtures several ml tests share."""

from collections.abc import Callable
from importlib.resources import files

import pandas as pd
import pytest

from tests.purchase_support import build_panel


@pytest.fixture(scope="session")
def panel() -> pd.DataFrame:
    return build_panel(1500)


@pytest.fixture(scope="session")
def make_panel() -> Callable[[int], pd.DataFrame]:
    return build_panel


@pytest.fixture(scope="session")
def latest_features(panel: pd.DataFrame) -> pd.DataFrame:
    return panel[panel["cutoff_date"] == panel["cutoff_date"].max()].reset_index(drop=True)


@pytest.fixture(scope="session")
def cdnow() -> pd.DataFrame:
    """The CDNOW sample: 2,357 customers, weeks, calibration to 1997-09-30."""
    name = "cdnow_customers_summary_with_transactions.csv"
    with (files("lifetimes") / "datasets" / name).open("rb") as file:
        summary = pd.read_csv(file)
    return summary.rename(columns={"x": "frequency", "t_x": "recency", "zbar": "monetary_value"})
