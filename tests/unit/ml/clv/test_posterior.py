"""Intervals of the probability model cover at their rate where the model is true."""

import numpy as np
import pandas as pd
import pytest

from ml.clv import BgNbdModel, BgNbdParameters, ClvModelConfig
from ml.clv.buy_till_you_die import BuyTillYouDie, Outlook
from ml.clv.interval import ErrorBands, promised_coverage, spend_interval
from ml.clv.posterior import SpendDistribution, _spread_orders

pytestmark = pytest.mark.requirement("SCO-3")

CONFIG = ClvModelConfig()
TRUTH = {"r": 0.55, "alpha": 6.0, "a": 0.8, "b": 2.5, "p": 6.25, "q": 3.74, "v": 15.4}


def simulate(count: int, horizons: tuple[int, ...]) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Customers of up to two years, and what each spends in the days that follow."""
    rng = np.random.default_rng(5)
    rate, leave = (
        rng.gamma(TRUTH["r"], 1 / TRUTH["alpha"], count), rng.beta(TRUTH["a"], TRUTH["b"], count)
    )  # fmt: skip
    tenure = rng.integers(1, 735, count) / 7
    scale = rng.gamma(TRUTH["q"], 1 / TRUTH["v"], count)
    frequency, recency, total, clock = (np.zeros(count) for _ in range(4))
    future = {days: np.zeros(count) for days in horizons}
    active = np.ones(count, dtype=bool)
    while active.any():
        clock = clock + rng.exponential(1, count) / rate
        active &= clock <= tenure + max(horizons) / 7
        value = rng.gamma(TRUTH["p"], 1, count) / scale
        past = active & (clock <= tenure)
        frequency += past
        recency = np.where(past, clock, recency)
        total += np.where(past, value, 0)
        for days, spend in future.items():
            spend += np.where(active & ~past & (clock <= tenure + days / 7), value, 0)
        active &= rng.random(count) >= leave
    mean = np.where(frequency > 0, total / np.maximum(frequency, 1), 0.0)
    columns = {"frequency": frequency, "recency": recency, "T": tenure, "monetary_value": mean}
    return pd.DataFrame(columns), future


@pytest.fixture(scope="module")
def world() -> tuple[pd.DataFrame, dict[int, np.ndarray], BuyTillYouDie]:
    summary, future = simulate(30_000, (90, 365))
    return summary, future, BuyTillYouDie(CONFIG).fit(summary)


@pytest.mark.parametrize("days", [90, 365])
def test_intervals_cover_at_the_nominal_rate(
    world: tuple[pd.DataFrame, dict[int, np.ndarray], BuyTillYouDie], days: int
) -> None:
    summary, future, pair = world
    outlook = pair.look_ahead(summary, days)
    low, high = spend_interval(pair, summary, outlook, days, CONFIG.interval_level)
    inside = (future[days] >= low) & (future[days] <= high)
    # Whoever stays away more surely than 80 % lies at 0 more often than that.
    assert inside.mean() == pytest.approx(promised_coverage(outlook, 0.8), abs=0.01)
    open_minded = outlook.buying > 0.2
    assert inside[open_minded].mean() == pytest.approx(0.8, abs=0.015)
    for part in np.array_split(
        np.flatnonzero(open_minded)[np.argsort(outlook.spend[open_minded])], 5
    ):
        assert inside[part].mean() == pytest.approx(0.8, abs=0.04)


def test_a_quantile_leaves_its_share_of_drawn_futures_below(
    world: tuple[pd.DataFrame, dict[int, np.ndarray], BuyTillYouDie],
) -> None:
    _, _, pair = world
    summary = pd.DataFrame(
        {"frequency": [4.0], "recency": [30.0], "T": [33.0], "monetary_value": [40.0]}
    )
    rates, values = pair.orders.parameters, pair.values.parameters
    rng, draws = np.random.default_rng(8), 200_000
    rate = rng.gamma(rates.r + 4, 1 / (rates.alpha + 33), draws)
    leave = rng.beta(rates.a, rates.b + 4, draws)
    came = np.minimum(rng.poisson(rate * 365 / 7), rng.geometric(leave))
    outlook = pair.look_ahead(summary, 365)
    came = np.where(rng.random(draws) < outlook.alive[0], came, 0)
    scale = rng.gamma(values.q + 4 * values.p, 1 / (values.v + 160.0), draws)
    spend = rng.gamma(np.maximum(values.p * came, 1e-9)) / scale * (came > 0)
    assert spend.mean() == pytest.approx(outlook.spend[0], rel=0.02)
    distribution = SpendDistribution(pair, 365)
    for level in (0.5, 0.8, 0.9, 0.97):
        [quantile] = distribution.quantiles(summary, outlook, [np.array([level])])
        assert (spend <= quantile[0]).mean() == pytest.approx(level, abs=0.01)


def test_chances_of_orders_add_up_to_the_chance_of_any_and_the_expectation() -> None:
    r, alpha, a, b, count, tenure, horizon = 0.6, 5.0, 0.9, 2.2, 3.0, 20.0, 26.0
    numbers, chances = _spread_orders(r, a, b, count, horizon / (alpha + tenure))
    silence = ((alpha + tenure) / (alpha + tenure + horizon)) ** (r + count)
    assert chances.sum() == pytest.approx(1 - silence, rel=1e-6)
    model = BgNbdModel(parameters=BgNbdParameters(r, alpha, a, b, 0.0, 0))
    summary = pd.DataFrame({"frequency": [count], "recency": [tenure], "T": [tenure]})
    alive = model.probability_alive(summary)[0]
    expected = model.expected_orders(summary, horizon)[0] / alive
    assert chances @ numbers == pytest.approx(expected, rel=1e-4)


def test_busy_customers_and_long_horizons_stay_finite(
    world: tuple[pd.DataFrame, dict[int, np.ndarray], BuyTillYouDie],
) -> None:
    _, _, pair = world
    summary = pd.DataFrame(
        {
            "frequency": [0.0, 0.0, 500.0, 60.0],
            "recency": [0.0, 0.0, 99.0, 1.0],
            "T": [0.0, 5000.0, 100.0, 300.0],
            "monetary_value": [0.0, 0.0, 20.0, -5.0],
        }
    )
    for days in (1, 365, 3650):
        outlook = pair.look_ahead(summary, days)
        low, high = spend_interval(pair, summary, outlook, days, 0.8)
        assert np.isfinite(low).all() and np.isfinite(high).all()
        assert ((low >= 0) & (low <= high)).all()


def test_past_errors_give_bands_that_hold_in_every_group() -> None:
    rng = np.random.default_rng(3)
    predicted = rng.gamma(1.0, 100, 20_000)
    # Far from any probability model: half come to nothing, the rest is heavy-tailed.
    actual = predicted * np.where(rng.random(20_000) < 0.5, 0, rng.lognormal(0, 1.5, 20_000))
    bands = ErrorBands.fit(actual[:10_000], predicted[:10_000], CONFIG)
    low, high = bands.apply(predicted[10_000:])
    inside = (actual[10_000:] >= low) & (actual[10_000:] <= high)
    assert inside.mean() == pytest.approx(0.8, abs=0.015)
    for part in np.array_split(np.argsort(predicted[10_000:]), 5):
        assert inside[part].mean() == pytest.approx(0.8, abs=0.035)


def test_a_promise_counts_the_chance_of_nothing() -> None:
    chances = np.array([0.02, 0.5, 1.0])
    outlook = Outlook(np.zeros(3), np.zeros(3), np.ones(3), chances)
    assert promised_coverage(outlook, 0.8) == pytest.approx((0.98 + 0.8 + 0.8) / 3)
