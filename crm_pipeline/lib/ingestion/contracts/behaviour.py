"""What people do without buying.

Add here: an entity about behaviour.
Not here: what they say to the shop (``service``).
"""

from __future__ import annotations

from crm_pipeline.lib.ingestion.contracts.columns import (
    ACCOUNT_CHANNEL,
    CUSTOMER,
    Column,
    Entity,
    amount_column,
    count_column,
    enum_column,
    flag_column,
    id_column,
    instant_column,
    quantity_column,
    text_column,
)

EVENTS = Entity(
    "events",
    "One thing a person did in an app, a mini-program or a live room.",
    natural_key=("event_id",),
    event_time="occurred_at",
    columns=(
        id_column("event_id", "Number of the event at the channel.", required=True),
        CUSTOMER,
        id_column("device_id", "Device; the only trace of a person before login.", pii="indirect"),
        instant_column("occurred_at", "When it happened.", required=True),
        enum_column(
            "event_type",
            "What happened.",
            "page_view",
            "product_view",
            "search",
            "cart_added",
            "cart_removed",
            "favourite_added",
            "favourite_removed",
            "checkout_started",
            "login",
            "share",
            "check_in",
            "live_entered",
            "live_left",
            "live_liked",
            "live_commented",
            "live_product_clicked",
            required=True,
        ),
        id_column("sku", "Product it is about."),
        text_column("category_name", "Category that was looked at."),
        text_column("page_name", "Page, screen or search words.", max_length=500),
        quantity_column("quantity", "Pieces put in or taken out.", unit="pieces"),
        amount_column("unit_price_amount", "Price shown.", accepts_zero=True),
        Column("currency", "currency", "ISO 4217 code of the price shown."),
        quantity_column("dwell_seconds", "Time spent on the page.", unit="seconds", high="86400"),
        id_column("live_room_id", "Live room."),
        text_column("comment_text", "What was written in a live room.", max_length=2000),
    ),
)

STORE_VISITS = Entity(
    "store_visits",
    "One visit of a person to a shop.",
    natural_key=("visit_id",),
    event_time="visited_at",
    columns=(
        id_column("visit_id", "Number of the visit.", required=True),
        ACCOUNT_CHANNEL,
        CUSTOMER,
        id_column("store_id", "Shop.", required=True),
        instant_column("visited_at", "When the person came in.", required=True),
        count_column("stay_minutes", "How long the person stayed.", unit="minutes", high="1440"),
        flag_column("is_purchase", "Whether something was bought."),
        id_column("guide_id", "Shop guide who served."),
    ),
)

COMMUNITY_POSTS = Entity(
    "community_posts",
    "One message in a customer group or forum.",
    natural_key=("post_id",),
    event_time="posted_at",
    columns=(
        id_column("post_id", "Number of the message.", required=True),
        ACCOUNT_CHANNEL,
        CUSTOMER,
        id_column("group_id", "Group or forum.", required=True),
        instant_column("posted_at", "When it was written.", required=True),
        enum_column(
            "post_kind",
            "What the message is.",
            "post",
            "question",
            "answer",
            "share",
            required=True,
        ),
        id_column("reply_to_id", "Message it answers."),
        id_column("sku", "Product it is about."),
        text_column("post_text", "What was written.", max_length=5000),
        count_column("like_count", "Likes when it was exported.", unit="likes"),
    ),
)

DEVICE_USAGE = Entity(
    "device_usage",
    "One reading of a product in use, such as the life left in a filter.",
    natural_key=("device_id", "metric", "measured_at"),
    event_time="measured_at",
    columns=(
        id_column(
            "device_id", "Serial number of the product in use.", required=True, pii="indirect"
        ),
        ACCOUNT_CHANNEL,
        CUSTOMER,
        id_column("sku", "Product."),
        enum_column(
            "metric", "What was measured.", "filter_life_percent", "run_hours", required=True
        ),
        quantity_column("reading", "What it said.", unit="of the metric", required=True),
        instant_column("measured_at", "When it was read.", required=True),
    ),
)
