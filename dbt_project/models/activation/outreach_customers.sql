with

customers as (select * from {{ ref('dim_customers') }}),

tiers as (select * from {{ ref('rfm_tiers') }}),

clv_scores as (select * from {{ ref('clv_scores') }}),

localities as (select * from {{ ref('localities') }}),

source_customers as (select * from {{ ref('source_customers') }}),

privacy_requests as (select * from {{ ref('stg_privacy_requests') }}),

tickets as (select * from {{ ref('stg_tickets') }}),

-- A request that was granted holds for good; an open one is granted until somebody refuses it.
standing_requests as (

    select
        source_customers.customer_id,
        max(case when privacy_requests.request_kind = 'erasure' then 1 else 0 end) as erasure_count,
        max(case when privacy_requests.request_kind = 'restriction' then 1 else 0 end) as restriction_count
    from privacy_requests
    inner join source_customers
        on
            privacy_requests.channel = source_customers.channel
            and privacy_requests.source_customer_id = source_customers.source_customer_id
    where
        privacy_requests.request_kind in ('erasure', 'restriction')
        and privacy_requests.request_status <> 'refused'
    group by source_customers.customer_id

),

open_complaints as (

    select
        source_customers.customer_id,
        min(tickets.opened_at) as open_complaint_since
    from tickets
    inner join source_customers
        on
            tickets.channel = source_customers.channel
            and tickets.source_customer_id = source_customers.source_customer_id
    where tickets.ticket_kind = 'complaint' and tickets.ticket_status in ('open', 'pending')
    group by source_customers.customer_id

),

-- Only the year of birth is kept: who may still be too young this year counts as too young.
final as (

    select
        customers.customer_id,
        coalesce(localities.timezone, '{{ setting("business_timezone") }}') as timezone,
        coalesce(localities.language, 'zh-CN') as language,  -- noqa: RF04
        tiers.rfm_tier,
        case
            when standing_requests.erasure_count = 1 then 'suppression.erasure'
            when standing_requests.restriction_count = 1 then 'suppression.restriction'
            when extract(year from {{ as_of() }}) - customers.birth_year <= {{ var('minor_age_years') | int }}
                then 'suppression.minor'
        end as suppression_rule,
        open_complaints.open_complaint_since,
        customers.guide_id,
        clv_scores.predicted_clv
    from customers
    left join tiers on customers.customer_id = tiers.customer_id
    left join clv_scores on customers.customer_id = clv_scores.customer_id
    left join localities on customers.country_name = localities.country_name
    left join standing_requests on customers.customer_id = standing_requests.customer_id
    left join open_complaints on customers.customer_id = open_complaints.customer_id

)

select * from final
