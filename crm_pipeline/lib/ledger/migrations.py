"""Older ledgers become today's.

Add here: one step from a version to the next.
Not here: today's tables (``schema``).
"""

from __future__ import annotations

import sqlalchemy as sa

from crm_pipeline.lib.ledger import schema

# What version 1 kept of a claim tells neither its channel nor its purpose: the contact's own kind
# names the channel, and its only journey was marketing. A message that was claimed and never
# recorded may have left.
_CLAIMS_1_TO_2 = """
insert into claims (
    claim_id, decision_id, batch_id, contact_token, person_id, journey, step, occurrence,
    consent_channel, purpose, message_tag, content_id, content_version, planned_send_at,
    state, state_reason, attempt_count, claimed_at, sent_at
)
select
    o.claim_id, o.decision_id, o.batch_id, o.contact_token, o.person_id, o.journey, o.step,
    o.occurrence,
    case (select min(c.contact_kind) from consents as c where c.contact_token = o.contact_token)
        when 'phone' then 'sms'
        when 'email' then 'email'
        else coalesce(
            (
                select min(c.consent_channel)
                from consents as c
                where c.contact_token = o.contact_token and c.consent_channel <> '*'
            ),
            'email'
        )
    end,
    'marketing', 'promotion', o.journey || '_' || o.step, o.content_version,
    coalesce(o.sent_at, o.claimed_at),
    case o.state when 'claimed' then 'uncertain' else o.state end,
    case o.state when 'claimed' then 'claimed before version 2 and never recorded' end,
    1, o.claimed_at, o.sent_at
from claims_1 as o
"""

_BATCHES_1_TO_2 = """
insert into batches (
    batch_id, journey, run_kind, as_of_date, slice_sha256, state, plan_path, plan_sha256,
    message_count, canary_pct, valid_until, planned_by, planned_at, approved_by, approved_at,
    finished_at
)
select
    o.batch_id, o.journey, 'nightly', o.as_of_date, o.slice_sha256,
    case o.state when 'written' then 'done' else 'stopped' end,
    null, null, coalesce(o.message_count, 0), 100, o.created_at, 'schedule', o.created_at,
    null, null, o.created_at
from batches_1 as o
"""


def migrate(engine: sa.Engine) -> None:
    """Brings a ledger of an older version to today's, in one transaction; a new one is left.

    Two processes that open it at once take turns: the second finds it done.
    """
    if not sa.inspect(engine).has_table(schema.ledger_version.name):
        return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("lock table ledger_version in access exclusive mode")
        if connection.execute(sa.select(schema.ledger_version.c.version)).scalar() == 1:
            _from_1_to_2(connection)
            connection.execute(sa.update(schema.ledger_version).values(version=2))


def _from_1_to_2(connection: sa.Connection) -> None:
    """Claims and batches say more; the keys of a claim leave out what did not reach anybody."""
    for name in ("claims", "batches"):
        # The old table goes away whole, so that its indexes free their names.
        connection.exec_driver_sql(f"create temporary table {name}_1 as select * from {name}")
        connection.exec_driver_sql(f"drop table {name}")
    schema.metadata.create_all(connection)
    for index in schema.identity_changes.indexes:
        index.create(connection, checkfirst=True)
    connection.exec_driver_sql(_CLAIMS_1_TO_2)
    connection.exec_driver_sql(_BATCHES_1_TO_2)
    for name in ("claims", "batches"):
        connection.exec_driver_sql(f"drop table {name}_1")
