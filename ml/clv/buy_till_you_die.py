"""BG/NBD and Gamma-Gamma together: what the probability model alone says of each customer.

Add here: the pair, fitted and applied to arrays. Not here: their formulas, other models.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from ml.clv.bg_nbd import BgNbdModel, BgNbdParameters
from ml.clv.config import ClvModelConfig
from ml.clv.gamma_gamma import GammaGammaModel, GammaGammaParameters
from ml.clv.likelihood import Floats, group_into_levels
from ml.errors import NotEnoughDataError

__all__ = ["BuyTillYouDie", "Outlook"]


@dataclass(frozen=True)
class Outlook:
    """What is expected of each customer within one horizon."""

    orders: Floats
    order_value: Floats
    alive: Floats
    buying: Floats  # probability of at least one order

    @property
    def spend(self) -> Floats:
        """Expected spend: orders times value, which the two models hold independent."""
        return self.orders * self.order_value


class BuyTillYouDie:
    """The pair of models. Where all order values are equal, that value stands for Gamma-Gamma."""

    def __init__(self, config: ClvModelConfig) -> None:
        self.config = config
        self.orders = BgNbdModel(config.fit)
        self.values = GammaGammaModel(config.fit, min_q=config.min_q)
        self.only_value: float | None = None

    def fit(self, summary: pd.DataFrame) -> Self:
        """Learn from frequency, recency, T and monetary_value of customers with a purchase.

        Raises:
            NotEnoughDataError: Too few customers or repeat customers, or no value above 0.
            ConvergenceError: A likelihood has no maximum that could be reached.
        """
        self._refuse_few(summary)
        self.orders.fit(summary)
        repeat = summary[summary["frequency"] > 0]
        values = repeat["monetary_value"].to_numpy(dtype=np.float64)
        usable = values[values > 0]
        if not len(usable):
            raise NotEnoughDataError(
                f"CLV: none of {len(summary)} customers has a repeat purchase worth more than 0",
                remedy="check that amounts arrive, or wait for orders that are not refunded",
            )
        # Equal up to rounding: Gamma-Gamma has no top then, and nothing to add to that value.
        if np.ptp(usable) <= 1e-9 * usable.max():
            self.only_value = float(usable.mean())
        else:
            self.values.fit(summary)
        return self

    def look_ahead(self, summary: pd.DataFrame, horizon_days: float) -> Outlook:
        """Expected orders, order value and chances of each customer within the horizon."""
        horizon = horizon_days / self.config.days_per_time_unit
        return Outlook(
            orders=self._orders(summary, horizon),
            order_value=self._order_value(summary),
            alive=self.orders.probability_alive(summary),
            buying=1 - self.orders.no_order_probability(summary, horizon),
        )

    def to_json(self) -> dict[str, Any]:
        """Learned parameters."""
        return {
            "bg_nbd": asdict(self.orders.parameters),
            "gamma_gamma": None if self.only_value else asdict(self.values.parameters),
            "only_value": self.only_value,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any], config: ClvModelConfig) -> Self:
        """Rebuild what ``to_json`` described; raises ``KeyError`` or ``TypeError`` if damaged."""
        pair = cls(config)
        orders = BgNbdParameters(**_with_tuple(stored["bg_nbd"]))
        pair.orders = BgNbdModel(config.fit, parameters=orders)
        pair.only_value = stored["only_value"]
        if pair.only_value is None:
            values = GammaGammaParameters(**_with_tuple(stored["gamma_gamma"]))
            pair.values = GammaGammaModel(config.fit, min_q=config.min_q, parameters=values)
        return pair

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of the fit: likelihoods, counts and the independence Gamma-Gamma relies on."""
        orders = self.orders.parameters
        figures: dict[str, float] = {
            "customer_count": float(orders.customer_count),
            "bg_nbd_log_likelihood": orders.log_likelihood,
            "parameters_at_limit_count": float(len(orders.at_limit)),
        }
        if self.only_value is None:
            values = self.values.parameters
            figures |= {
                "repeat_customer_count": float(values.customer_count),
                "gamma_gamma_log_likelihood": values.log_likelihood,
                "frequency_value_correlation": values.frequency_value_correlation,
            }
            figures["parameters_at_limit_count"] += float(len(values.at_limit))
        return figures

    def _orders(self, summary: pd.DataFrame, horizon: float) -> Floats:
        """Expected orders; its costly series is summed once per distinct (frequency, T)."""
        columns = [summary[name].to_numpy(dtype=np.float64) for name in ("frequency", "T")]
        frequency, tenure = group_into_levels(columns)
        packed = frequency.codes * max(len(tenure.values), 1) + tenure.codes
        _, rows, cells = np.unique(packed, return_index=True, return_inverse=True)
        distinct = summary.take(rows)
        # A customer seen this very day is alive: the expectation is then P(alive) times it.
        fresh = distinct.assign(recency=np.where(distinct["frequency"] > 0, distinct["T"], 0.0))
        if_alive = self.orders.expected_orders(fresh, horizon) / self.orders.probability_alive(
            fresh
        )
        return if_alive[cells] * self.orders.probability_alive(summary)

    def _order_value(self, summary: pd.DataFrame) -> Floats:
        if self.only_value is not None:
            return np.full(len(summary), self.only_value)
        return self.values.expected_order_value(summary)

    def _refuse_few(self, summary: pd.DataFrame) -> None:
        repeat_count = int((summary["frequency"] > 0).sum())
        if len(summary) < self.config.min_customers or repeat_count < (
            self.config.min_repeat_customers
        ):
            raise NotEnoughDataError(
                f"CLV: {len(summary)} customers, {repeat_count} of them with a repeat purchase; "
                f"needed are {self.config.min_customers} and {self.config.min_repeat_customers}",
                remedy="wait for more orders, or lower the minimum in ClvModelConfig on purpose",
            )


def _with_tuple(parameters: dict[str, Any]) -> dict[str, Any]:
    return {**parameters, "at_limit": tuple(parameters["at_limit"])}
