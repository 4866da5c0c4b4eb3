"""BG/NBD against the published figures, planted truth, closed forms and an independent package."""

import numpy as np
import pandas as pd
import pytest
from lifetimes import BetaGeoFitter
from scipy.optimize import check_grad
from scipy.stats import beta as beta_distribution
from scipy.stats import gamma as gamma_distribution

from ml.clv import BgNbdModel, BgNbdParameters, FitConfig
from ml.clv.bg_nbd import bg_nbd_log_likelihood
from ml.errors import (
    ConvergenceError,
    InvalidDataError,
    MissingColumnsError,
    NotEnoughDataError,
    NotFittedError,
)

PUBLISHED = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}


def make_model(r: float, alpha: float, a: float, b: float) -> BgNbdModel:
    return BgNbdModel(parameters=BgNbdParameters(r, alpha, a, b, 0.0, 0))


def make_summary(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["frequency", "recency", "T"])


def simulate(
    count: int, r: float, alpha: float, a: float, b: float, *, horizon: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Summary after 40 to 80 weeks, and the purchases in the horizon that follows."""
    rng = np.random.default_rng(11)
    rate, leave = rng.gamma(r, 1 / alpha, count), rng.beta(a, b, count)
    tenure = rng.uniform(40, 80, count)
    frequency, recency, future, clock = (np.zeros(count) for _ in range(4))
    is_active = np.ones(count, dtype=bool)
    while is_active.any():
        clock = clock + rng.exponential(1, count) / rate
        is_active &= clock <= tenure + horizon
        is_past = is_active & (clock <= tenure)
        frequency += is_past
        recency = np.where(is_past, clock, recency)
        future += is_active & ~is_past
        is_active &= rng.random(count) >= leave
    return pd.DataFrame({"frequency": frequency, "recency": recency, "T": tenure}), future


def test_cdnow_gives_the_published_parameters_and_likelihood(cdnow: pd.DataFrame) -> None:
    parameters = BgNbdModel().fit(cdnow).parameters
    for name, published in PUBLISHED.items():
        assert getattr(parameters, name) == pytest.approx(published, rel=0.005)
    assert parameters.log_likelihood == pytest.approx(-9582.4, abs=0.1)
    assert parameters.customer_count == 2357
    assert parameters.at_limit == ()


def test_another_time_unit_changes_alpha_only(cdnow: pd.DataFrame) -> None:
    weeks = BgNbdModel().fit(cdnow).parameters
    in_days = cdnow.assign(recency=cdnow["recency"] * 7, T=cdnow["T"] * 7)
    days = BgNbdModel().fit(in_days).parameters
    assert days.alpha == pytest.approx(weeks.alpha * 7, rel=1e-4)
    assert (days.r, days.a, days.b) == pytest.approx((weeks.r, weeks.a, weeks.b), rel=1e-4)


def test_the_independent_package_agrees_on_parameters_and_predictions(
    cdnow: pd.DataFrame,
) -> None:
    oracle = BetaGeoFitter().fit(cdnow["frequency"], cdnow["recency"], cdnow["T"])
    model = BgNbdModel().fit(cdnow)
    for name in PUBLISHED:
        assert getattr(model.parameters, name) == pytest.approx(oracle.params_[name], rel=1e-3)
    twin = make_model(**{name: oracle.params_[name] for name in PUBLISHED})
    columns = (cdnow["frequency"], cdnow["recency"], cdnow["T"])
    np.testing.assert_allclose(
        twin.probability_alive(cdnow), oracle.conditional_probability_alive(*columns), rtol=1e-9
    )
    np.testing.assert_allclose(
        twin.expected_orders(cdnow, 39.0),
        oracle.conditional_expected_number_of_purchases_up_to_time(39.0, *columns),
        rtol=1e-8,
    )


def test_the_gradient_equals_finite_differences(cdnow: pd.DataFrame) -> None:
    columns = [cdnow[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T")]
    weights = np.ones(len(cdnow))
    rng = np.random.default_rng(3)
    for _ in range(10):
        point = rng.normal(0, 1, 4)
        difference = check_grad(
            lambda p: bg_nbd_log_likelihood(p, *columns, weights)[0],
            lambda p: bg_nbd_log_likelihood(p, *columns, weights)[1],
            point,
        )
        assert difference < 1e-5


def test_a_planted_truth_and_the_orders_after_it_are_recovered() -> None:
    truth = {"r": 0.6, "alpha": 5.0, "a": 1.2, "b": 3.0}
    summary, future = simulate(40_000, **truth, horizon=20.0)
    model = BgNbdModel().fit(summary)
    for name, value in truth.items():
        assert getattr(model.parameters, name) == pytest.approx(value, rel=0.1)
    assert model.expected_orders(summary, 20.0).sum() == pytest.approx(future.sum(), rel=0.03)
    silence = model.no_order_probability(summary, 20.0)
    assert silence.mean() == pytest.approx((future == 0).mean(), abs=0.01)


def test_the_order_of_customers_changes_nothing(cdnow: pd.DataFrame) -> None:
    shuffled = cdnow.sample(frac=1, random_state=5)
    assert BgNbdModel().fit(shuffled).parameters == BgNbdModel().fit(cdnow).parameters


def test_expected_orders_equal_the_integral_over_rate_and_leaving() -> None:
    # x = 0: alive for sure, so the posterior is the prior of p and Gamma(r, alpha + T) of the rate.
    r, alpha, a, b, tenure, horizon = 0.8, 3.0, 1.4, 2.2, 6.0, 10.0
    quantiles = (np.arange(2000) + 0.5) / 2000
    rate = gamma_distribution(r, scale=1 / (alpha + tenure)).ppf(quantiles)[:, None]
    leave = beta_distribution(a, b).ppf(quantiles)[None, :]
    integral = np.mean((1 - np.exp(-rate * leave * horizon)) / leave)
    model = make_model(r, alpha, a, b)
    expected = model.expected_orders(make_summary((0, 0, tenure)), horizon)
    assert expected[0] == pytest.approx(integral, rel=1e-3)


def test_without_leaving_expected_orders_are_those_of_the_poisson_gamma_mixture() -> None:
    model = make_model(0.7, 4.0, 1e-7, 2.0)
    summary = make_summary((3, 20, 30), (0, 0, 12))
    closed_form = 15.0 * (0.7 + summary["frequency"]) / (4.0 + summary["T"])
    np.testing.assert_allclose(model.expected_orders(summary, 15.0), closed_form, rtol=1e-5)
    silence = ((4.0 + summary["T"]) / (4.0 + summary["T"] + 15)) ** (0.7 + summary["frequency"])
    np.testing.assert_allclose(model.no_order_probability(summary, 15.0), silence, rtol=1e-5)


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.5), (0.4, 0.6), (1.0, 1e-3)])
def test_expected_orders_pass_smoothly_through_the_poles_of_the_closed_form(
    a: float, b: float
) -> None:
    summary = make_summary((0, 0, 30), (1, 10, 30), (40, 29, 30))
    at_pole = make_model(0.5, 4.0, a, b).expected_orders(summary, 26.0)
    nearby = make_model(0.5, 4.0, a + 1e-3, b).expected_orders(summary, 26.0)
    np.testing.assert_allclose(at_pole, nearby, rtol=5e-3)


def test_very_busy_customers_neither_overflow_nor_exceed_their_rate() -> None:
    model = BgNbdModel(parameters=BgNbdParameters(**PUBLISHED, log_likelihood=0, customer_count=0))
    summary = make_summary((5_000, 300, 300), (5_000, 1, 300), (100_000, 51, 52), (1_000, 0.5, 0.5))
    expected = model.expected_orders(summary, 52.0)
    alive = model.probability_alive(summary)
    ceiling = 52.0 * (PUBLISHED["r"] + summary["frequency"]) / (PUBLISHED["alpha"] + summary["T"])
    assert np.isfinite(expected).all() and np.isfinite(alive).all()
    assert ((expected >= 0) & (expected <= ceiling)).all()
    assert alive[0] > 0.99 and alive[1] < 1e-9


def test_probabilities_follow_silence_and_horizon() -> None:
    model = make_model(**PUBLISHED)
    silent = make_summary(*[(5, 30, 30 + silence) for silence in (0, 5, 20, 80)])
    assert (np.diff(model.probability_alive(silent)) < 0).all()
    customer = make_summary((5, 30, 35))
    by_horizon = [model.no_order_probability(customer, h)[0] for h in (0.0, 1.0, 10.0, 1e9)]
    assert by_horizon[0] == pytest.approx(1.0)
    assert (np.diff(by_horizon) < 0).all()
    assert by_horizon[-1] == pytest.approx(1 - model.probability_alive(customer)[0], abs=1e-6)


def test_a_base_without_repeat_purchases_is_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="two different days"):
        BgNbdModel().fit(make_summary((0, 0, 10), (0, 0, 20)))


def test_a_base_that_never_leaves_is_fitted_at_the_limit() -> None:
    rng = np.random.default_rng(2)
    counts = rng.poisson(rng.gamma(2.0, 0.2, 3000) * 50).astype(float)
    # The last purchase of a customer who stays lies close to the end.
    recency = np.where(counts > 0, 50 * rng.beta(np.maximum(counts, 1), 1.0), 0.0)
    summary = pd.DataFrame({"frequency": counts, "recency": recency, "T": 50.0})
    model = BgNbdModel().fit(summary)
    expected = model.expected_orders(summary, 25.0).sum()
    assert expected == pytest.approx(counts.sum() / 2, rel=0.05)


def test_a_search_cut_short_is_no_result(cdnow: pd.DataFrame) -> None:
    with pytest.raises(ConvergenceError, match="max_iterations"):
        BgNbdModel(FitConfig(max_iterations=2)).fit(cdnow)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ((1, 11, 10), "between 0 and T"),
        ((-1, 0, 10), "whole number"),
        ((1.5, 1, 10), "whole number"),
        ((0, 3, 10), "without a repeat"),
        ((1, float("nan"), 10), "null or infinite"),
    ],
)
def test_impossible_customers_are_refused_with_their_position(
    row: tuple[float, float, float], rule: str
) -> None:
    with pytest.raises(InvalidDataError, match=rf"{rule}.*first at position 1"):
        BgNbdModel().fit(make_summary((1, 5, 10), row))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MissingColumnsError, match="recency"):
        BgNbdModel().fit(pd.DataFrame({"frequency": [1], "T": [2]}))


def test_an_unfitted_model_says_so() -> None:
    with pytest.raises(NotFittedError, match="fit"):
        BgNbdModel().probability_alive(make_summary((0, 0, 1)))


@pytest.mark.requirement("SCO-3")
def test_climbing_a_sample_first_ends_at_the_same_top() -> None:
    summary, _ = simulate(20_000, 0.6, 5.0, 1.2, 3.0, horizon=1.0)
    plain = BgNbdModel(FitConfig(gradient_tolerance=1e-7)).fit(summary).parameters
    stepped = BgNbdModel(FitConfig(sample_size=2_000)).fit(summary).parameters
    for name in PUBLISHED:
        assert getattr(stepped, name) == pytest.approx(getattr(plain, name), rel=1e-5)
    assert stepped.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-9)
