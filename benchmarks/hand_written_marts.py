"""The marts of the made-up shop, written by hand over the same conformed parts.

Add here: the plain way to a table the pipeline makes, and its name in ``MADE_BY_HAND``.
Not here: what the models are compared by (``marts_cost``).

The yardstick of ``make bench`` for the models: one script for one day in one zone and currency, in
the fast shapes of DuckDB, without contracts, tests, ledger and history. It starts from nothing each
time. Given to it are the accounts of each customer and the ladder as the playbook tells it. A table
is compared in the columns the script makes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

MADE_BY_HAND = (
    "marts.fct_order_lines",
    "marts.fct_orders",
    "marts.dim_products",
    "marts.fct_sessions",
    "marts.fct_events_daily",
    "marts.fct_cart_days",
    "marts.fct_favourite_days",
    "marts.fct_live_days",
    "marts.fct_community_days",
    "marts.customer_timeline",
    "marts.source_customers",
    "metrics.sales_daily",
    "metrics.repurchase_30d",
    "marts.rfm_tiers",
)

SETTINGS = """
set TimeZone = 'UTC';
set preserve_insertion_order = false;
set disabled_optimizers = 'statistics_propagation';
create macro cents(amount) as cast(
    round(amount, 2) - case
        when abs(amount - round(amount, 2)) = 0.005
            and cast(round(amount, 2) * 100 as hugeint) % 2 <> 0
        then sign(amount) * 0.01 else 0 end
    as decimal(18, 2));
create macro ratio(numerator, denominator) as
    case when denominator <> 0 then numerator::double / denominator::double end;
create macro local_day(instant) as (instant + interval 480 minute)::date;
create macro in_cny(amount, currency, rate) as
    case when currency = 'CNY' then amount
    else (amount::decimal(36, 9) * rate)::decimal(36, 9) end;
"""

# Entity and the column that says when a record happened; others count as soon as they are known.
ENTITIES = {
    "order_lines": "ordered_at",
    "orders": "ordered_at",
    "refunds": "refunded_at",
    "events": "occurred_at",
    "community_posts": "posted_at",
    "products": None,
    "exchange_rates": None,
    "accounts": None,
    "legacy_customers": None,
    "contact_tags": "occurred_at",
    "privacy_requests": "requested_at",
    "store_visits": "visited_at",
    "device_usage": "measured_at",
    "tickets": "opened_at",
    "ticket_messages": "sent_at",
    "reviews": "reviewed_at",
    "survey_answers": "answered_at",
    "message_receipts": "occurred_at",
    "coupon_events": "occurred_at",
    "points_events": "occurred_at",
    "referrals": "invited_at",
    "shipments": "shipped_at",
}

# Few ids repeat, so only those pass through windows. Of a record's versions the newest counts; one
# that was told in two ways does not, and a delivery that says what the one before it said is none.
REPEATS = """
create temp table left_out_{entity} as
with
repeated as (
    select hash(record_id) as hashed from src.conformed.{entity}
    group by 1 having count(*) > 1
),
told as (
    select feed, file_sha256, record_number, record_id, source_version, content_hash, known_at
    from src.conformed.{entity}
    where hash(record_id) in (select hashed from repeated) and {visible}
),
versions as (
    select
        record_id, source_version,
        min(content_hash) as content,
        min(content_hash) = max(content_hash) as is_clear,
        max(known_at) = source_version as is_delivery
    from told
    group by record_id, source_version
),
starts as (
    select *,
        max(case when is_repeat then null else source_version end) over (
            partition by record_id order by source_version nulls first rows unbounded preceding
        ) as first_version
    from (
        select *, coalesce(is_delivery and content = lag(content) over (
            partition by record_id order by source_version nulls first
        ), false) as is_repeat
        from versions
        where is_clear
    )
),
ranked as (
    select told.*, starts.record_id is not null as is_clear, row_number() over (
        partition by told.record_id
        order by starts.record_id is null, first_version desc nulls last, known_at,
            inbox_seq nulls last, record_number, feed, file_sha256
    ) as place
    from told
    left join starts
        on told.record_id = starts.record_id
        and told.source_version is not distinct from starts.source_version
    left join src.ledger.inbox_files using (feed, file_sha256)
)
select feed, file_sha256, record_number from ranked where not is_clear or place > 1;

create temp view {entity} as
select records.*
from src.conformed.{entity} as records
left join left_out_{entity} as left_out using (record_number, file_sha256, feed)
where left_out.record_number is null and {visible};
"""

SALES = """
create temp table rates as
select base_currency as currency, rate_date + age as business_date, rate
from exchange_rates, (select range::integer as age from range(11)) as ages
where quote_currency = 'CNY' and base_currency <> 'CNY' and rate > 0
    and rate_date <= $as_of and rate_date + age <= $as_of
qualify row_number() over (
    partition by base_currency, rate_date + age order by age, channel
) = 1;

create table marts.fct_order_lines as
with
unsold as (select channel, order_id from orders where order_status <> 'paid'),
valued as (
    select
        lines.*,
        local_day(ordered_at) as business_date,
        line_kind = 'sale' and unsold.order_id is null as is_sale,
        (quantity::decimal(27, 3) * unit_price_amount)::decimal(36, 9) as line_amount
    from order_lines as lines
    left join unsold using (channel, order_id)
)
select
    record_id as order_line_id, channel, order_id, line_number, source_customer_id, ordered_at,
    valued.business_date, sku, product_name, line_kind, item_class, quantity, unit_price_amount,
    line_amount, valued.currency, is_sale,
    in_cny(line_amount, valued.currency, rate) as booked,
    case when is_sale then booked when booked is not null then 0 end::decimal(36, 9)
        as gross_exact_amount,
    case when line_kind = 'refund' then -booked when booked is not null then 0 end::decimal(36, 9)
        as refund_exact_amount,
    case when is_sale or line_kind = 'refund' then booked when booked is not null then 0
        end::decimal(36, 9) as net_exact_amount,
    country_name, store_id
from valued
left join rates on valued.currency = rates.currency and valued.business_date = rates.business_date;

create temp table documents as
with
lines as (
    select
        channel, order_id,
        min(ordered_at) as ordered_at,
        min(business_date) as business_date,
        min(source_customer_id) as source_customer_id,
        case when min(currency) = max(currency) then min(currency) end as currency,
        min(store_id) as store_id,
        min(country_name) as country_name,
        count(*) as line_count,
        count(*) filter (is_sale) as sale_line_count,
        count(*) filter (line_kind = 'refund') as refund_line_count,
        sum(quantity) filter (is_sale and item_class = 'product') as item_quantity,
        sum(gross_exact_amount) as gross,
        sum(refund_exact_amount) as refund,
        count(*) filter (gross_exact_amount is null) as unconverted_line_count
    from marts.fct_order_lines
    group by channel, order_id
),
both_sides as (
    select
        coalesce(lines.channel, orders.channel) as channel,
        coalesce(lines.order_id, orders.order_id) as order_id,
        coalesce(orders.ordered_at, lines.ordered_at) as ordered_at,
        coalesce(orders.source_customer_id, lines.source_customer_id) as source_customer_id,
        coalesce(local_day(orders.ordered_at), lines.business_date) as business_date,
        case when lines.order_id is null then orders.currency else lines.currency end as currency,
        orders.currency as header_currency,
        coalesce(orders.store_id, lines.store_id) as store_id,
        lines.country_name, payment_method, order_status,
        lines.order_id is not null as has_lines,
        line_count, sale_line_count, refund_line_count, item_quantity, gross, refund,
        unconverted_line_count,
        paid_amount,
        coalesce(shipping_amount, 0) as shipping,
        coalesce(discount_amount, 0) as discount,
        case
            when sale_line_count > 0
                or (lines.order_id is null and coalesce(order_status, 'paid') = 'paid') then 'sale'
            when refund_line_count > 0 then 'refund'
            else 'adjustment'
        end as document_kind
    from lines
    full outer join orders using (channel, order_id)
),
converted as (
    select
        both_sides.*, rate,
        case
            when not has_lines then in_cny(
                case when document_kind = 'sale' then paid_amount - shipping + discount else 0 end,
                both_sides.currency, rate
            )
            when unconverted_line_count = 0 then gross
        end as sold,
        case
            when document_kind <> 'sale' or discount = 0 then 0
            when header_currency = both_sides.currency
                then in_cny(discount, both_sides.currency, rate)
        end as taken_off
    from both_sides
    left join rates
        on both_sides.currency = rates.currency and both_sides.business_date = rates.business_date
)
select
    * exclude (gross, refund),
    case when taken_off is not null then sold end as gross_exact_amount,
    case when sold is not null then taken_off end as discount_exact_amount,
    case when sold is not null and taken_off is not null then coalesce(refund, 0) end
        as line_refund
from converted;

create temp table linked_refunds as
with matched as (
    select
        refunds.channel, refund_id, refunds.order_id, refunded_at,
        coalesce(documents.source_customer_id, refunds.source_customer_id) as source_customer_id,
        local_day(refunded_at) as business_date,
        in_cny(refund_amount, refunds.currency, rate) as booked,
        case when gross_exact_amount is not null
            then greatest(gross_exact_amount - discount_exact_amount - line_refund, 0)
            end as limited,
        coalesce(sum(booked) over (
            partition by refunds.channel, refunds.order_id order by refunded_at, refund_id
            rows between unbounded preceding and 1 preceding
        ), 0) as used
    from refunds
    join documents using (channel, order_id)
    where document_kind <> 'refund' and documents.currency = refunds.currency
)
select *, least(booked, greatest(limited - used, 0)) as refund
from matched
where limited is not null and booked is not null;

create table marts.dim_products as
with
names as (
    select
        sku, product_name, item_class,
        min(business_date) as first_sold_date, max(business_date) as last_sold_date,
        max(ordered_at) as last_ordered_at, count(*) as line_count
    from marts.fct_order_lines
    group by all
),
sold as (
    select
        sku, max(product_name) filter (place = 1) as product_name,
        max(item_class) filter (place = 1) as item_class,
        min(first_sold_date) as first_sold_date, max(last_sold_date) as last_sold_date,
        sum(line_count)::bigint as line_count
    from (
        select *, row_number() over (
            partition by sku
            order by product_name is null, last_ordered_at desc, product_name, item_class
        ) as place
        from names
    )
    group by sku
),
listed as (
    select * from products
    qualify row_number() over (partition by sku order by known_at desc, channel) = 1
)
select
    coalesce(listed.sku, sold.sku) as sku,
    coalesce(listed.product_name, sold.product_name) as product_name,
    coalesce(item_class, 'product') as item_class,
    category_name, brand_name, list_price_amount, currency, is_premium,
    first_sold_date, last_sold_date, coalesce(line_count, 0) as line_count
from sold
full outer join listed on sold.sku = listed.sku;
"""

# Sessions, carts and days are all made from one narrow copy of the events of the look-back.
BEHAVIOUR = """
create temp table narrow_events as
select
    channel, source_customer_id,
    case when source_customer_id is null then device_id end as device_id,
    event_id, occurred_at, local_day(occurred_at) as business_date, event_type, sku, quantity,
    unit_price_amount, currency, coalesce(dwell_seconds, 0) as dwell_seconds, live_room_id,
    known_at < coalesce(source_version, occurred_at) + interval 430 day as is_in_time
from events;

create table marts.fct_sessions as
with
slots as (
    select
        channel, source_customer_id, device_id, business_date,
        epoch_us(occurred_at) // 1800000000 as slot,
        min(occurred_at) as first_event_at, max(occurred_at) as last_event_at,
        count(*) as event_count,
        count(*) filter (event_type = 'product_view') as product_view_count,
        count(*) filter (event_type = 'cart_added') as cart_added_count,
        count(*) filter (event_type = 'checkout_started') as checkout_count,
        sum(dwell_seconds) as dwell_seconds
    from narrow_events
    where is_in_time
    group by all
),
opened as (
    select *, case
        when first_event_at <= lag(last_event_at) over visitor + interval 30 minute then 0 else 1
    end as is_opening
    from slots
    window visitor as (
        partition by channel, source_customer_id, device_id, business_date order by slot
    )
),
numbered as (
    select *, (sum(is_opening) over (
        partition by channel, source_customer_id, device_id, business_date
        order by slot rows unbounded preceding
    ))::integer as session_number
    from opened
)
select
    channel, source_customer_id, device_id, business_date, session_number,
    min(first_event_at) as first_event_at, max(last_event_at) as last_event_at,
    sum(event_count)::bigint as event_count,
    sum(product_view_count)::bigint as product_view_count,
    sum(cart_added_count)::bigint as cart_added_count,
    sum(checkout_count)::bigint as checkout_count,
    sum(dwell_seconds)::decimal(18, 3) as dwell_seconds
from numbered
group by all;

create table marts.fct_events_daily as
with
sessions as (
    select channel, source_customer_id, device_id, business_date, count(*) as session_count
    from marts.fct_sessions
    group by all
),
days as (
    select
        channel, source_customer_id, device_id, business_date,
        count(*) as event_count, count(distinct sku) as product_count,
        {kinds},
        count(*) filter (event_type like 'live_%') as live_event_count,
        sum(dwell_seconds)::decimal(18, 3) as dwell_seconds,
        min(occurred_at) as first_event_at, max(occurred_at) as last_event_at
    from narrow_events
    where is_in_time
    group by all
)
select days.*, session_count
from days
join sessions
    on days.channel = sessions.channel and days.business_date = sessions.business_date
    and coalesce(days.source_customer_id, '') = coalesce(sessions.source_customer_id, '')
    and coalesce(days.device_id, '') = coalesce(sessions.device_id, '');

create table marts.fct_live_days as
select
    channel, source_customer_id, device_id, business_date, live_room_id,
    count(*) filter (event_type = 'live_entered') as entered_count,
    count(*) filter (event_type = 'live_liked') as liked_count,
    count(*) filter (event_type = 'live_commented') as commented_count,
    count(*) filter (event_type = 'live_product_clicked') as product_clicked_count,
    count(distinct sku) as product_count,
    sum(dwell_seconds)::decimal(18, 3) as dwell_seconds,
    min(occurred_at) as first_event_at, max(occurred_at) as last_event_at
from narrow_events
where is_in_time and event_type in (
    'live_entered', 'live_left', 'live_liked', 'live_commented', 'live_product_clicked'
)
group by all;

create table marts.fct_community_days as
select
    coalesce(account_channel, channel) as channel, source_customer_id, group_id,
    local_day(posted_at) as business_date,
    count(*) as message_count,
    count(*) filter (post_kind = 'post') as post_count,
    count(*) filter (post_kind = 'question') as question_count,
    count(*) filter (post_kind = 'answer') as answer_count,
    count(*) filter (post_kind = 'share') as share_count,
    sum(coalesce(like_count, 0))::bigint as like_count,
    min(posted_at) as first_posted_at, max(posted_at) as last_posted_at
from community_posts
where known_at < coalesce(source_version, posted_at) + interval 430 day
group by all;
"""
DAILY_KINDS = (
    "page_view", "product_view", "search", "cart_added", "cart_removed", "favourite_added",
    "favourite_removed", "checkout_started", "login", "share", "check_in",
)  # fmt: skip
ADDED_AND_REMOVED = """
create table marts.fct_{what}_days as
select
    channel, source_customer_id, device_id, business_date, sku,
    count(*) filter (event_type = '{what}_added') as added_count,
    count(*) filter (event_type = '{what}_removed') as removed_count,
    {quantities}
    max(occurred_at) filter (event_type = '{what}_added') as last_added_at,
    max(occurred_at) filter (event_type = '{what}_removed') as last_removed_at
from narrow_events
where is_in_time and event_type in ('{what}_added', '{what}_removed')
group by all;
"""
CART_QUANTITIES = """
    coalesce(sum(coalesce(quantity, 1)) filter (event_type = 'cart_added'), 0)::decimal(18, 3)
        as added_quantity,
    coalesce(sum(coalesce(quantity, 1)) filter (event_type = 'cart_removed'), 0)::decimal(18, 3)
        as removed_quantity,
"""


@dataclass(frozen=True)
class Touch:
    """One kind of touch: where it comes from and what is said of it, as SQL."""

    rows: str
    entity: str
    kind: str
    key: str
    at: str
    reference: str = "null"
    sku: str = "null"
    amount: str = ""
    label: str = "null"
    account: str = "source_customer_id"
    feed: str = "channel"
    channel: str = "coalesce(account_channel, channel)"
    count: str = "1"
    currency: str = "currency"

    def sql(self) -> str:
        """A query of its rows."""
        return f"""
        select
            {self.channel} as channel, {self.account} as source_customer_id,
            {self.at} as occurred_at, local_day({self.at}) as business_date,
            {self.kind} as touch_kind, '{self.entity}' as entity, {self.feed} as feed_channel,
            {self.reference}::varchar as reference_id, {self.sku}::varchar as sku,
            {self.count}::bigint as touch_count,
            {f"cents({self.amount})" if self.amount else "null::decimal(18, 2)"} as amount,
            {self.currency if self.amount else "null"}::varchar as currency,
            {self.label}::varchar as label,
            concat_ws('|', '{self.entity}', {self.feed}, {self.key}, {self.kind}) as touch_id
        from {self.rows}
        where {self.account} is not null and {self.at} is not null
        """


LINE_KINDS = """case line_kind when 'sale' then 'product_ordered' when 'refund' then
    'product_returned' when 'gift' then 'gift_ordered' else 'order_adjusted' end"""
DEEDS = """('cart_added', 'cart_removed', 'favourite_added', 'favourite_removed',
    'checkout_started', 'share', 'check_in')"""
LOOKS = f"""(
    select channel, source_customer_id, event_type, min(occurred_at) as occurred_at,
        count(*) as touch_count
    from narrow_events
    where source_customer_id is not null and event_type not in {DEEDS}
    group by channel, source_customer_id, business_date, event_type
)"""
DEED_ROWS = f"""(
    select channel, source_customer_id, event_type, event_id, min(occurred_at) as occurred_at,
        min(sku) as sku, min(quantity * unit_price_amount) as amount, min(currency) as currency,
        count(*) as touch_count
    from narrow_events
    where source_customer_id is not null and event_type in {DEEDS}
    group by channel, source_customer_id, business_date, event_type, event_id
)"""
OWNED = "(select channel, order_id, source_customer_id as owner from documents) as documents"
PARCELS = f"""shipments join {OWNED}
    on order_channel = documents.channel and shipments.order_id = documents.order_id"""
CONSENTS = """(select * from src.ledger.consents
    where known_at < $end_at and occurred_at < $end_at)"""
CHATS = """(select ticket_messages.*, tickets.source_customer_id,
    coalesce(tickets.account_channel, tickets.channel) as desk_channel
    from ticket_messages join tickets using (channel, ticket_id))"""
ORPHANS = f"""(select refunds.* exclude (source_customer_id), owner from refunds join {OWNED}
    using (channel, order_id) where source_customer_id is null)"""
OPENED = "coalesce(registered_at, local_midnight(coalesce(registered_at, known_at)))"
TOUCHES = (
    Touch("accounts", "accounts",
          "case when registered_at is null then 'account_known' else 'account_opened' end",
          "source_customer_id", OPENED, channel="channel"),
    Touch("legacy_customers", "legacy_customers",
          "case when registered_at is null then 'taken_over' else 'legacy_account_opened' end",
          "source_customer_id", OPENED, label="level_name", channel="channel"),
    Touch("contact_tags", "contact_tags", "'tag_' || action",
          "concat_ws('|', source_customer_id, occurred_at::varchar, md5(tag_name))", "occurred_at",
          reference="guide_id", channel="channel"),
    Touch("privacy_requests", "privacy_requests", "'privacy_requested'", "request_id",
          "requested_at", "request_id", label="concat_ws(' ', request_kind, request_status)"),
    Touch("orders", "orders", "'order_placed'", "order_id", "ordered_at", "order_id",
          amount="case when order_status = 'paid' then paid_amount end", label="order_status",
          channel="channel"),
    Touch("marts.fct_order_lines", "order_lines", LINE_KINDS, "order_line_id", "ordered_at",
          "order_id", "sku", "line_amount", "item_class", channel="channel"),
    Touch("refunds", "refunds", "'refund_booked'", "refund_id", "refunded_at", "order_id", "sku",
          "-refund_amount", channel="channel"),
    Touch("store_visits", "store_visits", "'store_visited'", "visit_id", "visited_at", "store_id",
          label="case when not is_purchase then 'without purchase' end"),
    Touch("community_posts", "community_posts", "'community_' || post_kind", "post_id",
          "posted_at", "group_id", "sku"),
    Touch("device_usage", "device_usage", "'product_used'",
          "concat_ws('|', device_id, metric, measured_at::varchar)", "measured_at", sku="sku",
          label="concat_ws(' ', metric, reading::varchar)"),
    Touch("tickets", "tickets", "'ticket_opened'", "ticket_id", "opened_at", "ticket_id", "sku",
          label="concat_ws(' ', ticket_kind, ticket_status)"),
    Touch("tickets", "tickets", "'ticket_resolved'", "ticket_id", "resolved_at", "ticket_id",
          "sku", label="ticket_kind"),
    Touch(CHATS, "ticket_messages", "'chat_by_' || sender_kind", "message_id", "sent_at",
          "ticket_id", channel="desk_channel"),
    Touch("reviews", "reviews", "'review_written'", "review_id", "reviewed_at", "order_id", "sku",
          label="concat_ws(' ', rating::varchar, 'of 5')"),
    Touch("survey_answers", "survey_answers", "'survey_answered'", "answer_id", "answered_at",
          "order_id", label="concat_ws(' ', survey_kind, score::varchar)"),
    Touch("message_receipts", "message_receipts", "'message_' || receipt_kind",
          "concat_ws('|', message_id, occurred_at::varchar)", "occurred_at", "message_id",
          label="concat_ws(' ', journey, step)"),
    Touch("coupon_events", "coupon_events", "'coupon_' || action", "coupon_id", "occurred_at",
          "coupon_id", amount="face_amount", label="campaign_id"),
    Touch("points_events", "points_events", "'points_' || event_kind", "event_id", "occurred_at",
          "reference_id", label="concat_ws(' ', points::varchar, 'points')"),
    Touch("points_events", "points_events", "'points_received'", "event_id", "occurred_at",
          "reference_id", label="concat_ws(' ', points::varchar, 'points')",
          account="to_customer_id"),
    Touch("referrals", "referrals", "'newcomer_invited'", "referral_id", "invited_at",
          "referral_id"),
    Touch("referrals", "referrals", "'invitation_accepted'", "referral_id", "joined_at",
          "referral_id", account="invitee_customer_id"),
    Touch(PARCELS, "shipments", "'parcel_shipped'", "shipment_id", "shipped_at",
          "shipments.order_id", label="shipment_status", account="owner",
          feed="shipments.channel", channel="order_channel"),
    Touch(PARCELS, "shipments", "'parcel_delivered'", "shipment_id", "delivered_at",
          "shipments.order_id", label="case when delivered_at > promised_at then 'late' end",
          account="owner", feed="shipments.channel", channel="order_channel"),
    Touch(ORPHANS, "refunds", "'refund_booked'", "refund_id", "refunded_at", "order_id", "sku",
          "-refund_amount", account="owner", channel="channel"),
    Touch(CONSENTS, "consents",
          "case when is_granted then 'consent_granted' else 'consent_withdrawn' end", "event_id",
          "occurred_at", label="concat_ws(' ', purpose, consent_channel)", channel="channel"),
    Touch(LOOKS, "events", "event_type",
          "concat_ws('|', source_customer_id, local_day(occurred_at)::varchar)", "occurred_at",
          count="touch_count", channel="channel"),
    Touch(DEED_ROWS, "events", "event_type", "event_id", "occurred_at", "event_id", "sku",
          "amount", count="touch_count", channel="channel"),
)  # fmt: skip
TIMELINE = """
create macro local_midnight(instant) as
    local_day(instant)::timestamp - interval 480 minute;
create table marts.customer_timeline as
{touches};

create table marts.source_customers as
select channel, source_customer_id, customer_id, linked_by, first_seen_date, last_seen_date
from (
    select channel, source_customer_id,
        min(business_date) as first_seen_date, max(business_date) as last_seen_date
    from marts.customer_timeline
    group by all
)
join src.identity.customer_accounts using (channel, source_customer_id);
"""

CUSTOMERS = """
create table marts.fct_orders as
with refunded as (
    select channel, order_id, sum(refund) as refund from linked_refunds group by all
),
summed as (
    select documents.*, line_refund + coalesce(refund, 0) as refunded_amount,
        gross_exact_amount - discount_exact_amount - refunded_amount as net
    from documents
    left join refunded using (channel, order_id)
)
select
    channel, order_id, document_kind, source_customer_id, customer_id,
    customer_id as customer_id_at_order, ordered_at, business_date,
    extract(hour from ordered_at + interval 480 minute)::integer as business_hour, currency,
    cents(gross_exact_amount) as gross_amount,
    cents(discount_exact_amount) as discount_amount,
    cents(refunded_amount) as refund_amount,
    cents(net) as net_amount,
    net::decimal(38, 9) as net_exact_amount,
    coalesce(line_count, 0) as line_count,
    coalesce(sale_line_count, 0) as sale_line_count,
    coalesce(item_quantity, 0)::decimal(18, 3) as item_quantity,
    document_kind = 'sale' and coalesce(refunded_amount > 0, false) as is_refunded,
    coalesce(order_status, '') = 'cancelled' as is_cancelled,
    payment_method, store_id, country_name
from summed
left join marts.source_customers using (channel, source_customer_id);

create temp table movements as
select
    channel, source_customer_id, business_date, document_kind = 'sale' as is_order,
    case when document_kind = 'sale' then coalesce(sale_line_count, 0) else 0 end
        as sale_line_count,
    case when document_kind = 'sale' then coalesce(item_quantity, 0) else 0 end as item_quantity,
    gross_exact_amount as gross, discount_exact_amount as discount, line_refund as refund
from documents
union all
select channel, source_customer_id, business_date, false, 0, 0, 0, 0, refund from linked_refunds;

create temp table customer_products as
select
    customer_id, sku, min(business_date) as first_order_date,
    sum(gross_exact_amount) as gross, sum(quantity) as item_quantity
from marts.fct_order_lines
join marts.source_customers using (channel, source_customer_id)
where is_sale and item_class = 'product'
group by all;

create temp table customer_days as
with
days as (
    select
        customer_id, business_date, count(*) filter (is_order) as order_count,
        sum(sale_line_count) as sale_line_count, sum(item_quantity) as item_quantity,
        count(*) filter (is_order and gross is null) as unconverted_order_count,
        sum(gross) - coalesce(sum(discount), 0) as gross, sum(refund) as refund,
        coalesce(sum(gross), 0) - coalesce(sum(discount), 0) - coalesce(sum(refund), 0) as net
    from movements
    join marts.source_customers using (channel, source_customer_id)
    group by all
),
new_products as (
    select customer_id, first_order_date as business_date, count(*) as new_product_count
    from customer_products
    group by all
),
purchase_days as (
    select
        customer_id, business_date, row_number() over by_day as day_number,
        business_date - lag(business_date) over by_day as gap_days
    from days
    where order_count > 0
    window by_day as (partition by customer_id order by business_date)
)
select days.*, coalesce(new_product_count, 0) as new_product_count, day_number, gap_days
from days
left join new_products using (customer_id, business_date)
left join purchase_days using (customer_id, business_date);

create temp table customer_orders as
with
seen as (
    select customer_id, min(first_seen_date) as first_seen_date
    from marts.source_customers
    group by all
)
select
    customer_id, first_seen_date,
    min(business_date) filter (order_count > 0) as first_order_date,
    max(business_date) filter (order_count > 0) as last_order_date,
    coalesce(sum(order_count), 0)::bigint as order_count,
    coalesce(sum(order_count) filter (business_date > $as_of - 365), 0)::bigint
        as order_count_in_window,
    coalesce(sum(order_count), 0) > 0
        and sum(order_count) = sum(unconverted_order_count) as is_unknown,
    case when not is_unknown then cents(coalesce(
        sum(net) filter (business_date > $as_of - 365), 0
    )) end as spend_amount_in_window,
    case when not is_unknown then coalesce(sum(net), 0) end as net,
    ($as_of - coalesce(max(business_date) filter (order_count > 0), first_seen_date))::integer
        as days_since_last_order
from seen
left join customer_days using (customer_id)
group by customer_id, first_seen_date;
"""

# The playbook's ladder: limits on spend come from the customers who ordered in the year.
TIERS = """
create table marts.rfm_tiers as
with
buyers as (
    select
        spend_amount_in_window as spend,
        row_number() over (order by spend_amount_in_window, customer_id) as place,
        count(*) over () as buyer_count,
        sum(spend_amount_in_window) over () as total
    from customer_orders
    where order_count_in_window > 0 and spend_amount_in_window is not null
),
limits as (
    select
        any_value(total) as total, any_value(buyer_count) as buyer_count,
        {percentiles}
    from buyers
),
facts as (
    select
        *, days_since_last_order as silent_days, order_count_in_window as orders,
        spend_amount_in_window as spend, coalesce(spend_amount_in_window > 0, false) as has_spend
    from customer_orders
    cross join limits
),
ruled as (
    select *, case
        when silent_days <= 7 and orders >= 5 and has_spend and spend * 100 >= p80
            then 'playbook_core'
        when silent_days <= 7 and orders <= 1 then 'playbook_new'
        when silent_days <= 15 and orders between 1 and 2 and has_spend
            and spend * 100 between p40 and p60 then 'playbook_potential'
        when silent_days >= 90 and orders >= 1 and has_spend and spend * buyer_count >= total
            then 'playbook_dormant'
        when silent_days <= 89 and orders >= 3 and has_spend and spend * 100 >= p60
            then 'playbook_high_value_loyal'
        when silent_days <= 30 and orders >= 1 then 'playbook_growth_recent'
        when silent_days <= 89 and orders >= 1 and has_spend and spend * 100 >= p60
            then 'playbook_growth_spend'
        when silent_days <= 89 then 'playbook_general_value'
        else 'playbook_churn_risk'
    end as tier_rule_id
    from facts
)
select
    customer_id, $as_of as as_of_date,
    case when tier_rule_id like 'playbook_growth_%' then 'high_potential_growth'
        else replace(tier_rule_id, 'playbook_', '') end as rfm_tier,
    days_since_last_order, order_count_in_window, spend_amount_in_window, order_count,
    cents(net) as spend_amount, 'CNY' as currency, 'playbook' as ladder, tier_rule_id,
    first_seen_date, first_order_date, last_order_date
from ruled;
"""
# Position p * (n - 1) between the ordered spends, hundredfold: exact where a quantile is a double.
PERCENTILE = """
        sum(spend * case
            when place = {pct} * (buyer_count - 1) // 100 + 1
                then 100 - {pct} * (buyer_count - 1) % 100
            when place = {pct} * (buyer_count - 1) // 100 + 2 then {pct} * (buyer_count - 1) % 100
            else 0
        end) as p{pct}"""

METRICS = """
create table metrics.sales_daily as
select
    channel, business_date,
    count(*) filter (is_order) as order_count,
    count(distinct customer_id) filter (is_order) as customer_count,
    'CNY' as currency,
    cents(sum(gross)) as gross_amount,
    cents(sum(discount)) as discount_amount,
    cents(sum(refund)) as refund_amount,
    cents(sum(gross) - sum(discount) - sum(refund)) as net_amount,
    count(*) filter (is_order and gross is null) as unconverted_order_count
from movements
left join marts.source_customers using (channel, source_customer_id)
group by all;

create table metrics.repurchase_30d as
with
firsts as (
    select
        customer_id, min(business_date) as first_order_date,
        min(business_date) filter (day_number = 2) as second_order_date
    from customer_days
    where order_count > 0
    group by all
),
observed as (
    select
        date_trunc('month', first_order_date)::date as cohort_month_date,
        first_order_date + 30 <= $as_of as is_observed,
        coalesce(second_order_date <= first_order_date + 30, false) as has_repurchased
    from firsts
)
select
    cohort_month_date, count(*) as customer_count,
    count(*) filter (is_observed) as observed_customer_count,
    count(*) filter (is_observed and has_repurchased) as repurchase_customer_count,
    ratio(
        100 * count(*) filter (is_observed and has_repurchased), count(*) filter (is_observed)
    ) as repurchase_pct
from observed
group by all;
"""


def make_by_hand(sources: Path, target: Path, as_of: date) -> dict[str, float]:
    """Writes ``MADE_BY_HAND`` into a new file; CPU seconds of each part of the script."""
    end_at = f"timestamp '{as_of}' + interval 16 hour"
    spent: dict[str, float] = {}
    with duckdb.connect() as connection:

        @contextmanager
        def timed(name: str) -> Iterator[None]:
            began = time.process_time()
            yield
            spent[name] = time.process_time() - began

        def run(name: str, script: str) -> None:
            with timed(name):
                text = script.replace("$as_of", f"date '{as_of}'").replace("$end_at", end_at)
                connection.execute(text)

        connection.execute(SETTINGS)
        connection.execute(f"attach '{sources}' as src (read_only); attach '{target}' as made")
        # Temporary tables stay in memory; only what is compared is written.
        connection.execute("use made; create schema marts; create schema metrics")
        connection.execute("set search_path = 'made,memory'")
        with timed("repeats"):
            for entity, moment in ENTITIES.items():
                visible = f"known_at < {end_at}" + (f" and {moment} < {end_at}" if moment else "")
                connection.execute(REPEATS.format(entity=entity, visible=visible))
        run("sales", SALES)
        kinds = (f"count(*) filter (event_type = '{kind}') as {kind}_count" for kind in DAILY_KINDS)
        run("behaviour", BEHAVIOUR.replace("{kinds}", ", ".join(kinds)))
        for what, quantities in (("cart", CART_QUANTITIES), ("favourite", "")):
            run(f"{what}s", ADDED_AND_REMOVED.format(what=what, quantities=quantities))
        touches = " union all ".join(touch.sql() for touch in TOUCHES)
        run("timeline, accounts", TIMELINE.format(touches=touches))
        run("orders, customers", CUSTOMERS)
        percentiles = ",".join(PERCENTILE.format(pct=pct) for pct in (40, 60, 80))
        run("tiers", TIERS.replace("{percentiles}", percentiles))
        run("metrics", METRICS)
        with timed("checkpoint"):
            connection.execute("use memory; checkpoint made; detach made")
    return spent
