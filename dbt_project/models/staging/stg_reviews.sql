{{ config(materialized='view') }}

with

current_reviews as (

    {{ current_records('reviews', event_at='reviewed_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        review_id,
        source_customer_id,
        order_id,
        sku,
        rating,
        review_text,
        picture_count,
        reviewed_at,
        {{ to_business_date('reviewed_at') }} as business_date
    from current_reviews

)

select * from final
