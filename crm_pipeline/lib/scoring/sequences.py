"""Sequence rules: what a month end decides about them, and which are in force tonight.

Add here: when a rule comes into force and when it is retired.
Not here: maths (``ml.sequences``), reading or writing the warehouse (``defs/scoring``).

Rules are searched once a month, on whole months. The decision of a month end is history
(``sequence_rules``): a rule keeps the day it came into force, and one that fresh days no longer
show is retired with a date and a reason. It is not found again by the search that found it before.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import Slice, active_slices, find_slice, read_slice, write_slice
from crm_pipeline.lib.home import CrmHome
from ml.sequences import RULE_KEYS, SequenceConfig, judge_rules

RULES = "sequence_rules"
ACTIVE, CANDIDATE, RETIRED = "active", "candidate", "retired"

# Reasons, as the mart tells them.
CONFIRMED = "confirmed_by_holdout"
NOT_CONFIRMED = "not_confirmed_by_holdout"
TOO_FEW_FRESH = "too_few_in_holdout"
FADED = "faded_in_holdout"
GONE = "no_longer_bought"

Rule = dict[str, Any]
_RATES = ("confidence", "base_rate", "lift", "lift_low", "lift_high", "p_value")
SCHEMA = pa.schema(
    [
        ("first_category", pa.string()),
        ("then_category", pa.string()),
        ("within_days", pa.int32()),
        ("status", pa.string()),
        ("is_leading", pa.bool_()),  # the strongest window in force of its pair
        ("reason", pa.string()),
        ("since_on", pa.date32()),  # in force since this month end
        ("retired_on", pa.date32()),
        ("first_customer_count", pa.int64()),
        ("exposure_count", pa.int64()),
        ("support", pa.int64()),
        *((name, pa.float64()) for name in _RATES),
        ("q_value", pa.float64()),
        ("holdout_first_customer_count", pa.int64()),
        ("holdout_exposure_count", pa.int64()),
        ("holdout_support", pa.int64()),
        *((f"holdout_{name}", pa.float64()) for name in _RATES),
        ("decided_as_of_date", pa.date32()),
    ]
)


@dataclass(frozen=True)
class SequenceDay:
    """The rules of one day, as the last month end decided; None before the first."""

    rules: pa.Table
    decided_as_of: dt.date | None

    def as_scores(self, as_of: dt.date) -> pa.Table:
        """The rules as rows of ``scores.sequence_rules``."""
        count = self.rules.num_rows
        moment = dt.datetime.combine(as_of, dt.time())
        table = self.rules.append_column("as_of_date", pa.array([as_of] * count, pa.date32()))
        scored = pa.array([moment] * count, pa.timestamp("us"))
        return table.append_column("scored_at", scored)

    def count(self, status: str) -> int:
        """How many rules have a status."""
        return self.rules.column("status").to_pylist().count(status)


def month_end_by(as_of: dt.date) -> dt.date:
    """The last month end that is over at ``as_of``, which may be one itself."""
    return (as_of + dt.timedelta(days=1)).replace(day=1) - dt.timedelta(days=1)


def decide_month(
    home: CrmHome,
    ledger: sa.Engine,
    cells: pd.DataFrame,
    totals: pd.DataFrame,
    month_end: dt.date,
    config: SequenceConfig | None = None,
) -> SequenceDay:
    """Searches and tests the rules as of a month end and puts the outcome on record."""
    config = config or SequenceConfig()
    before = _rules_of(_last_slice(home, ledger, before=month_end))
    decided = _decide(judge_rules(cells, totals, config), before.to_pandas(), month_end, config)
    write_slice(home, ledger, table_name=RULES, as_of=month_end, data=decided, reason="month end")
    return SequenceDay(decided, month_end)


def rules_in_force(home: CrmHome, ledger: sa.Engine, as_of: dt.date) -> SequenceDay:
    """The rules as the last month end by ``as_of`` decided them."""
    found = _last_slice(home, ledger, before=as_of + dt.timedelta(days=1))
    return SequenceDay(_rules_of(found), found.as_of_date if found else None)


def is_decided(home: CrmHome, ledger: sa.Engine, month_end: dt.date) -> bool:
    """Whether a month end has put rules on record; one that found none may be asked again."""
    with ledger.connect() as connection:
        found = find_slice(home, connection, RULES, month_end)
    return found is not None and found.row_count > 0


def _decide(
    judged: pd.DataFrame, before: pd.DataFrame, month_end: dt.date, config: SequenceConfig
) -> pa.Table:
    earlier, fresh = _by_key(before), _by_key(judged)
    rules = []
    for key in sorted(earlier.keys() | fresh.keys()):
        rule = _judge(fresh.get(key), earlier.get(key), month_end, config)
        if rule is not None:
            rules.append(rule | {"decided_as_of_date": month_end})
    _mark_leading(rules)
    rows = [{field.name: _plain(rule.get(field.name), field.type) for field in SCHEMA}
            for rule in rules]  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def _judge(
    figures: Rule | None,
    before: Rule | None,
    month_end: dt.date,
    config: SequenceConfig,
) -> Rule | None:
    """A rule's figures with its status; None when nothing was ever found of it."""
    status = before["status"] if before else None
    dates = {name: before[name] if before else None for name in ("since_on", "retired_on")}
    if figures is None:  # nobody buys A any more, or the category is gone
        if before is None or status == CANDIDATE:
            return None
        gone = {key: before[key] for key in RULE_KEYS} | {"status": RETIRED} | dates
        if status == ACTIVE:
            return gone | {"reason": GONE, "retired_on": month_end}
        return gone | {"reason": before["reason"]}
    shown = _shown_by_holdout(figures, config)
    if status == ACTIVE:
        if shown is not None and shown <= config.keep_level:
            return figures | dates | {"status": ACTIVE, "reason": CONFIRMED}
        reason = TOO_FEW_FRESH if shown is None else FADED
        return figures | dates | {"status": RETIRED, "reason": reason, "retired_on": month_end}
    if _is_found(figures, config):
        if shown is not None and shown <= config.holdout_level:
            now = {"since_on": month_end, "retired_on": None}
            return figures | now | {"status": ACTIVE, "reason": CONFIRMED}
        if status != RETIRED:
            reason = TOO_FEW_FRESH if shown is None else NOT_CONFIRMED
            return figures | {"status": CANDIDATE, "reason": reason}
    if status == RETIRED and before:
        return figures | dates | {"status": RETIRED, "reason": before["reason"]}
    return None


def _is_found(figures: Rule, config: SequenceConfig) -> bool:
    return bool(figures["q_value"] <= config.false_discovery_rate)  # NaN, not tested, is not


def _shown_by_holdout(figures: Rule, config: SequenceConfig) -> float | None:
    """The p-value of the hold-out; None where too few bought A to say anything."""
    if figures["holdout_first_customer_count"] >= config.min_holdout_customers:
        return float(figures["holdout_p_value"])
    return None


def _mark_leading(rules: list[Rule]) -> None:
    """Of a pair's windows in force the one that deviates most from chance; of two the shorter."""
    leading: dict[tuple[str, str], Rule] = {}
    for rule in rules:
        rule["is_leading"] = False
        if rule["status"] == ACTIVE:
            best = leading.setdefault((rule["first_category"], rule["then_category"]), rule)
            if (rule["z_score"], -rule["within_days"]) > (best["z_score"], -best["within_days"]):
                leading[rule["first_category"], rule["then_category"]] = rule
    for rule in leading.values():
        rule["is_leading"] = True


def _by_key(frame: pd.DataFrame) -> dict[tuple[Any, ...], Rule]:
    rows = ({str(name): value for name, value in row.items()} for row in frame.to_dict("records"))
    return {tuple(row[name] for name in RULE_KEYS): row for row in rows}


def _plain(value: object, kind: pa.DataType) -> object:
    """Without the several ways pandas says "nothing", and counts as whole numbers."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    return int(value) if isinstance(value, float) and pa.types.is_integer(kind) else value


def _last_slice(home: CrmHome, ledger: sa.Engine, *, before: dt.date) -> Slice | None:
    with ledger.connect() as connection:
        earlier = [one for one in active_slices(home, connection, RULES) if one.as_of_date < before]
    return earlier[-1] if earlier else None


def _rules_of(found: Slice | None) -> pa.Table:
    return read_slice(found) if found else SCHEMA.empty_table()
