"""Zone and language by country: ``localities.csv``.

Add here: what a locality may say.
Not here: whose country it is (dbt ``outreach_customers``).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from zoneinfo import available_timezones

from crm_pipeline.lib.rules.table import RuleTable

FILE = "localities.csv"
COLUMNS = ("country_name", "timezone", "language", "note")
LANGUAGES = ("zh-CN", "en")


def read_localities(seeds_dir: Path) -> RuleTable:
    """The table of localities with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        if not is_zone(row.cells["timezone"]):
            what = f"'{row.cells['timezone']}' is no zone"
            table.complain(row.number, "timezone", what, "Write one such as Europe/London")
        table.one_of(row, "language", LANGUAGES)
    if table.rows:
        table.unique("country_name")
    return table


def is_zone(name: str) -> bool:
    """Whether the tz database knows a zone by this name."""
    return name in _zones()


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
