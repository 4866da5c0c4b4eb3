"""What may leave the private part of the data, and as what.

Add here: how a direct identifier is replaced, how personal a column may be.
Not here: contacts and consent (``lib/consent``), how a value is spelled (``ml/identity``).
"""

from crm_pipeline.lib.privacy.classes import CLASSES
from crm_pipeline.lib.privacy.columns import check_columns, find_column_problems

__all__ = ["CLASSES", "check_columns", "find_column_problems"]
