"""The training panel: rows with an outcome, sorted, checked and split by time.

Add here: what may be learned from. Not here: learning.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.churn.config import ChurnModelConfig
from ml.churn.features import CHURN_FEATURES, build_tree_inputs
from ml.errors import InvalidDataError, NotEnoughDataError
from ml.frames import hash_rows, refuse_duplicate_keys, require_columns

__all__ = ["TrainingPanel"]

_KEYS = ("cutoff_date", "customer_id")
_REMEDY = "score with ml.clv.ClvModel.predict_churn (BG/NBD) until there is more history"


@dataclass(frozen=True)
class TrainingPanel:
    """Rows sorted by cut-off and customer, so that the input's order changes nothing."""

    cutoffs: NDArray[np.datetime64]
    inputs: pd.DataFrame
    churned: NDArray[np.float64]
    sha256: str = ""

    @classmethod
    def build(cls, panel: pd.DataFrame, churned: pd.Series, config: ChurnModelConfig) -> Self:
        """Check and sort a panel; see ``ChurnModel.fit`` for what is refused."""
        require_columns(panel, (*_KEYS, *CHURN_FEATURES), frame_name="customer_features")
        if len(churned) != len(panel):
            raise InvalidDataError(
                f"{len(panel)} rows of features, but {len(churned)} outcomes",
                remedy="pass one outcome per row, in the same order",
            )
        refuse_duplicate_keys(panel, _KEYS, frame_name="customer_features")
        outcome = churned.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        keys = panel[list(_KEYS)].reset_index(drop=True)
        keys["cutoff_date"] = pd.to_datetime(keys["cutoff_date"])
        order = keys[~np.isnan(outcome)].sort_values(list(_KEYS), kind="stable").index.to_numpy()
        inputs = build_tree_inputs(panel.iloc[order]).reset_index(drop=True)
        keys, outcome = keys.iloc[order], outcome[order]
        _refuse_few(keys, outcome, config)
        return cls(
            cutoffs=keys["cutoff_date"].to_numpy(),
            inputs=inputs,
            churned=outcome,
            sha256=hash_rows(keys, inputs.assign(churned=outcome)),
        )

    def __len__(self) -> int:
        return len(self.churned)

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

    def _take(self, rows: NDArray[np.bool_]) -> "TrainingPanel":
        return TrainingPanel(
            self.cutoffs[rows], self.inputs[rows].reset_index(drop=True), self.churned[rows]
        )


def _refuse_few(keys: pd.DataFrame, outcome: NDArray[np.float64], config: ChurnModelConfig) -> None:
    customer_count, cutoff_count = (
        int(keys[name].nunique()) for name in ("customer_id", "cutoff_date")
    )
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
