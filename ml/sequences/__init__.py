"""Sequence rules: which purchases are followed by which, beyond what the same customers do anyway.

Add here: exports. Not here: maths, SQL.
"""

from ml.sequences.config import SequenceConfig
from ml.sequences.rules import CELL_COLUMNS, RULE_KEYS, TOTAL_COLUMNS, judge_rules
from ml.sequences.stratified import Cells, Evidence, weigh

__all__ = [
    "CELL_COLUMNS",
    "RULE_KEYS",
    "TOTAL_COLUMNS",
    "Cells",
    "Evidence",
    "SequenceConfig",
    "judge_rules",
    "weigh",
]
