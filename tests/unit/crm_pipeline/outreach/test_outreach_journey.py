"""What a journey's YAML may say, and how a mistake is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.journey import load_journeys

GOOD = """\
type: crm_pipeline.components.OutreachJourney
attributes:
  journey: wake_up
  description: Wakes up who was silent for 90 days.
  audience: activation.wake_up_audience
  steps:
    - {step: first, channels: [email, sms], delay_hours: 1}
  holdout_pct: 10
"""


def load(folder: Path, *texts: str):
    for number, text in enumerate(texts):
        path = folder / f"j{number}" / "defs.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_journeys(folder)


def test_a_journey_is_read_with_its_defaults(tmp_path: Path) -> None:
    (spec,) = load(tmp_path, GOOD)
    assert (spec.purpose, spec.trigger, spec.tag) == ("marketing", "nightly", "promotion")
    assert (spec.steps[0].valid_hours, spec.steps[0].send_at) == (72, "10:00")
    assert spec.scene_of(spec.steps[0]) == "wake_up_first"


def test_other_components_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, "type: crm_pipeline.components.AudienceExport\nattributes: {}\n") == []


@pytest.mark.bad_input("B80")
@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("holdout_pct: 10", "holdout: 10", 8, "holdout"),
        ("holdout_pct: 10", "holdout_pct: 150", 8, "less than or equal to 100"),
        ("[email, sms]", "[pigeon]", 7, "channels"),
        ("[email, sms]", "[email, email]", 7, "a channel is named twice"),
        ("delay_hours: 1", "delay_hours: 1, send_at: '25:00'", 7, "Local time"),
        ("holdout_pct: 10", "trigger: full_moon", 8, "'full_moon' is not allowed"),
        ("activation.wake_up_audience", "marts.customer_360", 5, "audience"),
        ("journey: wake_up", "journey: Wake Up!", 3, "journey"),
        (
            "  holdout_pct: 10\n",
            "    - {step: second, channels: [sms]}\n",
            8,
            "due before the one above it",
        ),
        (
            "holdout_pct: 10",
            "caps: [{cap_id: a, window_days: 7, max_messages: -1}]",
            8,
            "Most messages",
        ),
        ("  holdout_pct: 10\n", "  steps: []\n", 8, "steps"),
    ],
)
def test_a_mistake_is_answered_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert f"defs.yaml:{line}" in str(caught.value) and message in str(caught.value)


def test_two_journeys_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two journeys are called 'wake_up'"):
        load(tmp_path, GOOD, GOOD)


def test_two_steps_of_one_name_are_refused(tmp_path: Path) -> None:
    step = "    - {step: first, channels: [email, sms], delay_hours: 1}\n"
    with pytest.raises(ConfigError, match="two steps are called 'first'"):
        load(tmp_path, GOOD.replace(step, step * 2))


@pytest.mark.parametrize("text", ["attributes: {}\n", "- a\n", "type: x.OutreachJourney\n"])
def test_a_file_that_is_no_component_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"defs\.yaml"):
        load(tmp_path, text)
