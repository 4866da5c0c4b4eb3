-- Live rooms, customer groups and shops. One row per customer who was in any of them.
with

source_customers as (select * from {{ ref('source_customers') }}),

live_rooms as (

    select
        source_customers.customer_id,
        live_days.live_room_id,
        sum(live_days.entered_count) as entered_count,
        sum(live_days.liked_count) as liked_count,
        sum(live_days.commented_count) as commented_count,
        sum(live_days.product_clicked_count) as product_clicked_count,
        sum(live_days.dwell_seconds) as dwell_seconds,
        max(live_days.business_date) as last_live_date
    from {{ ref('fct_live_days') }} as live_days
    inner join source_customers
        on
            live_days.channel = source_customers.channel
            and live_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, live_days.live_room_id

),

live as (

    select
        customer_id,
        count(live_room_id) as live_room_count,
        cast(sum(entered_count) as bigint) as live_entered_count,
        cast(sum(liked_count) as bigint) as live_liked_count,
        cast(sum(commented_count) as bigint) as live_commented_count,
        cast(sum(product_clicked_count) as bigint) as live_product_clicked_count,
        cast(sum(dwell_seconds) as decimal(18, 3)) as live_dwell_seconds,
        max(last_live_date) as last_live_date
    from live_rooms
    group by customer_id

),

community as (

    select
        source_customers.customer_id,
        cast(sum(community_days.message_count) as bigint) as community_message_count,
        cast(sum(community_days.post_count) as bigint) as community_post_count,
        cast(sum(community_days.question_count) as bigint) as community_question_count,
        cast(sum(community_days.answer_count) as bigint) as community_answer_count,
        cast(sum(community_days.share_count) as bigint) as community_share_count,
        cast(sum(community_days.like_count) as bigint) as community_like_count,
        max(community_days.business_date) as last_community_date
    from {{ ref('fct_community_days') }} as community_days
    inner join source_customers
        on
            community_days.channel = source_customers.channel
            and community_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

),

-- A visit of which nobody noted whether something was bought is neither with nor without purchase.
store_visits as (

    select
        source_customers.customer_id,
        count(*) as store_visit_count,
        {{ count_when('visits.is_purchase') }} as store_visit_with_purchase_count,
        {{ count_when('not visits.is_purchase') }} as store_visit_without_purchase_count,
        max(visits.business_date) as last_store_visit_date,
        max(case when not visits.is_purchase then visits.business_date end) as last_visit_without_purchase_date
    from {{ ref('stg_store_visits') }} as visits
    inner join source_customers
        on
            visits.channel = source_customers.channel
            and visits.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

),

customers as (

    select customer_id from live
    union distinct
    select customer_id from community
    union distinct
    select customer_id from store_visits

),

final as (

    select
        customers.customer_id,
        live.live_room_count,
        live.live_entered_count,
        live.live_liked_count,
        live.live_commented_count,
        live.live_product_clicked_count,
        live.live_dwell_seconds,
        live.last_live_date,
        community.community_message_count,
        community.community_post_count,
        community.community_question_count,
        community.community_answer_count,
        community.community_share_count,
        community.community_like_count,
        community.last_community_date,
        store_visits.store_visit_count,
        store_visits.store_visit_with_purchase_count,
        store_visits.store_visit_without_purchase_count,
        store_visits.last_store_visit_date,
        store_visits.last_visit_without_purchase_date
    from customers
    left join live on customers.customer_id = live.customer_id
    left join community on customers.customer_id = community.customer_id
    left join store_visits on customers.customer_id = store_visits.customer_id

)

select * from final
