{{ config(materialized='stepwise', shape='replace_days', touched_by=['community_posts']) }}

with

posts as (

    select *
    from {{ ref('stg_community_posts') }}
    where is_in_time and {{ is_touched('posted_at') }}

),

final as (

    select
        channel,
        source_customer_id,
        group_id,
        business_date,
        count(*) as message_count,
        {{ count_when("post_kind = 'post'") }} as post_count,
        {{ count_when("post_kind = 'question'") }} as question_count,
        {{ count_when("post_kind = 'answer'") }} as answer_count,
        {{ count_when("post_kind = 'share'") }} as share_count,
        cast(sum(coalesce(like_count, 0)) as bigint) as like_count,
        min(posted_at) as first_posted_at,
        max(posted_at) as last_posted_at
    from posts
    group by channel, source_customer_id, group_id, business_date

)

select * from final
