"""The calendar every dated asset shares.

Add here: partition definitions used by more than one folder of ``defs/``.
Not here: schedules (``defs/schedules.py``).
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.settings import DEFAULT_TIMEZONE, KEY_CHECK, SETTING_NAMES, read_settings

FIRST_DAY = "2009-01-01"
# Marks a run whose tiers become official; a nightly run only shows those on record.
OFFICIAL = {"crm/official": "true"}
# Marks a run for the past whose build somebody wants to read.
KEPT = {"crm/keep_past": "true"}
# Each day is built as of itself, so a backfill is one run per day.
ONE_DAY_A_RUN = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


@functools.cache
def business_timezone() -> str:
    """The zone this home remembers; schedules and partitions need it before any run begins."""
    home = os.environ.get("CRM_HOME")
    if home:
        allowed = (*SETTING_NAMES, KEY_CHECK)
        remembered = read_settings(CrmHome(Path(home).absolute()).settings, allowed=allowed)
        if "CRM_TIMEZONE" in remembered:
            return remembered["CRM_TIMEZONE"]
    return os.environ.get("CRM_TIMEZONE") or DEFAULT_TIMEZONE


@functools.cache
def business_days() -> dg.DailyPartitionsDefinition:
    """One partition per business day; the day that has begun counts, so that it can be looked at.

    A partition's key is the ``as_of`` of everything built in it.
    """
    return dg.DailyPartitionsDefinition(
        start_date=FIRST_DAY, timezone=business_timezone(), end_offset=1
    )
