-- depends_on: {{ ref('fct_order_lines') }}
-- (so that the test comparing the two runs in the call that builds the later one)
with

orders as (select * from {{ ref('int_orders_refunded') }}),

source_customers as (select * from {{ ref('source_customers') }}),

-- Few accounts ever change their customer: only their former ids need a look at the day.
former_ids as (

    select
        channel,
        source_customer_id,
        customer_id,
        valid_from_date,
        valid_until_date
    from {{ ref('customer_id_history') }}
    where valid_until_date is not null

),

identified as (

    select
        orders.*,
        source_customers.customer_id,
        coalesce(former_ids.customer_id, source_customers.customer_id) as customer_id_at_order,
        orders.gross_exact_amount - orders.discount_exact_amount - orders.refund_exact_amount as net_exact_amount
    from orders
    left join source_customers
        on
            orders.channel = source_customers.channel
            and orders.source_customer_id = source_customers.source_customer_id
    left join former_ids
        on
            orders.channel = former_ids.channel
            and orders.source_customer_id = former_ids.source_customer_id
            and orders.business_date >= former_ids.valid_from_date
            and orders.business_date < former_ids.valid_until_date

),

final as (

    select
        channel,
        order_id,
        document_kind,
        source_customer_id,
        customer_id,
        customer_id_at_order,
        ordered_at,
        business_date,
        cast(extract(hour from {{ to_business_time('ordered_at') }}) as integer) as business_hour,
        currency,
        {{ half_even('gross_exact_amount') }} as gross_amount,
        {{ half_even('discount_exact_amount') }} as discount_amount,
        {{ half_even('refund_exact_amount') }} as refund_amount,
        {{ half_even('net_exact_amount') }} as net_amount,
        cast(net_exact_amount as decimal(38, 9)) as net_exact_amount,
        cast(line_count as bigint) as line_count,
        cast(sale_line_count as bigint) as sale_line_count,
        cast(item_quantity as decimal(18, 3)) as item_quantity,
        document_kind = 'sale' and coalesce(refund_exact_amount > 0, false) as is_refunded,
        is_cancelled,
        payment_method,
        store_id,
        country_name
    from identified

)

select * from final
