with

ledger_consents as (select * from {{ source('ledger', 'consents') }}),

-- The ledger keeps one row per event, so there is nothing to dedupe here.
visible_consents as (

    select
        event_id,
        channel,
        source_customer_id,
        contact_kind,
        contact_token,
        contact_mask,
        purpose,
        consent_channel,
        is_granted,
        occurred_at,
        {{ to_business_date('occurred_at') }} as business_date,
        notice_version
    from ledger_consents
    where known_at < {{ as_of_end_at() }} and occurred_at < {{ as_of_end_at() }}

)

select * from visible_consents
