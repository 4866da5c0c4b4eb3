{{ config(
    materialized='stepwise', shape='replace_days', touched_by=[
        'accounts', 'legacy_customers', 'contact_tags', 'privacy_requests', 'orders', 'order_lines', 'refunds',
        'store_visits', 'community_posts', 'device_usage', 'tickets', 'reviews', 'survey_answers',
        'message_receipts', 'coupon_events', 'points_events', 'referrals'
    ]
) }}
{%- set touched = is_touched('<instant>', '<day>') %}

-- What a record says by itself about its own account and day, one row per record; nothing here looks at a second
-- record, so a day changes only with records of that day.
with

accounts as (select * from {{ ref('stg_accounts') }}),

legacy_customers as (select * from {{ ref('stg_legacy_customers') }}),

contact_tags as (select * from {{ ref('stg_contact_tags') }}),

privacy_requests as (select * from {{ ref('stg_privacy_requests') }}),

orders as (select * from {{ ref('stg_orders') }}),

order_lines as (select * from {{ ref('stg_order_lines') }}),

refunds as (select * from {{ ref('stg_refunds') }}),

store_visits as (select * from {{ ref('stg_store_visits') }}),

community_posts as (select * from {{ ref('stg_community_posts') }}),

device_usage as (select * from {{ ref('stg_device_usage') }}),

tickets as (select * from {{ ref('stg_tickets') }}),

reviews as (select * from {{ ref('stg_reviews') }}),

survey_answers as (select * from {{ ref('stg_survey_answers') }}),

message_receipts as (select * from {{ ref('stg_message_receipts') }}),

coupon_events as (select * from {{ ref('stg_coupon_events') }}),

points_events as (select * from {{ ref('stg_points_events') }}),

referrals as (select * from {{ ref('stg_referrals') }}),

touches as (

    {{ touch_rows(
        'accounts', 'accounts', "case when registered_at is null then 'account_known' else 'account_opened' end",
        'source_customer_id',
        'coalesce(registered_at, ' ~ local_midnight_at('first_seen_date') ~ ')',
        business_date='first_seen_date', feed_channel='channel', touched=touched
    ) }}

    union all

    {{ touch_rows(
        'legacy_customers', 'legacy_customers',
        "case when registered_at is null then 'taken_over' else 'legacy_account_opened' end", 'source_customer_id',
        'coalesce(registered_at, ' ~ local_midnight_at('business_date') ~ ')', feed_channel='channel',
        label='level_name', touched=touched
    ) }}

    union all

    {{ touch_rows(
        'contact_tags', 'contact_tags', "'tag_' || action",
        "concat_ws('|', source_customer_id, cast(occurred_at as varchar), md5(tag_name))", 'occurred_at',
        feed_channel='channel', reference_id='guide_id', touched=touched
    ) }}

    union all

    {{ touch_rows(
        'privacy_requests', 'privacy_requests', "'privacy_requested'", 'request_id', 'requested_at',
        reference_id='request_id', label="concat_ws(' ', request_kind, request_status)", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'orders', 'orders', "'order_placed'", 'order_id', 'ordered_at', feed_channel='channel',
        reference_id='order_id', amount="case when order_status = 'paid' then paid_amount end", label='order_status',
        touched=touched
    ) }}

    union all

    {{ touch_rows(
        'order_lines', 'order_lines',
        "case line_kind
        when 'sale' then 'product_ordered'
        when 'refund' then 'product_returned'
        when 'gift' then 'gift_ordered'
        else 'order_adjusted'
    end",
        'order_line_id', 'ordered_at', feed_channel='channel', reference_id='order_id', sku='sku',
        amount='line_amount', label='item_class', touched=touched
    ) }}

    union all

    {{ touch_rows(
        'refunds', 'refunds', "'refund_booked'", 'refund_id', 'refunded_at', feed_channel='channel',
        reference_id='order_id', sku='sku', amount='-refund_amount', touched=touched
    ) }}

    union all

    {{ touch_rows(
        'store_visits', 'store_visits', "'store_visited'", 'visit_id', 'visited_at', reference_id='store_id',
        label="case when not is_purchase then 'without purchase' end", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'community_posts', 'community_posts', "'community_' || post_kind", 'post_id', 'posted_at',
        reference_id='group_id', sku='sku', touched=touched
    ) }}

    union all

    {{ touch_rows(
        'device_usage', 'device_usage', "'product_used'",
        "concat_ws('|', device_id, metric, cast(measured_at as varchar))", 'measured_at', sku='sku',
        label="concat_ws(' ', metric, cast(reading as varchar))", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'tickets', 'tickets', "'ticket_opened'", 'ticket_id', 'opened_at', reference_id='ticket_id', sku='sku',
        label="concat_ws(' ', ticket_kind, ticket_status)", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'reviews', 'reviews', "'review_written'", 'review_id', 'reviewed_at', reference_id='order_id', sku='sku',
        label="concat_ws(' ', cast(rating as varchar), 'of 5')", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'survey_answers', 'survey_answers', "'survey_answered'", 'answer_id', 'answered_at',
        reference_id='order_id', label="concat_ws(' ', survey_kind, cast(score as varchar))", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'message_receipts', 'message_receipts', "'message_' || receipt_kind",
        "concat_ws('|', message_id, cast(occurred_at as varchar))", 'occurred_at', reference_id='message_id',
        label="concat_ws(' ', journey, step)", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'coupon_events', 'coupon_events', "'coupon_' || action", 'coupon_id', 'occurred_at',
        reference_id='coupon_id', amount='face_amount', label='campaign_id', touched=touched
    ) }}

    union all

    {{ touch_rows(
        'points_events', 'points_events', "'points_' || event_kind", 'event_id', 'occurred_at',
        reference_id='reference_id', label="concat_ws(' ', cast(points as varchar), 'points')", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'points_events', 'points_events', "'points_received'", 'event_id', 'occurred_at',
        account='to_customer_id', reference_id='reference_id',
        label="concat_ws(' ', cast(points as varchar), 'points')", touched=touched
    ) }}

    union all

    {{ touch_rows(
        'referrals', 'referrals', "'newcomer_invited'", 'referral_id', 'invited_at', reference_id='referral_id', touched=touched
    ) }}

)

select * from touches
