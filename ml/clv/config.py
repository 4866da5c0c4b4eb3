"""Every number of the lifetime-value models, with its reason.

Add here: settings. Not here: learned parameters.
"""

from dataclasses import dataclass

__all__ = ["ClvModelConfig", "FitConfig"]


@dataclass(frozen=True)
class FitConfig:
    """How the likelihood is climbed and when the top counts as reached."""

    max_iterations: int = 1000
    # Largest slope of the mean log-likelihood per customer, per unit of log-parameter.
    gradient_tolerance: float = 1e-5
    # Parameters stay within exp(±this) of the data's scale: beyond it the likelihood is flat.
    log_parameter_limit: float = 12.0


@dataclass(frozen=True)
class ClvModelConfig:
    """Settings of ``ClvModel``."""

    # Features come in days; the models think in this many days per time unit (7 = weeks).
    days_per_time_unit: float = 7.0
    min_customers: int = 50
    min_repeat_customers: int = 20
    # The mean order value p·v/(q−1) exists only for q > 1.
    min_q: float = 1.05
    # Decimals kept in predictions, so that equal inputs give equal files on any machine.
    decimals: int = 6
    fit: FitConfig = FitConfig()
