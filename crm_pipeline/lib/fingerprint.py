"""What a build was made from, as one hash.

Add here: an input that changes what a build holds.
Not here: the build's own result (``lib/publish/result_hash.py``).
"""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from crm_pipeline.lib.dbt_manifest import digest_project
from crm_pipeline.lib.ledger.schema import consents, history_slices, inbox_parts
from crm_pipeline.lib.settings import HomeSettings

PROJECT = Path(__file__).resolve().parents[2]


def fingerprint_inputs(ledger: sa.Engine, settings: HomeSettings, as_of: date) -> str:
    """Hash of files, consents, official tiers, rules, code and settings of a build for ``as_of``.

    Claims are left out: a batch that was written is no reason to build its own day again.
    """
    digest = hashlib.sha256(f"{as_of} {settings.timezone} {settings.currency}".encode())
    digest.update(settings.keys.check.encode())
    digest.update(digest_project(PROJECT / "dbt_project").encode())
    for package in ("crm_pipeline", "ml"):
        for path in sorted((PROJECT / package).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(path.read_bytes())
    with ledger.connect() as connection:
        for query in _ledger_queries():
            for row in connection.execute(query):
                digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def _ledger_queries() -> list[sa.Select]:
    parts, slices = inbox_parts.c, history_slices.c
    return [
        sa.select(parts.feed, parts.file_sha256, parts.contract_hash)
        .where(parts.state == "active")
        .order_by(parts.feed, parts.file_sha256),
        sa.select(consents.c.event_id).order_by(consents.c.event_id),
        sa.select(slices.as_of_date, slices.sha256)
        .where(slices.is_active.is_(True), slices.table_name == "official_rfm_tiers")
        .order_by(slices.as_of_date),
    ]
