with

consents as (select * from {{ ref('stg_consents') }}),

source_customers as (select * from {{ ref('source_customers') }}),

-- What a contact last said about a purpose and a channel; of two at one moment the withdrawal.
latest_by_contact as (

    select
        contact_token,
        contact_mask,
        purpose,
        consent_channel,
        is_granted,
        occurred_at,
        notice_version,
        row_number() over (
            partition by contact_token, purpose, consent_channel
            order by occurred_at desc, is_granted, notice_version desc nulls last, contact_mask
        ) as recency_place
    from consents

),

contacts_of_customers as (

    select distinct
        source_customers.customer_id,
        consents.contact_token,
        consents.contact_kind
    from consents
    inner join source_customers
        on
            consents.channel = source_customers.channel
            and consents.source_customer_id = source_customers.source_customer_id

),

states as (

    select
        contacts_of_customers.customer_id,
        contacts_of_customers.contact_token,
        contacts_of_customers.contact_kind,
        latest_by_contact.contact_mask,
        latest_by_contact.purpose,
        latest_by_contact.consent_channel,
        latest_by_contact.is_granted,
        latest_by_contact.occurred_at,
        latest_by_contact.notice_version
    from contacts_of_customers
    inner join latest_by_contact
        on
            contacts_of_customers.contact_token = latest_by_contact.contact_token
            and latest_by_contact.recency_place = 1

),

-- The most restrictive wins: a withdrawal by any contact of the person also stops older grants of the others.
final as (

    select
        *,
        is_granted
        and occurred_at > coalesce(
            max(case when not is_granted then occurred_at end) over (
                partition by customer_id, purpose, consent_channel
            ),
            cast('1900-01-01' as timestamp)
        ) as is_usable
    from states

)

select * from final
