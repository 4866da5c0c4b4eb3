"""Quiet hours of delivery.

Add here: in which local hours a channel is silent.
Not here: what a row of the policies may say (``lib/rules/channel_policies``), quiet days (they are
decided, not delivered).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from crm_pipeline.lib.rules.channel_policies import read_channel_policies
from crm_pipeline.lib.rules.table import refuse_problems

NEVER = (dt.time(0), dt.time(0))


def read_quiet_hours(seeds_dir: Path) -> dict[str, tuple[dt.time, dt.time]]:
    """From when until when each channel is silent, in the customer's local time.

    Raises:
        RuleError: the policies are gone or refused; nothing is delivered without them.
    """
    table = read_channel_policies(seeds_dir)
    refuse_problems(table.problems, "the policies of channels", seeds_dir)
    found = {}
    for row in table.rows:
        begins, ends = row.cells["quiet_from"], row.cells["quiet_until"]
        is_silent = (
            (dt.time.fromisoformat(begins), dt.time.fromisoformat(ends)) if begins else NEVER
        )
        found[row.cells["consent_channel"]] = is_silent
    return found
