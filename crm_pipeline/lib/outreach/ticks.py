"""What starts a decision between the nights.

Add here: what counts as news for a trigger, and how a tick is kept in the ledger.
Not here: deciding (``tick_run``), Dagster's sensors (``defs/outreach/triggers.py``).

The ledger is the truth: a sensor compares the inbox with the newest tick of its trigger. Its
cursor, its run keys and all of Dagster's storage may be deleted at any time.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from crm_pipeline.lib.history import find_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import inbox_files, inbox_parts, trigger_ticks
from crm_pipeline.lib.publish.manifest import Manifest, current_manifest

NIGHTLY_DECISIONS = "outreach_decisions"
TICK_DECISIONS = "outreach_trigger_decisions"
# Entities whose new files start the trigger. By entity, never by channel: a shop's cart events may
# come from anywhere. Tiers and scores change only with a published build, which is news for all.
ENTITIES: dict[str, tuple[str, ...]] = {
    "order": ("orders", "order_lines"),
    "cart": ("events",),
    "ticket_closed": ("tickets",),
    "store_visit": ("store_visits",),
    "community_question": ("community_posts",),
    "file": ("weather_alerts", "contact_tags", "coupon_events"),
    "tier_change": (),
    "new_score": (),
}
# Before 02:00 the last build is of the day before yesterday. On an older one tiers, scores and ids
# are stale: the night is made up first.
OLDEST_BUILD_DAYS = 2


@dataclass(frozen=True)
class Facts:
    """The active parts of some entities."""

    sha256: str
    newest_inbox_seq: int


@dataclass(frozen=True)
class Tick:
    """One row of ``trigger_ticks``."""

    tick_id: str
    trigger_kind: str
    as_of_date: dt.date
    decided_at: dt.datetime
    inbox_seq_seen: int
    facts_sha256: str
    build_id: str
    next_due_at: dt.datetime | None
    slice_sha256: str | None
    decision_count: int


@dataclass(frozen=True)
class News:
    """Why a trigger should decide now; ``state`` stays the same while the work stays undone."""

    reason: str
    state: str


def read_facts(ledger: sa.Engine, trigger: str) -> Facts:
    """What the inbox holds for a trigger: a replayed or corrected file changes it too."""
    query = (
        sa.select(
            inbox_files.c.inbox_seq,
            inbox_parts.c.feed,
            inbox_parts.c.file_sha256,
            inbox_parts.c.contract_hash,
        )
        .join(
            inbox_files,
            sa.and_(
                inbox_parts.c.feed == inbox_files.c.feed,
                inbox_parts.c.file_sha256 == inbox_files.c.file_sha256,
            ),
        )
        .where(inbox_files.c.entity.in_(ENTITIES[trigger]), inbox_parts.c.state == "active")
    )
    with ledger.connect() as connection:
        rows = connection.execute(query).all()
    parts = sorted(f"{row.feed} {row.file_sha256} {row.contract_hash}" for row in rows)
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Facts(digest, max((row.inbox_seq for row in rows), default=0))


def last_tick(ledger: sa.Engine, trigger: str) -> Tick | None:
    """The newest tick of a trigger."""
    query = (
        sa.select(trigger_ticks)
        .where(trigger_ticks.c.trigger_kind == trigger)
        .order_by(trigger_ticks.c.decided_at.desc(), trigger_ticks.c.tick_id)
        .limit(1)
    )
    with ledger.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Tick(**row._mapping)


def save_tick(connection: sa.Connection, tick: Tick) -> None:
    """Writes the row inside the caller's transaction; a tick repeated at its instant is one."""
    known = sa.select(trigger_ticks.c.tick_id).where(trigger_ticks.c.tick_id == tick.tick_id)
    if connection.execute(known).first() is None:
        connection.execute(sa.insert(trigger_ticks).values(**asdict(tick)))


def find_base(
    home: CrmHome, ledger: sa.Engine, *, now: dt.datetime, zone: ZoneInfo
) -> Manifest | str:
    """The published build a tick may stand on, or why there is none.

    Args:
        home: the home.
        ledger: its ledger.
        now: the current instant, naive UTC.
        zone: business time zone.
    """
    manifest = current_manifest(home)
    if manifest is None:
        return "nothing has been published yet"
    today = business_day(now, zone)
    if manifest.as_of > today:
        return f"the published build is of {manifest.as_of}, after this clock's {today}"
    if (today - manifest.as_of).days > OLDEST_BUILD_DAYS:
        return f"the published build is of {manifest.as_of}: the nights are made up first"
    with ledger.connect() as connection:
        decided = find_slice(home, connection, NIGHTLY_DECISIONS, manifest.as_of)
    if (decided.sha256 if decided else None) != manifest.versions.get(NIGHTLY_DECISIONS):
        return "the last night's decisions are not published: its build was held back"
    return manifest


def find_news(
    home: CrmHome, ledger: sa.Engine, trigger: str, *, now: dt.datetime, zone: ZoneInfo
) -> News | str:
    """Why ``trigger`` should decide now, or why not: new files, a new build, a step that is due."""
    base = find_base(home, ledger, now=now, zone=zone)
    if isinstance(base, str):
        return base
    facts, last = read_facts(ledger, trigger), last_tick(ledger, trigger)
    if last is None:
        return _news("never decided before", trigger, facts.sha256, base.build_id)
    if last.decided_at > now:
        return "the last tick lies ahead of this clock"
    if last.facts_sha256 != facts.sha256:
        return _news("new files", trigger, facts.sha256, base.build_id)
    if last.build_id != base.build_id:
        return _news("a new build", trigger, facts.sha256, base.build_id)
    if last.next_due_at is not None and last.next_due_at <= now:
        return _news("a step is due", trigger, last.tick_id, last.next_due_at.isoformat())
    return "nothing new"


def business_day(now: dt.datetime, zone: ZoneInfo) -> dt.date:
    """The business date of a naive UTC instant."""
    return now.replace(tzinfo=dt.UTC).astimezone(zone).date()


def name_tick(trigger: str, decided_at: dt.datetime, facts: Facts, build_id: str) -> str:
    """The id of a tick: what it saw and when."""
    return _digest(("tick", trigger, decided_at.isoformat(), facts.sha256, build_id))[:32]


def _news(reason: str, *content: str) -> News:
    return News(reason, _digest(content)[:16])


def _digest(content: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(content).encode()).hexdigest()
