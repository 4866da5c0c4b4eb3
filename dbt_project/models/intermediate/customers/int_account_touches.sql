-- Every touch of an account, one row per record, except where people only look: pages and products seen and what
-- is done in live rooms are one row per account, day and kind. Nobody reads those one by one, and they are most
-- of all events. What somebody does with a product (cart, favourite, share …) keeps a row of its own.
with

accounts as (select * from {{ ref('stg_accounts') }}),

legacy_customers as (select * from {{ ref('stg_legacy_customers') }}),

contact_tags as (select * from {{ ref('stg_contact_tags') }}),

consents as (select * from {{ ref('stg_consents') }}),

privacy_requests as (select * from {{ ref('stg_privacy_requests') }}),

orders as (select * from {{ ref('stg_orders') }}),

order_lines as (select * from {{ ref('stg_order_lines') }}),

refunds as (select * from {{ ref('stg_refunds') }}),

shipments as (select * from {{ ref('stg_shipments') }}),

events as (select * from {{ ref('stg_events') }}),

store_visits as (select * from {{ ref('stg_store_visits') }}),

community_posts as (select * from {{ ref('stg_community_posts') }}),

device_usage as (select * from {{ ref('stg_device_usage') }}),

tickets as (select * from {{ ref('stg_tickets') }}),

ticket_messages as (select * from {{ ref('stg_ticket_messages') }}),

reviews as (select * from {{ ref('stg_reviews') }}),

survey_answers as (select * from {{ ref('stg_survey_answers') }}),

message_receipts as (select * from {{ ref('stg_message_receipts') }}),

coupon_events as (select * from {{ ref('stg_coupon_events') }}),

points_events as (select * from {{ ref('stg_points_events') }}),

referrals as (select * from {{ ref('stg_referrals') }}),

bundled_events as (

    select
        channel,
        source_customer_id,
        business_date,
        event_type,
        case when {{ is_deed('event_type') }} then event_id end as event_id,
        min(occurred_at) as occurred_at,
        min(case when {{ is_deed('event_type') }} then sku end) as sku,
        count(*) as touch_count,
        min(case when {{ is_deed('event_type') }} then quantity * unit_price_amount end) as amount,
        min(case when {{ is_deed('event_type') }} then currency end) as currency
    from events
    where source_customer_id is not null
    group by
        channel,
        source_customer_id,
        business_date,
        event_type,
        case when {{ is_deed('event_type') }} then event_id end

),

-- A parcel names its order only, a chat message its ticket; a refund may name its order only.
owned_refunds as (

    select
        refunds.*,
        coalesce(refunds.source_customer_id, orders.source_customer_id) as owner_id
    from refunds
    left join orders
        on refunds.channel = orders.channel and refunds.order_id = orders.order_id

),

owned_shipments as (

    select
        shipments.*,
        orders.source_customer_id
    from shipments
    inner join orders
        on shipments.channel = orders.channel and shipments.order_id = orders.order_id

),

owned_messages as (

    select
        ticket_messages.*,
        tickets.channel,
        tickets.source_customer_id
    from ticket_messages
    inner join tickets
        on
            ticket_messages.feed_channel = tickets.feed_channel
            and ticket_messages.ticket_id = tickets.ticket_id

),

touches as (

    {{ touch_rows(
        'accounts', 'accounts', "'account_opened'", 'source_customer_id',
        'coalesce(registered_at, ' ~ local_midnight_at('first_seen_date') ~ ')',
        business_date='first_seen_date', feed_channel='channel'
    ) }}

    union all

    {{ touch_rows(
        'legacy_customers', 'legacy_customers', "'taken_over'", 'source_customer_id',
        'coalesce(registered_at, ' ~ local_midnight_at('business_date') ~ ')',
        feed_channel='channel', label='level_name'
    ) }}

    union all

    {{ touch_rows(
        'contact_tags', 'contact_tags', "'tag_' || action",
        "concat_ws('|', source_customer_id, cast(occurred_at as varchar), md5(tag_name))", 'occurred_at',
        feed_channel='channel', reference_id='guide_id'
    ) }}

    union all

    {{ touch_rows(
        'consents', 'consents', "case when is_granted then 'consent_granted' else 'consent_withdrawn' end",
        "concat_ws('|', source_customer_id, cast(occurred_at as varchar), contact_token, purpose, consent_channel)",
        'occurred_at', feed_channel='channel', label="concat_ws(' ', purpose, consent_channel)"
    ) }}

    union all

    {{ touch_rows(
        'privacy_requests', 'privacy_requests', "'privacy_requested'", 'request_id', 'requested_at',
        reference_id='request_id', label="concat_ws(' ', request_kind, request_status)"
    ) }}

    union all

    {{ touch_rows(
        'orders', 'orders', "'order_placed'", 'order_id', 'ordered_at', feed_channel='channel',
        reference_id='order_id', amount='paid_amount', label='order_status'
    ) }}

    union all

    {{ touch_rows(
        'order_lines', 'order_lines',
        "case line_kind
        when 'sale' then 'product_bought'
        when 'refund' then 'product_returned'
        when 'gift' then 'gift_received'
        else 'order_adjusted'
    end",
        'order_line_id', 'ordered_at', feed_channel='channel', reference_id='order_id', sku='sku',
        amount='line_amount', label='item_class'
    ) }}

    union all

    {{ touch_rows(
        'owned_refunds', 'refunds', "'refund_booked'", 'refund_id', 'refunded_at', account='owner_id',
        feed_channel='channel', reference_id='order_id', sku='sku', amount='-refund_amount'
    ) }}

    union all

    {{ touch_rows(
        'owned_shipments', 'shipments', "'parcel_shipped'", 'shipment_id', 'shipped_at',
        reference_id='order_id', label='shipment_status'
    ) }}

    union all

    {{ touch_rows(
        'owned_shipments', 'shipments', "'parcel_delivered'", 'shipment_id', 'delivered_at',
        business_date=to_business_date('delivered_at'), reference_id='order_id',
        label="case when delivered_at > promised_at then 'late' end"
    ) }}

    union all

    {{ touch_rows(
        'bundled_events', 'events', 'event_type',
        "coalesce(event_id, concat_ws('|', source_customer_id, cast(business_date as varchar)))", 'occurred_at',
        feed_channel='channel', reference_id='event_id', sku='sku', touch_count='touch_count', amount='amount'
    ) }}

    union all

    {{ touch_rows(
        'store_visits', 'store_visits', "'store_visited'", 'visit_id', 'visited_at',
        reference_id='store_id', label="case when not is_purchase then 'without purchase' end"
    ) }}

    union all

    {{ touch_rows(
        'community_posts', 'community_posts', "'community_' || post_kind", 'post_id', 'posted_at',
        reference_id='group_id', sku='sku'
    ) }}

    union all

    {{ touch_rows(
        'device_usage', 'device_usage', "'product_used'",
        "concat_ws('|', device_id, metric, cast(measured_at as varchar))", 'measured_at', sku='sku',
        label="concat_ws(' ', metric, cast(reading as varchar))"
    ) }}

    union all

    {{ touch_rows(
        'tickets', 'tickets', "'ticket_opened'", 'ticket_id', 'opened_at',
        reference_id='ticket_id', sku='sku', label="concat_ws(' ', ticket_kind, ticket_status)"
    ) }}

    union all

    {{ touch_rows(
        'tickets', 'tickets', "'ticket_resolved'", 'ticket_id', 'resolved_at',
        business_date=to_business_date('resolved_at'), reference_id='ticket_id', sku='sku', label='ticket_kind'
    ) }}

    union all

    {{ touch_rows(
        'owned_messages', 'ticket_messages', "'chat_by_' || sender_kind", 'message_id', 'sent_at',
        reference_id='ticket_id'
    ) }}

    union all

    {{ touch_rows(
        'reviews', 'reviews', "'review_written'", 'review_id', 'reviewed_at',
        reference_id='order_id', sku='sku', label="concat_ws(' ', cast(rating as varchar), 'of 5')"
    ) }}

    union all

    {{ touch_rows(
        'survey_answers', 'survey_answers', "'survey_answered'", 'answer_id', 'answered_at',
        reference_id='order_id', label="concat_ws(' ', survey_kind, cast(score as varchar))"
    ) }}

    union all

    {{ touch_rows(
        'message_receipts', 'message_receipts', "'message_' || receipt_kind",
        "concat_ws('|', message_id, cast(occurred_at as varchar))", 'occurred_at',
        reference_id='message_id', label="concat_ws(' ', journey, step)"
    ) }}

    union all

    {{ touch_rows(
        'coupon_events', 'coupon_events', "'coupon_' || action", 'coupon_id', 'occurred_at',
        reference_id='coupon_id', amount='face_amount', label='campaign_id'
    ) }}

    union all

    {{ touch_rows(
        'points_events', 'points_events', "'points_' || event_kind", 'event_id', 'occurred_at',
        reference_id='reference_id', label="concat_ws(' ', cast(points as varchar), 'points')"
    ) }}

    union all

    {{ touch_rows(
        'points_events', 'points_events', "'points_received'", 'event_id', 'occurred_at', account='to_customer_id',
        reference_id='reference_id', label="concat_ws(' ', cast(points as varchar), 'points')"
    ) }}

    union all

    {{ touch_rows(
        'referrals', 'referrals', "'newcomer_invited'", 'referral_id', 'invited_at', reference_id='referral_id'
    ) }}

    union all

    {{ touch_rows(
        'referrals', 'referrals', "'invitation_accepted'", 'referral_id', 'coalesce(joined_at, invited_at)',
        business_date=to_business_date('coalesce(joined_at, invited_at)'), account='invitee_customer_id',
        reference_id='referral_id'
    ) }}

)

select * from touches
