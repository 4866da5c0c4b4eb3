with

account_days as (select * from {{ ref('int_account_days') }}),

source_customers as (select * from {{ ref('source_customers') }}),

identified as (

    select
        account_days.*,
        case when account_days.order_count > 0 then source_customers.customer_id end as buyer_id
    from account_days
    left join source_customers
        on
            account_days.channel = source_customers.channel
            and account_days.source_customer_id = source_customers.source_customer_id

),

summed as (

    select
        channel,
        business_date,
        sum(order_count) as order_count,
        count(distinct buyer_id) as customer_count,
        sum(unconverted_order_count) as unconverted_order_count,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(discount_exact_amount) as discount_exact_amount,
        sum(refund_exact_amount) as refund_exact_amount
    from identified
    group by channel, business_date

),

final as (

    select
        channel,
        business_date,
        cast(order_count as bigint) as order_count,
        customer_count,
        '{{ setting("reporting_currency") }}' as currency,
        {{ half_even('gross_exact_amount') }} as gross_amount,
        {{ half_even('discount_exact_amount') }} as discount_amount,
        {{ half_even('refund_exact_amount') }} as refund_amount,
        {{ half_even('gross_exact_amount - discount_exact_amount - refund_exact_amount') }} as net_amount,
        cast(unconverted_order_count as bigint) as unconverted_order_count
    from summed

)

select * from final
