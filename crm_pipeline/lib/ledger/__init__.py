"""What cannot be rebuilt.

Add here: tables and how to open them.
Not here: who writes which row (the domain modules do).
"""

from crm_pipeline.lib.ledger.engine import open_ledger, open_vault

__all__ = ["open_ledger", "open_vault"]
