"""Outreach caps: ``outreach_caps.csv``.

Add here: what a cap row may say.
Not here: how a cap is applied (``lib/outreach/limits``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "outreach_caps.csv"
CHANNELS = ("all", "email", "sms", "wecom", "push")
TAGS = ("all", "promotion", "care", "service", "invitation")
COLUMNS = ("cap_id", "consent_channel", "message_tag", "window_days", "max_messages", "note")


def read_caps(seeds_dir: Path) -> RuleTable:
    """The cap table with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    first_rows: dict[tuple[str, str, int], int] = {}
    for row in table.rows:
        channel = table.one_of(row, "consent_channel", CHANNELS)
        tag = table.one_of(row, "message_tag", TAGS)
        days = table.whole_number(row, "window_days", least=1, most=366)
        table.whole_number(row, "max_messages", least=0)
        for column in ("window_days", "max_messages"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write a whole number")
        if channel is None or tag is None or days is None:
            continue
        if (channel, tag, days) in first_rows:
            first = first_rows[channel, tag, days]
            what = f"{channel} {tag} over {days} days is already capped in row {first}"
            table.complain(row.number, "window_days", what, "Keep one of the two")
        first_rows.setdefault((channel, tag, days), row.number)
    if table.rows:
        table.unique("cap_id")
    return table
