"""Goods: catalogue, stock and parcels.

Add here: an entity of the supply side.
Not here: what is sold (``sales``).
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
    quantity_column,
    text_column,
)

PRODUCTS = Entity(
    "products",
    "One product of a channel's catalogue.",
    natural_key=("sku",),
    columns=(
        id_column("sku", "Product as the channel numbers it.", required=True),
        text_column("product_name", "Name in the catalogue.", max_length=500),
        text_column("category_name", "Category in the catalogue."),
        text_column("brand_name", "Brand in the catalogue."),
        amount_column("list_price_amount", "Price before discounts.", accepts_zero=True),
        Column("currency", "currency", "ISO 4217 code of the list price."),
        Column("is_premium", "boolean", "Belongs to a premium line."),
        id_column("barcode", "Barcode (GTIN), where the channel knows it."),
        id_column("erp_sku", "The same product as the ERP numbers it."),
        quantity_column("replenish_days", "Days until it is used up.", unit="days", high="3650"),
        instant_column("listed_at", "When it went on sale."),
    ),
)

STOCK_LEVELS = Entity(
    "stock_levels",
    "What one place had of one product at one count.",
    natural_key=("sku", "location_id", "counted_at"),
    event_time="counted_at",
    columns=(
        id_column("sku", "Product as the ERP numbers it.", required=True),
        id_column("location_id", "Warehouse or shop.", required=True),
        instant_column("counted_at", "When it was counted.", required=True),
        quantity_column(
            "quantity_on_hand",
            "Pieces there; below zero where more was booked out than in.",
            unit="pieces",
            required=True,
            may_allow=("negative",),
        ),
        quantity_column("quantity_reserved", "Pieces of it that are promised.", unit="pieces"),
    ),
)

SHIPMENTS = Entity(
    "shipments",
    "One parcel, in its newest state.",
    natural_key=("shipment_id",),
    event_time="shipped_at",
    columns=(
        id_column("shipment_id", "Waybill number.", required=True, pii="indirect"),
        id_column("order_channel", "Channel of the order.", required=True, names_channel=True),
        id_column("order_id", "Order in the parcel.", required=True, pii="indirect"),
        id_column("carrier_name", "Carrier."),
        enum_column(
            "shipment_status",
            "How far it is.",
            "shipped",
            "in_transit",
            "delivered",
            "returned",
            "lost",
            required=True,
        ),
        instant_column("shipped_at", "When it left.", required=True),
        planned_column("promised_at", "When it was promised to arrive."),
        instant_column("delivered_at", "When it arrived."),
        text_column("city_name", "City it goes to.", pii="indirect"),
    ),
)
