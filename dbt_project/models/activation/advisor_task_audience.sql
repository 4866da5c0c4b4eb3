with

tiers as (select * from {{ ref('rfm_tiers') }}),

customers as (select * from {{ ref('dim_customers') }}),

scores as (select * from {{ ref('churn_scores') }}),

favourites as (select * from {{ ref('int_customer_favourites') }}),

value_weights as (select * from {{ ref('int_value_weights') }}),

tasks as (select * from {{ ref('advisor_tasks') }}),

last_orders as (

    select
        customer_id,
        max(ordered_at) as ordered_at
    from {{ ref('fct_orders') }}
    where document_kind = 'sale'
    group by customer_id

),

-- A task needs somebody to do it: without an advisor there is none.
valuable_customers as (

    select
        tiers.customer_id,
        tiers.last_order_date,
        tiers.spend_percentile,
        customers.guide_id,
        last_orders.ordered_at,
        case when scores.is_playbook_churn_risk then 'rhythm_broken' else 'after_purchase' end as task_kind
    from tiers
    inner join customers on tiers.customer_id = customers.customer_id
    inner join last_orders on tiers.customer_id = last_orders.customer_id
    left join scores on tiers.customer_id = scores.customer_id
    where
        tiers.spend_percentile >= {{ journey_window('advisor_task', 'spend_percentile') }}
        and {{ is_still_kept('tiers.last_order_date', 'advisor_task') }}
        and customers.guide_id is not null

),

-- One call for the orders of a quarter, however many there are.
final as (

    select
        valuable_customers.customer_id,
        concat(
            cast(extract(year from valuable_customers.last_order_date) as varchar),
            'Q',
            cast(extract(quarter from valuable_customers.last_order_date) as varchar)
        ) as occurrence,
        valuable_customers.ordered_at as triggered_at,
        'marketing' as purpose,
        valuable_customers.guide_id,
        coalesce(value_weights.value_weight, 1) as value_weight,
        tasks.task_zh,
        tasks.task_en,
        favourites.top_category_name as favourite_category,
        valuable_customers.task_kind,
        valuable_customers.spend_percentile,
        valuable_customers.last_order_date
    from valuable_customers
    inner join tasks on valuable_customers.task_kind = tasks.task_kind
    left join favourites on valuable_customers.customer_id = favourites.customer_id
    left join value_weights on valuable_customers.customer_id = value_weights.customer_id

)

select * from final
