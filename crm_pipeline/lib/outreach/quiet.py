"""Quiet hours of delivery.

Add here: in which local hours a channel is silent.
Not here: quiet days (they are decided, not delivered).
"""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

from crm_pipeline.lib.outreach.journey import CHANNELS

FILE = "channel_policies.csv"
# Without a rule of its own a channel is silent at night.
BEGINS, ENDS = dt.time(22), dt.time(8)


def read_quiet_hours(seeds_dir: Path) -> dict[str, tuple[dt.time, dt.time]]:
    """From when until when each channel is silent, in the customer's local time."""
    found = dict.fromkeys(CHANNELS, (BEGINS, ENDS))
    path = seeds_dir / FILE
    if path.is_file():
        with path.open(encoding="utf-8-sig", newline="") as source:
            for row in csv.DictReader(source):
                hours = (row["quiet_from"], row["quiet_until"])
                begins, ends = (dt.time.fromisoformat(text) for text in hours)
                found[row["consent_channel"]] = (begins, ends)
    return found
