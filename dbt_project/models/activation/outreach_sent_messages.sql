with

messages as (select * from {{ ref('int_messages') }}),

claims as (select * from {{ ref('stg_claims') }}),

-- A provider returns our number of the message, or at least the decision behind it. Under either it is ours.
by_decision as (

    select
        messages.consent_channel,
        messages.message_id,
        min(claims.message_id) as claim_id
    from messages
    inner join claims
        on messages.consent_channel = claims.consent_channel and messages.decision_id = claims.decision_id
    group by messages.consent_channel, messages.message_id

),

named as (

    select
        messages.consent_channel,
        coalesce(by_decision.claim_id, messages.message_id) as message_id,
        min(messages.customer_id) as customer_id,
        min(messages.journey) as journey,
        min(messages.sent_at) as sent_at
    from messages
    left join by_decision
        on
            messages.consent_channel = by_decision.consent_channel
            and messages.message_id = by_decision.message_id
    where messages.sent_at is not null and messages.customer_id is not null
    group by messages.consent_channel, coalesce(by_decision.claim_id, messages.message_id)

),

-- A message of another system does not say what it was: it counts as promotion, which most caps are about.
final as (

    select
        named.consent_channel,
        named.message_id,
        named.customer_id,
        coalesce(claims.message_tag, 'promotion') as message_tag,
        coalesce(claims.journey, named.journey) as journey,
        named.sent_at
    from named
    left join claims on named.message_id = claims.message_id

)

select * from final
