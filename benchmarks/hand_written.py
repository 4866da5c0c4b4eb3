"""Online Retail II from two CSV files to a published folder, written by hand as one script.

Add here: the plain way to the same tables and columns as ``crm run`` publishes.
Not here: what makes a pipeline a pipeline (raw copies, quarantine, ledger, gate, tests, history).

The yardstick of ``make bench``: SQL a careful analyst would write for this one shop on this one
day, in the fast shapes of DuckDB. It stops at the first bad line, knows one currency, one
channel and the data set's own rules, and starts from nothing each time. It makes no scores: what
those cost beside the bare library is another benchmark (``scoring_cost``).

Run: ``python -m benchmarks.hand_written --landing <folder> --out <folder>``; the yearly files
are ``<landing>/online_retail/*.csv``.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

STORAGE_VERSION = "v1.0.0"
PARQUET = "format parquet, compression zstd, compression_level 1"

SETTINGS = """
set TimeZone = 'UTC';
set preserve_insertion_order = false;
set enable_progress_bar = false;
"""

# Money is rounded half to even once, exactly: DuckDB's own round_even goes through doubles.
MACROS = """
create macro cents(amount) as cast(
    round(amount, 2) - case
        when abs(amount - round(amount, 2)) = 0.005
            and cast(round(amount, 2) * 100 as hugeint) % 2 <> 0
        then sign(amount) * 0.01 else 0 end
    as decimal(18, 2));
create macro to_utc(local_time) as (local_time at time zone 'Europe/London') at time zone 'UTC';
create macro ratio(numerator, denominator) as
    case when denominator <> 0 then numerator::double / denominator::double end;
"""

# The two years overlap and lines may truly repeat inside an invoice: equal lines are counted
# within their file, and the same line with the same number is the same line. Few lines repeat,
# so only those pass through windows.
READ_FILES = """
create temp table delivered as
select
    filename as path,
    trim(Invoice) as order_id,
    upper(trim(StockCode)) as sku,
    nullif(trim(Description), '') as product_name,
    Quantity::decimal(18, 3) as quantity,
    Price as unit_price_amount,
    InvoiceDate as local_at,
    regexp_replace(trim("Customer ID"), '\\.0$', '') as source_customer_id,
    nullif(trim(Country), '') as country_name,
    md5(concat_ws('|', Invoice, upper(trim(StockCode)), trim(Description), Quantity, Price,
        InvoiceDate, "Customer ID", trim(Country))) as content
from read_csv(
    $files, header = true, filename = true, delim = ',', quote = '"', nullstr = '',
    columns = {
        'Invoice': 'varchar', 'StockCode': 'varchar', 'Description': 'varchar',
        'Quantity': 'integer', 'InvoiceDate': 'timestamp', 'Price': 'decimal(18, 6)',
        'Customer ID': 'varchar', 'Country': 'varchar'
    }
)
"""

LINES = """
create temp table lines as
with
repeated as (select content from delivered group by content having count(*) > 1),
counted as (
    select delivered.*, row_number() over (partition by path, content) as occurrence
    from delivered
    semi join repeated using (content)
),
distinct_lines as (
    select *, 1 as occurrence from delivered anti join repeated using (content)
    union all by name
    select * from counted
    qualify row_number() over (partition by content, occurrence order by path) = 1
)
select
    path,
    if(occurrence = 1, content, md5(content || occurrence)) as order_line_id,
    order_id,
    source_customer_id,
    to_utc(local_at) as ordered_at,
    local_at::date as business_date,
    sku,
    product_name,
    case
        when starts_with(order_id, 'C') and quantity < 0 then 'refund'
        when starts_with(order_id, 'C') then 'adjustment'
        when quantity < 0 or unit_price_amount < 0 then 'adjustment'
        when unit_price_amount = 0 then 'gift'
        else 'sale'
    end as line_kind,
    case
        when sku in ('POST', 'DOT', 'M', 'C2', 'C3', 'D', 'S', 'B', 'BANK CHARGES', 'ADJUST',
            'ADJUST2', 'AMAZONFEE', 'CRUK', 'GIFT') or starts_with(sku, 'GIFT_') then 'fee'
        when starts_with(sku, 'TEST') then 'test'
        else 'product'
    end as item_class,
    quantity,
    unit_price_amount,
    cast(quantity::decimal(27, 3) * unit_price_amount as decimal(36, 9)) as line_amount,
    country_name
from distinct_lines
"""

# Everything below is written straight into the file that is published.
SALES = """
create table marts.fct_order_lines as
select
    order_line_id,
    'online_retail' as channel,
    order_id,
    null::varchar as line_number,
    source_customer_id,
    ordered_at,
    business_date,
    sku,
    line_kind,
    item_class,
    quantity,
    unit_price_amount,
    line_amount,
    'GBP' as currency,
    if(line_kind = 'sale', line_amount, 0)::decimal(36, 9) as gross_exact_amount,
    if(line_kind = 'refund', -line_amount, 0)::decimal(36, 9) as refund_exact_amount,
    if(line_kind in ('sale', 'refund'), line_amount, 0)::decimal(36, 9) as net_exact_amount,
    country_name,
    null::varchar as store_id
from lines;

create temp table documents as
select
    order_id,
    min(ordered_at) as ordered_at,
    min(business_date) as business_date,
    min(source_customer_id) as source_customer_id,
    min(country_name) as country_name,
    count(*) as line_count,
    count(*) filter (line_kind = 'sale') as sale_line_count,
    count(*) filter (line_kind = 'refund') as refund_line_count,
    count(*) filter (line_kind = 'gift') as gift_line_count,
    case
        when count(*) filter (line_kind = 'sale') > 0 then 'sale'
        when count(*) filter (line_kind = 'refund') > 0 then 'refund'
        else 'adjustment'
    end as document_kind,
    coalesce(sum(quantity) filter (line_kind = 'sale' and item_class = 'product'), 0)
        as item_quantity,
    coalesce(sum(line_amount) filter (line_kind = 'sale'), 0) as gross,
    coalesce(sum(-line_amount) filter (line_kind = 'refund'), 0) as refund
from lines
group by order_id;

create temp table accounts as
select
    source_customer_id,
    customer_id,
    min(business_date) as first_seen_date,
    max(business_date) as last_seen_date
from lines
join ids using (source_customer_id)
group by source_customer_id, customer_id;

create table marts.source_customers as
select 'online_retail' as channel, source_customer_id, customer_id, first_seen_date, last_seen_date
from accounts;

create table marts.fct_orders as
select
    'online_retail' as channel,
    order_id,
    document_kind,
    source_customer_id,
    customer_id,
    ordered_at,
    business_date,
    extract(hour from (ordered_at at time zone 'UTC') at time zone 'Europe/London')::integer
        as business_hour,
    'GBP' as currency,
    cents(gross) as gross_amount,
    0::decimal(18, 2) as discount_amount,
    cents(refund) as refund_amount,
    cents(gross - refund) as net_amount,
    cast(gross - refund as decimal(38, 9)) as net_exact_amount,
    line_count,
    sale_line_count,
    item_quantity::decimal(18, 3) as item_quantity,
    document_kind = 'sale' and refund > 0 as is_refunded,
    false as is_cancelled,
    null::varchar as payment_method,
    null::varchar as store_id,
    country_name
from documents
left join accounts using (source_customer_id);

create table marts.dim_products as
with
names as (
    select
        sku, product_name, item_class,
        min(business_date) as first_sold_date,
        max(business_date) as last_sold_date,
        max(ordered_at) as last_ordered_at,
        count(*) as line_count
    from lines
    group by all
),
ranked as (
    select *, row_number() over (
        partition by sku
        order by product_name is null, last_ordered_at desc, product_name, item_class
    ) as place
    from names
)
select
    sku,
    max(product_name) filter (place = 1) as product_name,
    max(item_class) filter (place = 1) as item_class,
    null::varchar as category_name,
    null::varchar as brand_name,
    null::decimal(18, 6) as list_price_amount,
    null::varchar as currency,
    null::boolean as is_premium,
    min(first_sold_date) as first_sold_date,
    max(last_sold_date) as last_sold_date,
    sum(line_count)::bigint as line_count
from ranked
group by sku;
"""

CUSTOMERS = """
-- One account per customer, and only its last order tells anything: there is nobody to choose from.
create table marts.customer_attributes as
with countries as (
    select source_customer_id, country_name, business_date
    from documents
    where source_customer_id is not null and country_name is not null
    qualify row_number() over (
        partition by source_customer_id order by ordered_at desc, order_id
    ) = 1
)
select
    customer_id,
    'country_name' as field_name,
    country_name as field_value,
    'online_retail' as channel,
    source_customer_id,
    'most_recent' as rule,
    false as is_preferred_channel,
    business_date as said_date
from accounts
join countries using (source_customer_id);

create table marts.dim_customers as
select
    customer_id, first_seen_date, last_seen_date,
    null::timestamp as registered_at,
    1::integer as account_count,
    1::integer as channel_count,
    null::varchar as gender,
    null::varchar as gender_channel,
    null::integer as birth_year,
    null::varchar as birth_year_channel,
    null::varchar as city_name,
    null::varchar as city_name_channel,
    field_value as country_name,
    channel as country_name_channel,
    null::varchar as guide_id,
    null::varchar as guide_id_channel,
    null::varchar as store_id,
    null::varchar as store_id_channel,
    null::varchar as source_name,
    null::varchar as source_name_channel
from accounts
left join marts.customer_attributes using (customer_id);

-- One row per customer and product, and one per customer and day; all figures come from these.
create temp table customer_products as
select
    customer_id, sku,
    min(business_date) as first_order_date,
    sum(line_amount) as gross,
    sum(quantity) as item_quantity
from lines
join accounts using (source_customer_id)
where line_kind = 'sale' and item_class = 'product'
group by customer_id, sku;

create temp table customer_days as
with
days as (
    select
        customer_id,
        business_date,
        count(*) filter (document_kind = 'sale') as order_count,
        coalesce(sum(sale_line_count) filter (document_kind = 'sale'), 0) as sale_line_count,
        coalesce(sum(item_quantity) filter (document_kind = 'sale'), 0) as item_quantity,
        sum(gross) as gross,
        sum(refund) as refund
    from documents
    join accounts using (source_customer_id)
    group by customer_id, business_date
),
new_products as (
    select customer_id, first_order_date as business_date, count(*) as new_product_count
    from customer_products
    group by all
),
purchase_days as (
    select
        customer_id, business_date,
        row_number() over by_day as day_number,
        business_date - lag(business_date) over by_day as gap_days
    from days
    where order_count > 0
    window by_day as (partition by customer_id order by business_date)
)
select
    days.*,
    gross - refund as net,
    coalesce(new_product_count, 0) as new_product_count,
    day_number,
    gap_days
from days
left join new_products using (customer_id, business_date)
left join purchase_days using (customer_id, business_date);

create temp table customer_orders as
select
    customer_id,
    first_seen_date,
    min(business_date) filter (order_count > 0) as first_order_date,
    max(business_date) filter (order_count > 0) as last_order_date,
    sum(order_count)::bigint as order_count,
    count(day_number) as purchase_day_count,
    sum(sale_line_count)::bigint as sale_line_count,
    sum(item_quantity) as item_quantity,
    sum(new_product_count)::bigint as product_count,
    sum(gross) as gross,
    sum(refund) as refund,
    sum(net) as net,
    coalesce(sum(order_count) filter (business_date > $as_of - 365), 0)::bigint
        as order_count_in_window,
    cents(coalesce(sum(net) filter (business_date > $as_of - 365), 0)) as spend_amount_in_window,
    ($as_of - coalesce(max(business_date) filter (order_count > 0), first_seen_date))::integer
        as days_since_last_order
from customer_days
join accounts using (customer_id)
group by customer_id, first_seen_date;
"""

# The playbook ladder: limits on spend come from the customers who ordered in the year.
TIERS = """
create table marts.rfm_tiers as
with
limits as (
    select
        quantile_cont(spend_amount_in_window::double, [0.4, 0.6, 0.8]) as percentiles,
        sum(spend_amount_in_window) as total,
        count(*) as buyer_count
    from customer_orders
    where order_count_in_window > 0
),
facts as (
    select
        *,
        days_since_last_order as silent_days,
        order_count_in_window as orders,
        spend_amount_in_window > 0 as has_spend,
        spend_amount_in_window as spend
    from customer_orders
    cross join limits
),
ruled as (
    select
        *,
        case
            when silent_days <= 7 and orders >= 5 and has_spend and spend >= percentiles[3]
                then 'playbook_core'
            when silent_days <= 7 and orders <= 1 then 'playbook_new'
            when silent_days <= 15 and orders between 1 and 2 and has_spend
                and spend between percentiles[1] and percentiles[2] then 'playbook_potential'
            when silent_days >= 90 and orders >= 1 and has_spend and spend * buyer_count >= total
                then 'playbook_dormant'
            when silent_days <= 89 and orders >= 3 and has_spend and spend >= percentiles[2]
                then 'playbook_high_value_loyal'
            when silent_days <= 30 and orders >= 1 then 'playbook_growth_recent'
            when silent_days <= 89 and orders >= 1 and has_spend and spend >= percentiles[2]
                then 'playbook_growth_spend'
            when silent_days <= 89 then 'playbook_general_value'
            else 'playbook_churn_risk'
        end as tier_rule_id
    from facts
)
select
    customer_id,
    $as_of as as_of_date,
    case
        when tier_rule_id like 'playbook_growth_%' then 'high_potential_growth'
        else replace(tier_rule_id, 'playbook_', '')
    end as rfm_tier,
    null::varchar as official_rfm_tier,
    null::date as official_as_of_date,
    days_since_last_order,
    order_count_in_window,
    spend_amount_in_window,
    case
        when orders = 0 or spend is null then null
        when buyer_count = 1 then 100::double
        else ratio(100 * (buyer_count - rank() over (
            partition by orders > 0 and spend is not null order by spend desc
        )), buyer_count - 1)
    end as spend_percentile,
    order_count,
    cents(net) as spend_amount,
    'GBP' as currency,
    'playbook' as ladder,
    tier_rule_id,
    case
        when tier_rule_id = 'playbook_dormant' then 'mean'
        when tier_rule_id in ('playbook_core', 'playbook_potential', 'playbook_high_value_loyal',
            'playbook_growth_spend') then 'percentile'
        else 'none'
    end as spend_basis,
    'own_base' as comparison_base,
    first_seen_date,
    first_order_date,
    last_order_date
from ruled;

create table marts.tier_history (
    customer_id varchar, valid_from date, valid_until date, rfm_tier varchar,
    previous_rfm_tier varchar, direction varchar, ladder varchar, reason varchar
);

create table marts.tier_transitions (
    month_end date, ladder varchar, from_tier varchar, to_tier varchar, direction varchar,
    customer_count bigint, share_pct double
);
"""

# The set has no consents: every dormant customer is a candidate whom nobody may address.
OUTREACH = """
create table marts.consent_states (
    customer_id varchar, contact_token varchar, contact_kind varchar, contact_mask varchar,
    purpose varchar, consent_channel varchar, is_granted boolean, occurred_at timestamp,
    notice_version varchar, is_usable boolean
);

create table marts.outreach_decisions as
select
    md5(concat_ws('|', customer_id, 'dormant_wake_up', last_order_date)) as decision_id,
    customer_id,
    'dormant_wake_up' as journey,
    'wake_up' as step,
    last_order_date::varchar as occurrence,
    'no_consent' as outcome,
    'consent.no_contact' as rule_id,
    'marketing' as purpose,
    'email' as consent_channel,
    null::varchar as contact_token,
    null::varchar as contact_mask,
    'dormant_wake_up_offer' as content_id,
    to_utc(($as_of + 1)::timestamp + interval 10 hour) as planned_send_at,
    to_utc(($as_of + 4)::timestamp + interval 10 hour) as valid_until,
    to_utc(($as_of + 1)::timestamp + interval 2 hour) as decided_at,
    $as_of as as_of_date,
    null::varchar as evidence
from marts.rfm_tiers
where rfm_tier = 'dormant';
"""

# What the set has no records of, and what waits for its models: 0 for a count, null for the rest.
NO_FACTS = {
    "0::bigint": """
        category_count payment_method_count coupon_order_count session_count
        session_count_in_window session_count_recent active_day_count active_day_count_in_window
        active_day_count_recent page_view_count page_view_count_in_window page_view_count_recent
        product_view_count product_view_count_in_window product_view_count_recent search_count
        search_count_in_window search_count_recent cart_added_count cart_added_count_in_window
        cart_added_count_recent favourite_added_count favourite_added_count_in_window
        favourite_added_count_recent checkout_started_count login_count share_count
        check_in_count live_event_count open_cart_product_count favourite_product_count
        live_room_count live_entered_count live_liked_count live_commented_count
        live_product_clicked_count community_message_count community_post_count
        community_question_count community_answer_count community_share_count
        community_like_count store_visit_count store_visit_with_purchase_count
        store_visit_without_purchase_count review_count low_rating_count survey_answer_count
        sentiment_statement_count ticket_count open_ticket_count complaint_count
        reopened_ticket_count message_count message_delivered_count message_opened_count
        message_clicked_count message_failed_count message_unsubscribed_count
        email_message_count email_opened_count email_clicked_count sms_message_count
        sms_opened_count sms_clicked_count wecom_message_count wecom_opened_count
        wecom_clicked_count push_message_count push_opened_count push_clicked_count
        coupon_issued_count coupon_redeemed_count coupon_expired_count
    """,
    "null::double": """
        top_category_share_pct second_category_share_pct average_rating sentiment_score
        average_response_minutes average_resolution_hours
        average_satisfaction_score message_open_rate_pct message_click_rate_pct
        coupon_redemption_rate_pct
    """,
    "null::varchar": """
        second_category_name top_brand_name price_band preferred_payment_method nps_class
        sentiment_class member_level holdout_group
    """,
    "0::decimal(18, 3)": """
        dwell_seconds dwell_seconds_in_window dwell_seconds_recent live_dwell_seconds
    """,
    "null::date": """
        last_active_date last_cart_date last_favourite_date last_live_date last_community_date
        last_store_visit_date last_visit_without_purchase_date last_review_date last_nps_date
        last_csat_date last_ticket_date last_complaint_date last_message_date last_opened_date
        last_clicked_date last_coupon_redeemed_date last_consent_date member_since_date
        member_level_until_date
    """,
    "null::integer": """
        days_since_last_active
    """,
    "null::bigint": """
        last_rating nps_score csat_score growth_value points_balance points_expiring_30d
        points_earned_count referral_count
    """,
    "false": """
        has_email_consent has_sms_consent has_wecom_consent has_push_consent has_service_consent
        has_profiling_consent has_withdrawn_consent
    """,
    "0::integer": """
        marketing_channel_count
    """,
}

CUSTOMER_360 = """
create table marts.customer_360 as
with
products as (
    select customer_id, sku as top_sku
    from customer_products
    qualify row_number() over (
        partition by customer_id order by gross desc, item_quantity desc, sku
    ) = 1
),
hours as (
    select customer_id, business_hour as preferred_hour
    from marts.fct_orders
    where document_kind = 'sale' and customer_id is not null
    group by customer_id, business_hour
    qualify row_number() over (
        partition by customer_id order by count(*) desc, business_hour
    ) = 1
),
weekdays as (
    select customer_id, isodow(business_date)::integer as preferred_weekday
    from marts.fct_orders
    where document_kind = 'sale' and customer_id is not null
    group by customer_id, preferred_weekday
    qualify row_number() over (
        partition by customer_id order by count(*) desc, preferred_weekday
    ) = 1
),
habits as (
    select
        customer_id,
        count(*) filter (document_kind = 'sale' and isodow(orders.business_date) > 5)
            as weekend_order_count,
        count(*) filter (document_kind = 'sale' and (business_hour >= 22 or business_hour < 6))
            as night_order_count,
        count(*) filter (document_kind = 'sale' and gift_line_count > 0) as gift_order_count,
        count(*) filter (refund_line_count > 0) as refund_count,
        count(*) filter (document_kind = 'sale' and refund_line_count > 0) as refunded_order_count,
        max(orders.business_date) filter (refund_line_count > 0) as last_refund_date
    from marts.fct_orders as orders
    join documents using (order_id, document_kind)
    where customer_id is not null
    group by customer_id
)
select
    customer_id,
    $as_of as as_of_date,
    account_count,
    channel_count,
    dim.first_seen_date,
    last_seen_date,
    registered_at,
    gender,
    birth_year,
    city_name,
    country_name,
    guide_id,
    store_id,
    source_name,
    orders.order_count,
    orders.first_order_date,
    orders.last_order_date,
    orders.days_since_last_order,
    orders.order_count_in_window,
    tiers.currency,
    cents(gross) as gross_amount,
    0::decimal(18, 2) as discount_amount,
    cents(refund) as refund_amount,
    tiers.spend_amount,
    tiers.spend_amount_in_window,
    ratio(100 * refund, gross) as refund_share_pct,
    ratio(gross, orders.order_count) as average_order_amount,
    ratio(sale_line_count, orders.order_count) as average_lines_per_order,
    ratio(item_quantity, orders.order_count) as average_items_per_order,
    case when purchase_day_count > 1 then ratio(
        orders.last_order_date - orders.first_order_date, purchase_day_count - 1
    ) end as average_days_between_orders,
    product_count,
    0::bigint as unconverted_order_count,
    top_sku,
    null::varchar as top_category_name,
    preferred_hour,
    if(orders.order_count > 0, 'online_retail', null) as preferred_channel,
    rfm_tier,
    official_rfm_tier,
    preferred_weekday,
    ratio(100 * weekend_order_count, orders.order_count) as weekend_order_share_pct,
    ratio(100 * night_order_count, orders.order_count) as night_order_share_pct,
    ratio(0, orders.order_count) as coupon_order_share_pct,
    coalesce(gift_order_count, 0) as gift_order_count,
    ratio(100 * gift_order_count, orders.order_count) as gift_order_share_pct,
    coalesce(refund_count, 0) as refund_count,
    coalesce(refunded_order_count, 0) as refunded_order_count,
    ratio(100 * coalesce(refund_count, 0), orders.order_count) as return_rate_pct,
    last_refund_date,
    $no_facts
from marts.dim_customers as dim
join customer_orders as orders using (customer_id)
join marts.rfm_tiers as tiers using (customer_id)
left join products using (customer_id)
left join hours using (customer_id)
left join weekdays using (customer_id)
left join habits using (customer_id)
""".replace(
    "$no_facts",
    ",\n    ".join(
        f"{value} as {name}" for value, names in NO_FACTS.items() for name in names.split()
    ),
)

METRICS = """
create table metrics.sales_daily as
select
    'online_retail' as channel,
    business_date,
    count(*) filter (document_kind = 'sale') as order_count,
    count(distinct source_customer_id) filter (document_kind = 'sale') as customer_count,
    'GBP' as currency,
    cents(sum(gross)) as gross_amount,
    0::decimal(18, 2) as discount_amount,
    cents(sum(refund)) as refund_amount,
    cents(sum(gross) - sum(refund)) as net_amount,
    0::bigint as unconverted_order_count
from documents
group by business_date;

create table metrics.repurchase_30d as
with firsts as (
    select
        customer_id,
        min(business_date) as first_order_date,
        min(business_date) filter (day_number = 2) as second_order_date
    from customer_days
    where order_count > 0
    group by customer_id
),
observed as (
    select
        date_trunc('month', first_order_date)::date as cohort_month_date,
        first_order_date + 30 <= $as_of as is_observed,
        coalesce(second_order_date <= first_order_date + 30, false) as has_repurchased
    from firsts
)
select
    cohort_month_date,
    count(*) as customer_count,
    count(*) filter (is_observed) as observed_customer_count,
    count(*) filter (is_observed and has_repurchased) as repurchase_customer_count,
    ratio(
        100 * count(*) filter (is_observed and has_repurchased), count(*) filter (is_observed)
    ) as repurchase_pct
from observed
group by cohort_month_date;

create table metrics.tier_summary as
select
    as_of_date,
    rfm_tier,
    count(*) as customer_count,
    ratio(100 * count(*), sum(count(*)) over ()) as customer_share_pct,
    sum(order_count)::bigint as order_count,
    currency,
    sum(spend_amount)::decimal(18, 2) as spend_amount,
    sum(spend_amount_in_window)::decimal(18, 2) as spend_amount_in_window,
    ratio(sum(days_since_last_order), count(*)) as average_days_since_last_order
from marts.rfm_tiers
group by as_of_date, rfm_tier, currency;
"""

OPS = """
create table ops.feed_balance as
with
received as (select path, count(*) as received_count from delivered group by path),
accepted as (select path, count(*) as accepted_count from lines group by path)
select
    'online_retail' as feed,
    'online_retail' as channel,
    'order_lines' as entity,
    file_sha256,
    received_count,
    coalesce(accepted_count, 0) as accepted_count,
    0::bigint as quarantined_count,
    received_count - coalesce(accepted_count, 0) as duplicate_count
from received
join file_hashes using (path)
left join accepted using (path);

create table ops.quarantine_summary (
    feed varchar, reason_code varchar, column_name varchar, record_count bigint
);

create table ops.build as
select
    'by_hand' as build_id,
    $as_of as as_of_date,
    localtimestamp as created_at,
    null::varchar as schema_hash,
    null::varchar as result_hash,
    (select count(*) from file_hashes) as input_file_count,
    null::varchar as input_files_sha256,
    null::varchar as code_version;
"""


class Stopwatch:
    """Wall and CPU seconds of each phase, this process only: nothing here starts another one."""

    def __init__(self) -> None:
        self.phases: dict[str, tuple[float, float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time inside the block to ``name``."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        known = self.phases.get(name, (0.0, 0.0))
        self.phases[name] = (
            known[0] + time.perf_counter() - wall,
            known[1] + time.process_time() - cpu,
        )


def read_landing(connection: duckdb.DuckDBPyConnection, landing: Path) -> date:
    """Reads the files, keeps each line once and returns the last business day."""
    files = sorted(str(path) for path in (landing / "online_retail").glob("*.csv"))
    if not files:
        raise SystemExit(f"no CSV file in {landing / 'online_retail'}")
    connection.execute("create temp table file_hashes (path varchar, file_sha256 varchar)")
    connection.executemany(
        "insert into file_hashes values (?, ?)", [[path, sha256_of(path)] for path in files]
    )
    connection.execute(READ_FILES, {"files": files})
    connection.execute(LINES)
    mint_ids(connection)
    row = connection.execute("select max(business_date) from lines").fetchone()
    assert row is not None
    day: date = row[0]
    return day


def mint_ids(connection: duckdb.DuckDBPyConnection) -> None:
    """Gives each account the id the pipeline mints under the same key: models see one order."""
    key = os.environ.get("CRM_ID_KEY", "").encode()
    accounts = connection.execute(
        "select distinct source_customer_id from lines where source_customer_id is not null"
    ).df()
    accounts["customer_id"] = [
        "c" + hmac.digest(key, f"online_retail\x1f{account}".encode(), "sha256").hex()[:20]
        for account in accounts["source_customer_id"]
    ]
    connection.register("minted", accounts)
    connection.execute("create temp table ids as from minted")


def sha256_of(path: str) -> str:
    """Hash of a file's bytes."""
    with Path(path).open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def run_sql(connection: duckdb.DuckDBPyConnection, script: str, as_of: date) -> None:
    """Runs statements one by one; ``$as_of`` is the day they look back from."""
    connection.execute(script.replace("$as_of", f"date '{as_of}'"))


def export_parquet(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Writes each table as Parquet beside the database, and its row count into the build facts."""
    connection.execute(
        "create table ops.build_tables "
        "(build_id varchar, schema_name varchar, table_name varchar, row_count bigint)"
    )
    tables = connection.execute(
        "select table_schema, table_name from information_schema.tables "
        "where table_catalog = 'published' and table_schema in ('marts', 'metrics', 'ops') "
        "and table_name not in ('build', 'build_tables') order by all"
    ).fetchall()
    for schema, name in tables:
        connection.execute(
            f"insert into ops.build_tables "
            f"select 'by_hand', '{schema}', '{name}', count(*) from {schema}.{name}"
        )
    for schema, name in [*tables, ("ops", "build"), ("ops", "build_tables")]:
        target = folder / ("" if schema == "marts" else schema) / f"{name}.parquet"
        target.parent.mkdir(exist_ok=True)
        connection.execute(f"copy {schema}.{name} to '{target}' ({PARQUET})")


def build(landing: Path, out: Path, threads: int) -> dict[str, object]:
    """Landing folder to published folder; returns what it took."""
    watch = Stopwatch()
    out.mkdir(parents=True)
    target = out / "crm.duckdb"
    with duckdb.connect() as connection:
        connection.execute(SETTINGS + MACROS + f"set threads = {threads};")
        with watch.phase("read"):
            as_of = read_landing(connection, landing)
        connection.execute(f"attach '{target}' as published (storage_version '{STORAGE_VERSION}')")
        # Macros and temporary tables stay in memory; only schemas that are published are written.
        connection.execute("use published")
        for schema in ("marts", "metrics", "ops"):
            connection.execute(f"create schema {schema}")
        connection.execute("set search_path = 'published,memory'")
        with watch.phase("transform"):
            for script in (SALES, CUSTOMERS, TIERS, OUTREACH, CUSTOMER_360, METRICS, OPS):
                run_sql(connection, script, as_of)
        with watch.phase("publish"):
            export_parquet(connection, out)
            connection.execute("use memory; checkpoint published; detach published")
            sync_folder(out)
    return {"as_of": as_of.isoformat(), "phases": watch.phases}


def sync_folder(folder: Path) -> None:
    """Makes the files durable, as a published folder should be."""
    for path in folder.rglob("*"):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def main() -> None:
    """Builds and prints the times as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landing", type=Path, required=True, help="has online_retail/*.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    report = build(arguments.landing.resolve(), arguments.out.resolve(), arguments.threads)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
