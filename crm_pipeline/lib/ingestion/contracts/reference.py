"""What is true for everybody: rates and weather.

Add here: an entity without a customer.
Not here: rules of the shop (``dbt_project/seeds``).
"""

from __future__ import annotations

from crm_pipeline.lib.ingestion.contracts.columns import (
    Column,
    Entity,
    amount_column,
    enum_column,
    id_column,
    instant_column,
    planned_column,
    text_column,
)

EXCHANGE_RATES = Entity(
    "exchange_rates",
    "The rate of one currency pair on one day.",
    natural_key=("base_currency", "quote_currency", "rate_date"),
    columns=(
        Column("base_currency", "currency", "One unit of this currency …", required=True),
        Column("quote_currency", "currency", "… costs the rate in this one.", required=True),
        Column("rate_date", "date", "Day the rate holds for.", required=True, low="1995-01-01"),
        amount_column("rate", "Units of the quote currency for one of the base.", required=True),
    ),
)

WEATHER_ALERTS = Entity(
    "weather_alerts",
    "One warning of the weather service for one city.",
    natural_key=("alert_id",),
    event_time="issued_at",
    columns=(
        id_column("alert_id", "Number of the warning.", required=True),
        text_column("city_name", "City it is for.", required=True),
        enum_column(
            "alert_kind",
            "What is expected.",
            "heat",
            "cold",
            "rain",
            "storm",
            "snow",
            "haze",
            "dry",
            required=True,
        ),
        enum_column("alert_level", "How severe.", "blue", "yellow", "orange", "red", required=True),
        instant_column("issued_at", "When it was issued.", required=True),
        planned_column("starts_at", "From when it holds."),
        planned_column("ends_at", "Until when it holds."),
    ),
)
