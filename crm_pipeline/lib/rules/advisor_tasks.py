"""Why an advisor should call a customer, in words: ``advisor_tasks.csv``.

Add here: what a row of the tasks may say, a kind of task.
Not here: whom an advisor should call (dbt, ``advisor_task_audience``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "advisor_tasks.csv"
COLUMNS = ("task_kind", "task_zh", "task_en")
KINDS = ("rhythm_broken", "after_purchase")


def read_advisor_tasks(seeds_dir: Path) -> RuleTable:
    """The table of tasks with every problem in it: each kind has words in both tongues."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "task_kind", KINDS)
        for column in COLUMNS[1:]:
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write what the advisor reads")
    if table.rows:
        table.unique("task_kind")
        table.all_of("task_kind", KINDS, "nobody would be called for it")
    return table
