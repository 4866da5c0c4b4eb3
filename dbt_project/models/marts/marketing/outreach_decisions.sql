with

nightly_decisions as (select * from {{ source('history', 'outreach_decisions') }}),

trigger_decisions as (select * from {{ source('history', 'outreach_trigger_decisions') }}),

decisions as (

    select * from nightly_decisions
    union all
    select * from trigger_decisions

),

final as (

    select
        decision_id,
        customer_id,
        journey,
        step,
        occurrence,
        run_kind,
        outcome,
        rule_id,
        purpose,
        message_tag,
        consent_channel,
        contact_token,
        contact_mask,
        language,
        content_id,
        content_version,
        sku,
        guide_id,
        priority,
        unit_cost_amount,
        triggered_at,
        planned_send_at,
        valid_until,
        decided_at,
        as_of_date,
        variables,
        evidence
    from decisions
    where as_of_date <= {{ as_of() }}

)

select * from final
