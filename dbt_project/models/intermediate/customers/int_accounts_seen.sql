-- Every account some record is about. Two accounts a clerk has judged are not seen by that alone: of an account
-- nothing else is known of there is nobody to link.
with

touches as (

    {% for kind in ['account', 'event', 'linked', 'consent'] %}
        select
            channel,
            source_customer_id,
            business_date
        from {{ ref('int_' ~ kind ~ '_touches') }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

accounts_seen as (

    select
        channel,
        source_customer_id,
        min(business_date) as first_seen_date,
        max(business_date) as last_seen_date
    from touches
    -- A record may tell a day that is still to come, such as the day a newcomer will have joined.
    where business_date <= {{ as_of() }}
    group by channel, source_customer_id

)

select * from accounts_seen
