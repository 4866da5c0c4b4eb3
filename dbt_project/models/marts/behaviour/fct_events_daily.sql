{{ config(materialized='stepwise', shape='replace_days', touched_by=['events']) }}

with

events as (

    {{ events_to_roll_up() }}

),

sessions as (

    select
        channel,
        source_customer_id,
        device_id,
        business_date,
        count(*) as session_count
    from {{ ref('fct_sessions') }}
    where {{ is_touched('first_event_at') }}
    group by channel, source_customer_id, device_id, business_date

),

days as (

    select
        channel,
        source_customer_id,
        device_id,
        business_date,
        count(*) as event_count,
        count(distinct sku) as product_count,
        {%- for event_type in daily_event_types() %}
            {{ count_when("event_type = '" ~ event_type ~ "'") }} as {{ event_type }}_count,
        {%- endfor %}
        {{ count_when("event_type like 'live_%'") }} as live_event_count,
        sum(coalesce(dwell_seconds, 0)) as dwell_seconds,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at
    from events
    group by channel, source_customer_id, device_id, business_date

),

final as (

    select
        days.channel,
        days.source_customer_id,
        days.device_id,
        days.business_date,
        days.event_count,
        sessions.session_count,
        days.product_count,
        {%- for event_type in daily_event_types() %}
            days.{{ event_type }}_count,
        {%- endfor %}
        days.live_event_count,
        cast(days.dwell_seconds as decimal(18, 3)) as dwell_seconds,
        days.first_event_at,
        days.last_event_at
    from days
    inner join sessions
        on
            days.channel = sessions.channel
            and days.business_date = sessions.business_date
            and coalesce(days.source_customer_id, '') = coalesce(sessions.source_customer_id, '')
            and coalesce(days.device_id, '') = coalesce(sessions.device_id, '')

)

select * from final
