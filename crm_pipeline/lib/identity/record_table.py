"""A table of person records in a file, resolved as a declaration says.

Add here: how such a table is read, and what is told about the result.
Not here: how records are compared (``ml.identity.records``), accounts of our channels
(``resolution``).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crm_pipeline.lib.errors import ConfigError
from ml.errors import MlError
from ml.identity.evaluation import evaluate_clusters
from ml.identity.records import load_record_spec, resolve_records

__all__ = ["resolve_record_table"]

ENDINGS = (".csv", ".parquet")


def resolve_record_table(
    table: Path, declaration: Path, engine: str, out: Path, truth_column: str | None
) -> str:
    """Writes ``clusters.parquet`` and ``links.parquet`` to ``out``; returns what to tell.

    Args:
        table: CSV (UTF-8, one header line) or Parquet, one row per record.
        declaration: YAML of columns, rules and comparisons, as in ``examples/identity``.
        engine: one of ``ml.identity.records.ENGINES``.
        out: a folder, made when absent.
        truth_column: the column that says who is who, if the table has one; it only judges.

    Raises:
        ConfigError: a file that cannot be read, a wrong declaration, or a missing extra.
    """
    records = _read(table)
    try:
        spec = load_record_spec(declaration)
        found = resolve_records(records, spec, engine)
        told = [
            f"{len(found.clusters):,} records, {found.clusters['cluster_id'].nunique():,} persons, "
            f"{len(found.links):,} links ({engine})"
        ]
        if truth_column is not None:
            told.append(_judge(records, spec.id, truth_column, found.clusters))
    except MlError as error:
        raise ConfigError(str(error), where=str(declaration)) from error
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in (("clusters", found.clusters), ("links", found.links)):
        frame.to_parquet(out / f"{name}.parquet", index=False)
    told += [f"note: {warning}" for warning in found.warnings]
    return "\n".join([*told, f"clusters.parquet and links.parquet are in {out}"])


def _read(path: Path) -> pd.DataFrame:
    """Every cell of a CSV as text, absent where it is empty."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(
            f"a table ends in {' or '.join(ENDINGS)}", where=str(path), remedy="convert it first"
        )
    try:
        if ending == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(
            path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:  # also what pandas and Arrow say of a broken file
        raise ConfigError(
            f"the table cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="save it as CSV UTF-8 with one header line, or as Parquet",
        ) from error


def _judge(records: pd.DataFrame, id_column: str, truth_column: str, clusters: pd.DataFrame) -> str:
    if truth_column not in records.columns:
        raise ConfigError(
            f"the table has no column {truth_column!r}",
            remedy=f"name one of {', '.join(records.columns)}",
        )
    truth = records[[id_column, truth_column]].set_axis(["record_id", "cluster_id"], axis=1)
    judged = truth.dropna().assign(record_id=lambda frame: frame["record_id"].astype(str))
    predicted = clusters.assign(record_id=clusters["record_id"].astype(str))
    quality = evaluate_clusters(predicted, judged)
    names = ("pairwise_precision", "pairwise_recall", "pairwise_f1", "b_cubed_f1")
    figures = (
        f"{name} {value:.4f}" if (value := getattr(quality, name)) is not None else f"{name} -"
        for name in names
    )
    return "judged: " + ", ".join(figures)
