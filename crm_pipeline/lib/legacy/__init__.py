"""The system that was replaced: what it delivered against what was taken over.

Add here: reconciliation and reject files of a legacy import.
Not here: reading its files (the door does), what its customers become (dbt).
"""

from crm_pipeline.lib.legacy.reconcile import FileResult, Reconciliation, inputs_of, reconcile_feed
from crm_pipeline.lib.legacy.report import last_findings, write_report

__all__ = [
    "FileResult",
    "Reconciliation",
    "inputs_of",
    "last_findings",
    "reconcile_feed",
    "write_report",
]
