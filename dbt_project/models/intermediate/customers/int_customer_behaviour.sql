{%- set measures = [
    'session', 'page_view', 'product_view', 'search', 'cart_added', 'favourite_added', 'checkout_started', 'login',
    'share', 'check_in', 'live_event'
] -%}
{%- set windowed = ['session', 'page_view', 'product_view', 'search', 'cart_added', 'favourite_added'] -%}
{%- set windows = {'in_window': var('behaviour_window_days'), 'recent': var('recent_days')} -%}
{%- set sums = [] -%}
{%- for measure in measures -%}{%- do sums.append(measure ~ '_count') -%}{%- endfor -%}
{%- for window in windows -%}
    {%- for measure in windowed -%}{%- do sums.append(measure ~ '_count_' ~ window) -%}{%- endfor -%}
{%- endfor -%}

-- What a customer did in apps, mini-programs and live rooms. One row per customer with an event; a visitor of whom
-- only the device is known is nobody's customer.
with

source_customers as (select * from {{ ref('source_customers') }}),

account_days as (

    select
        {%- for window, days in windows.items() %}
            business_date > {{ as_of_plus(-days) }} as is_{{ window }},
        {%- endfor %}
        *
    from {{ ref('fct_events_daily') }}
    where source_customer_id is not null

),

accounts as (

    select
        channel,
        source_customer_id,
        {%- for measure in measures %}
            sum({{ measure }}_count) as {{ measure }}_count,
        {%- endfor %}
        sum(dwell_seconds) as dwell_seconds,
        {%- for window in windows %}
            {%- for measure in windowed %}
                sum(case when is_{{ window }} then {{ measure }}_count else 0 end) as {{ measure }}_count_{{ window }},
            {%- endfor %}
            sum(case when is_{{ window }} then dwell_seconds else 0 end) as dwell_seconds_{{ window }},
        {%- endfor %}
        max(business_date) as last_active_date
    from account_days
    group by channel, source_customer_id

),

customers as (

    select
        source_customers.customer_id,
        {%- for name in sums %}
            cast(sum(accounts.{{ name }}) as bigint) as {{ name }},
        {%- endfor %}
        {%- for window in [''] + (windows | list) %}
            {%- set name = 'dwell_seconds' ~ ('_' if window) ~ window %}
            cast(sum(accounts.{{ name }}) as decimal(18, 3)) as {{ name }},
        {%- endfor %}
        max(accounts.last_active_date) as last_active_date
    from accounts
    inner join source_customers
        on
            accounts.channel = source_customers.channel
            and accounts.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

),

-- A day at two accounts is one day of the customer.
customer_days as (

    select
        source_customers.customer_id,
        account_days.business_date,
        account_days.is_in_window,
        account_days.is_recent
    from account_days
    inner join source_customers
        on
            account_days.channel = source_customers.channel
            and account_days.source_customer_id = source_customers.source_customer_id
    group by
        source_customers.customer_id,
        account_days.business_date,
        account_days.is_in_window,
        account_days.is_recent

),

active_days as (

    select
        customer_id,
        count(*) as active_day_count,
        {{ count_when('is_in_window') }} as active_day_count_in_window,
        {{ count_when('is_recent') }} as active_day_count_recent
    from customer_days
    group by customer_id

),

final as (

    select
        customers.*,
        active_days.active_day_count,
        active_days.active_day_count_in_window,
        active_days.active_day_count_recent
    from customers
    inner join active_days on customers.customer_id = active_days.customer_id

)

select * from final
