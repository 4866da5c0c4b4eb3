"""The customer of every account seen, with the reasons that put it there.

Add here: what is told about an account's place.
Not here: which accounts belong together (``resolution``), how an id is minted (``ids``).
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

__all__ = ["LINKED_BY", "read_placed_accounts"]

# Which kinds of evidence put an account where it is, the strongest first.
LINKED_BY = """
select account, string_agg(kind, ' ' order by strength desc, kind) as linked_by
from (
    select account, kind, max(strength) as strength
    from (
        select account_a as account, kind, strength from identity.edges
        union all
        select account_b, kind, strength from identity.edges
    )
    group by account, kind
)
group by account
"""

_PLACED = f"""
with linked as ({LINKED_BY}),

decided as (
    -- Who decided and why stays in the ledger: people write names and numbers there.
    select account, string_agg(distinct said, '; ' order by said) as said
    from (
        select "left" as account, kind || ' by people' as said from standing_overrides
        union all
        select "right", kind || ' by people' from standing_overrides
    )
    group by account
),

refused as (
    select account, string_agg(distinct said, ', ' order by said) as said
    from (
        select account_a as account, reason || ' of ' || kind as said
        from identity.dropped_edges
        union all
        select account_b, reason || ' of ' || kind
        from identity.dropped_edges
        where account_b is not null
    )
    group by account
)

select
    a.channel,
    a.source_customer_id,
    c.cluster,
    l.linked_by,
    coalesce(
        nullif(concat_ws('; ', 'linked by ' || l.linked_by, d.said, 'not used: ' || r.said), ''),
        'nothing links it'
    ) as reason
from intermediate.int_accounts_seen as a
left join identity.clusters as c on c.account = a.channel || ':' || a.source_customer_id
left join linked as l on l.account = a.channel || ':' || a.source_customer_id
left join decided as d on d.account = a.channel || ':' || a.source_customer_id
left join refused as r on r.account = a.channel || ':' || a.source_customer_id
order by a.channel, a.source_customer_id
"""


def read_placed_accounts(connection: duckdb.DuckDBPyConnection, overrides: pa.Table) -> pa.Table:
    """Every account seen: ``channel, source_customer_id, cluster, linked_by, reason``.

    Args:
        connection: the warehouse with the tables of ``resolution``.
        overrides: the standing ones (``kind, left, right, reason``).

    Returns:
        ``cluster`` is null for an account without any identifier; ``reason`` says in words what
        was found about the account, for the history of its customer id.
    """
    connection.register("standing_overrides", overrides)
    try:
        return connection.sql(_PLACED).to_arrow_table()
    finally:
        connection.unregister("standing_overrides")
