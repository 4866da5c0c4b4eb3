"""Which messages go where not all may. Add here: public names. Not here: what a limit is about."""

from ml.arbitration.arbitrate import Choice, arbitrate
from ml.arbitration.config import ArbitrationConfig

__all__ = ["ArbitrationConfig", "Choice", "arbitrate"]
