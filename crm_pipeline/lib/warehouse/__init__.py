"""The warehouse file and who may write it.

Add here: opening it, its sources, its lease.
Not here: models (``dbt_project``), publishing (``lib/publish``).
"""

from crm_pipeline.lib.warehouse.connection import is_damage, open_warehouse, set_aside
from crm_pipeline.lib.warehouse.lease import hold_lease
from crm_pipeline.lib.warehouse.snapshot import export_snapshot, prune_snapshots
from crm_pipeline.lib.warehouse.sources import (
    InputFiles,
    create_source_views,
    refresh_history_views,
    replace_slice,
    replace_table,
    resolve_as_of,
)

__all__ = [
    "InputFiles",
    "create_source_views",
    "export_snapshot",
    "hold_lease",
    "is_damage",
    "open_warehouse",
    "prune_snapshots",
    "refresh_history_views",
    "replace_slice",
    "replace_table",
    "resolve_as_of",
    "set_aside",
]
