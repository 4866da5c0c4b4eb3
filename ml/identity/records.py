"""Resolve any table of person records as a declaration says, by one of three engines.

Add here: the way from a table to clusters and links. Not here: customer ids of this platform's own
channels, whose evidence is guarded identifiers (``graph``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.identity.record_clusters import connect, connect_by_mean_weight
from ml.identity.record_columns import make_features, sort_records
from ml.identity.record_rules import RuleLinks, link_by_exact_keys, link_by_rules
from ml.identity.record_spec import (
    ProbabilisticSpec,
    RecordSpec,
    RecordSpecError,
    Thresholds,
    load_record_spec,
)
from ml.identity.splink_engine import score_pairs

__all__ = ["ENGINES", "RecordResolution", "load_record_spec", "resolve_records"]

ENGINES = ("exact_keys", "deterministic", "probabilistic")
LINK_COLUMNS = (
    "left",
    "right",
    "confidence",
    "match_weight",
    "match_probability",
    "evidence",
    "is_clustered",
)


@dataclass(frozen=True)
class RecordResolution:
    """Who is one person, and why.

    Attributes:
        clusters: ``record_id``, ``cluster_id`` (the cluster's smallest record id); one row per
            record, in the order of ids.
        links: ``left``, ``right`` (record ids, ``left`` first), ``confidence`` (``certain``,
            ``probable``, ``loose``), ``match_weight`` (log2 of the odds) and ``match_probability``
            (null for rules), ``evidence`` (rules, or levels of likeness), ``is_clustered``
            (both ends are in one cluster). Rules link a key's records to its smallest one.
        engine: One of ``ENGINES``.
        model: What was learned, ready for JSON; None for rules.
        warnings: Junk keys, and levels too rare to learn.
    """

    clusters: pd.DataFrame
    links: pd.DataFrame
    engine: str
    model: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


def resolve_records(
    table: pd.DataFrame, spec: RecordSpec, engine: str = "deterministic"
) -> RecordResolution:
    """Find the records of one person. The order of rows does not matter.

    Loose links are returned and never cluster. The probabilistic engine clusters by certain and
    probable links, with the veto of ``connect_by_mean_weight`` where the declaration sets one.

    Args:
        table: One row per record, with the columns ``spec`` names.
        spec: From ``load_record_spec``.
        engine: ``exact_keys`` (baseline: raw keys are equal), ``deterministic`` (rules over cleaned
            values) or ``probabilistic`` (Splink, trained on this table).

    Raises:
        RecordSpecError: An unknown engine, a part not declared, or a column the table lacks.
        InvalidDataError: A null or repeated id.
        MissingExtraError: Splink is not installed.
        NotEnoughDataError: Too little to learn from.
    """
    records = sort_records(table, spec)
    if engine == "probabilistic":
        settings = _declared(spec.probabilistic, engine)
        return _resolve_by_model(records, spec, settings)
    if engine == "exact_keys":
        found = link_by_exact_keys(records, _declared(spec.deterministic, engine))
    elif engine == "deterministic":
        rules = _declared(spec.deterministic, engine)
        found = link_by_rules(make_features(records, spec), rules)
    else:
        raise RecordSpecError("engine", f"unknown {engine}", remedy=f"one of {', '.join(ENGINES)}")
    return _resolve_by_rules(records[spec.id], found, engine)


def _declared(part: Any, engine: str) -> Any:
    if part is None:
        name = "probabilistic" if engine == "probabilistic" else "deterministic"
        raise RecordSpecError(name, "is not declared", remedy=f"add it to use engine {engine}")
    return part


def _resolve_by_rules(ids: pd.Series, found: RuleLinks, engine: str) -> RecordResolution:
    is_used = (found.links["confidence"] != "loose").to_numpy(dtype=bool)
    left, right = (found.links[name].to_numpy() for name in ("left", "right"))
    groups = connect(len(ids), left[is_used], right[is_used])
    links = found.links.assign(match_weight=np.nan, match_probability=np.nan)
    return _assemble(ids, groups, links, engine=engine, warnings=found.warnings)


def _resolve_by_model(
    records: pd.DataFrame, spec: RecordSpec, settings: ProbabilisticSpec
) -> RecordResolution:
    scored = score_pairs(make_features(records, spec), spec)
    left, right = (scored.pairs[name].to_numpy() for name in ("left", "right"))
    weights = scored.pairs["match_weight"].to_numpy()
    probable = settings.thresholds.probable
    least = float(np.log2(probable / (1 - probable)))
    if settings.min_mean_weight is None:
        groups = connect(len(records), left[weights >= least], right[weights >= least])
    else:
        groups = connect_by_mean_weight(
            len(records), left, right, weights,
            min_link_weight=least,
            min_mean_weight=settings.min_mean_weight,
            absent_weight=settings.absent_weight,
        )  # fmt: skip
    links = scored.pairs[scored.pairs["match_probability"] >= settings.thresholds.loose]
    links = links.assign(
        confidence=_classify(links["match_probability"].to_numpy(), settings.thresholds),
        evidence=_describe(links, settings.comparisons),
    )
    return _assemble(
        records[spec.id], groups, links,
        engine="probabilistic", model=scored.model, warnings=scored.warnings,
    )  # fmt: skip


def _classify(probabilities: NDArray[np.float64], thresholds: Thresholds) -> NDArray[np.str_]:
    return np.where(
        probabilities >= thresholds.certain,
        "certain",
        np.where(probabilities >= thresholds.probable, "probable", "loose"),
    )


def _describe(pairs: pd.DataFrame, comparisons: tuple[str, ...]) -> list[str]:
    """Such as ``full_name: both alike, in either order; email: same``; missing values left out."""
    levels = [pairs[f"level_{name}"].tolist() for name in comparisons]
    return [
        "; ".join(
            f"{name}: {level}"
            for name, level in zip(comparisons, row, strict=True)
            if isinstance(level, str)
        )
        for row in zip(*levels, strict=True)
    ]


def _assemble(
    ids: pd.Series, groups: NDArray[np.int64], links: pd.DataFrame, **about: Any
) -> RecordResolution:
    left, right = (links[name].to_numpy(dtype=np.int64) for name in ("left", "right"))
    values = ids.to_numpy()
    named = links.assign(
        left=values[left], right=values[right], is_clustered=groups[left] == groups[right]
    )
    return RecordResolution(
        clusters=pd.DataFrame({"record_id": values, "cluster_id": values[groups]}),
        links=named[list(LINK_COLUMNS)].reset_index(drop=True),
        **about,
    )
