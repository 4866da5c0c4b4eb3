"""Every number of the sequence rules, with its reason.

Add here: settings. Not here: windows and periods (vars of the dbt project: they shape the counts).
"""

from dataclasses import dataclass

__all__ = ["SequenceConfig"]


@dataclass(frozen=True)
class SequenceConfig:
    """Settings of ``judge_rules`` and of the decision made of it."""

    # Of the rules found in the discovery period at most this share may be chance.
    false_discovery_rate: float = 0.05
    # Fewer customers are known by name; a rule about them helps nobody.
    min_first_customers: int = 30
    # So many "then B" must be expected under chance of the customers who can be compared. It counts
    # how often A and B are bought, not in which order: it selects no chance finding.
    min_expected_followed: float = 5.0

    # The hold-out is asked one question per rule found, so the usual level does.
    holdout_level: float = 0.05
    # A rule in force is retired when fresh days speak for it more weakly than this. Wider than the
    # level that let it in, or a rule near the limit would come and go with the months.
    keep_level: float = 0.2
    # Fewer customers with A in the hold-out neither confirm nor refute.
    min_holdout_customers: int = 20

    # Up to this variance the exact distribution is used; beyond it the normal one is as good.
    exact_until_variance: float = 1000.0
    # 97.5 % point of the normal distribution: intervals cover 95 %.
    interval_z: float = 1.959963984540054
    # Digits kept, so that equal counts give equal rows on any machine.
    decimals: int = 9
    significant_digits: int = 6
