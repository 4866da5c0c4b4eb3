"""Gradient-boosted trees that correct BG/NBD: one Tweedie model and one in two parts.

Add here: how they learn and predict. Not here: which one is used (``candidates``).

Sources: Tweedie loss, Jørgensen (1987), "Exponential Dispersion Models"; two parts, Duan et al.
(1983), "A Comparison of Alternative Models for the Demand for Medical Care": E[spend] =
P(order) · E[spend | order]; trees, Chen and Guestrin (2016), "XGBoost".
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost as xgb
from scipy.optimize import brentq
from scipy.special import expit, logit

from ml.clv.buy_till_you_die import Outlook
from ml.clv.config import ClvModelConfig
from ml.clv.features import CLV_FEATURES, RATIOS, Matrix, add_ratios
from ml.clv.likelihood import Floats
from ml.clv.panel import Snapshot
from ml.trees import grow_trees, list_tree_parameters

__all__ = ["PART_NAMES", "TREE_INPUTS", "SpendTrees"]

PART_NAMES = ("tweedie", "buying", "amount")
_BTYD_INPUTS = ("btyd_spend", "btyd_orders", "btyd_order_value", "btyd_alive", "btyd_buying")
TREE_INPUTS = (*CLV_FEATURES, *RATIOS, *_BTYD_INPUTS)
# Keeps logarithms of certain chances and of nothing finite.
_EDGE = 1e-4
_LOWEST_SPEND = 1e-3


@dataclass(frozen=True)
class _Rows:
    inputs: Matrix
    target: Floats
    margin: Floats


class SpendTrees:
    """Three boosters that start from what BG/NBD says and learn where it errs.

    While learning, each cut-off starts from its own total: whether a quarter holds Christmas is
    then no reason to rank customers differently, and early stopping does not mistake a season for
    a wrong tree.

    Args:
        boosters: By ``PART_NAMES``.
        unit: Mean spend of the training rows; amounts are learned in this unit.
    """

    def __init__(self, boosters: dict[str, xgb.Booster], unit: float) -> None:
        self.boosters = boosters
        self.unit = unit

    @classmethod
    def fit(
        cls,
        snapshots: Sequence[Snapshot],
        config: ClvModelConfig,
        *,
        rounds: dict[str, int] | None = None,
        held_out: Snapshot | None = None,
    ) -> Self:
        """Learn all parts; with ``held_out``, each stops where it no longer helps there."""
        unit = float(np.mean(np.concatenate([np.maximum(s.spend, 0) for s in snapshots])))
        boosters = {}
        for name in PART_NAMES:
            rows = _stack([_take(name, snapshot, unit) for snapshot in snapshots])
            check = _take(name, held_out, unit) if held_out is not None else None
            count = (rounds or {}).get(name, config.max_rounds)
            boosters[name] = _grow(rows, _list_parameters(name, config), config, count, check)
        return cls(boosters, unit)

    @property
    def rounds(self) -> dict[str, int]:
        """Number of trees of each part."""
        return {name: int(part.num_boosted_rounds()) for name, part in self.boosters.items()}

    def predict(self, matrix: Matrix, outlook: Outlook, *, threads: int) -> dict[str, Floats]:
        """Expected spend by ``tweedie`` and by ``two_part``."""
        inputs = build_inputs(matrix, outlook)
        raw = {}
        for name, booster in self.boosters.items():
            booster.set_param({"nthread": threads})
            margin = _MARGINS[name](outlook, self.unit).astype(np.float32)
            raw[name] = np.asarray(
                booster.inplace_predict(inputs, base_margin=margin), dtype=np.float64
            )
        return {
            "tweedie": raw["tweedie"] * self.unit,
            "two_part": raw["buying"] * raw["amount"] * self.unit,
        }

    def to_json(self) -> dict[str, Any]:
        """XGBoost's own JSON of each part."""
        models = {
            name: json.loads(bytes(booster.save_raw(raw_format="json")))
            for name, booster in self.boosters.items()
        }
        return {"unit": self.unit, "models": models}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Rebuild what ``to_json`` described."""
        boosters = {}
        for name in PART_NAMES:
            boosters[name] = xgb.Booster()
            boosters[name].load_model(bytearray(json.dumps(stored["models"][name]).encode()))
        return cls(boosters, float(stored["unit"]))


def build_inputs(matrix: Matrix, outlook: Outlook) -> Matrix:
    """Return ``TREE_INPUTS``."""
    seen = (outlook.spend, outlook.orders, outlook.order_value, outlook.alive, outlook.buying)
    columns = [*add_ratios(matrix), *seen]
    return np.column_stack([matrix, *(column.astype(np.float32) for column in columns)])


def _spend_margin(outlook: Outlook, unit: float) -> Floats:
    return np.log(np.maximum(outlook.spend / unit, _LOWEST_SPEND))


def _buying_margin(outlook: Outlook, unit: float) -> Floats:
    return np.asarray(logit(np.clip(outlook.buying, _EDGE, 1 - _EDGE)))


def _amount_margin(outlook: Outlook, unit: float) -> Floats:
    amount = outlook.spend / np.clip(outlook.buying, _EDGE, 1.0)
    return np.log(np.maximum(amount / unit, _LOWEST_SPEND))


_MARGINS: dict[str, Callable[[Outlook, float], Floats]] = {
    "tweedie": _spend_margin,
    "buying": _buying_margin,
    "amount": _amount_margin,
}


def _take(name: str, snapshot: Snapshot, unit: float) -> _Rows:
    """Inputs, target and starting point of one part at one cut-off."""
    inputs = build_inputs(snapshot.matrix, snapshot.outlook)
    margin = _MARGINS[name](snapshot.outlook, unit)
    spend = np.maximum(snapshot.spend, 0.0) / unit
    if name == "buying":
        target = snapshot.bought.astype(np.float64)
        share = float(np.clip(target.mean(), _EDGE, 1 - _EDGE))
        shift = brentq(lambda by: float(np.mean(expit(margin + by))) - share, -50, 50)
        return _Rows(inputs, target, margin + shift)
    rows = spend > 0 if name == "amount" else np.ones(len(spend), dtype=bool)
    inputs, target, margin = inputs[rows], spend[rows], margin[rows]
    if target.sum() > 0:
        margin = margin + np.log(target.sum() / np.exp(margin).sum())
    return _Rows(inputs, target, margin)


def _stack(parts: Sequence[_Rows]) -> _Rows:
    return _Rows(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.margin for part in parts]),
    )


def _grow(
    rows: _Rows,
    parameters: dict[str, Any],
    config: ClvModelConfig,
    rounds: int,
    held_out: _Rows | None,
) -> xgb.Booster:
    matrix = _to_matrix(rows, config)
    judge = None
    if held_out is not None and len(held_out.target):
        judge = _to_matrix(held_out, config, like=matrix)
    return grow_trees(parameters, matrix, config, rounds=rounds, held_out=judge)


def _to_matrix(
    rows: _Rows, config: ClvModelConfig, *, like: xgb.QuantileDMatrix | None = None
) -> xgb.QuantileDMatrix:
    return xgb.QuantileDMatrix(
        rows.inputs, rows.target, base_margin=rows.margin, nthread=config.n_threads, ref=like
    )


def _list_parameters(name: str, config: ClvModelConfig) -> dict[str, Any]:
    power = config.tweedie_variance_power
    goals: dict[str, dict[str, Any]] = {
        "tweedie": {
            "objective": "reg:tweedie",
            "tweedie_variance_power": power,
            "eval_metric": f"tweedie-nloglik@{power}",
        },
        "buying": {"objective": "binary:logistic", "eval_metric": "logloss"},
        "amount": {"objective": "reg:gamma", "eval_metric": "gamma-nloglik"},
    }
    return {
        **goals[name],
        **list_tree_parameters(config),
    }
