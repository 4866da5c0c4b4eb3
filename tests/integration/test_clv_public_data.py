"""Customer value on public orders: the floors this project stands by.

Add here: floors on data nobody here made. Not here: figures without a floor
(``benchmarks/ml_online_retail.py`` prints all, at five cut-offs).
"""

from datetime import date
from pathlib import Path

import pytest

from benchmarks.ml_online_retail import Cuts, make_panel, measure_clv

CUTS = Cuts((date(2011, 6, 9),), 90)


@pytest.mark.slow
@pytest.mark.requirement("SCO-3")
def test_the_champion_beats_every_rule_of_thumb_out_of_time(shared_data: Path) -> None:
    folder = shared_data / "online_retail_ii"
    if not folder.is_dir():
        pytest.skip("Online Retail II is not among the public data sets beside this checkout")
    [cutoff] = CUTS.days
    figures = measure_clv(make_panel(folder, CUTS), cutoff, CUTS.horizon_days)
    assert figures["is_gate_passed"] == 1
    assert figures["spearman"] > max(figures["past_spend_spearman"], figures["rfm_spearman"], 0.55)
    assert figures["normalized_gini"] > max(
        figures["rfm_decay_normalized_gini"], figures["bg_nbd_normalized_gini"], 0.855
    )
    assert figures["mae_over_mean"] < min(figures["past_spend_mae_over_mean"], 0.85)
    assert figures["season_total_error_abs_pct"] < 12
    assert figures["interval_coverage_pct"] == pytest.approx(
        figures["interval_promised_pct"], abs=6
    )
