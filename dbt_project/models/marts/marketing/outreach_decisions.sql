with

decisions as (select * from {{ source('history', 'outreach_decisions') }}),

final as (

    select
        decision_id,
        customer_id,
        journey,
        step,
        occurrence,
        outcome,
        rule_id,
        purpose,
        consent_channel,
        contact_token,
        contact_mask,
        content_id,
        planned_send_at,
        valid_until,
        decided_at,
        as_of_date,
        evidence
    from decisions
    where as_of_date <= {{ as_of() }}

)

select * from final
