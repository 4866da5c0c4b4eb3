"""How right an identity resolution is, for any (prediction, truth) pair of frames.

Add here: measures of clusters and of pairs. Not here: floors and what is blocked below them.

Pairwise measures count two records as one decision; a cluster of n records holds n(n−1)/2 of them,
so that large clusters weigh most. B-cubed weighs every record alike: Bagga and Baldwin (1998),
"Entity-Based Cross-Document Coreferencing Using the Vector Space Model", COLING-ACL, 79-85.
A measure that nothing could have lowered or raised is None and carries a warning: it is no proof.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import InvalidDataError
from ml.frames import refuse_duplicate_keys, require_columns

__all__ = ["IdentityQuality", "evaluate_clusters", "evaluate_on_labels", "evaluate_pairs"]

CLUSTER_COLUMNS = ("record_id", "cluster_id")
PAIR_COLUMNS = ("left", "right")
LABEL_COLUMNS = (*PAIR_COLUMNS, "is_same")

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class IdentityQuality:
    """Figures of one comparison; None where the input says nothing about a figure.

    ``match_rate`` is the share of predicted records in a cluster of two or more. The sizes are
    over predicted clusters, by nearest rank. ``judged_*`` counts tell how much truth there was;
    ``missing_record_count`` counts records of the truth that the prediction does not have (each
    stands alone then), ``unjudged_record_count`` predicted records the truth says nothing about.
    """

    pairwise_precision: float | None = None
    pairwise_recall: float | None = None
    pairwise_f1: float | None = None
    b_cubed_precision: float | None = None
    b_cubed_recall: float | None = None
    b_cubed_f1: float | None = None
    match_rate: float | None = None
    cluster_size_p50: int | None = None
    cluster_size_p99: int | None = None
    cluster_size_max: int | None = None
    record_count: int = 0
    cluster_count: int = 0
    multi_record_cluster_count: int = 0
    judged_record_count: int = 0
    judged_pair_count: int = 0
    missing_record_count: int = 0
    unjudged_record_count: int = 0
    predicted_pair_count: int = 0
    true_pair_count: int = 0
    correct_pair_count: int = 0
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Names and plain values, ready for JSON or a table; ``warnings`` is a list."""
        return {**asdict(self), "warnings": list(self.warnings)}


def evaluate_clusters(predicted: pd.DataFrame, truth: pd.DataFrame) -> IdentityQuality:
    """Compare two clusterings; a million records take seconds, no pair is ever listed.

    Args:
        predicted: ``record_id``, ``cluster_id``; one row per record.
        truth: The same two columns. Records it lacks are left out of precision and recall.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: A record stands in two rows, or an id is null.
    """
    _check_clusters(predicted, frame_name="predicted")
    _check_clusters(truth, frame_name="true clusters")
    _, positions = _encode_together(predicted["record_id"], truth["record_id"])
    predicted_codes, missing_count = _codes_at(_encode(predicted["cluster_id"]), positions)
    truth_codes = _encode(truth["cluster_id"])
    cells = _count_cells(predicted_codes, truth_codes)
    counts = _PairCounts(
        predicted=_count_pairs(np.bincount(predicted_codes)),
        true=_count_pairs(np.bincount(truth_codes)),
        correct=_count_pairs(cells.sizes),
    )
    warnings = [*_warn_missing(missing_count), *counts.warn_without_evidence()]
    return IdentityQuality(
        **counts.measures(),
        **_measure_b_cubed(cells),
        **_describe_clusters(predicted),
        judged_record_count=len(truth),
        judged_pair_count=len(truth) * (len(truth) - 1) // 2,
        missing_record_count=missing_count,
        unjudged_record_count=len(predicted) - (len(truth) - missing_count),
        warnings=tuple(warnings),
    )


def evaluate_pairs(
    predicted_pairs: pd.DataFrame, truth_pairs: pd.DataFrame, *, is_complete: bool = False
) -> IdentityQuality:
    """Compare predicted links with reviewed pairs; (a, b) and (b, a) are one pair.

    Args:
        predicted_pairs: ``left``, ``right``: the pairs said to be one person.
        truth_pairs: ``left``, ``right``, ``is_same``. Predicted pairs without a label are left out.
        is_complete: ``truth_pairs`` lists every true pair (``is_same`` may then be absent): what it
            does not list is false.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: A null id, a record paired with itself, or a pair with two labels.
    """
    if is_complete and "is_same" not in truth_pairs.columns:
        truth_pairs = truth_pairs.assign(is_same=True)
    _check_labels(truth_pairs)
    _check_pairs(predicted_pairs, PAIR_COLUMNS, frame_name="predicted_pairs")
    ends = [frame[name] for frame in (predicted_pairs, truth_pairs) for name in PAIR_COLUMNS]
    left, right, label_left, label_right = _encode_together(*ends)
    predicted = np.unique(_key_pairs(left, right))
    labels, is_same = _merge_labels(_key_pairs(label_left, label_right), truth_pairs["is_same"])
    is_predicted = np.isin(labels, predicted)
    extra_count = len(predicted) - int(is_predicted.sum()) if is_complete else 0
    return _judge_labels(is_predicted, is_same, extra_count=extra_count, is_complete=is_complete)


def evaluate_on_labels(clusters: pd.DataFrame, labels: pd.DataFrame) -> IdentityQuality:
    """Judge clusters by reviewed pairs only; match rate and sizes are over all of ``clusters``.

    Args:
        clusters: ``record_id``, ``cluster_id``; one row per record.
        labels: ``left``, ``right``, ``is_same``. A record that ``clusters`` lacks is with nobody.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: A record in two rows, a null id, or a pair with two labels.
    """
    _check_clusters(clusters, frame_name="clusters")
    _check_labels(labels)
    _, left, right = _encode_together(clusters["record_id"], labels["left"], labels["right"])
    keys, is_same = _merge_labels(_key_pairs(left, right), labels["is_same"])
    ends, cluster_codes = _unpack_pairs(keys), _encode(clusters["cluster_id"])
    is_known = (ends < len(clusters)).all(axis=0)
    is_together = np.zeros(len(keys), dtype=bool)
    is_together[is_known] = np.equal(*cluster_codes[ends[:, is_known]])
    judged = _judge_labels(is_together, is_same, extra_count=0)
    reviewed = np.unique(ends)
    missing_count = int((reviewed >= len(clusters)).sum())
    b_cubed = _measure_judged_b_cubed(ends, is_same, is_together)
    if judged.pairwise_precision is None:
        b_cubed |= {"b_cubed_precision": None, "b_cubed_f1": None}
    return replace(
        judged,
        **b_cubed,
        **_describe_clusters(clusters),
        judged_record_count=len(reviewed),
        missing_record_count=missing_count,
        unjudged_record_count=len(clusters) - (len(reviewed) - missing_count),
        warnings=(*judged.warnings, *_warn_missing(missing_count)),
    )


@dataclass(frozen=True)
class _PairCounts:
    predicted: int
    true: int
    correct: int

    def measures(self) -> dict[str, Any]:
        return {
            "pairwise_precision": _divide(self.correct, self.predicted),
            "pairwise_recall": _divide(self.correct, self.true),
            "pairwise_f1": _divide(2 * self.correct, self.predicted + self.true),
            "predicted_pair_count": self.predicted,
            "true_pair_count": self.true,
            "correct_pair_count": self.correct,
        }

    def warn_without_evidence(self) -> list[str]:
        warnings = []
        if not self.predicted:
            warnings.append("no pair is predicted: precision is unknown")
        if not self.true:
            warnings.append("the truth has no pair of the same person: recall is unknown")
        return warnings


@dataclass(frozen=True)
class _Cells:
    """Records per (predicted cluster, true cluster), and the sizes of both clusters."""

    sizes: Codes
    predicted_sizes: Codes
    true_sizes: Codes


def _count_cells(predicted: Codes, true: Codes) -> _Cells:
    true_count = int(true.max(initial=0)) + 1
    keys, sizes = np.unique(predicted * true_count + true, return_counts=True)
    rows, columns = np.divmod(keys, true_count)
    return _Cells(sizes, np.bincount(predicted)[rows], np.bincount(true)[columns])


def _count_pairs(sizes: Codes) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _measure_b_cubed(cells: _Cells) -> dict[str, Any]:
    """Bagga and Baldwin (1998): mean over records of the share of its cluster that is right.

    All records of one cell have the same share n/size, so Σ n²/size sums them; the sum is exact to
    the last bit (``fsum``), so that it does not depend on the order of rows.
    """
    record_count = int(cells.sizes.sum())
    squares = cells.sizes.astype(np.float64) ** 2
    precision = _divide(math.fsum(squares / cells.predicted_sizes), record_count)
    recall = _divide(math.fsum(squares / cells.true_sizes), record_count)
    f1 = None
    if precision is not None and recall is not None:
        f1 = 2 * precision * recall / (precision + recall)
    return {"b_cubed_precision": precision, "b_cubed_recall": recall, "b_cubed_f1": f1}


def _measure_judged_b_cubed(ends: Codes, is_same: Flags, is_together: Flags) -> dict[str, Any]:
    """B-cubed over what was judged: a record's cluster is itself and those it was paired with."""
    if not ends.size:
        return {}
    _, record = np.unique(ends, return_inverse=True)
    record = record.reshape(ends.shape)

    def count(wanted: Flags) -> Codes:
        return 1 + np.bincount(record[:, wanted].ravel(), minlength=int(record.max()) + 1)

    together, same, right = count(is_together), count(is_same), count(is_together & is_same)
    precision, recall = float(np.mean(right / together)), float(np.mean(right / same))
    return {
        "b_cubed_precision": precision,
        "b_cubed_recall": recall,
        "b_cubed_f1": 2 * precision * recall / (precision + recall),
    }


def _describe_clusters(clusters: pd.DataFrame) -> dict[str, Any]:
    sizes = np.sort(np.bincount(_encode(clusters["cluster_id"])))
    if not len(sizes):
        return {"record_count": 0, "cluster_count": 0, "multi_record_cluster_count": 0}
    p50, p99 = np.quantile(sizes, [0.5, 0.99], method="inverted_cdf")
    is_multiple = sizes > 1
    return {
        "match_rate": float(sizes[is_multiple].sum() / sizes.sum()),
        "cluster_size_p50": int(p50),
        "cluster_size_p99": int(p99),
        "cluster_size_max": int(sizes[-1]),
        "record_count": int(sizes.sum()),
        "cluster_count": len(sizes),
        "multi_record_cluster_count": int(is_multiple.sum()),
    }


def _judge_labels(
    is_predicted: Flags, is_same: Flags, *, extra_count: int, is_complete: bool = False
) -> IdentityQuality:
    counts = _PairCounts(
        predicted=int(is_predicted.sum()) + extra_count,
        true=int(is_same.sum()),
        correct=int((is_predicted & is_same).sum()),
    )
    measures = counts.measures()
    if not len(is_same):
        warnings = ["no labelled pairs: precision, recall and F1 are unknown"]
    else:
        warnings = counts.warn_without_evidence()
        if is_same.all() and not is_complete:
            measures |= {"pairwise_precision": None, "pairwise_f1": None}
            warnings.append("no pair is labelled as two persons: precision and F1 are unknown")
    return IdentityQuality(
        **measures, judged_pair_count=len(is_same) + extra_count, warnings=tuple(warnings)
    )


def _check_clusters(frame: pd.DataFrame, *, frame_name: str) -> None:
    require_columns(frame, CLUSTER_COLUMNS, frame_name=frame_name)
    refuse_duplicate_keys(frame, ["record_id"], frame_name=frame_name)
    _refuse_nulls(frame, ("cluster_id",), frame_name=frame_name)


def _check_pairs(frame: pd.DataFrame, columns: tuple[str, ...], *, frame_name: str) -> None:
    require_columns(frame, columns, frame_name=frame_name)
    _refuse_nulls(frame, columns, frame_name=frame_name)
    own_count = int((frame["left"] == frame["right"]).sum())
    if own_count:
        raise InvalidDataError(
            f"{frame_name}: {own_count} pairs of a record with itself",
            remedy="pass pairs of two different records",
        )


def _check_labels(labels: pd.DataFrame) -> None:
    _check_pairs(labels, LABEL_COLUMNS, frame_name="labels")
    if not labels["is_same"].isin([True, False]).all():
        raise InvalidDataError(
            "labels: is_same holds values other than true and false",
            remedy="decide each reviewed pair, or leave it out",
        )


def _merge_labels(keys: Codes, verdicts: pd.Series) -> tuple[Codes, Flags]:
    """One verdict per pair; the same verdict twice is one."""
    is_same = verdicts.to_numpy(dtype=bool)
    is_first = ~pd.DataFrame({"key": keys, "is_same": is_same}).duplicated().to_numpy()
    keys, is_same = keys[is_first], is_same[is_first]
    contradicted_count = len(keys) - len(np.unique(keys))
    if contradicted_count:
        raise InvalidDataError(
            f"labels: {contradicted_count} pairs are labelled both as one person and as two",
            remedy="keep one verdict per pair, whichever way round it is written",
        )
    return keys, is_same


def _key_pairs(left: Codes, right: Codes) -> Codes:
    """One number per unordered pair of numbers below 2³¹."""
    return (np.minimum(left, right) << 32) | np.maximum(left, right)


def _unpack_pairs(keys: Codes) -> Codes:
    return np.vstack([keys >> 32, keys & 0xFFFFFFFF])


def _refuse_nulls(frame: pd.DataFrame, columns: tuple[str, ...], *, frame_name: str) -> None:
    null_count = int(frame[list(columns)].isna().any(axis=1).sum())
    if null_count:
        raise InvalidDataError(
            f"{frame_name}: {null_count} rows with a null in {', '.join(columns)}",
            remedy="leave these rows out, or give a record without company a cluster of its own",
        )


def _codes_at(codes: Codes, positions: Codes) -> tuple[Codes, int]:
    """``codes`` by position; a position behind its end gets a number nobody else has."""
    is_missing = positions >= len(codes)
    found = positions + len(codes)
    found[~is_missing] = codes[positions[~is_missing]]
    return _encode(pd.Series(found)), int(is_missing.sum())


def _encode(values: pd.Series) -> Codes:
    return pd.factorize(values)[0].astype(np.int64)


def _encode_together(*columns: pd.Series) -> list[Codes]:
    """The same number for the same id in every column; those of the first come first."""
    codes = _encode(pd.concat(columns, ignore_index=True))
    return np.split(codes, np.cumsum([len(column) for column in columns[:-1]]))


def _warn_missing(missing_count: int) -> list[str]:
    if not missing_count:
        return []
    return [f"{missing_count} records of the truth are not in the prediction: counted as alone"]


def _divide(numerator: float, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
