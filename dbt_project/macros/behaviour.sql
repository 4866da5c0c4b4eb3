{# Shared by the rollups of behaviour: the events a rollup reads, and who is behind them. #}

{# Events of the days to be built, in time; `types` keeps only these kinds. #}
{% macro events_to_roll_up(types=none) %}
    select
        channel,
        source_customer_id,
        -- Before login the device is the only trace of a person; after it the account says who it was.
        case when source_customer_id is null then device_id end as device_id,
        event_id,
        occurred_at,
        business_date,
        event_type,
        sku,
        quantity,
        dwell_seconds,
        live_room_id
    from {{ ref('stg_events') }}
    where
        is_in_time
        and {{ is_touched('occurred_at') }}
        {%- if types %}
        and event_type in ('{{ types | join("', '") }}')
        {%- endif %}
{% endmacro %}


{% macro count_when(condition) -%}
    count(case when {{ condition }} then 1 end)
{%- endmacro %}


{# Kinds of events the daily rollup counts one by one; live rooms together. #}
{% macro daily_event_types() %}
    {{ return([
        'page_view', 'product_view', 'search', 'cart_added', 'cart_removed', 'favourite_added', 'favourite_removed',
        'checkout_started', 'login', 'share', 'check_in'
    ]) }}
{% endmacro %}


{# A day of one visitor and product: how often it was put in and taken out, and when last. #}
{% macro added_and_removed(added, removed) %}
with

events as (

    {{ events_to_roll_up([added, removed]) }}

),

final as (

    select
        channel,
        source_customer_id,
        device_id,
        business_date,
        sku,
        {{ count_when("event_type = '" ~ added ~ "'") }} as added_count,
        {{ count_when("event_type = '" ~ removed ~ "'") }} as removed_count,
        cast(sum(case when event_type = '{{ added }}' then coalesce(quantity, 1) else 0 end) as decimal(18, 3))
            as added_quantity,
        cast(sum(case when event_type = '{{ removed }}' then coalesce(quantity, 1) else 0 end) as decimal(18, 3))
            as removed_quantity,
        max(case when event_type = '{{ added }}' then occurred_at end) as last_added_at,
        max(case when event_type = '{{ removed }}' then occurred_at end) as last_removed_at
    from events
    group by channel, source_customer_id, device_id, business_date, sku

)
{% endmacro %}


{# What int_customer_behaviour_days counts of a day. #}
{% macro behaviour_measures() %}
    {{ return([
        'visit', 'product_view', 'cart_added', 'favourite_added', 'interaction', 'message_response', 'ticket',
        'complaint', 'low_rating', 'late_parcel'
    ]) }}
{% endmacro %}


{# All of them as columns of one source: the expressions given, 0 for the others. #}
{% macro behaviour_counts(given) -%}
    {%- for measure in behaviour_measures() %}
        {{ given.get(measure, '0') }} as {{ measure }}_count{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
