"""Speed of the BG/NBD fit on a million simulated customers, beside the package ``lifetimes``.

Add here: both fits on the same customers in one run. Not here: the model (``ml.clv``).

Run: ``python -m benchmarks.clv_fit`` (``--customers`` for fewer). Exit code 1 when the ratio or the
parameters miss what SCO-3 asks.
"""

import argparse
import sys
import time
import warnings

import numpy as np
import pandas as pd

from ml.clv import BgNbdModel

MIN_SPEED_RATIO = 50.0
MAX_RELATIVE_GAP = 1e-4
# The published parameters of CDNOW, in weeks (Fader, Hardie and Lee 2005).
TRUTH = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
SEED = 7
MAX_TENURE_DAYS = 730


def simulate_customers(count: int, *, seed: int = SEED) -> pd.DataFrame:
    """Customers of the BG/NBD world counted in whole days, as ``customer_features`` counts them."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(TRUTH["r"], 1 / TRUTH["alpha"], count)
    leaving = rng.beta(TRUTH["a"], TRUTH["b"], count)
    tenure = rng.integers(1, MAX_TENURE_DAYS + 1, count)
    frequency, recency = np.zeros(count), np.zeros(count)
    clock = np.zeros(count)
    active = np.arange(count)
    while len(active):
        clock[active] += rng.exponential(7 / rate[active])
        active = active[clock[active] <= tenure[active]]
        frequency[active] += 1
        recency[active] = np.maximum(np.floor(clock[active]), 1)
        active = active[rng.random(len(active)) >= leaving[active]]
    return pd.DataFrame({"frequency": frequency, "recency": recency / 7, "T": tenure / 7})


def fit_lifetimes(customers: pd.DataFrame) -> dict[str, float]:
    """Parameters by ``lifetimes``: one row per customer, as its users call it."""
    from lifetimes import BetaGeoFitter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter = BetaGeoFitter().fit(customers["frequency"], customers["recency"], customers["T"])
    return {name: float(fitter.params_[name]) for name in TRUTH}


def main() -> int:
    """Print both times, their ratio and the largest gap between the parameters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    customers = simulate_customers(parser.parse_args().customers)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        parameters = BgNbdModel().fit(customers).parameters
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    theirs = fit_lifetimes(customers)
    their_seconds = time.perf_counter() - started
    ratio = their_seconds / float(np.median(seconds))
    gap = max(abs(getattr(parameters, name) / value - 1) for name, value in theirs.items())
    for name, value in theirs.items():
        print(f"{name:6} {getattr(parameters, name):.8f}   lifetimes {value:.8f}")
    print(f"{len(customers):,} customers: {np.median(seconds):.3f} s (median of 3), ", end="")
    print(f"lifetimes {their_seconds:.1f} s, ratio {ratio:.0f}, largest gap {gap:.1e}")
    holds = ratio >= MIN_SPEED_RATIO and gap <= MAX_RELATIVE_GAP
    print(
        "holds"
        if holds
        else f"MISSED: asked are ratio ≥ {MIN_SPEED_RATIO:.0f}, gap ≤ {MAX_RELATIVE_GAP}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
