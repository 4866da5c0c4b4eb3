with

paid_orders as (

    select *
    from {{ ref('int_order_documents') }}
    where expected_amount is not null and paid_amount is not null

),

compared as (

    select
        channel,
        order_id,
        business_date,
        header_currency as currency,
        paid_amount,
        expected_amount,
        -- Amounts in two currencies have no difference; that they are two is one.
        case when header_currency = currency then paid_amount - expected_amount end as difference_amount
    from paid_orders

),

final as (

    select
        channel,
        order_id,
        business_date,
        currency,
        cast(paid_amount as decimal(18, 6)) as paid_amount,
        cast(expected_amount as decimal(36, 9)) as expected_amount,
        cast(difference_amount as decimal(36, 9)) as difference_amount
    from compared
    where difference_amount is null or abs(difference_amount) > {{ smallest_coin('currency') }}

)

select * from final
