"""Records linked by exact agreement: the raw keys as a baseline, and rules over cleaned values.

Add here: links that need no learning. Not here: likeness (``splink_engine``).

A key shared by n records gives n − 1 links, each to the key's smallest record, not all n(n−1)/2:
the groups are the same and the cost is linear.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ml.identity.record_columns import column_of
from ml.identity.record_spec import CONFIDENCE_CLASSES, DeterministicSpec

__all__ = ["RuleLinks", "link_by_exact_keys", "link_by_rules"]


@dataclass(frozen=True)
class RuleLinks:
    """``links``: ``left``, ``right`` (positions), ``confidence``, ``evidence`` (rule names)."""

    links: pd.DataFrame
    warnings: tuple[str, ...]


def link_by_exact_keys(records: pd.DataFrame, spec: DeterministicSpec) -> RuleLinks:
    """The baseline: raw values of one of ``exact_keys`` are equal, as a plain join would do it."""
    found = [
        (name, "certain", *_link_equal(records, [name], spec.max_records_per_key))
        for name in spec.exact_keys
    ]
    return _collect(found, spec)


def link_by_rules(features: pd.DataFrame, spec: DeterministicSpec) -> RuleLinks:
    """Links of every rule; a pair found by several rules keeps the surest confidence."""
    found = [
        (
            rule.name,
            rule.confidence,
            *_link_equal(features, [column_of(t) for t in rule.terms], spec.max_records_per_key),
        )
        for rule in spec.rules
    ]
    return _collect(found, spec)


def _link_equal(
    frame: pd.DataFrame, columns: Sequence[str], max_records: int
) -> tuple[pd.DataFrame, int]:
    """Star links of the groups equal in all columns, and how many groups were too large."""
    known = frame[list(columns)].dropna()
    known = known[(known != "").all(axis=1)]
    if known.empty:
        return pd.DataFrame({"left": [], "right": []}, dtype="int64"), 0
    group = known.groupby(list(columns), sort=False).ngroup()
    sizes = group.groupby(group).transform("size")
    positions = pd.Series(known.index, index=known.index)
    first = positions.groupby(group).transform("min")
    is_link = (sizes <= max_records) & (first != positions)
    junk_count = int(group[sizes > max_records].nunique())
    links = pd.DataFrame({"left": first[is_link], "right": positions[is_link]}, dtype="int64")
    return links, junk_count


def _collect(
    found: Sequence[tuple[str, str, pd.DataFrame, int]], spec: DeterministicSpec
) -> RuleLinks:
    parts = [
        links.assign(rank=CONFIDENCE_CLASSES.index(confidence), order=order, evidence=name)
        for order, (name, confidence, links, _) in enumerate(found)
    ]
    columns = ["left", "right", "rank", "order", "evidence"]
    everything = pd.concat([pd.DataFrame(columns=columns), *parts]) if parts else None
    warnings = tuple(
        f"{name}: {count} keys shared by more than {spec.max_records_per_key} records link nobody"
        for name, _, _, count in found
        if count
    )
    if everything is None or everything.empty:
        empty = pd.DataFrame(columns=["left", "right", "confidence", "evidence"], dtype=object)
        return RuleLinks(empty.astype({"left": "int64", "right": "int64"}), warnings)
    everything = everything.sort_values(["left", "right", "order"], ignore_index=True)
    links = everything.groupby(["left", "right"], as_index=False, sort=True).agg(
        rank=("rank", "min"), evidence=("evidence", "; ".join)
    )
    links["confidence"] = [CONFIDENCE_CLASSES[int(rank)] for rank in links["rank"]]
    links = links.astype({"left": "int64", "right": "int64"})
    return RuleLinks(links[["left", "right", "confidence", "evidence"]], warnings)
