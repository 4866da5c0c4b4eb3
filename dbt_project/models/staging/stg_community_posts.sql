{{ config(materialized='view') }}

with

current_community_posts as (

    {{ current_records('community_posts', event_at='posted_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        post_id,
        source_customer_id,
        group_id,
        posted_at,
        {{ to_business_date('posted_at') }} as business_date,
        post_kind,
        reply_to_id,
        sku,
        post_text,
        like_count,
        {{ is_in_time('posted_at') }} as is_in_time
    from current_community_posts

)

select * from final
