"""Gamma-Gamma against the published figures, planted truth and closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import check_grad

from ml.clv import GammaGammaModel, GammaGammaParameters
from ml.clv.gamma_gamma import gamma_gamma_log_likelihood
from ml.errors import MissingColumnsError, NotEnoughDataError

TRUTH = {"p": 6.0, "q": 4.0, "v": 15.0}


def make_model(p: float, q: float, v: float) -> GammaGammaModel:
    return GammaGammaModel(parameters=GammaGammaParameters(p, q, v, 0.0, 0, 0.0))


def make_summary(frequency: list[float], value: list[float | None]) -> pd.DataFrame:
    return pd.DataFrame({"frequency": frequency, "monetary_value": value}, dtype=float)


def simulate(count: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(4)
    scale = rng.gamma(TRUTH["q"], 1 / TRUTH["v"], count)
    frequency = 1.0 + rng.poisson(2.0, count)
    value = rng.gamma(TRUTH["p"] * frequency) / (scale * frequency)
    return make_summary(list(frequency), list(value)), TRUTH["p"] / scale


def test_cdnow_repeat_buyers_give_the_published_parameters(cdnow: pd.DataFrame) -> None:
    parameters = GammaGammaModel().fit(cdnow).parameters
    assert parameters.p == pytest.approx(6.25, rel=0.02)
    assert parameters.q == pytest.approx(3.744, rel=0.02)
    assert parameters.v == pytest.approx(15.444, rel=0.02)
    assert parameters.customer_count == (cdnow["frequency"] > 0).sum()
    assert abs(parameters.frequency_value_correlation) < 0.2


def test_the_gradient_equals_finite_differences() -> None:
    summary, _ = simulate(500)
    x, m = (summary[name].to_numpy() for name in ("frequency", "monetary_value"))
    rng = np.random.default_rng(3)
    for _ in range(10):
        difference = check_grad(
            lambda p: gamma_gamma_log_likelihood(p, x, m, np.ones(500))[0],
            lambda p: gamma_gamma_log_likelihood(p, x, m, np.ones(500))[1],
            rng.normal(0.5, 0.7, 3),
        )
        assert difference < 1e-5


def test_a_planted_truth_is_recovered() -> None:
    summary, mean_value = simulate(40_000)
    model = GammaGammaModel().fit(summary)
    for name, value in TRUTH.items():
        assert getattr(model.parameters, name) == pytest.approx(value, rel=0.1)
    expected = model.expected_order_value(summary)
    assert expected.mean() == pytest.approx(mean_value.mean(), rel=0.02)
    own_mean_error = np.abs(summary["monetary_value"] - mean_value).mean()
    assert np.abs(expected - mean_value).mean() < own_mean_error


def test_zero_amounts_and_single_purchases_do_not_touch_the_fit(cdnow: pd.DataFrame) -> None:
    repeat = cdnow[cdnow["frequency"] > 0]
    noise = make_summary([0, 3, 2, 4], [0.0, 0.0, -5.0, None])
    with_noise = pd.concat([noise, repeat[["frequency", "monetary_value"]]])
    assert GammaGammaModel().fit(with_noise).parameters == GammaGammaModel().fit(repeat).parameters


def test_the_order_of_customers_changes_nothing(cdnow: pd.DataFrame) -> None:
    shuffled = cdnow.sample(frac=1, random_state=5)
    assert GammaGammaModel().fit(shuffled).parameters == GammaGammaModel().fit(cdnow).parameters


def test_another_currency_scales_v_only(cdnow: pd.DataFrame) -> None:
    dear = cdnow.assign(monetary_value=cdnow["monetary_value"] * 23_000)
    base, scaled = (GammaGammaModel().fit(frame).parameters for frame in (cdnow, dear))
    assert (scaled.p, scaled.q) == pytest.approx((base.p, base.q), rel=1e-4)
    assert scaled.v == pytest.approx(base.v * 23_000, rel=1e-4)


def test_a_customer_without_repeats_gets_the_mean_of_the_population() -> None:
    model = make_model(**TRUTH)
    mean = TRUTH["p"] * TRUTH["v"] / (TRUTH["q"] - 1)
    expected = model.expected_order_value(make_summary([0, 0, 3], [0.0, 500.0, None]))
    np.testing.assert_allclose(expected, mean)


def test_many_orders_move_the_value_from_the_population_to_the_customer() -> None:
    model = make_model(**TRUTH)
    values = model.expected_order_value(make_summary([1, 10, 100_000], [90.0] * 3))
    mean = TRUTH["p"] * TRUTH["v"] / (TRUTH["q"] - 1)
    assert mean < values[0] < values[1] < values[2]
    assert values[2] == pytest.approx(90.0, rel=1e-4)


def test_a_customer_who_returned_everything_is_worth_little_but_not_less_than_nothing() -> None:
    value = make_model(**TRUTH).expected_order_value(make_summary([5], [-20.0]))[0]
    assert 0 < value < TRUTH["p"] * TRUTH["v"] / (TRUTH["q"] - 1)


def test_a_tail_without_a_mean_stops_at_the_limit_of_q() -> None:
    rng = np.random.default_rng(6)
    values = rng.gamma(3.0, 1.0, 4000) / rng.gamma(0.6, 1.0, 4000)
    model = GammaGammaModel(min_q=1.05).fit(make_summary([1.0] * 4000, list(values)))
    assert model.parameters.q == pytest.approx(1.05)
    assert model.parameters.at_limit == ("q",)
    assert np.isfinite(model.expected_order_value(make_summary([0], [0.0]))).all()


def test_a_base_without_usable_values_is_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="repeat purchase"):
        GammaGammaModel().fit(make_summary([0, 2], [10.0, 0.0]))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MissingColumnsError, match="monetary_value"):
        GammaGammaModel().fit(pd.DataFrame({"frequency": [1]}))
