"""The declared numbers of a world.

Add here: a rate, with its line and comment in ``examples/world/world.yaml``.
Not here: the numbers themselves (the YAML file is their only place).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crm_pipeline.lib.strict_yaml import YamlDocument, load_document, validate

__all__ = ["DEFAULT_CONFIG", "WorldParameters", "load_parameters"]

DEFAULT_CONFIG = Path(__file__).resolve().parent.parent / "examples" / "world" / "world.yaml"


def _with_usual(rates: dict[str, float]) -> dict[str, float]:
    if "usual" not in rates:
        raise ValueError("say under 'usual' how often all other kinds occur")
    return rates


Rate = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Day = Annotated[dt.date, Field(strict=False)]
# By kind of damage; "usual" stands for every kind that is not named.
DamageRates = Annotated[dict[str, Rate], AfterValidator(_with_usual)]
Range = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Frame(_Section):
    """How big the world is and where it lies in time."""

    seed: Count
    people: Annotated[int, Field(ge=1)]
    people_per_chunk: Annotated[int, Field(ge=1, le=200_000)]
    first_day: Day
    months: Annotated[int, Field(ge=3)]
    timezone: str
    currency: str


class People(_Section):
    """Who there is, where they have accounts, and what blurs them."""

    household_sizes: list[Positive]
    home_channels: dict[str, Rate]
    also_on: dict[str, Rate]
    wecom_share: Rate
    legacy_share: Rate
    never_buys_share: Rate
    joining_span: Rate
    name_typo_rate: Rate
    stated_gender_share: Rate
    stated_birth_date_share: Rate
    email_share: Rate
    landline_share: Rate
    family_device_share: Rate
    virtual_phone_share: Rate
    virtual_phone_days: Positive
    virtual_phone_reuse: Positive
    masked_phone_share: Rate
    recycled_phone_share: Rate
    recycled_phone_days: Positive
    member_share: Rate
    member_bound_share: Rate
    guide_phone_share: Rate
    guide_card_share: Rate
    respelled_phone_share: Rate
    respelled_email_share: Rate
    respelled_member_share: Rate
    legacy_moving_days: Positive
    gift_share: Rate
    store_phone_share: Rate
    till_guest_share: Rate


class Purchases(_Section):
    """When people buy (BG/NBD) and when they stop."""

    rate_shape: Positive
    rate_scale_days: Positive
    dropout_a: Positive
    dropout_b: Positive
    failed_order_share: Rate
    gift_line_share: Rate
    coupon_share: Rate
    refund_share: Rate
    part_refund_share: Rate
    foreign_currency_share: Rate
    leaves_after_late_parcel: Rate
    leaves_after_complaint: Rate
    leaves_after_stock_out: Rate


class Spend(_Section):
    """What an order is worth (Gamma-Gamma), in the world's currency."""

    order_shape: Positive
    person_shape: Positive
    person_scale: Positive


class Festival(_Section):
    """A time of the year with its own demand; ``factor`` multiplies an ordinary day."""

    name: str
    starts: str
    ends: str
    factor: Positive


class Sequence(_Section):
    """Who buys ``first`` also buys ``then`` within the days, this much oftener than by chance."""

    first: str
    then: str
    within_days: Annotated[int, Field(ge=1)]
    probability: Rate


class Season(_Section):
    """How demand moves through week and year."""

    weekday_factors: Annotated[list[Positive], Field(min_length=7, max_length=7)]
    spring_festival_factor: Positive
    before_spring_festival_factor: Positive
    festivals: list[Festival]


class Parcels(_Section):
    """Shipments and their delays."""

    late_share: Rate
    promised_days: Positive
    lost_share: Rate


class Behaviour(_Section):
    """What people do without buying."""

    sessions_per_month: Positive
    events_per_session: Positive
    anonymous_session_share: Rate
    login_session_share: Rate
    cart_session_share: Rate
    favourite_session_share: Rate
    order_session_share: Rate
    visits_without_purchase_per_month: Positive
    habit_share: Rate
    habit_days: Annotated[int, Field(ge=2, le=80)]
    posts_per_month: Positive
    question_share: Rate
    eco_question_share: Rate
    points_events_per_month: Positive
    issued_coupons_per_month: Positive
    referral_share: Rate
    usage_reading_days: Positive


class Service(_Section):
    """Tickets, reviews and surveys."""

    complaint_after_late_parcel: Rate
    complaint_base: Rate
    question_share: Rate
    response_median_minutes: Positive
    response_spread: Positive
    resolution_median_hours: Positive
    resolution_spread: Positive
    reopened_share: Rate
    review_share: Rate
    nps_share: Rate


class Consent(_Section):
    """What people agree to at registration, by way of contact, and how many take it back."""

    marketing: dict[str, Rate]
    service: Rate
    profiling: Rate
    withdrawn_share: Rate
    privacy_request_share: Rate


class Supply(_Section):
    """Catalogue, stock and the desks that belong to nobody."""

    products_per_category: Annotated[int, Field(ge=5)]
    premium_share: Rate
    stock_count_days: Annotated[int, Field(ge=1)]
    stock_outs_per_product: Positive
    stock_out_days: Range
    exchange_rates: dict[str, Positive]
    review_pairs_share: Rate
    unsure_pairs_share: Rate


class Journey(_Section):
    """One past campaign: how often it goes out and what it does.

    ``effects`` is, per segment, the chance that the message brings an order that would not have
    been placed, within ``window_days``.
    """

    name: str
    way: str
    share_of_triggers: Rate
    window_days: Annotated[int, Field(ge=1)]
    effects: dict[str, Rate]


class Campaigns(_Section):
    """Past campaigns: their holdout, how receipts react, and every journey's effect."""

    holdout_share: Rate
    failed_share: Rate
    opened_share: dict[str, Rate]
    clicked_share: Rate
    unsubscribed_share: Rate
    journeys: list[Journey]


class Late(_Section):
    """Records that miss the file of their period and come with the next late one."""

    feeds: list[str]
    share_of_months: Rate
    share_of_records: Rate


class Scenarios(_Section):
    """The cast of the world's last day."""

    candidates_per_journey: Count
    cases_per_outcome: Count


class Delivery(_Section):
    """How the channels' files are written (``simulation.delivery``)."""

    daily_days: Annotated[int, Field(ge=1)]
    months_per_large_file: Annotated[int, Field(ge=1)]
    months_per_small_file: Annotated[int, Field(ge=1)]
    late_every_months: Annotated[int, Field(ge=1)]
    late_days: Annotated[int, Field(ge=1)]
    defect_rate: Annotated[float, Field(ge=0)]
    damaged_records: DamageRates
    damaged_files: DamageRates
    memory_limit: str
    threads: Annotated[int, Field(ge=1)]


class WorldParameters(_Section):
    """Everything a world is made from; equal parameters give equal bytes."""

    world: Frame
    people: People
    purchases: Purchases
    spend: Spend
    season: Season
    sequences: list[Sequence]
    replenishing_share: Rate
    parcels: Parcels
    behaviour: Behaviour
    service: Service
    consent: Consent
    supply: Supply
    campaigns: Campaigns
    late: Late
    scenarios: Scenarios
    delivery: Delivery

    def changed(self, **values: Any) -> WorldParameters:
        """A copy with other values, named ``section__key`` or ``key`` at the top."""
        data = self.model_dump()
        for name, value in values.items():
            *sections, key = name.split("__")
            place = data
            for section in sections:
                place = place[section]
            if key not in place:
                raise KeyError(f"a world has no parameter {name}")
            place[key] = value
        return type(self).model_validate(data)


def load_parameters(path: Path = DEFAULT_CONFIG) -> WorldParameters:
    """The parameters in ``path``, read strictly.

    Raises:
        ConfigError: names every problem with its file and line.
    """
    document: YamlDocument = load_document(path)
    return validate(WorldParameters, document)
