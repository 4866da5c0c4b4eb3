"""What is sold and paid back.

Add here: an entity of the sales books.
Not here: prices of the catalogue (``supply``).
"""

from __future__ import annotations

from crm_pipeline.lib.ingestion.contracts.columns import (
    CURRENCY,
    CUSTOMER,
    STORE,
    Column,
    Entity,
    amount_column,
    direct,
    id_column,
    instant_column,
    text_column,
)

ORDER_LINES = Entity(
    "order_lines",
    "One line of one order, refund or adjustment.",
    natural_key=("order_id", "line_number"),
    document="order_id",
    event_time="ordered_at",
    columns=(
        id_column("order_id", "Document the line stands on.", required=True, pii="indirect"),
        id_column(
            "line_number", "Number of the line in its document; absent when the source has none."
        ),
        CUSTOMER,
        instant_column("ordered_at", "When the line was booked.", required=True),
        id_column("sku", "Product as the channel numbers it.", required=True),
        text_column("product_name", "Name printed on the line.", max_length=500),
        Column(
            "quantity",
            "quantity",
            "Pieces; below zero on refund lines, never on sale lines.",
            required=True,
            unit="pieces",
            high="1000000",
            may_allow=("negative", "zero"),
            signed_by="line_kind",
        ),
        amount_column(
            "unit_price_amount",
            "Price of one piece.",
            required=True,
            may_allow=("zero", "negative"),
        ),
        CURRENCY,
        Column(
            "line_kind",
            "enum",
            "What the line does to the books.",
            required=True,
            values=("sale", "refund", "gift", "adjustment"),
        ),
        Column(
            "item_class",
            "enum",
            "Whether the line is merchandise.",
            required=True,
            values=("product", "fee", "test"),
        ),
        text_column(
            "country_name", "Country of the buyer as the channel writes it.", pii="indirect"
        ),
        STORE,
        id_column("live_room_id", "Live room the line was sold in."),
    ),
)

ORDERS = Entity(
    "orders",
    "One order head.",
    natural_key=("order_id",),
    document="order_id",
    event_time="ordered_at",
    columns=(
        id_column("order_id", "Number of the order at the channel.", required=True, pii="indirect"),
        CUSTOMER,
        instant_column("ordered_at", "When the order was placed.", required=True),
        Column(
            "order_status",
            "enum",
            "State of the order when it was exported; only a paid one sells.",
            required=True,
            values=("unpaid", "paid", "cancelled", "closed"),
        ),
        amount_column(
            "paid_amount", "What the customer paid.", accepts_zero=True, may_allow=("negative",)
        ),
        amount_column("shipping_amount", "Shipping inside the paid amount.", accepts_zero=True),
        amount_column("discount_amount", "Discount already taken off.", accepts_zero=True),
        CURRENCY,
        text_column("payment_method", "Means of payment as the channel writes it.", max_length=100),
        STORE,
        id_column("coupon_id", "Coupon that was redeemed."),
        id_column("live_room_id", "Live room the order was placed in."),
        id_column("member_number", "Member number said at the till.", pii="direct"),
        direct("buyer_phone", "Phone given by the buyer; may be masked or the shop's own."),
        direct("receiver_name", "Who gets the parcel; not the buyer when it is a gift."),
        direct("receiver_phone", "Phone of the receiver; may be masked or expiring."),
        direct("receiver_address", "Where the parcel goes.", max_length=500),
        id_column("receiver_token", "Receiver as the marketplace hides it (OAID).", pii="direct"),
    ),
)

REFUNDS = Entity(
    "refunds",
    "One refund.",
    natural_key=("refund_id",),
    event_time="refunded_at",
    columns=(
        id_column("refund_id", "Number of the refund at the channel.", required=True),
        id_column("order_id", "Order that is refunded.", required=True, pii="indirect"),
        CUSTOMER,
        instant_column("refunded_at", "When the refund was booked.", required=True),
        amount_column("refund_amount", "What went back, above zero.", required=True),
        CURRENCY,
        text_column("refund_reason", "Reason as the channel writes it.", max_length=500),
        id_column("sku", "Product, when one line is refunded."),
    ),
)
