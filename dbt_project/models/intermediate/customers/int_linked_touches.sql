{{ config(
    materialized='stepwise', shape='replace_keys', key='link_key', keys='touched_links',
    touched_by=['refunds', 'shipments', 'tickets', 'ticket_messages', 'referrals']
) }}
-- depends_on: {{ ref('stg_touched_days') }}, {{ ref('int_orders_touched') }}

-- Touches that need a second record to know their account (a parcel its order, a chat message its ticket), or happen
-- on another day than their record. The second record may come on any later day, so these are stepped by what the two
-- have in common: all touches of an order, a ticket or an invitation are gathered anew when one of the records changed.
with

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
    where refunds.source_customer_id is null and {{ is_touched_link(link_of_order('refunds')) }}

),

owned_shipments as (

    select
        shipments.*,
        orders.source_customer_id
    from shipments
    inner join orders
        on shipments.channel = orders.channel and shipments.order_id = orders.order_id
    where {{ is_touched_link(link_of_order('shipments')) }}

),

owned_messages as (

    select
        ticket_messages.*,
        tickets.channel,
        tickets.source_customer_id,
        tickets.business_date as opened_date
    from ticket_messages
    inner join tickets
        on
            ticket_messages.feed_channel = tickets.feed_channel
            and ticket_messages.ticket_id = tickets.ticket_id
    where {{ is_touched_link(link_of_ticket('ticket_messages')) }}

),

resolved_tickets as (

    select *
    from tickets
    where {{ is_touched_link(link_of_ticket()) }}

),

accepted_referrals as (

    select *
    from referrals
    where {{ is_touched_link(link_of_referral()) }}

),

touches as (

    {{ touch_rows(
        'owned_refunds', 'refunds', "'refund_booked'", 'refund_id', 'refunded_at', account='owner_id',
        feed_channel='channel', reference_id='order_id', sku='sku', amount='-refund_amount',
        also=linked_by(link_of_order())
    ) }}

    union all

    {{ touch_rows(
        'owned_shipments', 'shipments', "'parcel_shipped'", 'shipment_id', 'shipped_at',
        reference_id='order_id', label='shipment_status', also=linked_by(link_of_order())
    ) }}

    union all

    {{ touch_rows(
        'owned_shipments', 'shipments', "'parcel_delivered'", 'shipment_id', 'delivered_at',
        business_date=to_business_date('delivered_at'), reference_id='order_id',
        label="case when delivered_at > promised_at then 'late' end", also=linked_by(link_of_order())
    ) }}

    union all

    {{ touch_rows(
        'resolved_tickets', 'tickets', "'ticket_resolved'", 'ticket_id', 'resolved_at',
        business_date=to_business_date('resolved_at'), reference_id='ticket_id', sku='sku', label='ticket_kind',
        also=linked_by(link_of_ticket())
    ) }}

    union all

    {{ touch_rows(
        'owned_messages', 'ticket_messages', "'chat_by_' || sender_kind", 'message_id', 'sent_at',
        reference_id='ticket_id', also=linked_by(link_of_ticket(), 'opened_date')
    ) }}

    union all

    {{ touch_rows(
        'accepted_referrals', 'referrals', "'invitation_accepted'", 'referral_id', 'joined_at',
        business_date=to_business_date('joined_at'), account='invitee_customer_id', reference_id='referral_id',
        also=linked_by(link_of_referral())
    ) }}

)

select * from touches
