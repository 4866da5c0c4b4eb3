"""What people and jobs did with batches.

Add here: how a step is written down.
Not here: which steps there are (``life``, ``switch``).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from crm_pipeline.lib.ledger.schema import audit


def write_audit(
    connection: sa.Connection,
    at: dt.datetime,
    actor: str,
    action: str,
    detail: Mapping[str, Any],
) -> None:
    """One row in the caller's transaction: what is done and what is on record never differ."""
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True, default=str)
    connection.execute(sa.insert(audit).values(at=at, actor=actor, action=action, detail=text))
