"""What a build was made from, as one hash.

Add here: an input that changes what a build holds.
Not here: the build's own result (``lib/publish/result_hash.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.dbt_manifest import digest_project
from crm_pipeline.lib.ledger.schema import (
    consents,
    history_slices,
    identity_overrides,
    inbox_parts,
)
from crm_pipeline.lib.settings import HomeSettings

PROJECT = Path(__file__).resolve().parents[2]
Part = tuple[str, str, str]


def fingerprint_ledger(ledger: sa.Engine, settings: HomeSettings, as_of: date) -> str:
    """Hash of what a build for ``as_of`` would be made from now.

    Claims are left out: a batch that was written is no reason to build its own day again.
    """
    part = inbox_parts.c
    with ledger.connect() as connection:
        parts = connection.execute(
            sa.select(part.feed, part.file_sha256, part.contract_hash).where(part.state == "active")
        ).all()
        events = connection.execute(sa.select(consents.c.event_id)).scalars().all()
        overrides = connection.execute(sa.select(identity_overrides.c.override_id)).scalars().all()
    said = [*events, *map(str, overrides)]
    return _digest([tuple(row) for row in parts], said, ledger, settings, as_of)


def fingerprint_snapshot(
    snapshot: Path, ledger: sa.Engine, settings: HomeSettings, as_of: date
) -> str:
    """The same of what a build was made from: files, consents, decisions as its snapshot has them.

    Official tiers are read as they are now, because the run itself may have written them.
    """
    parts = [
        (part["feed"], part["file_sha256"], part["contract_hash"])
        for part in json.loads((snapshot / "parts.json").read_text(encoding="utf-8"))
        if part["state"] == "active"
    ]
    events = pq.read_table(snapshot / "consents.parquet", columns=["event_id"])
    overrides = pq.read_table(snapshot / "identity_overrides.parquet", columns=["override_id"])
    said = [
        *events.column("event_id").to_pylist(),
        *map(str, overrides.column("override_id").to_pylist()),
    ]
    return _digest(parts, said, ledger, settings, as_of)


def _digest(
    parts: Sequence[Part],
    said_by_people: Iterable[str],
    ledger: sa.Engine,
    settings: HomeSettings,
    as_of: date,
) -> str:
    chosen = " ".join(os.environ.get(f"CRM_DBT_{name}", "") for name in ("LADDER", "INDUSTRY"))
    said = f"{as_of} {settings.timezone} {settings.currency} {chosen} {settings.keys.check}"
    digest = hashlib.sha256(said.encode())
    digest.update(digest_project(PROJECT / "dbt_project").encode())
    for package in ("crm_pipeline", "ml"):
        for path in sorted((PROJECT / package).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(path.read_bytes())
    for row in (*sorted(parts), *sorted(said_by_people), *_official_tiers(ledger)):
        digest.update(repr(row).encode())
    return digest.hexdigest()


def _official_tiers(ledger: sa.Engine) -> list[tuple[str, str]]:
    slices = history_slices.c
    query = (
        sa.select(slices.as_of_date, slices.sha256)
        .where(slices.is_active.is_(True), slices.table_name == "official_rfm_tiers")
        .order_by(slices.as_of_date)
    )
    with ledger.connect() as connection:
        return [(row.as_of_date.isoformat(), row.sha256) for row in connection.execute(query)]
