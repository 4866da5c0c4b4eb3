"""Policies of channels: ``channel_policies.csv``.

Add here: what a channel's row may say.
Not here: how quiet hours and quotas are applied (``lib/outreach``).
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "channel_policies.csv"
CHANNELS = ("email", "sms", "wecom", "push")
COLUMNS = (
    "consent_channel",
    "quiet_from",
    "quiet_until",
    "unit_cost_amount",
    "currency",
    "daily_quota",
    "advisor_daily_quota",
    "note",
)
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def read_channel_policies(seeds_dir: Path) -> RuleTable:
    """The table of channels with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "consent_channel", CHANNELS)
        _check_quiet_hours(table, row)
        amount_of(table, row, "unit_cost_amount")
        check_currency(table, row)
        table.whole_number(row, "daily_quota")
        table.whole_number(row, "advisor_daily_quota")
    if len({row.cells["currency"] for row in table.rows}) > 1:
        what = "the channels have several currencies, so that no budget can add them up"
        table.complain(table.rows[-1].number, "currency", what, "Write one for all")
    missing = [
        name for name in CHANNELS if name not in {r.cells["consent_channel"] for r in table.rows}
    ]
    if table.rows and missing:
        what = f"{', '.join(missing)} has no row"
        table.complain(table.rows[-1].number, "consent_channel", what, "Add one for each channel")
    if table.rows:
        table.unique("consent_channel")
    return table


def amount_of(table: RuleTable, row: Row, column: str) -> Decimal | None:
    """The cell as an amount of 0 or more; anything else is a problem."""
    text = row.cells[column]
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        table.complain(row.number, column, f"'{text}' is no amount", "Write a number such as 0.05")
        return None
    return amount


def check_currency(table: RuleTable, row: Row) -> None:
    """Complains about a currency that is not three capital letters."""
    text = row.cells["currency"]
    if not re.fullmatch("[A-Z]{3}", text):
        table.complain(row.number, "currency", f"'{text}' is no currency", "Write one such as CNY")


def _check_quiet_hours(table: RuleTable, row: Row) -> None:
    start, end = row.cells["quiet_from"], row.cells["quiet_until"]
    if not start and not end:
        return
    for column, text in (("quiet_from", start), ("quiet_until", end)):
        if not _TIME.fullmatch(text):
            what = f"'{text}' is no time of day" if text else "only the other border is given"
            table.complain(row.number, column, what, "Write one such as 22:00, or leave both empty")
            return
    if end >= start:
        what = f"quiet hours from {start} until {end} do not go over midnight"
        table.complain(row.number, "quiet_until", what, "Write a morning hour before quiet_from")
