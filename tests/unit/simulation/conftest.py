"""One small world for every test of its files.

Add here: what the tests of the world and of its channels share.
Not here: what one of them alone needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from simulation.delivery import DeliveryParameters, delivery_parameters
from simulation.engine import write_clean
from simulation.parameters import DEFAULT_CONFIG, WorldParameters, load_parameters


@dataclass(frozen=True)
class SmallWorld:
    """Clean records and truth of a thousand people in four months."""

    parameters: WorldParameters
    clean: Path
    truth: Path
    rhythm: DeliveryParameters


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    root = tmp_path_factory.mktemp("world")
    usual = load_parameters(DEFAULT_CONFIG)
    parameters = usual.changed(
        world__people=1000,
        world__months=4,
        purchases__rate_scale_days=20,  # busier than the demo: few people show every damage
        behaviour__sessions_per_month=2.2,
        campaigns__unsubscribed_share=0.05,
        delivery__months_per_large_file=1,
        delivery__months_per_small_file=3,
        delivery__daily_days=1,
        delivery__late_every_months=2,
        # So that some of the few refunds are told before their orders.
        delivery__damaged_records=usual.delivery.damaged_records | {"held_back": 0.01},
    )
    write_clean(parameters, root / "clean", root / "truth")
    rhythm = delivery_parameters(parameters)
    return SmallWorld(parameters, root / "clean", root / "truth", rhythm)
