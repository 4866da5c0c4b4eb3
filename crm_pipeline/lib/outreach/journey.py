"""What a journey's YAML may say.

Add here: fields of a journey.
Not here: what is decided (``decisions``), what Dagster is told (``components``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.strict_yaml import (
    Problem,
    YamlDocument,
    load_documents,
    problems_error,
    refusal,
    validate,
)

COMPONENT = "crm_pipeline.components.OutreachJourney"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Percent = Annotated[float, Field(ge=0, le=100)]
Channel = Literal["email", "sms", "wecom", "push"]
Trigger = Literal[
    "nightly",
    "tier_change",
    "new_score",
    "order",
    "cart",
    "ticket_closed",
    "store_visit",
    "community_question",
    "file",
]
Tag = Literal["promotion", "care", "service", "invitation"]
CHANNELS: tuple[str, ...] = get_args(Channel)
TRIGGERS: tuple[str, ...] = get_args(Trigger)
LocalTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepSpec(_Strict):
    """One message of a journey, counted from the fact that triggered it."""

    step: Name = Field(description="Name of the step, part of the key that makes it at most once.")
    channels: tuple[Channel, ...] = Field(
        min_length=1,
        description="Ways of contact in their order: the first that is allowed and reachable is "
        "taken; a later one also after a definite failure of the one before.",
    )
    scene: Name | None = Field(
        default=None, description="Scene in seeds/content_library.csv [default: journey_step]."
    )
    delay_hours: int = Field(
        default=0, ge=0, le=24 * 365, description="Hours after the triggering fact; it is due then."
    )
    valid_hours: int = Field(
        default=72, ge=1, le=24 * 90, description="Hours after it is due in which it may still go."
    )
    send_at: LocalTime | None = Field(
        default="10:00",
        description="Local time of the customer at which nightly messages go; null: the "
        "customer's best hour, else 10:00.",
    )


class CapSpec(_Strict):
    """At most so many marketing messages within so many local days, the day of sending included."""

    cap_id: Name = Field(description="Name of the cap in decisions.")
    consent_channel: Literal["all", "email", "sms", "wecom", "push"] = Field(
        default="all", description="Channel the cap counts; all counts every channel together."
    )
    message_tag: Literal["all", "promotion", "care", "service", "invitation"] = Field(
        default="all", description="Kind of message the cap counts; all counts every kind."
    )
    window_days: int = Field(ge=1, le=365, description="Length of the window.")
    max_messages: int = Field(ge=0, le=1000, description="Most messages within the window.")


class JourneySpec(_Strict):
    """A journey: whom it addresses, why it may, and with what."""

    journey: Name = Field(description="Name of the journey.")
    description: str = Field(min_length=1, max_length=500, description="What it is for.")
    audience: str = Field(
        pattern=r"^activation\.[a-z][a-z0-9_]*_audience$",
        description="Audience model, for example activation.dormant_wake_up_audience.",
    )
    trigger: Trigger = Field(
        default="nightly",
        description="What starts it between the nights; every journey is decided nightly too.",
    )
    purpose: Literal["marketing", "service"] = Field(
        default="marketing", description="Consent the message needs."
    )
    tag: Tag = Field(default="promotion", description="Kind of message; caps may count it.")
    steps: tuple[StepSpec, ...] = Field(min_length=1, max_length=20, description="The messages.")
    variables: tuple[Name, ...] = Field(
        default=(), description="Columns of the audience that contents may show."
    )
    checks: tuple[Literal["stock", "price"], ...] = Field(
        default=(),
        description="What is asked again before sending: whether the product is there, whether "
        "its price is not above the one offered.",
    )
    exit_on_conversion: bool = Field(
        default=True, description="Whether an audience's converted_at ends the journey."
    )
    pause_on_complaint: bool = Field(
        default=True, description="Whether an open complaint keeps the message back."
    )
    holdout_pct: Percent = Field(
        default=10.0, description="Share of people who are not written to, to measure the effect."
    )
    canary_pct: Percent = Field(
        default=5.0, description="Share of a batch that goes first; 100 sends it whole."
    )
    priority: int = Field(
        default=50, ge=0, le=100, description="Worth of a message where not all may go."
    )
    re_entry: Literal["per_occurrence", "never"] = Field(
        default="per_occurrence", description="Whether a new occurrence may address a person again."
    )
    scores: tuple[Literal["churn", "clv"], ...] = Field(
        default=(),
        description="Scores the audience relies on: while a check of one stops outreach, "
        "everybody is held.",
    )
    caps: tuple[CapSpec, ...] = Field(
        default=(), description="Caps of this journey, beside those of seeds/outreach_caps.csv."
    )

    def scene_of(self, step: StepSpec) -> str:
        """The scene of a step's contents."""
        return step.scene or f"{self.journey}_{step.step}"

    @model_validator(mode="after")
    def _check(self) -> JourneySpec:
        problems = []
        seen: set[str] = set()
        for place, step in enumerate(self.steps):
            at = ("steps", place, "step")
            if step.step in seen:
                problems.append(Problem(at, f"two steps are called {step.step!r}", "rename one"))
            seen.add(step.step)
            if len(set(step.channels)) < len(step.channels):
                at = ("steps", place, "channels")
                problems.append(Problem(at, "a channel is named twice", "name each once"))
            if place and step.delay_hours < self.steps[place - 1].delay_hours:
                what = "a step is due before the one above it"
                at = ("steps", place, "delay_hours")
                problems.append(Problem(at, what, "order the steps by delay_hours"))
        if problems:
            raise problems_error(problems)
        return self


def load_journeys(folder: Path) -> list[JourneySpec]:
    """Every journey declared below ``folder``, in the order of their names.

    Raises:
        ConfigError: names file, line, what is wrong and what to write instead.
    """
    found: dict[str, tuple[JourneySpec, YamlDocument]] = {}
    for path in sorted(folder.rglob("defs.yaml")):
        for document in load_documents(path):
            if not _is_journey(document):
                continue
            spec = validate(JourneySpec, document, ("attributes",))
            where = ("attributes", "journey")
            if spec.journey in found:
                other = found[spec.journey][1].where(where)
                raise ConfigError(
                    f"two journeys are called {spec.journey!r}",
                    where=document.where(where),
                    remedy=f"rename one; the other stands at {other}",
                )
            found[spec.journey] = (spec, document)
    return [found[name][0] for name in sorted(found)]


def _is_journey(document: YamlDocument) -> bool:
    if not isinstance(document.data, dict) or "type" not in document.data:
        raise ConfigError(
            "a component file names its type",
            where=document.where(),
            remedy=f"write type: {COMPONENT}",
        )
    if str(document.data["type"]).rsplit(".", 1)[-1] != "OutreachJourney":
        return False
    if not isinstance(document.data.get("attributes"), dict):
        problem = Problem(
            ("type",), "the journey's attributes are missing", "write attributes: and the journey"
        )
        raise refusal(document, [problem])
    return True
