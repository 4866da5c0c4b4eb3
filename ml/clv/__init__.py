"""Customer lifetime value. Add here: models of how often and how much. Not here: churn."""

from ml.clv.bg_nbd import BgNbdModel, BgNbdParameters
from ml.clv.config import ClvModelConfig, FitConfig
from ml.clv.features import CLV_FEATURES
from ml.clv.gamma_gamma import GammaGammaModel, GammaGammaParameters
from ml.clv.model import CLV_MODEL_KIND, ClvBatch, ClvModel

__all__ = [
    "CLV_FEATURES",
    "CLV_MODEL_KIND",
    "BgNbdModel",
    "BgNbdParameters",
    "ClvBatch",
    "ClvModel",
    "ClvModelConfig",
    "FitConfig",
    "GammaGammaModel",
    "GammaGammaParameters",
]
