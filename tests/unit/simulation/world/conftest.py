"""Worlds the tests look at, made once each.

Add here: a world several modules read.
Not here: what must hold in it.
"""

from __future__ import annotations

import pytest

from tests.unit.simulation.world.support import (
    FEW_SESSIONS,
    NOTHING_FOLLOWS,
    Read,
    make,
    without_effects,
)


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The demo's world, somewhat smaller."""
    return make(tmp_path_factory.mktemp("usual"), world__people=3000)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Nothing but own orders: what BG/NBD and Gamma-Gamma speak of."""
    return make(
        tmp_path_factory.mktemp("plain"), world__people=9000, campaigns__journeys=without_effects(),
        purchases__foreign_currency_share=0.0, purchases__failed_order_share=0.0,
        **NOTHING_FOLLOWS, **FEW_SESSIONS,
    )  # fmt: skip
