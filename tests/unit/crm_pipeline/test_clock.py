"""The clock of delivery: real unless a rehearsal sets it.

Add here: what may set the clock.
Not here: what is judged by it.
"""

from __future__ import annotations

import datetime as dt

import pytest

from crm_pipeline.lib.clock import wall_clock
from crm_pipeline.lib.errors import ConfigError


def test_the_clock_is_the_walls_unless_it_is_set() -> None:
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    assert before <= wall_clock({}) <= dt.datetime.now(dt.UTC).replace(tzinfo=None)


def test_a_rehearsal_sets_it_in_any_zone() -> None:
    assert wall_clock({"CRM_CLOCK": "2026-07-01T10:30+08:00"}) == dt.datetime(2026, 7, 1, 2, 30)  # noqa: DTZ001


@pytest.mark.requirement("OUT-7")
def test_what_is_delivered_knows_the_real_time_only() -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        wall_clock({"CRM_CLOCK": "2026-07-01T10:30+08:00", "CRM_DELIVERY": "live"})


@pytest.mark.parametrize("text", ["2026-07-01T10:30", "tomorrow", "2026-13-01T00:00Z"])
def test_an_instant_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no instant with a zone"):
        wall_clock({"CRM_CLOCK": text})
