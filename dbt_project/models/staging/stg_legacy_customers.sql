{{ config(materialized='view') }}

with

current_legacy_customers as (

    {{ current_records('legacy_customers') }}

),

final as (

    select
        channel,
        source_customer_id,
        registered_at,
        {{ to_business_date('coalesce(registered_at, known_at)') }} as business_date,
        order_count,
        spend_amount,
        currency,
        points_balance,
        level_name,
        last_ordered_at
    from current_legacy_customers

)

select * from final
