"""What a journey's YAML may say.

Add here: fields of a journey.
Not here: what is decided (``decisions``), what Dagster is told (``components``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
OPT_OUT_TEXTS = {"zh-CN": "回复TD退订", "en": "Reply STOP to opt out"}

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepSpec(_Strict):
    """One message of a journey."""

    step: Name = Field(description="Name of the step, part of the key that makes it at most once.")
    channel: Literal["email", "sms", "wecom", "push"] = Field(description="Way of contact.")
    content_id: Name = Field(description="Content to send; recorded, not part of the key.")
    content_version: str = Field(
        default="1", pattern=r"^[A-Za-z0-9._-]{1,40}$", description="Version of the content."
    )
    language: Literal["zh-CN", "en"] = Field(default="zh-CN", description="Language of the text.")
    delay_days: int = Field(
        default=0, ge=0, le=365, description="Days after the step before; 0 for the first step."
    )
    opt_out_text: str | None = Field(
        default=None, min_length=3, max_length=80, description="How to opt out, in the message."
    )

    @property
    def opt_out(self) -> str:
        """The opt-out sentence, never empty."""
        return self.opt_out_text or OPT_OUT_TEXTS[self.language]


class CapSpec(_Strict):
    """At most so many marketing messages within so many local days, the day of sending included."""

    cap_id: Name = Field(description="Name of the cap in decisions.")
    consent_channel: Literal["all", "email", "sms", "wecom", "push"] = Field(
        default="all", description="Channel the cap counts; all counts every channel together."
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
    purpose: Literal["marketing", "service"] = Field(
        default="marketing", description="Consent the message needs."
    )
    steps: tuple[StepSpec, ...] = Field(min_length=1, max_length=20, description="The messages.")
    holdout_pct: Percent = Field(
        default=10.0, description="Share of people who are not written to, to measure the effect."
    )
    validity_days: int = Field(
        default=3, ge=1, le=30, description="Days after planned sending in which it may still go."
    )
    priority: int = Field(
        default=50, ge=0, le=100, description="Under a cap the journey with the higher number wins."
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

    @model_validator(mode="after")
    def _check(self) -> JourneySpec:
        problems = []
        seen: set[str] = set()
        for place, step in enumerate(self.steps):
            at = ("steps", place, "step")
            if step.step in seen:
                problems.append(Problem(at, f"two steps are called {step.step!r}", "rename one"))
            seen.add(step.step)
        if self.steps[0].delay_days:
            problems.append(
                Problem(
                    ("steps", 0, "delay_days"),
                    "the first step has no step before it",
                    "leave delay_days out; the audience decides when somebody enters",
                )
            )
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
