"""Churn. Add here: the model of silence after a cut-off. Not here: who is contacted about it."""

from ml.churn.config import ChurnModelConfig
from ml.churn.features import CHURN_FEATURES, label_churned
from ml.churn.model import CHURN_MODEL_KIND, ChurnModel

__all__ = [
    "CHURN_FEATURES",
    "CHURN_MODEL_KIND",
    "ChurnModel",
    "ChurnModelConfig",
    "label_churned",
]
