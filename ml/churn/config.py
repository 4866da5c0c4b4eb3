"""Every number of the churn model, with its reason.

Add here: settings. Not here: learned parameters.
"""

from dataclasses import dataclass

__all__ = ["ChurnModelConfig"]


@dataclass(frozen=True)
class ChurnModelConfig:
    """Settings of ``ChurnModel``."""

    # A customer without an order in this many days after the cut-off has churned.
    horizon_days: int = 90

    # Below these the caller does better with BG/NBD (measured: 5,000 customers are level).
    min_customers: int = 200
    # Fewest rows of each outcome, in the training part and in the held-out part.
    min_positives: int = 30
    # One to learn from and a later one to calibrate on.
    min_cutoffs: int = 2

    # More rows are thinned to about as many by customer: one million fills a machine for half a
    # minute, and ten million rank no better. A customer is in with all cut-offs or with none.
    max_training_rows: int = 1_000_000
    # Rows the number of trees, the slope of the calibration and the straight line are learned on:
    # few numbers, and the search for them must cost little beside the trees themselves.
    max_scout_rows: int = 50_000

    # Trees: shallow, with large leaves; customer data is noisy.
    max_rounds: int = 600
    early_stopping_rounds: int = 40
    learning_rate: float = 0.03
    max_depth: int = 3
    min_child_weight: float = 20.0
    row_share: float = 0.8
    column_share: float = 0.6
    l2_penalty: float = 5.0
    # Knowledge, not data: longer silence never makes an order more likely.
    increasing_features: tuple[str, ...] = (
        "days_since_last_order",
        "silence_ratio",
        "days_since_last_interaction",
    )
    # Nor do more orders, more spend or more recent visits make one less likely.
    decreasing_features: tuple[str, ...] = (
        "order_count",
        "order_count_90d",
        "order_count_180d",
        "order_count_365d",
        "frequency_days",
        "spend_amount",
        "spend_90d_amount",
        "spend_180d_amount",
        "spend_365d_amount",
        "product_count",
        "visit_count_30d",
        "interaction_count_30d",
    )

    # Logistic regression: inverse penalty on standardised inputs; share in the blend.
    logistic_inverse_penalty: float = 1.0
    logistic_weight: float = 0.5

    # Calibration may stretch or flatten the blend by at most this much; outside, it is noise.
    min_calibration_slope: float = 0.2
    max_calibration_slope: float = 5.0

    # Log-odds a reason must add to the score of an average customer to be told: a fortieth of a
    # chance, below which the order of reasons is noise.
    min_reason_push: float = 0.1

    # Above this AUC churn is not predicted but known: something of the outcome leaked in.
    leak_suspected_above_auc: float = 0.93

    seed: int = 20
    # One thread adds floats in one order: equal scores on any machine.
    n_threads: int = 1
    # Rows scored at once: what is held in memory beside the matrix.
    rows_per_batch: int = 100_000
    # Customers and values per input the effects are drawn from.
    effect_sample_rows: int = 2_000
    effect_point_count: int = 9
    # Decimals kept in predictions, so that equal inputs give equal files on any machine.
    decimals: int = 6
