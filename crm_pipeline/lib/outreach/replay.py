"""A past night decided again.

Add here: what a replay compares.
Not here: how it is decided (``decisions``), what was kept (``inputs``).
"""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.files import sha256_of, write_parquet
from crm_pipeline.lib.history import Slice, find_slice, read_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.outreach.decisions import decide_facts
from crm_pipeline.lib.outreach.inputs import KEPT, KEPT_RULES, restore_inputs

DECISIONS = "outreach_decisions"


@dataclass(frozen=True)
class Replay:
    """What came of deciding a night again.

    Attributes:
        as_of: business date of the night.
        decision_count: decisions on record.
        sha256: hash of the slice on record.
        difference: the first thing that differs; None when every byte is the same.
    """

    as_of: dt.date
    decision_count: int
    sha256: str
    difference: str | None


def replay_decisions(home: CrmHome, ledger: sa.Engine, as_of: dt.date) -> Replay:
    """Decides a night again from its kept inputs, in memory; changes nothing.

    Raises:
        OutreachError: nothing was decided then, or its inputs were not kept.
        LedgerError: a slice is gone or is not what was written.
    """
    with ledger.connect() as connection:
        found = {
            name: find_slice(home, connection, name, as_of)
            for name in (DECISIONS, *KEPT.values(), KEPT_RULES)
        }
    missing = [name for name, one in found.items() if one is None]
    if missing:
        raise OutreachError(
            f"the history has no {', '.join(missing)} of {as_of}",
            where=str(home.history),
            remedy="replay a night that was decided by this version or a later one",
        )
    kept = {name: one for name, one in found.items() if one is not None}
    recorded = kept.pop(DECISIONS)
    inputs = {name: read_slice(one) for name, one in kept.items()}
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        restore_inputs(connection, inputs)
        decided = decide_facts(connection)
    return Replay(as_of, recorded.row_count, recorded.sha256, _difference(recorded, decided))


def _difference(recorded: Slice, decided: pa.Table) -> str | None:
    before = read_slice(recorded)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / recorded.path.name
        write_parquet(decided, path)
        if sha256_of(path) == recorded.sha256:
            return None
    return find_difference(before, decided) or "the rows are the same, the bytes are not"


def find_difference(before: pa.Table, after: pa.Table) -> str | None:
    """The first difference of two slices of decisions, in words."""
    if before.schema != after.schema:
        return "the columns differ: " + ", ".join(
            sorted(set(before.column_names) ^ set(after.column_names))
        )
    rows = [
        {row["decision_id"]: row for row in table.to_pylist()} for table in (before, after)
    ]
    for decision_id in sorted({*rows[0], *rows[1]}):
        old, new = rows[0].get(decision_id), rows[1].get(decision_id)
        if old is None or new is None:
            return f"decision {decision_id} is {'new' if old is None else 'gone'}"
        for name in before.column_names:
            if old[name] != new[name]:
                return f"decision {decision_id}: {name} was {old[name]!r}, is {new[name]!r}"
    return None
