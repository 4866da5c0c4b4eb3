with

messages as (select * from {{ ref('int_messages') }}),

claims as (select * from {{ ref('stg_claims') }}),

-- A message of another system does not say what it was: it counts as promotion, which most caps are about.
final as (

    select
        messages.consent_channel,
        messages.message_id,
        messages.customer_id,
        coalesce(claims.message_tag, 'promotion') as message_tag,
        coalesce(claims.journey, messages.journey) as journey,
        messages.sent_at
    from messages
    left join claims on messages.message_id = claims.message_id
    where messages.sent_at is not null and messages.customer_id is not null

)

select * from final
