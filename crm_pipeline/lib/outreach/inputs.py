"""What a night was decided from, kept beside its decisions.

Add here: another table the rules read.
Not here: what the facts are (``candidates``), comparing a night decided again (``replay``).

Five tables of the history: the candidates, the contacts of their customers, the channels tried
before, the messages that were counted, and every rule as it stood, one row of JSON each.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.outreach.candidates import FACTS
from crm_pipeline.lib.outreach.policies import POLICIES

KEPT = dict(
    zip(
        FACTS,
        (
            "outreach_inputs",
            "outreach_input_contacts",
            "outreach_input_tries",
            "outreach_input_messages",
        ),
        strict=True,
    )
)
KEPT_RULES = "outreach_input_rules"
_RULES_SCHEMA = pa.schema([("table_name", pa.string()), ("rule", pa.string())])
# Sorted, so that the bytes are the same. Rules know a candidate by its row: the order is that of
# ``make_candidates``.
_QUERIES = {
    "_candidates": "from _candidates order by decision_id",
    "_contacts": "from _contacts order by customer_id, purpose, consent_channel",
    "_tried_channels": "from _tried_channels order by candidate, consent_channel",
    "_counted": "from _counted order by all",
}


def read_inputs(connection: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    """The tables ``decide_all`` left in the connection, by their names in the history."""
    kept = {name: connection.sql(_QUERIES[table]).to_arrow_table() for table, name in KEPT.items()}
    rules = [
        (table, rule)
        for table in POLICIES
        for (rule,) in connection.sql(
            f"select to_json(t)::varchar from {table} as t order by all"
        ).fetchall()
    ]
    columns = [list(column) for column in zip(*rules, strict=True)] or [[], []]
    kept[KEPT_RULES] = pa.table(columns, schema=_RULES_SCHEMA)
    return kept


def keep_inputs(
    home: CrmHome, ledger: sa.Engine, connection: duckdb.DuckDBPyConnection, as_of: dt.date
) -> None:
    """Appends a night's inputs to the history, to be called before its decisions are."""
    for name, table in read_inputs(connection).items():
        write_slice(
            home, ledger, table_name=name, as_of=as_of, data=table.combine_chunks(),
            reason="inputs of the nightly decision",
        )  # fmt: skip


def restore_inputs(connection: duckdb.DuckDBPyConnection, inputs: Mapping[str, pa.Table]) -> None:
    """Makes the temporary tables the rules read from what was kept."""
    for table, name in KEPT.items():
        connection.register("_kept", inputs[name])
        connection.execute(f"create or replace temp table {table} as from _kept")
        connection.unregister("_kept")
    connection.register("_kept", inputs[KEPT_RULES])
    for table, columns in POLICIES.items():
        shape = json.dumps(columns)
        listed = ", ".join(columns)
        connection.execute(
            f"create or replace temp table {table} as select {listed} from (select unnest("
            f"json_transform(rule::json, '{shape}')) from _kept where table_name = '{table}')"
        )
    connection.unregister("_kept")
