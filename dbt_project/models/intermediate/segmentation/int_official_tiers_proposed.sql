{{ config(materialized='view') }}

-- A view: only the monthly job asks for it.
with

benchmarks as (

    {{ benchmarks_in_force() }}

),

tiered as (select * from {{ ref('int_customers_lifted') }}),

labels as (

    select *
    from {{ ref('rfm_tier_labels') }}
    where ladder = '{{ setting("ladder") }}'

),

-- A tier of another ladder says nothing about this one.
earlier_tiers as (

    select
        customer_id,
        rfm_tier,
        row_number() over (partition by customer_id order by as_of_date desc) as recency_place
    from {{ source('earlier', 'earlier_rfm_tiers') }}
    where as_of_date < {{ as_of() }} and ladder = '{{ setting("ladder") }}'

),

customers as (

    select
        tiered.*,
        earlier_tiers.rfm_tier as earlier_rfm_tier,
        coalesce(earlier_labels.rank < labels.rank, false) as is_falling
    from tiered
    inner join labels on tiered.rfm_tier = labels.tier
    left join earlier_tiers
        on tiered.customer_id = earlier_tiers.customer_id and earlier_tiers.recency_place = 1
    left join labels as earlier_labels on earlier_tiers.rfm_tier = earlier_labels.tier

),

-- A tier of behaviour has no rule of its own: while the tag is held, the rules of the tier below it count.
held_tiers as (

    select
        customer_id,
        earlier_rfm_tier as tier
    from customers
    where is_falling

    union distinct

    select
        customers.customer_id,
        lifts.from_tier as tier
    from customers
    inner join {{ ref('tier_lifts') }} as lifts
        on customers.ladder = lifts.ladder and customers.earlier_rfm_tier = lifts.to_tier
    inner join {{ ref('customer_tags') }} as tags
        on customers.customer_id = tags.customer_id and lifts.tag = tags.tag
    where customers.is_falling

),

-- The rules of every tier with a margin, loosened by it.
rules as (

    select
        ladders.tier,
        ladders.rule_id,
        ladders.spend_basis,
        ladders.min_days_since_last_order - margins.extra_days as min_days_since_last_order,
        ladders.max_days_since_last_order + margins.extra_days as max_days_since_last_order,
        ladders.min_order_count - margins.order_count_slack as min_order_count,
        ladders.max_order_count + margins.order_count_slack as max_order_count,
        case
            when ladders.min_spend_pct > margins.spend_pct_points
                then ladders.min_spend_pct - margins.spend_pct_points
            else 0 * ladders.min_spend_pct
        end as min_spend_pct,
        case
            when ladders.spend_basis = 'percentile' and ladders.max_spend_pct > 100 - margins.spend_pct_points
                then 100
            else ladders.max_spend_pct + margins.spend_pct_points
        end as max_spend_pct
    from {{ ref('rfm_ladders') }} as ladders
    inner join {{ ref('tier_margins') }} as margins
        on ladders.ladder = margins.ladder and ladders.tier = margins.tier
    where ladders.ladder = '{{ setting("ladder") }}'

),

{{ ladder_limits() }},

within_margin as (

    select distinct customers.customer_id
    from customers
    inner join held_tiers on customers.customer_id = held_tiers.customer_id
    inner join limits
        on
            held_tiers.tier = limits.tier
            and {{ customer_meets_limits() }}

),

final as (

    select
        customers.customer_id,
        {{ as_of() }} as as_of_date,
        case
            when within_margin.customer_id is not null then customers.earlier_rfm_tier
            else customers.rfm_tier
        end as rfm_tier,
        customers.ladder,
        case
            when within_margin.customer_id is not null then 'kept_within_margin'
            else customers.tier_rule_id
        end as reason
    from customers
    left join within_margin on customers.customer_id = within_margin.customer_id

)

select * from final
