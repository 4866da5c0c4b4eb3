{{ config(materialized='stepwise', shape='replace_days', touched_by=['refunds']) }}

with

current_refunds as (

    {{ current_records('refunds', event_at='refunded_at') }}

),

final as (

    select
        channel,
        refund_id,
        order_id,
        source_customer_id,
        refunded_at,
        {{ to_business_date('refunded_at') }} as business_date,
        refund_amount,
        currency,
        refund_reason,
        sku
    from current_refunds
    where {{ is_touched('refunded_at') }}

)

select * from final
