"""What the shop sends, gives and spends to win customers.

Add here: an entity of marketing.
Not here: the pipeline's own decisions (``lib/outreach``).
"""

from __future__ import annotations

from crm_pipeline.lib.ingestion.contracts.columns import (
    ACCOUNT_CHANNEL,
    ANY_ACCOUNT_CHANNEL,
    CUSTOMER,
    Column,
    Entity,
    amount_column,
    count_column,
    enum_column,
    id_column,
    instant_column,
    planned_column,
    text_column,
)

MESSAGE_RECEIPTS = Entity(
    "message_receipts",
    "One thing that became of a message the shop has sent.",
    natural_key=("message_id", "receipt_kind", "occurred_at"),
    event_time="occurred_at",
    columns=(
        id_column("message_id", "Number of the message at the provider.", required=True),
        ANY_ACCOUNT_CHANNEL,
        CUSTOMER,
        enum_column(
            "receipt_kind",
            "What became of it.",
            "sent",
            "delivered",
            "opened",
            "clicked",
            "failed",
            "unsubscribed",
            required=True,
        ),
        instant_column("occurred_at", "When it happened.", required=True),
        id_column("journey", "Journey the message belongs to."),
        id_column("step", "Step of the journey."),
        id_column("decision_id", "Our decision behind the message, where the provider returns it."),
        text_column("failure_text", "Why it failed, as the provider writes it."),
        text_column("reply_text", "What the person answered.", max_length=500),
    ),
)

COUPON_EVENTS = Entity(
    "coupon_events",
    "One coupon issued, redeemed, expired or taken back.",
    natural_key=("coupon_id", "action"),
    event_time="occurred_at",
    columns=(
        id_column("coupon_id", "Number of the coupon.", required=True),
        ACCOUNT_CHANNEL,
        CUSTOMER,
        enum_column(
            "action", "What happened.", "issued", "redeemed", "expired", "revoked", required=True
        ),
        instant_column("occurred_at", "When it happened.", required=True),
        id_column("campaign_id", "Campaign that issued it."),
        amount_column("face_amount", "What it is worth.", accepts_zero=True),
        amount_column("threshold_amount", "Spend from which it counts.", accepts_zero=True),
        Column("currency", "currency", "ISO 4217 code of its worth."),
        id_column("order_id", "Order it was redeemed with.", pii="indirect"),
        planned_column("valid_until", "Last moment it counts."),
    ),
)

POINTS_EVENTS = Entity(
    "points_events",
    "One thing that earns or costs points at the source.",
    natural_key=("event_id",),
    event_time="occurred_at",
    columns=(
        id_column("event_id", "Number of the event.", required=True),
        ACCOUNT_CHANNEL,
        id_column("source_customer_id", "Account.", required=True, pii="indirect"),
        enum_column(
            "event_kind",
            "What it was for.",
            "check_in",
            "share",
            "review",
            "redeem",
            "donate",
            "transfer",
            required=True,
        ),
        count_column(
            "points",
            "Points, above zero; the kind says which way.",
            unit="points",
            required=True,
            accepts_zero=False,
        ),
        instant_column("occurred_at", "When it happened.", required=True),
        id_column("to_customer_id", "Account that receives a transfer.", pii="indirect"),
        id_column("reference_id", "Order, review or cause it belongs to.", pii="indirect"),
    ),
)

REFERRALS = Entity(
    "referrals",
    "One invitation of a newcomer by a customer.",
    natural_key=("referral_id",),
    event_time="invited_at",
    columns=(
        id_column("referral_id", "Number of the invitation.", required=True),
        ACCOUNT_CHANNEL,
        id_column("source_customer_id", "Account that invited.", required=True, pii="indirect"),
        id_column("invitee_customer_id", "Account that came.", pii="indirect"),
        instant_column("invited_at", "When the invitation was sent.", required=True),
        instant_column("joined_at", "When the newcomer registered."),
        text_column("campaign_name", "Community task or campaign."),
    ),
)

MARKETING_SPEND = Entity(
    "marketing_spend",
    "What one campaign cost on one day.",
    natural_key=("ad_platform", "campaign_id", "spent_on"),
    columns=(
        id_column("ad_platform", "Where the money went.", required=True),
        id_column("campaign_id", "Campaign.", required=True),
        text_column("campaign_name", "Name of the campaign."),
        Column("spent_on", "date", "Day of the spend.", required=True, low="1995-01-01"),
        id_column("promoted_channel", "Channel the campaign leads to."),
        amount_column("spend_amount", "What it cost.", required=True, accepts_zero=True),
        Column("currency", "currency", "ISO 4217 code of the cost.", required=True),
        count_column("impression_count", "Times it was shown.", unit="impressions"),
        count_column("click_count", "Times it was clicked.", unit="clicks"),
    ),
)
