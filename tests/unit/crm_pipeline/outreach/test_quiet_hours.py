"""In which hours nothing leaves: the same rows that decide."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.outreach.quiet import NEVER, read_quiet_hours

SEED = Path(__file__).parents[4] / "dbt_project" / "seeds" / "channel_policies.csv"
pytestmark = pytest.mark.requirement("OUT-7")


def seeds(folder: Path, text: str) -> Path:
    (folder / SEED.name).write_text(text, encoding="utf-8")
    return folder


def test_every_channel_has_the_hours_of_its_row() -> None:
    night = (dt.time(22), dt.time(8))
    assert read_quiet_hours(SEED.parent) == dict.fromkeys(("email", "sms", "wecom", "push"), night)


def test_a_channel_with_empty_borders_is_never_silent(tmp_path: Path) -> None:
    text = SEED.read_text(encoding="utf-8").replace("push,22:00,08:00", "push,,")
    found = read_quiet_hours(seeds(tmp_path, text))
    assert found["push"] == NEVER and found["sms"] != NEVER


@pytest.mark.bad_input("F35")
@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("push,22:00,08:00", "push,22:00,never", "no time of day"),
        ("push,22:00,08:00", "push,22:00,", "only the other border"),
        ("push,", "telegraph,", "push has no row"),
    ],
)
def test_hours_nobody_can_read_deliver_nothing(
    tmp_path: Path, old: str, new: str, match: str
) -> None:
    text = SEED.read_text(encoding="utf-8")
    with pytest.raises(RuleError, match=match):
        read_quiet_hours(seeds(tmp_path, text.replace(old, new)))


def test_without_policies_nothing_is_delivered(tmp_path: Path) -> None:
    with pytest.raises(RuleError):
        read_quiet_hours(tmp_path)
