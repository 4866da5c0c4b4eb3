with

touches as (

    {% for kind in ['account', 'event', 'linked'] %}
        select
            channel,
            source_customer_id,
            business_date
        from {{ ref('int_' ~ kind ~ '_touches') }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

identity_pairs as (select * from {{ ref('stg_identity_pairs') }}),

sightings as (

    select
        channel,
        source_customer_id,
        min(business_date) as first_seen_date,
        max(business_date) as last_seen_date
    from touches
    group by channel, source_customer_id

),

-- A clerk's judgement is no sign of life: it counts for accounts nothing else is known of.
judged as (

    select
        left_channel as channel,
        left_customer_id as source_customer_id,
        business_date
    from identity_pairs

    union all

    select
        right_channel as channel,
        right_customer_id as source_customer_id,
        business_date
    from identity_pairs

),

only_judged as (

    select
        judged.channel,
        judged.source_customer_id,
        min(judged.business_date) as first_seen_date,
        max(judged.business_date) as last_seen_date
    from judged
    left join sightings
        on
            judged.channel = sightings.channel
            and judged.source_customer_id = sightings.source_customer_id
    where sightings.source_customer_id is null
    group by judged.channel, judged.source_customer_id

),

accounts_seen as (

    select * from sightings
    union all
    select * from only_judged

)

select * from accounts_seen
