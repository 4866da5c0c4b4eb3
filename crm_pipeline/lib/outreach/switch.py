"""The kill switch.

Add here: stopping and allowing outreach, all of it or a journey.
Not here: stopping one batch (``life``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from crm_pipeline.lib.ledger.schema import outreach_switches
from crm_pipeline.lib.outreach.audit import write_audit

ALL = "all"


@dataclass(frozen=True)
class Switch:
    """How a scope stands, and who put it there."""

    scope: str
    is_stopped: bool
    actor: str
    reason: str
    changed_at: dt.datetime


def set_switch(
    ledger: sa.Engine, scope: str, *, is_stopped: bool, actor: str, reason: str, now: dt.datetime
) -> None:
    """Stops or allows a scope, ``all`` or a journey, and says so in the audit."""
    with ledger.begin() as connection:
        connection.execute(
            sa.insert(outreach_switches).values(
                scope=scope, is_stopped=is_stopped, actor=actor, reason=reason, changed_at=now
            )
        )
        action = "outreach_stopped" if is_stopped else "outreach_allowed"
        write_audit(connection, now, actor, action, {"scope": scope, "reason": reason})


def read_switches(connection: sa.Connection) -> list[Switch]:
    """The newest word of every scope that was ever set."""
    newest = sa.select(sa.func.max(outreach_switches.c.switch_id)).group_by(
        outreach_switches.c.scope
    )
    query = sa.select(outreach_switches).where(outreach_switches.c.switch_id.in_(newest))
    return [
        Switch(row.scope, row.is_stopped, row.actor, row.reason, row.changed_at)
        for row in connection.execute(query.order_by(outreach_switches.c.scope))
    ]


def find_stopped(connection: sa.Connection, journeys: Sequence[str]) -> set[str]:
    """Those of ``journeys`` that may not send now."""
    stopped = {one.scope for one in read_switches(connection) if one.is_stopped}
    return set(journeys) if ALL in stopped else stopped & set(journeys)
