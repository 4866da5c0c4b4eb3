"""Who is who.

Add here: stable customer ids and the files they live in.
Not here: matching (``ml/identity``), marts (``dbt_project``).
"""

from crm_pipeline.lib.identity.ids import ACCOUNT_SCHEMA, assign_customer_ids, read_accounts

__all__ = ["ACCOUNT_SCHEMA", "assign_customer_ids", "read_accounts"]
