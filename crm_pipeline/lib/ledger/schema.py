"""The ledger's tables.

Add here: what must survive any rebuild of the warehouse.
Not here: anything derivable from raw files.
"""

from __future__ import annotations

import sqlalchemy as sa

LEDGER_VERSION = 2

metadata = sa.MetaData()
vault_metadata = sa.MetaData()

# SQLite counts up only INTEGER keys; PostgreSQL wants the wide type.
Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")

ledger_version = sa.Table(
    "ledger_version", metadata, sa.Column("version", sa.Integer, primary_key=True)
)

inbox_files = sa.Table(
    "inbox_files",
    metadata,
    sa.Column("inbox_seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("feed", sa.String, nullable=False),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("entity", sa.String, nullable=False),
    sa.Column("file_sha256", sa.String(64), nullable=False),
    sa.Column("file_name", sa.String, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("feed", "file_sha256"),
    sqlite_autoincrement=True,
)

inbox_parts = sa.Table(
    "inbox_parts",
    metadata,
    sa.Column("feed", sa.String, primary_key=True),
    sa.Column("file_sha256", sa.String(64), primary_key=True),
    sa.Column("contract_hash", sa.String(16), primary_key=True),
    sa.Column("state", sa.String, nullable=False),  # active, superseded or refused
    sa.Column("received_count", sa.BigInteger, nullable=False),
    sa.Column("written_count", sa.BigInteger, nullable=False),
    sa.Column("quarantined_count", sa.BigInteger, nullable=False),
    sa.Column("part_path", sa.String),
    sa.Column("quarantine_path", sa.String),
    sa.Column("reason_code", sa.String),
    sa.Column("message", sa.String),
    sa.CheckConstraint("received_count = written_count + quarantined_count", name="one_in_one_out"),
)
# Exactly one contract hash per (feed, file) is active.
sa.Index(
    "inbox_parts_one_active",
    inbox_parts.c.feed,
    inbox_parts.c.file_sha256,
    unique=True,
    sqlite_where=inbox_parts.c.state == "active",
    postgresql_where=inbox_parts.c.state == "active",
)

inbox_sightings = sa.Table(
    "inbox_sightings",
    metadata,
    sa.Column("feed", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("ctime_ns", sa.BigInteger, nullable=False),
    sa.Column("inode", sa.String, nullable=False),
    sa.Column("file_sha256", sa.String(64), nullable=False),
)

id_versions = sa.Table(
    "id_versions",
    metadata,
    sa.Column("version", Sequence, primary_key=True, autoincrement=True),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("account_count", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sqlite_autoincrement=True,
)

# Why and when an account got another customer's id. The first id of an account is no change.
identity_changes = sa.Table(
    "identity_changes",
    metadata,
    sa.Column("change_id", Sequence, primary_key=True, autoincrement=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("as_of_date", sa.Date, nullable=False),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("source_customer_id", sa.String, nullable=False),
    sa.Column("from_customer_id", sa.String, nullable=False),
    sa.Column("to_customer_id", sa.String, nullable=False),
    sa.Column("change_kind", sa.String, nullable=False),  # merge or split
    sa.Column("reason", sa.String),
    sa.Column("changed_at", sa.DateTime, nullable=False),
    sqlite_autoincrement=True,
)

sa.Index("identity_changes_by_target", identity_changes.c.to_customer_id)

# Decisions of people about two accounts; of two about one pair the newer holds.
identity_overrides = sa.Table(
    "identity_overrides",
    metadata,
    sa.Column("override_id", Sequence, primary_key=True, autoincrement=True),
    sa.Column("override_kind", sa.String, nullable=False),  # link, unlink or never_link
    sa.Column("left_channel", sa.String, nullable=False),
    sa.Column("left_customer_id", sa.String, nullable=False),
    sa.Column("right_channel", sa.String, nullable=False),
    sa.Column("right_customer_id", sa.String, nullable=False),
    sa.Column("author", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("decided_at", sa.DateTime, nullable=False),
    sqlite_autoincrement=True,
)

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("event_id", sa.String(32), primary_key=True),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("source_customer_id", sa.String, nullable=False),
    sa.Column("contact_kind", sa.String, nullable=False),
    sa.Column("contact_token", sa.String, nullable=False),
    sa.Column("contact_mask", sa.String, nullable=False),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("consent_channel", sa.String, nullable=False),
    sa.Column("is_granted", sa.Boolean, nullable=False),
    sa.Column("occurred_at", sa.DateTime, nullable=False),
    sa.Column("known_at", sa.DateTime, nullable=False),
    sa.Column("notice_version", sa.String),
    sa.Column("evidence", sa.String),
    sa.Column("feed", sa.String, nullable=False),
    sa.Column("file_sha256", sa.String(64), nullable=False),
)
sa.Index(
    "consents_by_contact", consents.c.contact_token, consents.c.purpose, consents.c.consent_channel
)
sa.Index("consents_by_account", consents.c.source_customer_id, consents.c.channel)

# A claim is one message to one contact. It is made before the message leaves and is never deleted.
#   claimed    taken, nobody knows yet whether it left
#   sent       accepted by whoever delivers it
#   failed     definitely not delivered; another channel may be tried, this contact never again
#   refused    nobody accepted it and nothing left; the same contact may be claimed again
#   uncertain  perhaps delivered; never sent again unless a person or a receipt says what happened
claims = sa.Table(
    "claims",
    metadata,
    sa.Column("claim_id", sa.String(32), primary_key=True),
    sa.Column("decision_id", sa.String(32), nullable=False),
    sa.Column("batch_id", sa.String(32), nullable=False),
    sa.Column("contact_token", sa.String, nullable=False),
    sa.Column("person_id", sa.String, nullable=False),
    sa.Column("journey", sa.String, nullable=False),
    sa.Column("step", sa.String, nullable=False),
    sa.Column("occurrence", sa.String, nullable=False),
    sa.Column("consent_channel", sa.String, nullable=False),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("message_tag", sa.String, nullable=False),
    sa.Column("content_id", sa.String, nullable=False),
    sa.Column("content_version", sa.String, nullable=False),
    sa.Column("planned_send_at", sa.DateTime, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("state_reason", sa.String),
    sa.Column("attempt_count", sa.Integer, nullable=False),
    sa.Column("claimed_at", sa.DateTime, nullable=False),
    sa.Column("sent_at", sa.DateTime),
)
# Both keys of a message. A person is every id ever merged into them: the claim's own transaction
# looks for claims of the former ids too (lib/outreach/claims.py).
sa.Index(
    "once_per_contact",
    claims.c.contact_token,
    claims.c.journey,
    claims.c.step,
    claims.c.occurrence,
    unique=True,
    sqlite_where=claims.c.state != "refused",
    postgresql_where=claims.c.state != "refused",
)
sa.Index(
    "once_per_person",
    claims.c.person_id,
    claims.c.journey,
    claims.c.step,
    claims.c.occurrence,
    unique=True,
    sqlite_where=claims.c.state.in_(("claimed", "sent", "uncertain")),
    postgresql_where=claims.c.state.in_(("claimed", "sent", "uncertain")),
)
sa.Index("claims_by_batch", claims.c.batch_id)

# One batch: a journey's messages of one slice of decisions.
#   planned → approved → canary → released → done; stopped and expired end it at any point
batches = sa.Table(
    "batches",
    metadata,
    sa.Column("batch_id", sa.String(32), primary_key=True),
    sa.Column("journey", sa.String, nullable=False),
    sa.Column("run_kind", sa.String, nullable=False),  # nightly, or the trigger
    sa.Column("as_of_date", sa.Date, nullable=False),
    sa.Column("slice_sha256", sa.String(64), nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("plan_path", sa.String),
    sa.Column("plan_sha256", sa.String(64)),
    sa.Column("message_count", sa.BigInteger, nullable=False),
    sa.Column("canary_pct", sa.Float, nullable=False),
    sa.Column("valid_until", sa.DateTime, nullable=False),
    sa.Column("planned_by", sa.String, nullable=False),
    sa.Column("planned_at", sa.DateTime, nullable=False),
    sa.Column("approved_by", sa.String),
    sa.Column("approved_at", sa.DateTime),
    sa.Column("finished_at", sa.DateTime),
)

# What each call of an adapter came to, append-only.
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("delivery_id", Sequence, primary_key=True, autoincrement=True),
    sa.Column("claim_id", sa.String(32), nullable=False),
    sa.Column("batch_id", sa.String(32), nullable=False),
    sa.Column("adapter", sa.String, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),  # accepted, rejected, refused or uncertain
    sa.Column("reference", sa.String),  # the provider's own id of the message
    sa.Column("detail", sa.String),
    sa.Column("called_at", sa.DateTime, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("deliveries_by_claim", deliveries.c.claim_id)
sa.Index("deliveries_by_batch", deliveries.c.batch_id)

# A task of WeCom: a member of staff confirms it, then it is sent to each of its customers.
wecom_tasks = sa.Table(
    "wecom_tasks",
    metadata,
    sa.Column("task_id", sa.String(32), primary_key=True),
    sa.Column("batch_id", sa.String(32), nullable=False),
    sa.Column("guide_id", sa.String, nullable=False),
    sa.Column("provider_task_id", sa.String),
    sa.Column("state", sa.String, nullable=False),  # planned, created, confirmed, done or failed
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("changed_at", sa.DateTime, nullable=False),
)
wecom_task_members = sa.Table(
    "wecom_task_members",
    metadata,
    sa.Column("task_id", sa.String(32), primary_key=True),
    sa.Column("claim_id", sa.String(32), primary_key=True),
    sa.Column("state", sa.String, nullable=False),  # waiting, sent, quota_used or not_friend
)

# The kill switch: of the rows of a scope ("all" or a journey) the newest holds.
outreach_switches = sa.Table(
    "outreach_switches",
    metadata,
    sa.Column("switch_id", Sequence, primary_key=True, autoincrement=True),
    sa.Column("scope", sa.String, nullable=False),
    sa.Column("is_stopped", sa.Boolean, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("changed_at", sa.DateTime, nullable=False),
    sqlite_autoincrement=True,
)

history_slices = sa.Table(
    "history_slices",
    metadata,
    sa.Column("table_name", sa.String, primary_key=True),
    sa.Column("as_of_date", sa.Date, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
)
sa.Index(
    "history_slices_one_active",
    history_slices.c.table_name,
    history_slices.c.as_of_date,
    unique=True,
    sqlite_where=history_slices.c.is_active.is_(True),
    postgresql_where=history_slices.c.is_active.is_(True),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("audit_id", Sequence, primary_key=True, autoincrement=True),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("detail", sa.String, nullable=False),
    sqlite_autoincrement=True,
)

# What an ad platform was told, so that it can be told to forget it. A hashed address can be found
# out by trying all of them, so it is kept where the addresses are.
audience_members = sa.Table(
    "audience_members",
    vault_metadata,
    sa.Column("platform", sa.String, primary_key=True),
    sa.Column("audience", sa.String, primary_key=True),
    sa.Column("identifier_kind", sa.String, primary_key=True),
    sa.Column("hashed_value", sa.String(64), primary_key=True),
    sa.Column("exported_at", sa.DateTime, nullable=False),
    sa.Column("removed_at", sa.DateTime),
)

# What each run between the nights has seen and decided. Sensors compare with the newest row of
# their trigger: Dagster's own storage may be deleted at any time.
trigger_ticks = sa.Table(
    "trigger_ticks",
    metadata,
    sa.Column("tick_id", sa.String(32), primary_key=True),
    sa.Column("trigger_kind", sa.String, nullable=False),
    sa.Column("as_of_date", sa.Date, nullable=False),
    sa.Column("decided_at", sa.DateTime, nullable=False),
    sa.Column("inbox_seq_seen", sa.BigInteger, nullable=False),  # newest file; 0: none
    sa.Column("facts_sha256", sa.String(64), nullable=False),  # of all active parts it looks at
    sa.Column("build_id", sa.String, nullable=False),  # published build it stood on
    sa.Column("next_due_at", sa.DateTime),  # when a step of a known candidate falls due
    sa.Column("slice_sha256", sa.String(64)),  # of the day's decisions then; null: none yet
    sa.Column("decision_count", sa.BigInteger, nullable=False),  # this tick's own
)
sa.Index("trigger_ticks_by_kind", trigger_ticks.c.trigger_kind, trigger_ticks.c.decided_at)

vault = sa.Table(
    "vault",
    vault_metadata,
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("clear_value", sa.String, nullable=False),
    sa.Column("mask", sa.String, nullable=False),
    sa.Column("key_id", sa.String, nullable=False),
)
