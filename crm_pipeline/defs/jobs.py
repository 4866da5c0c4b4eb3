"""Jobs: which assets run together.

Add here: a selection with a name.
Not here: when it runs (``schedules.py``, ``sensors.py``) and batches (a journey brings its own).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.partitions import OFFICIAL, business_days

LIMITS = {"dagster/max_runtime": "14400"}  # seconds; a hung run must not hold the queue all day

FEEDS = dg.AssetSelection.groups("channels")
JUDGED = dg.AssetSelection.checks(
    *(
        dg.AssetCheckKey(dg.AssetKey(["feeds", spec.feed]), "landing_expectations_hold")
        for spec in load_feeds(Path(__file__).parent / "channels")
    )
)
PULLS = dg.AssetSelection.groups("pulls")  # each in its own job: a silent source stops no night
# A list for people, once a week and only with the extra `identity`: no night waits for it.
LOOSE_LINKS = dg.AssetSelection.groups("identity_review")
# Between the nights, by its own job: no night waits for a trigger.
TRIGGERS = dg.AssetSelection.groups("outreach_triggers")
OUTBOX = dg.AssetSelection.groups("outbox")
WAREHOUSE = dg.AssetSelection.all() - FEEDS - PULLS - LOOSE_LINKS - OUTBOX - TRIGGERS

# `crm run` does the two parts of ingest_job apart: the build need not wait for the verdicts.
take_in_job = dg.define_asset_job(
    "take_in_job",
    selection=FEEDS - JUDGED,
    description="Takes in what has landed, without Great Expectations.",
    tags=LIMITS,
)

judge_job = dg.define_asset_job(
    "judge_job",
    selection=JUDGED,
    description="Great Expectations over the parts that have had no verdict.",
    tags=LIMITS,
)

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=FEEDS,
    description="Takes in what has landed. Safe at any time: known bytes are skipped.",
    tags=LIMITS,
)

nightly_job = dg.define_asset_job(
    "nightly_job",
    selection=FEEDS | WAREHOUSE,
    partitions_def=business_days(),
    description="Landing to published warehouse for one business day, with outreach decisions.",
    tags=LIMITS,
)

monthly_job = dg.define_asset_job(
    "monthly_job",
    selection=FEEDS | WAREHOUSE,
    partitions_def=business_days(),
    description="The nightly work for the last day of a month; its tiers become official.",
    tags={**LIMITS, **OFFICIAL},
)

# `crm run` plans every journey in one run; the journeys' sensors each start a job of their own.
plan_batches_job = dg.define_asset_job(
    "plan_batches_job",
    selection=dg.AssetSelection.groups("outbox"),
    partitions_def=business_days(),
    description="Plans the batches of all journeys for one day's decisions. Sends nothing.",
    tags=LIMITS,
)

loose_links_job = dg.define_asset_job(
    "loose_links_job",
    selection=LOOSE_LINKS,
    partitions_def=business_days(),
    description="Accounts that might be one person, for review. Needs the extra `identity`.",
    tags=LIMITS,
)
