with

receipts as (select * from {{ ref('stg_message_receipts') }}),

source_customers as (select * from {{ ref('source_customers') }}),

-- Receipts come twice, late and in any order: the first moment of each kind is the same whatever came.
messages as (

    select
        receipts.feed_channel as consent_channel,
        receipts.message_id,
        min(source_customers.customer_id) as customer_id,
        min(receipts.journey) as journey,
        min(receipts.decision_id) as decision_id,
        {% for kind in ['sent', 'delivered', 'opened', 'clicked', 'failed', 'unsubscribed'] -%}
            min(case when receipts.receipt_kind = '{{ kind }}' then receipts.occurred_at end) as {{ kind }}_at
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from receipts
    left join source_customers
        on
            receipts.channel = source_customers.channel
            and receipts.source_customer_id = source_customers.source_customer_id
    group by receipts.feed_channel, receipts.message_id

),

-- Who opened it was reached, whatever else is reported. A failure alone never left.
final as (

    select
        consent_channel,
        message_id,
        customer_id,
        journey,
        decision_id,
        coalesce(sent_at, delivered_at, opened_at, clicked_at, unsubscribed_at) as sent_at,
        coalesce(delivered_at, opened_at, clicked_at, unsubscribed_at) as delivered_at,
        coalesce(opened_at, clicked_at) as opened_at,
        clicked_at,
        case
            when coalesce(delivered_at, opened_at, clicked_at, unsubscribed_at) is null then failed_at
        end as failed_at,
        unsubscribed_at
    from messages

)

select * from final
