"""Entry point of the code location.

Add here: rules that hold for every asset.
Not here: definitions (they are found below ``defs/``).
"""

from __future__ import annotations

import functools
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.lib.outreach.journey import load_journeys
from crm_pipeline.lib.pull import load_pulls
from crm_pipeline.lib.rules import check_rules

PROJECT = Path(__file__).parent.parent


@functools.cache
def _load() -> dg.Definitions:
    # Our own readers name file, line and remedy; Dagster's would only name the field.
    feeds = load_feeds(PROJECT / "crm_pipeline" / "defs" / "channels")
    load_pulls(PROJECT / "crm_pipeline" / "defs" / "channels")
    load_journeys(PROJECT / "crm_pipeline" / "defs" / "outreach")
    channels = {feed.channel for feed in feeds}
    check_rules(PROJECT / "dbt_project" / "seeds", channels=channels)
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        dg.Definitions(executor=dg.in_process_executor),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors; one process per run."""
    return _load()
