"""What messages call the warnings of the weather service: ``weather_words.csv``.

Add here: what a row of the words may say, a kind of warning.
Not here: who is warned (dbt, ``weather_care_audience``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "weather_words.csv"
COLUMNS = ("alert_kind", "alert_zh", "alert_en", "care_zh", "care_en")
KINDS = ("heat", "cold", "rain", "storm", "snow", "haze", "dry")


def read_weather_words(seeds_dir: Path) -> RuleTable:
    """The table of words with every problem in it: each kind has them in both tongues."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "alert_kind", KINDS)
        for column in COLUMNS[1:]:
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write the words people read")
    if table.rows:
        table.unique("alert_kind")
        table.all_of("alert_kind", KINDS, "nobody would be warned of it")
    return table
