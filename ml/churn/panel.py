"""The training panel: rows with an outcome, sorted, checked and split by time.

Add here: what may be learned from. Not here: learning.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.churn.config import ChurnModelConfig
from ml.churn.features import CHURN_FEATURES, TREE_FEATURES, Matrix, add_ratios, to_matrix
from ml.errors import InvalidDataError, NotEnoughDataError
from ml.frames import refuse_duplicate_keys, require_columns

__all__ = ["TrainingPanel"]

_KEYS = ("cutoff_date", "customer_id")
_REMEDY = "score with ml.clv.ClvModel.predict_churn (BG/NBD) until there is more history"


Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class TrainingPanel:
    """Rows sorted by cut-off and customer, so that the input's order changes nothing.

    ``customers`` are hashes of the customer ids: they order and thin the rows, and are quick to
    compare. ``inputs`` are ``TREE_FEATURES``; ``tree_features`` those of them that vary.
    """

    cutoffs: NDArray[np.datetime64]
    customers: Keys
    inputs: Matrix
    churned: NDArray[np.float64]
    tree_features: tuple[str, ...]

    @classmethod
    def build(cls, panel: pd.DataFrame, churned: pd.Series, config: ChurnModelConfig) -> Self:
        """Check, thin and sort a panel; see ``ChurnModel.fit`` for what is refused."""
        require_columns(panel, (*_KEYS, *CHURN_FEATURES), frame_name="customer_features")
        if len(churned) != len(panel):
            raise InvalidDataError(
                f"{len(panel)} rows of features, but {len(churned)} outcomes",
                remedy="pass one outcome per row, in the same order",
            )
        refuse_duplicate_keys(panel, _KEYS, frame_name="customer_features")
        outcome = np.asarray(
            churned.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64
        )
        cutoffs = pd.to_datetime(panel["cutoff_date"]).to_numpy(dtype="datetime64[s]")
        customers = pd.util.hash_array(panel["customer_id"].to_numpy(dtype=object))
        chosen = np.flatnonzero(~np.isnan(outcome))
        chosen = chosen[_is_sampled(customers[chosen], config.max_training_rows)]
        order = chosen[np.lexsort((customers[chosen], cutoffs[chosen]))]
        cutoffs, customers, outcome = cutoffs[order], customers[order], outcome[order]
        _refuse_few(cutoffs, customers, outcome, config)
        inputs = add_ratios(to_matrix(panel.iloc[order]))
        return cls(cutoffs, customers, inputs, outcome, _list_varying(inputs))

    def __len__(self) -> int:
        return len(self.churned)

    @property
    def sha256(self) -> str:
        """Hash of what is learned from."""
        digest = hashlib.sha256("\x1f".join(TREE_FEATURES).encode())
        for values, kind in (
            (self.cutoffs, "<M8[s]"),
            (self.customers, "<u8"),
            (self.inputs, "<f4"),
            (self.churned, "<f8"),
        ):
            digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
        return digest.hexdigest()

    @property
    def cutoff_count(self) -> int:
        """Number of distinct cut-off dates."""
        return len(np.unique(self.cutoffs))

    def split_by_time(self, config: ChurnModelConfig) -> tuple["TrainingPanel", "TrainingPanel"]:
        """Return the rows before and those of the latest cut-off.

        Raises:
            NotEnoughDataError: One part lacks customers who stayed or customers who left.
        """
        latest = self.cutoffs.max()
        is_earlier = self.cutoffs < latest
        horizon_is_over = self.cutoffs + np.timedelta64(config.horizon_days, "D") <= latest
        if horizon_is_over.any():
            is_earlier = horizon_is_over
        earlier, held_out = self._take(is_earlier), self._take(self.cutoffs == latest)
        for part, name in ((earlier, "training cut-offs"), (held_out, "latest cut-off")):
            _refuse_one_class(part.churned, name, config)
        return earlier, held_out

    def sample(self, config: ChurnModelConfig) -> "TrainingPanel":
        """Return about ``max_scout_rows`` rows: those of some customers, the same whenever asked.

        Raises:
            NotEnoughDataError: Too few of them stayed, or too few left.
        """
        is_sampled = _is_sampled(self.customers, config.max_scout_rows)
        if is_sampled.all():
            return self
        part = self._take(is_sampled)
        _refuse_one_class(part.churned, "sample the scout learns from", config)
        return part

    def _take(self, rows: NDArray[np.bool_]) -> "TrainingPanel":
        return TrainingPanel(
            self.cutoffs[rows],
            self.customers[rows],
            self.inputs[rows],
            self.churned[rows],
            self.tree_features,
        )


def _is_sampled(customers: Keys, max_rows: int) -> NDArray[np.bool_]:
    """Whether each row is among about ``max_rows``: by the hash of its customer, not by chance."""
    if len(customers) <= max_rows:
        return np.ones(len(customers), dtype=bool)
    return customers < np.uint64(max_rows / len(customers) * 2**64)


def _list_varying(inputs: Matrix) -> tuple[str, ...]:
    """Return the inputs that differ between rows; a shop without a channel has none of its data."""
    lowest, highest = np.fmin.reduce(inputs), np.fmax.reduce(inputs)
    is_known = np.isfinite(inputs)
    is_varying = (lowest < highest) | (is_known.any(axis=0) & ~is_known.all(axis=0))
    names = tuple(name for name, varies in zip(TREE_FEATURES, is_varying, strict=True) if varies)
    if not names:
        raise NotEnoughDataError(
            "churn: every input has one value for all customers, so nothing tells them apart",
            remedy=_REMEDY,
        )
    return names


def _refuse_few(
    cutoffs: NDArray[np.datetime64],
    customers: Keys,
    outcome: NDArray[np.float64],
    config: ChurnModelConfig,
) -> None:
    customer_count, cutoff_count = len(np.unique(customers)), len(np.unique(cutoffs))
    if customer_count < config.min_customers or cutoff_count < config.min_cutoffs:
        raise NotEnoughDataError(
            f"churn: {customer_count} customers over {cutoff_count} cut-offs with a finished "
            f"horizon; needed are {config.min_customers} over {config.min_cutoffs}",
            remedy=_REMEDY,
        )
    _refuse_one_class(outcome, "panel", config)


def _refuse_one_class(
    outcome: NDArray[np.float64], part_name: str, config: ChurnModelConfig
) -> None:
    churned, stayed = int(outcome.sum()), int((1 - outcome).sum())
    if min(churned, stayed) < config.min_positives:
        raise NotEnoughDataError(
            f"churn: the {part_name} has {churned} customers who left and {stayed} who stayed; "
            f"needed are {config.min_positives} of each",
            remedy=_REMEDY,
        )
