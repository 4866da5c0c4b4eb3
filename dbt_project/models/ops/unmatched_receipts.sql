with

receipts as (select * from {{ ref('stg_message_receipts') }}),

claims as (select * from {{ ref('stg_claims') }}),

final as (

    select
        receipts.feed_channel as consent_channel,
        receipts.receipt_kind,
        count(*) as receipt_count,
        count(distinct receipts.message_id) as message_count,
        min(receipts.occurred_at) as first_occurred_at,
        max(receipts.occurred_at) as last_occurred_at
    from receipts
    left join claims as by_message
        on
            receipts.feed_channel = by_message.consent_channel
            and receipts.message_id = by_message.message_id
    left join claims as by_decision
        on
            receipts.feed_channel = by_decision.consent_channel
            and receipts.decision_id = by_decision.decision_id
    where by_message.message_id is null and by_decision.message_id is null
    group by receipts.feed_channel, receipts.receipt_kind

)

select * from final
