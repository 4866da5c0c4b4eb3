"""What the made-up world truly is, as judgements about a resolution of it.

Add here: a trap and the query that finds it. Not here: assertions, the world itself.

Every trap is a value two or more true people show: were it evidence, it would make them one.
"""

from __future__ import annotations

import duckdb

# (account, true person) of every account, and the pairs a resolution and the truth put together.
VIEWS = """
create temp table true_accounts as
select channel || ':' || source_customer_id as account, person_id
from identity_truth;

create temp table judged_pairs as
select l.account as account_a, r.account as account_b,
    l.cluster = r.cluster as is_together, l.person_id = r.person_id as is_same
from (
    select t.*, coalesce(c.cluster, t.account) as cluster
    from true_accounts as t left join identity.clusters as c using (account)
) as l
inner join (
    select t.*, coalesce(c.cluster, t.account) as cluster
    from true_accounts as t left join identity.clusters as c using (account)
) as r on l.account < r.account and (l.cluster = r.cluster or l.person_id = r.person_id);
"""

_SHARED = """
    select distinct i.identifier_token
    from identity.identifiers as i
    inner join true_accounts as t on t.account = i.channel || ':' || i.source_customer_id
    where {condition}
    group by i.identifier_token
    having count(distinct t.person_id) > 1
"""

# Values of two or more people, by what makes them a trap.
TRAPS = {
    "recycled numbers": "i.identifier_kind = 'phone' and i.identifier_state = 'key'",
    "lent numbers": "i.identifier_kind = 'virtual_phone'",
    "receivers' phones": "i.identifier_kind = 'receiver_phone' and i.identifier_state = 'key'",
    "receivers' addresses": "i.identifier_kind = 'receiver_address' and i.identifier_state = 'key'",
    "shared devices": "i.identifier_kind = 'device'",
    "landlines": "i.identifier_kind = 'landline'",
}


def count_trap(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """How many values of the kind are shown by two or more people."""
    query = f"select count(*) from ({_SHARED.format(condition=TRAPS[name])})"
    return int(connection.execute(query).fetchall()[0][0])


def wrong_pairs(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Pairs of accounts of two people that were put together."""
    return connection.execute(
        "select account_a, account_b from judged_pairs where is_together and not is_same order by 1"
    ).fetchall()
