with

consents as (select * from {{ ref('stg_consents') }}),

source_customers as (select * from {{ ref('source_customers') }}),

scopes as (

    select distinct
        purpose,
        consent_channel
    from consents
    where purpose <> '*' and consent_channel <> '*'

),

-- A withdrawal nobody could place (*) withdraws everything; such a grant grants nothing.
statements as (

    select
        channel,
        source_customer_id,
        contact_token,
        contact_kind,
        contact_mask,
        purpose,
        consent_channel,
        is_granted,
        occurred_at,
        notice_version
    from consents
    where purpose <> '*' and consent_channel <> '*'
    union all
    select
        consents.channel,
        consents.source_customer_id,
        consents.contact_token,
        consents.contact_kind,
        consents.contact_mask,
        scopes.purpose,
        scopes.consent_channel,
        consents.is_granted,
        consents.occurred_at,
        consents.notice_version
    from consents
    inner join scopes
        on
            consents.purpose in ('*', scopes.purpose)
            and consents.consent_channel in ('*', scopes.consent_channel)
    where (consents.purpose = '*' or consents.consent_channel = '*') and not consents.is_granted

),

-- What the accounts of a customer last said about a contact; of two at one moment the withdrawal.
words as (

    select
        source_customers.customer_id,
        statements.contact_token,
        statements.contact_kind,
        statements.contact_mask,
        statements.purpose,
        statements.consent_channel,
        statements.is_granted,
        statements.occurred_at,
        statements.notice_version,
        row_number() over (
            partition by
                source_customers.customer_id,
                statements.contact_token,
                statements.purpose,
                statements.consent_channel
            order by
                statements.occurred_at desc,
                statements.is_granted,
                statements.notice_version desc nulls last,
                statements.contact_mask,
                statements.contact_kind
        ) as recency_place
    from statements
    inner join source_customers
        on
            statements.channel = source_customers.channel
            and statements.source_customer_id = source_customers.source_customer_id

),

-- Withdrawals that the account that made them did not take back, by whomever the account is.
standing_withdrawals as (

    select
        contact_token,
        purpose,
        consent_channel,
        max(case when not is_granted then occurred_at end) as withdrawn_at,
        coalesce(max(case when is_granted then occurred_at end), cast('1900-01-01' as timestamp)) as granted_at
    from statements
    group by channel, source_customer_id, contact_token, purpose, consent_channel

),

contact_withdrawals as (

    select
        contact_token,
        purpose,
        consent_channel,
        max(withdrawn_at) as withdrawn_at
    from standing_withdrawals
    where withdrawn_at >= granted_at
    group by contact_token, purpose, consent_channel

),

-- The most restrictive wins. Withdrawn was: by any contact of the person, or this contact by anybody.
states as (

    select
        words.customer_id,
        words.contact_token,
        words.contact_kind,
        words.contact_mask,
        words.purpose,
        words.consent_channel,
        words.is_granted,
        words.occurred_at,
        words.notice_version,
        max(case when not words.is_granted then words.occurred_at end) over (
            partition by words.customer_id, words.purpose, words.consent_channel
        ) as withdrawn_by_person_at,
        contact_withdrawals.withdrawn_at as contact_withdrawn_at
    from words
    left join contact_withdrawals
        on
            words.contact_token = contact_withdrawals.contact_token
            and words.purpose = contact_withdrawals.purpose
            and words.consent_channel = contact_withdrawals.consent_channel
    where words.recency_place = 1

),

final as (

    select
        customer_id,
        contact_token,
        contact_kind,
        contact_mask,
        purpose,
        consent_channel,
        is_granted,
        occurred_at,
        notice_version,
        is_granted
        and occurred_at > coalesce(withdrawn_by_person_at, cast('1900-01-01' as timestamp))
        and occurred_at > coalesce(contact_withdrawn_at, cast('1900-01-01' as timestamp)) as is_usable
    from states

)

select * from final
