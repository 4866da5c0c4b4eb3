"""Probabilistic matching by Splink 5 on DuckDB: how surely two records are one person.

Add here: what is asked of Splink, and what its estimates need before they are believed. Not here:
levels of likeness (``record_ladders``), groups (``record_clusters``).

Model: Fellegi and Sunter (1969), "A Theory for Record Linkage", JASA 64(328), 1183-1210. The match
weight of a pair is log2 of prior odds times Π m/u over its comparisons, m and u being the shares of
pairs at that level among the same person and among strangers; m by EM, Winkler (1988).

Three corrections beyond Splink, all without labels:

- Pairs drawn at random hold true matches. In a small table with many duplicates most exact
  agreements among them are matches, not chance: observed = λ·m + (1−λ)·u is solved for u.
- No level's m is below half a match: zero would be certainty drawn from nothing.
- The prior λ is first guessed from sure rules and then set to its maximum likelihood given m and u:
  the value that equals the mean match probability which it implies.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from ml.errors import ConvergenceError, MlError, NotEnoughDataError
from ml.identity.record_columns import column_of
from ml.identity.record_ladders import list_levels
from ml.identity.record_spec import ColumnSpec, ProbabilisticSpec, RecordSpec

__all__ = ["MissingExtraError", "ScoredPairs", "score_pairs"]

_POSITION = "record_position"
# EM stops when no probability moves by more, or after so many steps; what follows is for retries.
_EM_CONVERGENCE = 1e-5
_EM_ITERATIONS = (100, 25, 10, 5)
# Of EM and revision: the second starts from chance agreements without the matches among them.
_ROUNDS = 2
# Digits kept of a weight: more than any decision needs, fewer than summation order may change.
_WEIGHT_DECIMALS = 6
_ELSE = "unlike"

Floats = NDArray[np.float64]


class MissingExtraError(MlError):
    """The optional library is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "probabilistic matching needs Splink, which is not installed",
            remedy="install with pip install '.[identity]', or resolve by the deterministic engine",
        )


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs at or above ``absent_weight``, sorted; what was learned; what Splink warned of.

    ``pairs``: ``left`` < ``right`` (positions), ``match_weight`` (log2 of the odds),
    ``match_probability``, and ``level_<comparison>`` (text; null where a value was missing).
    """

    pairs: pd.DataFrame
    model: dict[str, Any]
    warnings: tuple[str, ...]


def score_pairs(features: pd.DataFrame, spec: RecordSpec) -> ScoredPairs:
    """Learn from the records and score every pair that blocking lets through.

    Args:
        features: One text column per term (``record_columns.make_features``), index 0 … n − 1.
        spec: With a probabilistic part.

    Raises:
        MissingExtraError: Splink is not installed.
        NotEnoughDataError: The prior rules find no pair, or too many for ``prior_recall``.
        ConvergenceError: EM found no pairs to learn from.
    """
    if spec.probabilistic is None:
        raise ValueError("the declaration has no probabilistic part")
    if len(features) < 2:
        raise NotEnoughDataError(
            f"{len(features)} records make no pair", remedy="pass a table of at least two records"
        )
    with _captured_warnings() as warnings, _Matcher(features, spec, spec.probabilistic) as matcher:
        matcher.estimate_prior()
        matcher.estimate_strangers()
        for _ in range(_ROUNDS):
            matcher.estimate_matches()
            matcher.revise()
        pairs = matcher.score()
        model = matcher.describe_model()
    return ScoredPairs(pairs, model, tuple(dict.fromkeys(warnings)))


class _Matcher:
    """One table, one model; the steps must be taken in the order of ``score_pairs``."""

    def __init__(
        self, features: pd.DataFrame, spec: RecordSpec, settings: ProbabilisticSpec
    ) -> None:
        self._duckdb_api, self._linker_class = _import_splink()
        self._settings = settings
        self._columns = {column.name: column for column in spec.columns}
        self._pair_count = len(features) * (len(features) - 1) / 2
        self._api = self._duckdb_api()
        for setting in (
            f"threads = {settings.threads}",
            "enable_progress_bar = false",
            "autoinstall_known_extensions = false",
            "temp_directory = ''",  # what the records say never overflows to a disk
        ):
            self._api.duckdb_con.execute(f"set {setting}")
        self._table = self._api.register(_to_arrow(features))
        self._linker = self._load(self._first_model())

    def __enter__(self) -> "_Matcher":
        return self

    def __exit__(self, *error: object) -> None:
        self._api.duckdb_con.close()

    def estimate_prior(self) -> None:
        rules = [_equal_sql(terms) for terms in self._settings.prior_rules]
        try:
            self._linker.training.estimate_probability_two_random_records_match(
                rules, recall=self._settings.prior_recall
            )
        except ValueError as error:
            raise NotEnoughDataError(
                f"prior_rules: {error}", remedy="choose stricter rules, or a lower prior_recall"
            ) from error
        if not self._prior() > 0:
            raise NotEnoughDataError(
                "prior_rules find no pair of records",
                remedy="choose rules that some records of one person meet, or resolve by rules",
            )

    def estimate_strangers(self) -> None:
        self._linker.training.estimate_u_using_random_sampling(
            max_pairs=self._settings.max_random_pairs,
            seed=self._settings.seed,
            min_count_per_level=None,
            num_chunks=1,
        )
        self._observed = {
            key: level.get("u_probability") for key, level in _levels(self._model()).items()
        }

    def estimate_matches(self) -> None:
        """EM, again with fewer steps where a share shrinks until Splink 5 refuses it as zero."""
        start, refusal = self._model(), None
        for limit in _EM_ITERATIONS:
            self._linker = self._load({**start, "max_iterations": limit})
            try:
                self._run_sessions()
            except ValueError as error:
                refusal = error
            else:
                return
        raise ConvergenceError(
            f"EM does not stay within its bounds: {refusal}",
            remedy="choose other training terms, or resolve by rules",
        ) from refusal

    def revise(self) -> None:
        """Bound m, and solve observed = λ·m + (1−λ)·u for u.

        A level seen in none of the expected matches is seen in half a match: no absence proves
        more than the number of matches does. A level seen nowhere says nothing.
        """
        model, prior = self._model(), self._prior()
        least_m = min(0.5 / (prior * self._pair_count), 0.05)
        least_u = 0.5 / min(self._pair_count, self._settings.max_random_pairs)
        for key, level in _levels(model).items():
            observed, m = self._observed[key], level.get("m_probability")
            m = least_u if m is None and observed is None else max(m or 0.0, least_m)
            u = max(((observed or 0.0) - prior * m) / (1 - prior), least_u)
            level |= {"m_probability": m, "u_probability": u}
        self._linker = self._load(model)

    def score(self) -> pd.DataFrame:
        settings = self._settings
        scored = self._predict(settings.absent_weight)
        weights = scored["match_weight"].to_numpy(dtype=np.float64)
        first = self._prior()
        self._final_prior = _settle_prior(weights - _log_odds(first), self._pair_count)
        weights = np.round(
            weights - _log_odds(first) + _log_odds(self._final_prior), _WEIGHT_DECIMALS
        )
        ends = np.sort(scored[[f"{_POSITION}_l", f"{_POSITION}_r"]].to_numpy(dtype=np.int64))
        pairs = pd.DataFrame(
            {
                "left": ends[:, 0],
                "right": ends[:, 1],
                "match_weight": weights,
                "match_probability": _to_probability(weights),
                **self._label_levels(scored),
            }
        )
        pairs = pairs[weights >= settings.absent_weight]
        return pairs.sort_values(["left", "right"], ignore_index=True)

    def describe_model(self) -> dict[str, Any]:
        """Prior, and m and u of every level: plain values, ready for JSON."""
        return {
            "prior": self._final_prior,
            "levels": [
                {
                    "comparison": name,
                    "level": level["label_for_charts"],
                    "m_probability": _round(level.get("m_probability")),
                    "u_probability": _round(level.get("u_probability")),
                }
                for (name, _), level in _levels(self._model()).items()
            ],
        }

    def _predict(self, min_weight: float) -> pd.DataFrame:
        scored = self._linker.inference.predict(
            threshold_match_weight=min_weight, warning_mode="never"
        )
        ends = [f"{_POSITION}_l", f"{_POSITION}_r"]
        levels = [f"gamma_{column_of(name)}" for name in self._settings.comparisons]
        wanted = ", ".join(["match_weight", *ends, *levels])
        frame: pd.DataFrame = scored.as_duckdbpyrelation().select(wanted).df()
        return frame

    def _run_sessions(self) -> None:
        from splink.internals.exceptions import EMTrainingException

        for terms in self._settings.training:
            try:
                self._linker.training.estimate_parameters_using_expectation_maximisation(
                    self._training_sql(terms)
                )
            except EMTrainingException as error:
                raise ConvergenceError(
                    f"training on {' and '.join(terms)}: no two records agree on it",
                    remedy="choose terms on which records of one person agree",
                ) from error

    def _load(self, model: Mapping[str, Any]) -> Any:
        return self._linker_class(self._table, dict(model), log_level=None, validate_settings=False)

    def _model(self) -> dict[str, Any]:
        model: dict[str, Any] = self._linker.misc.save_model_to_json()
        return model

    def _prior(self) -> float:
        return float(self._model()["probability_two_random_records_match"])

    def _first_model(self) -> dict[str, Any]:
        return {
            "link_type": "dedupe_only",
            "unique_id_column_name": _POSITION,
            "comparisons": [
                _comparison(self._columns[name], self._settings.similar)
                for name in self._settings.comparisons
            ],
            "blocking_rules_to_generate_predictions": [
                _equal_sql(terms) for terms in self._settings.blocking
            ],
            "em_convergence": _EM_CONVERGENCE,
            "retain_matching_columns": True,  # the levels are among them
            "retain_intermediate_calculation_columns": False,
            "linker_uid": "records",
        }

    def _training_sql(self, terms: Sequence[str]) -> str:
        """Splink leaves out of a session the comparisons whose columns its rule names.

        So the rule names those made of the same columns of the table too: all records of one
        birth year agree on more of the birth date than records at large do.
        """
        sources = {source for term in terms for source in self._column_of_term(term).of}
        touched = [
            name for name in self._settings.comparisons if sources & set(self._columns[name].of)
        ]
        named = [f"l.{column_of(name)} is not null" for name in touched]
        return " and ".join([_equal_sql(terms), *named])

    def _column_of_term(self, term: str) -> ColumnSpec:
        return self._columns[term.partition(".")[0]]

    def _label_levels(self, scored: pd.DataFrame) -> dict[str, Any]:
        labels: dict[str, Any] = {}
        for name in self._settings.comparisons:
            levels = list_levels(self._columns[name], self._settings.similar)
            by_number = {len(levels) - i: level.label for i, level in enumerate(levels)}
            by_number[0] = _ELSE
            labels[f"level_{name}"] = scored[f"gamma_{column_of(name)}"].map(by_number)
        return labels


def _import_splink() -> tuple[Any, Any]:
    try:
        from splink import DuckDBAPI, Linker
    except ImportError as error:
        raise MissingExtraError from error
    return DuckDBAPI, Linker


def _to_arrow(features: pd.DataFrame) -> Any:
    """Text columns stay text even when every value is null."""
    import pyarrow as pa

    columns: dict[Any, Any] = {_POSITION: pa.array(features.index, pa.int64())}
    for name in features.columns:
        columns[name] = pa.array(features[name], pa.string(), from_pandas=True)
    return pa.table(columns)


def _comparison(column: ColumnSpec, similar: float) -> dict[str, Any]:
    value = column_of(column.name)
    levels: list[dict[str, Any]] = [
        {
            "sql_condition": f"{value}_l is null or {value}_r is null",
            "label_for_charts": "missing",
            "is_null_level": True,
        }
    ]
    for level in list_levels(column, similar):
        levels.append({"sql_condition": level.condition, "label_for_charts": level.label})
        if level.frequency_term:
            levels[-1] |= {
                "tf_adjustment_column": column_of(level.frequency_term),
                "disable_tf_exact_match_detection": True,
            }
    levels.append({"sql_condition": "ELSE", "label_for_charts": _ELSE})
    return {"output_column_name": value, "comparison_levels": levels}


def _equal_sql(terms: Sequence[str]) -> str:
    return " and ".join(f"l.{column_of(term)} = r.{column_of(term)}" for term in terms)


def _levels(model: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    return {
        (comparison["output_column_name"].removeprefix("c_"), number): level
        for comparison in model["comparisons"]
        for number, level in enumerate(comparison["comparison_levels"])
        if not level.get("is_null_level")
    }


def _settle_prior(evidence: Floats, pair_count: float) -> float:
    """λ of greatest likelihood, where a listed pair has odds λ/(1−λ) · 2^evidence.

    Pairs not listed are taken for strangers. The log-likelihood is concave in λ, so that the zero
    of its slope Σp/λ − (N − Σp)/(1−λ) is the only one.
    """
    low, high = 0.5 / pair_count, 0.5

    def slope(prior: float) -> float:
        matches = float(_to_probability(evidence + _log_odds(prior)).sum())
        return matches / prior - (pair_count - matches) / (1 - prior)

    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    return float(brentq(slope, low, high, xtol=1e-15, rtol=1e-9))


def _log_odds(probability: float) -> float:
    return float(np.log2(probability / (1 - probability)))


def _to_probability(weights: Floats) -> Floats:
    probabilities: Floats = 1 / (1 + np.exp2(-np.clip(weights, -1000, 1000)))
    return probabilities


def _round(value: Any) -> float | None:
    return round(value, 9) if isinstance(value, float) else None


@contextmanager
def _captured_warnings() -> Iterator[list[str]]:
    """Collect what Splink would print; the caller's logging is as before afterwards."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = " ".join(record.getMessage().split())
            messages.append(text.removeprefix("WARNING: ").replace(" c_", " "))

    logger, handler = logging.getLogger("splink"), Collector(logging.WARNING)
    propagated = logger.propagate
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
