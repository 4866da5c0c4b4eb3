{{ config(materialized='view') }}

with

current_store_visits as (

    {{ current_records('store_visits', event_at='visited_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        visit_id,
        source_customer_id,
        store_id,
        visited_at,
        {{ to_business_date('visited_at') }} as business_date,
        stay_minutes,
        is_purchase,
        guide_id
    from current_store_visits

)

select * from final
