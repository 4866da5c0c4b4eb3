{%- set measures = [
    'session', 'page_view', 'product_view', 'search', 'cart_added', 'favourite_added', 'checkout_started', 'login',
    'share', 'check_in', 'live_event'
] -%}
{%- set windowed = ['session', 'page_view', 'product_view', 'search', 'cart_added', 'favourite_added'] -%}
{%- set windows = {'in_window': var('behaviour_window_days'), 'recent': var('recent_days')} -%}

-- What a customer did in apps, mini-programs and live rooms. One row per customer with an event; a visitor of whom
-- only the device is known is nobody's customer.
with

source_customers as (select * from {{ ref('source_customers') }}),

account_days as (

    select *
    from {{ ref('fct_events_daily') }}
    where source_customer_id is not null

),

customer_days as (

    select
        source_customers.customer_id,
        account_days.business_date,
        {%- for measure in measures %}
            sum(account_days.{{ measure }}_count) as {{ measure }}_count,
        {%- endfor %}
        sum(account_days.dwell_seconds) as dwell_seconds
    from account_days
    inner join source_customers
        on
            account_days.channel = source_customers.channel
            and account_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, account_days.business_date

),

marked as (

    select
        {%- for window, days in windows.items() %}
            business_date > {{ as_of_plus(-days) }} as is_{{ window }},
        {%- endfor %}
        *
    from customer_days

),

final as (

    select
        customer_id,
        {%- for measure in measures %}
            cast(sum({{ measure }}_count) as bigint) as {{ measure }}_count,
        {%- endfor %}
        count(*) as active_day_count,
        cast(sum(dwell_seconds) as decimal(18, 3)) as dwell_seconds,
        {%- for window in windows %}
            {%- for measure in windowed %}
                cast(sum(case when is_{{ window }} then {{ measure }}_count else 0 end) as bigint)
                    as {{ measure }}_count_{{ window }},
            {%- endfor %}
            {{ count_when('is_' ~ window) }} as active_day_count_{{ window }},
            cast(sum(case when is_{{ window }} then dwell_seconds else 0 end) as decimal(18, 3))
                as dwell_seconds_{{ window }},
        {%- endfor %}
        max(business_date) as last_active_date
    from marked
    group by customer_id

)

select * from final
