-- Touches that need a second record to know their account (a parcel its order, a chat message its ticket), happen on
-- another day than their record, or come from the ledger. The second record may come on any later day, so stepping
-- by the days touched would miss some: all are gathered anew.
with

consents as (select * from {{ ref('stg_consents') }}),

refunds as (select * from {{ ref('stg_refunds') }}),

shipments as (select * from {{ ref('stg_shipments') }}),

tickets as (select * from {{ ref('stg_tickets') }}),

ticket_messages as (select * from {{ ref('stg_ticket_messages') }}),

referrals as (select * from {{ ref('stg_referrals') }}),

orders as (

    select
        channel,
        order_id,
        source_customer_id
    from {{ ref('int_order_documents') }}
    where source_customer_id is not null

),

owned_refunds as (

    select
        refunds.*,
        orders.source_customer_id as owner_id
    from refunds
    inner join orders
        on refunds.channel = orders.channel and refunds.order_id = orders.order_id
    where refunds.source_customer_id is null

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
        'consents', 'consents', "case when is_granted then 'consent_granted' else 'consent_withdrawn' end",
        'event_id', 'occurred_at', feed_channel='channel', label="concat_ws(' ', purpose, consent_channel)"
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
        'referrals', 'referrals', "'invitation_accepted'", 'referral_id', 'joined_at',
        business_date=to_business_date('joined_at'), account='invitee_customer_id', reference_id='referral_id'
    ) }}

)

select * from touches
