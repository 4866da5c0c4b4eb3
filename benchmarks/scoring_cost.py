"""What scoring everybody costs beside the bare library, and training beside bare XGBoost.

Add here: what the way from the warehouse to a model and back costs. Not here: how good the scores
are (``ml_online_retail``, ``scores_world``).

Run: ``python -m benchmarks.scoring_cost --rows 1000000``.

Both sides use one thread (DuckDB too) and are measured in turns in one process; a figure is the
median of its turns. Ratios are of CPU time, which moves little when others use the machine; wall
time stands beside it. Peak memory is that of a process of its own, DuckDB limited to 512 MB.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost as xgb

from benchmarks.measure import run_measured
from crm_pipeline.lib.scoring.stream import BATCH_ROWS, name_positions, read_matrix, score_table
from crm_pipeline.lib.warehouse import open_warehouse
from ml.artifacts import read_artifact, write_artifact
from ml.churn import CHURN_MODEL_KIND, CHURN_REASONS, ChurnModel, ChurnModelConfig
from ml.churn.features import TREE_FEATURES, add_ratios
from ml.churn.panel import TrainingPanel

ROOT = Path(__file__).resolve().parents[1]
TABLE = "scores.churn_scores"
QUERY = "from marts.customer_features"
AS_OF = date(2024, 6, 30)
CUTOFFS = [pd.Timestamp("2024-06-30") - pd.Timedelta(days=91 * back) for back in range(4, 0, -1)]
CHUNK = 100_000
TARGETS = {"score": 2.5, "score with reasons": 1.3, "train": 1.3}


@dataclass(frozen=True)
class Cost:
    """Seconds of one turn."""

    cpu: float
    wall: float


def main() -> int:
    """Print every figure and ratio. Nothing fails for being slow: machines differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="customers to score")
    parser.add_argument("--training-rows", type=int, default=400_000, help="rows to learn from")
    parser.add_argument("--turns", type=int, default=3, help="times each side is measured")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        score_once(options.peak)
        return 0
    os.environ["CRM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        panel = make_panel(options.training_rows)
        print(f"{options.training_rows:,} rows to learn from, one thread", flush=True)
        model, trained = measure_training(panel, options.turns)
        print_costs(trained)
        del panel
        write_artifact(model.to_artifact(code_version="benchmark"), folder / "model")
        make_customers(folder / "crm.duckdb", options.rows)
        size = f"{len(model.features)} features, {model.metrics['round_count']:.0f} rounds"
        print(f"{options.rows:,} customers, {size}, one thread", flush=True)
        scored = measure_scoring(folder / "crm.duckdb", model, options.turns)
        print_costs(scored)
        print_ratios({**trained, **scored})
        print_peaks(folder, options.rows)
    return 0


def draw_customers(count: int, seed: int) -> dict[str, Any]:
    """Columns of ``customer_features`` that hang together through how eager a customer is."""
    rng = np.random.default_rng(seed)
    eager = rng.normal(0, 1, count)
    columns: dict[str, Any] = {}
    for place, name in enumerate(ChurnModel.features):
        direction = -1 if "days" in name else 1
        size = np.exp(1.5 + direction * 0.7 * eager + rng.normal(0, 0.8, count))
        if name.endswith("_amount"):
            values = pa.array(np.round(size * 40, 2)).cast(pa.decimal128(18, 2), safe=False)
        elif name.endswith(("_pct", "_stddev", "_mean", "monetary_value")):
            values = pa.array(size, mask=rng.random(count) < 0.15)
        else:
            values = pa.array(
                np.floor(size).astype(np.int64), mask=rng.random(count) < 0.02 * (place % 5)
            )
        columns[name] = values
    known = [
        np.nan_to_num(np.log1p(columns[name].to_numpy(zero_copy_only=False).astype(float)))
        for name in ("days_since_last_order", "visit_count_30d", "order_count_365d")
    ]
    rate = np.exp(0.5 * eager - known[0] / 3 + known[1] / 4 + known[2] / 4 - 0.5)
    columns["label_order_count"] = rng.poisson(rate)
    return columns


def make_customers(path: Path, count: int) -> None:
    """A warehouse whose ``customer_features`` has so many customers."""
    with open_warehouse(path) as connection:
        connection.execute("create schema marts")
        connection.execute("create schema scores")
        for first in range(0, count, CHUNK):
            size = min(CHUNK, count - first)
            rows = pa.table(
                {"customer_id": name_customers(first, size), **draw_customers(size, seed=first)}
            )
            relation = connection.from_arrow(rows)
            if first:
                relation.insert_into("marts.customer_features")
            else:
                relation.create("marts.customer_features")


def make_panel(count: int) -> pd.DataFrame:
    """A training panel of several cut-offs."""
    size = count // len(CUTOFFS)
    parts = []
    for number, day in enumerate(CUTOFFS):
        rows = pa.table(
            {"customer_id": name_customers(0, size), **draw_customers(size, seed=-number + 9)}
        )
        parts.append(duckdb.from_arrow(rows).df().assign(cutoff_date=day))
    return pd.concat(parts, ignore_index=True)


def name_customers(first: int, count: int) -> pa.Array:
    """Ids as long as ours."""
    return pa.array(
        [f"cus_{number * 2_654_435_761 % 2**52:026d}" for number in range(first, first + count)]
    )


def measure_training(panel: pd.DataFrame, turns: int) -> tuple[ChurnModel, dict[str, list[Cost]]]:
    """Our fit, beside XGBoost alone on the finished matrix with as many rounds."""
    churned = (panel["label_order_count"] == 0).astype("boolean")
    config = ChurnModelConfig()
    prepared = TrainingPanel.build(panel, churned, config)
    names = ("bare training", "bare search and training", "our training")
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(turns):
        model, cost = timed(lambda: ChurnModel(config).fit(panel, churned))
        costs["our training"].append(cost)
        rounds = int(model.metrics["round_count"])
        costs["bare training"].append(timed(partial(train_bare, prepared, config, rounds))[1])
        searching = timed(partial(search_bare, prepared, config))[1]
        costs["bare search and training"].append(searching)
    return model, costs


def train_bare(rows: TrainingPanel, config: ChurnModelConfig, rounds: int) -> None:
    """What anybody would write who knows how many rounds: one matrix, one call."""
    matrix = xgb.QuantileDMatrix(rows.inputs, rows.churned, nthread=1)
    xgb.train(list_parameters(config), matrix, num_boost_round=rounds)


def search_bare(rows: TrainingPanel, config: ChurnModelConfig) -> None:
    """The same by somebody who does not: early stopping on the latest cut-off, then everything."""
    earlier, latest = rows.split_by_time(config)
    matrix = xgb.QuantileDMatrix(earlier.inputs, earlier.churned, nthread=1)
    held_out = xgb.QuantileDMatrix(latest.inputs, latest.churned, nthread=1, ref=matrix)
    scout = xgb.train(
        list_parameters(config),
        matrix,
        num_boost_round=config.max_rounds,
        evals=[(held_out, "held_out")],
        early_stopping_rounds=config.early_stopping_rounds,
        verbose_eval=False,
    )
    train_bare(rows, config, scout.best_iteration + 1)


def list_parameters(config: ChurnModelConfig) -> dict[str, Any]:
    """The project's trees, without what it knows about directions."""
    return {
        "objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "verbosity": 0,
        "eta": config.learning_rate, "max_depth": config.max_depth, "seed": config.seed,
        "min_child_weight": config.min_child_weight, "subsample": config.row_share,
        "colsample_bytree": config.column_share, "lambda": config.l2_penalty,
    }  # fmt: skip


def measure_scoring(path: Path, model: ChurnModel, turns: int) -> dict[str, list[Cost]]:
    """Reading, scoring and writing, beside the bare library on the matrix in memory."""
    names = ("bare predict", "bare contributions", "read", "score", "score with reasons")
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    trees = xgb.Booster({"nthread": 1})
    trees.load_model(bytearray(model.to_artifact(code_version="benchmark").model))
    with open_warehouse(path) as connection:
        columns = pd.Index(TREE_FEATURES).get_indexer(trees.feature_names)
        matrix, _ = read_matrix(connection, QUERY, model.features)
        inputs = np.ascontiguousarray(add_ratios(matrix)[:, columns])
        del matrix
        actions: dict[str, Callable[[], object]] = {
            "bare predict": lambda: trees.inplace_predict(inputs, validate_features=False),
            "bare contributions": lambda: contribute_bare(trees, inputs),
            "read": lambda: score_everybody(connection, model, None),
            "score": lambda: score_everybody(connection, model, False),
            "score with reasons": lambda: score_everybody(connection, model, True),
        }
        for _ in range(turns):
            for name, action in actions.items():
                costs[name].append(timed(action)[1])
    return costs


def contribute_bare(trees: xgb.Booster, inputs: np.ndarray) -> None:
    """Approximate contributions of all rows, in the batches the scoring has."""
    for first in range(0, len(inputs), BATCH_ROWS):
        rows = xgb.DMatrix(
            inputs[first : first + BATCH_ROWS], feature_names=trees.feature_names, nthread=1
        )
        trees.predict(rows, pred_contribs=True, approx_contribs=True)


def score_everybody(
    connection: duckdb.DuckDBPyConnection, model: ChurnModel, with_reasons: bool | None
) -> int:
    """The night's way: read, score, write. None leaves the model out."""

    def score(matrix: np.ndarray) -> Mapping[str, Any]:
        if with_reasons is None:
            probability = np.zeros(len(matrix))
            reasons = np.full((len(matrix), 3), -1, dtype=np.int8)
        else:
            found = model.score(matrix, with_reasons=with_reasons)
            probability, reasons = found.probability, found.reasons
        named = {f"reason_{n + 1}": name_positions(reasons[:, n], CHURN_REASONS) for n in range(3)}
        return {"churn_probability": probability, **named}

    return score_table(
        connection,
        query=QUERY,
        features=model.features,
        score=score,
        address=TABLE,
        constants={
            "as_of_date": AS_OF,
            "horizon_days": model.config.horizon_days,
            "model_version": "benchmark",
            "scored_at": datetime.combine(AS_OF, datetime.min.time()),
        },
    )


def score_once(folder: Path) -> None:
    """Scores one warehouse with reasons; whoever runs this process watches its memory."""
    artifact = read_artifact(folder / "model", kind=CHURN_MODEL_KIND, features=ChurnModel.features)
    with open_warehouse(folder / "crm.duckdb") as connection:
        print(score_everybody(connection, ChurnModel.from_artifact(artifact), True))


def timed(action: Callable[[], Any]) -> tuple[Any, Cost]:
    """The result, and the CPU time of all threads and the wall time it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = action()
    return result, Cost(time.process_time() - cpu, time.perf_counter() - wall)


def print_costs(costs: Mapping[str, list[Cost]]) -> None:
    """One line per figure: median CPU and wall seconds, and the turns."""
    for name, turns in costs.items():
        listed = ", ".join(f"{turn.cpu:.2f}" for turn in turns)
        wall = statistics.median(turn.wall for turn in turns)
        line = f"{name:25} {median_cpu(turns):7.2f} s CPU ({listed}), {wall:7.2f} s wall"
        print(line, flush=True)
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)


def print_ratios(costs: Mapping[str, list[Cost]]) -> None:
    """Each target with what was reached."""
    cpu = {name: median_cpu(turns) for name, turns in costs.items()}
    together = cpu["bare predict"] + cpu["bare contributions"]
    reached = {
        "score": ("bare predict", cpu["score"] / cpu["bare predict"]),
        "score with reasons": (
            "bare predict + bare contributions", cpu["score with reasons"] / together,
        ),
        "train": ("bare training", cpu["our training"] / cpu["bare training"]),
    }  # fmt: skip
    for name, (against, ratio) in reached.items():
        verdict = "held" if ratio <= TARGETS[name] else "MISSED"
        print(f"target {name} ≤ {TARGETS[name]} × {against}: {ratio:.2f} × {verdict}", flush=True)


def print_peaks(folder: Path, rows: int) -> None:
    """Peak memory of scoring with reasons, here and with twice the customers."""
    for times in (1, 2):
        if times > 1:
            (folder / "crm.duckdb").unlink()
            make_customers(folder / "crm.duckdb", rows * times)
        command = [sys.executable, "-m", "benchmarks.scoring_cost", "--peak", str(folder)]
        limits = {"CRM_MEMORY_LIMIT": "512MB", "CRM_THREADS": "1"}
        ran = run_measured(command, folder=ROOT, env=limits)
        peak = ran.peak_rss_bytes / 2**20
        print(f"peak memory of {rows * times:,} customers: {peak:,.0f} MiB", flush=True)


def median_cpu(turns: list[Cost]) -> float:
    """Median CPU seconds."""
    return statistics.median(turn.cpu for turn in turns)


if __name__ == "__main__":
    sys.exit(main())
