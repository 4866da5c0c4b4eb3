"""Who is who.

Add here: stable customer ids and the files they live in.
Not here: matching (``ml/identity``), marts (``dbt_project``).
"""

from crm_pipeline.lib.identity.ids import (
    ACCOUNT_SCHEMA,
    CHANGE_SCHEMA,
    assign_customer_ids,
    read_accounts,
    read_changes,
)

__all__ = [
    "ACCOUNT_SCHEMA",
    "CHANGE_SCHEMA",
    "assign_customer_ids",
    "read_accounts",
    "read_changes",
]
