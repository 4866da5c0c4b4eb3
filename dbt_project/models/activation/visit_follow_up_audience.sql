with

source_customers as (select * from {{ ref('source_customers') }}),

customers as (select * from {{ ref('dim_customers') }}),

visits as (

    select *
    from {{ ref('stg_store_visits') }}
    where not is_purchase and {{ is_still_kept('business_date', 'visit_follow_up') }}

),

first_recommendations as (

    select
        customer_id,
        product_name
    from {{ ref('recommendations') }}
    where recommendation_rank = 1

),

-- Who looks into three shops on one day is thanked once.
visits_placed as (

    select
        source_customers.customer_id,
        visits.*,
        row_number() over (
            partition by source_customers.customer_id, visits.business_date
            order by visits.visited_at, visits.feed_channel, visits.visit_id
        ) as visit_place
    from visits
    inner join source_customers
        on
            visits.channel = source_customers.channel
            and visits.source_customer_id = source_customers.source_customer_id

),

candidates as (

    select
        customer_id,
        visit_id,
        guide_id,
        visited_at as triggered_at,
        cast(business_date as varchar) as occurrence
    from visits_placed
    where visit_place = 1

),

conversions as (

    {{ orders_since('candidates') }}

),

final as (

    select
        candidates.customer_id,
        candidates.occurrence,
        candidates.triggered_at,
        'marketing' as purpose,
        conversions.converted_at,
        coalesce(candidates.guide_id, customers.guide_id) as guide_id,
        candidates.visit_id,
        first_recommendations.product_name as recommended_name
    from candidates
    inner join customers on candidates.customer_id = customers.customer_id
    left join first_recommendations on candidates.customer_id = first_recommendations.customer_id
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence

)

select * from final
