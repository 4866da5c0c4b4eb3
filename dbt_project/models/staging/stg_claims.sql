with

ledger_claims as (select * from {{ source('ledger', 'claims') }}),

-- A message is claimed after the night that decided it: the build of a night never sees its own.
final as (

    select
        claim_id as message_id,
        decision_id,
        person_id,
        contact_token,
        journey,
        step,
        occurrence,
        consent_channel,
        purpose,
        message_tag,
        content_id,
        content_version,
        planned_send_at,
        state,
        state_reason,
        sent_at,
        as_of_date
    from ledger_claims
    where as_of_date < {{ as_of() }}

)

select * from final
