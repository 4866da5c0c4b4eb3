-- Both stages of a customer on a day: the first rule of each model whose limits hold. One row per customer and day.
with

facts as (select * from {{ ref('int_lifecycle_facts') }}),

rules as (select * from {{ ref('lifecycle_rules') }}),

matches as (

    select
        facts.customer_id,
        facts.snapshot_date,
        min(case when rules.stage_model = 'lifecycle' then rules.priority end) as lifecycle_priority,
        min(case when rules.stage_model = 'aipl' then rules.priority end) as aipl_priority
    from facts
    inner join rules
        on
            facts.order_count >= coalesce(rules.min_order_count, 0)
            and facts.order_count_in_year >= coalesce(rules.min_order_count_in_year, 0)
            and facts.days_since_last_order >= coalesce(rules.min_days_since_last_order, 0)
            and facts.interest_count >= coalesce(rules.min_interest_count, 0)
            and facts.product_view_count >= coalesce(rules.min_product_view_count, 0)
    group by facts.customer_id, facts.snapshot_date

),

final as (

    select
        matches.customer_id,
        matches.snapshot_date,
        lifecycle_rules.stage as lifecycle_stage,
        lifecycle_rules.rule_id as lifecycle_rule_id,
        aipl_rules.stage as aipl_stage,
        aipl_rules.rule_id as aipl_rule_id
    from matches
    inner join rules as lifecycle_rules
        on matches.lifecycle_priority = lifecycle_rules.priority and lifecycle_rules.stage_model = 'lifecycle'
    inner join rules as aipl_rules
        on matches.aipl_priority = aipl_rules.priority and aipl_rules.stage_model = 'aipl'

)

select * from final
