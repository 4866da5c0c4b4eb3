"""Churn. Add here: the model of silence after a cut-off. Not here: who is contacted about it."""

from ml.churn.config import ChurnModelConfig
from ml.churn.features import CHURN_FEATURES, label_churned
from ml.churn.model import CHURN_MODEL_KIND, ChurnBatch, ChurnModel
from ml.churn.reasons import CHURN_REASONS

__all__ = [
    "CHURN_FEATURES",
    "CHURN_MODEL_KIND",
    "CHURN_REASONS",
    "ChurnBatch",
    "ChurnModel",
    "ChurnModelConfig",
    "label_churned",
]
