{%- set hours = range(24) -%}
{%- set weekdays = range(1, 8) -%}
{%- set night_hours = [] -%}
{%- for hour in hours if hour >= var('night_from_hour') or hour < var('night_until_hour') -%}
    {%- do night_hours.append('hour_' ~ hour ~ '_count') -%}
{%- endfor -%}

-- When, where and how a customer orders. One row per customer with a sale document. Of equals the earliest hour, the
-- earliest weekday from Monday on and the first name of the alphabet are preferred, never the order of rows.
with

source_customers as (select * from {{ ref('source_customers') }}),

documents as (

    select
        channel,
        source_customer_id,
        payment_method,
        has_coupon,
        gift_line_count > 0 as has_gift,
        cast(extract(hour from {{ to_business_time('ordered_at') }}) as integer) as business_hour,
        {{ weekday_number('business_date') }} as weekday_number
    from {{ ref('int_order_documents') }}
    where document_kind = 'sale' and source_customer_id is not null

),

accounts as (

    select
        channel,
        source_customer_id,
        {%- for hour in hours %}
            {{ count_when('business_hour = ' ~ hour) }} as hour_{{ hour }}_count,
        {%- endfor %}
        {%- for weekday in weekdays %}
            {{ count_when('weekday_number = ' ~ weekday) }} as weekday_{{ weekday }}_count,
        {%- endfor %}
        {{ count_when('has_coupon') }} as coupon_order_count,
        {{ count_when('has_gift') }} as gift_order_count,
        count(*) as order_count
    from documents
    group by channel, source_customer_id

),

owned_accounts as (

    select
        source_customers.customer_id,
        accounts.*
    from accounts
    inner join source_customers
        on
            accounts.channel = source_customers.channel
            and accounts.source_customer_id = source_customers.source_customer_id

),

customers as (

    select
        customer_id,
        {%- for hour in hours %}
            sum(hour_{{ hour }}_count) as hour_{{ hour }}_count,
        {%- endfor %}
        {%- for weekday in weekdays %}
            sum(weekday_{{ weekday }}_count) as weekday_{{ weekday }}_count,
        {%- endfor %}
        cast(sum(coupon_order_count) as bigint) as coupon_order_count,
        cast(sum(gift_order_count) as bigint) as gift_order_count,
        sum(order_count) as order_count
    from owned_accounts
    group by customer_id

),

channel_counts as (

    select
        customer_id,
        channel,
        sum(order_count) as order_count
    from owned_accounts
    group by customer_id, channel

),

ranked_channels as (

    select
        customer_id,
        channel,
        row_number() over (partition by customer_id order by order_count desc, channel) as place
    from channel_counts

),

account_payments as (

    select
        channel,
        source_customer_id,
        payment_method,
        count(*) as order_count
    from documents
    where payment_method is not null
    group by channel, source_customer_id, payment_method

),

payment_counts as (

    select
        source_customers.customer_id,
        account_payments.payment_method,
        sum(account_payments.order_count) as order_count
    from account_payments
    inner join source_customers
        on
            account_payments.channel = source_customers.channel
            and account_payments.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, account_payments.payment_method

),

ranked_payments as (

    select
        customer_id,
        payment_method,
        row_number() over (partition by customer_id order by order_count desc, payment_method) as place,
        count(*) over (partition by customer_id) as payment_method_count
    from payment_counts

),

final as (

    select
        customers.customer_id,
        {{ first_largest('hour', hours) }} as preferred_hour,
        {{ first_largest('weekday', weekdays) }} as preferred_weekday,
        ranked_channels.channel as preferred_channel,
        ranked_payments.payment_method as preferred_payment_method,
        coalesce(ranked_payments.payment_method_count, 0) as payment_method_count,
        customers.coupon_order_count,
        customers.gift_order_count,
        {{ ratio('100 * customers.coupon_order_count', 'customers.order_count') }} as coupon_order_share_pct,
        {{ ratio('100 * customers.gift_order_count', 'customers.order_count') }} as gift_order_share_pct,
        {{ ratio('100 * (weekday_6_count + weekday_7_count)', 'customers.order_count') }} as weekend_order_share_pct,
        {{ ratio('100 * (' ~ night_hours | join(' + ') ~ ')', 'customers.order_count') }} as night_order_share_pct
    from customers
    left join ranked_channels
        on customers.customer_id = ranked_channels.customer_id and ranked_channels.place = 1
    left join ranked_payments
        on customers.customer_id = ranked_payments.customer_id and ranked_payments.place = 1

)

select * from final
